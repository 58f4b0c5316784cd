//! Parts in any order make the body they were split from, or are named as missing.

use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::*;
use crate::message::{Broker, Part};

fn headers(body: &[u8], part: Option<Part>, size: usize) -> DlqHeaders {
    DlqHeaders {
        broker: Some(Broker::Nats),
        position: String::new(),
        id: Id::of(body),
        received: UNIX_EPOCH,
        reason: "too_large".into(),
        detail: String::new(),
        instance: None,
        kind: None,
        part,
        size,
        all: Vec::new(),
    }
}

/// A body of its own for each number, split into parts of at most `limit` bytes.
fn split(number: usize, length: usize, limit: usize) -> (Vec<u8>, Vec<(DlqHeaders, Bytes)>) {
    let body: Vec<u8> = (0..length).map(|place| (place / 3 + number * 31) as u8).collect();
    let count = length.div_ceil(limit);
    let parts = body.chunks(limit).zip(1..).map(|(chunk, number)| {
        (headers(&body, Some(Part { number, count }), chunk.len()), Bytes::copy_from_slice(chunk))
    });
    let parts = parts.collect();
    (body, parts)
}

fn read_all(parts: Vec<(DlqHeaders, Bytes)>) -> Vec<DeadLetter> {
    let mut assembler = PartAssembler::default();
    let mut out: Vec<_> = parts.into_iter().flat_map(|(headers, body)| assembler.add(headers, body)).collect();
    out.extend(assembler.take_rest());
    assert_eq!(assembler.bytes, 0);
    out
}

proptest! {
    #[test]
    fn parts_in_any_order_and_twice_make_their_bodies(
        letters in prop::collection::vec((20_usize..200, 3_usize..19), 1..6),
        order in any::<u64>(),
        twice in any::<prop::sample::Index>(),
    ) {
        let letters: Vec<_> = letters.iter().enumerate().map(|(number, (length, limit))| split(number, *length, *limit)).collect();
        let mut all: Vec<_> = letters.iter().flat_map(|(_, parts)| parts.clone()).collect();
        // the first of them once more, before the dead letter is complete
        let duplicate = all[twice.index(all.len())].clone();
        let mut keyed: Vec<_> = all.drain(..).enumerate().map(|(place, part)| (Id::of(&(order ^ place as u64).to_be_bytes()).as_u128(), part)).collect();
        keyed.sort_by_key(|(key, _)| *key);
        let mut all: Vec<_> = keyed.into_iter().map(|(_, part)| part).collect();
        all.insert(0, duplicate);
        let out = read_all(all);
        let complete: Vec<_> = out.iter().filter(|letter| letter.check_complete().is_ok()).collect();
        prop_assert_eq!(complete.len(), letters.len());
        for (body, _) in &letters {
            let found = complete.iter().find(|letter| letter.headers.id == Id::of(body)).unwrap();
            prop_assert_eq!(&found.body[..], &body[..]);
            prop_assert_eq!(found.headers.size, body.len());
        }
    }

    #[test]
    fn a_missing_part_is_named(length in 20_usize..200, limit in 3_usize..19, lost in any::<prop::sample::Index>()) {
        let (_, mut parts) = split(0, length, limit);
        let lost = lost.index(parts.len());
        parts.remove(lost);
        let count = parts.len() + 1;
        let out = read_all(parts);
        prop_assert_eq!(out.len(), 1);
        prop_assert_eq!(&out[0].missing, &vec![lost + 1]);
        prop_assert_eq!(out[0].check_complete(), Err(format!("1 of {count} parts are not there: {}", lost + 1)));
    }
}

#[test]
fn parts_in_memory_are_limited_and_the_growing_dead_letter_stays() {
    let mut assembler = PartAssembler { max_bytes: 100, ..PartAssembler::default() };
    let (_, first) = split(0, 60, 20);
    let (body, second) = split(1, 200, 20);
    let out: Vec<_> =
        first.into_iter().take(2).chain(second).flat_map(|(headers, body)| assembler.add(headers, body)).collect();
    assert_eq!(out.len(), 2);
    assert_eq!((&out[0].missing, out[0].headers.size), (&vec![3], 40), "the older one, once both are too much");
    assert_eq!(out[1].body, body);
}

#[test]
fn bytes_of_another_body_are_refused() {
    let letter = DeadLetter::whole(headers(b"a", None, 1), Bytes::from_static(b"b"));
    assert!(letter.check_complete().unwrap_err().contains("does not match"));
}

#[test]
fn an_absurd_part_count_costs_nothing() {
    let part = Part { number: 1, count: usize::MAX };
    let out = read_all(vec![(headers(b"a", Some(part), 1), Bytes::from_static(b"a"))]);
    assert_eq!(out[0].missing.len(), 10_000);
}
