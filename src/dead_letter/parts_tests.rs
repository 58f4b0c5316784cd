//! Parts in any order make the body they were cut from, or are missed.

use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::*;
use crate::message::{Broker, Part};

fn head(body: &[u8], part: Option<Part>, size: usize) -> Head {
    Head {
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
        headers: Vec::new(),
    }
}

/// A body of its own for each number, cut into so many bytes each.
fn cut(number: usize, length: usize, limit: usize) -> (Vec<u8>, Vec<(Head, Bytes)>) {
    let body: Vec<u8> = (0..length).map(|place| (place / 3 + number * 31) as u8).collect();
    let count = length.div_ceil(limit);
    let parts = body
        .chunks(limit)
        .zip(1..)
        .map(|(chunk, number)| (head(&body, Some(Part { number, count }), chunk.len()), Bytes::copy_from_slice(chunk)));
    let parts = parts.collect();
    (body, parts)
}

fn read_all(parts: Vec<(Head, Bytes)>) -> Vec<Whole> {
    let mut held = Parts::default();
    let mut out: Vec<_> = parts.into_iter().flat_map(|(head, body)| held.add(head, body)).collect();
    out.extend(held.rest());
    assert_eq!(held.bytes, 0);
    out
}

proptest! {
    #[test]
    fn parts_in_any_order_and_twice_make_their_bodies(
        letters in prop::collection::vec((20_usize..200, 3_usize..19), 1..6),
        order in any::<u64>(),
        twice in any::<prop::sample::Index>(),
    ) {
        let cut: Vec<_> = letters.iter().enumerate().map(|(number, (length, limit))| cut(number, *length, *limit)).collect();
        let mut all: Vec<_> = cut.iter().flat_map(|(_, parts)| parts.clone()).collect();
        // the first of them once more, before the letter is whole
        let again = all[twice.index(all.len())].clone();
        let mut keyed: Vec<_> = all.drain(..).enumerate().map(|(place, part)| (Id::of(&(order ^ place as u64).to_be_bytes()).as_u128(), part)).collect();
        keyed.sort_by_key(|(key, _)| *key);
        let mut all: Vec<_> = keyed.into_iter().map(|(_, part)| part).collect();
        all.insert(0, again);
        let out = read_all(all);
        let whole: Vec<_> = out.iter().filter(|whole| whole.complete().is_ok()).collect();
        prop_assert_eq!(whole.len(), cut.len());
        for (body, _) in &cut {
            let found = whole.iter().find(|whole| whole.head.id == Id::of(body)).unwrap();
            prop_assert_eq!(&found.body[..], &body[..]);
            prop_assert_eq!(found.head.size, body.len());
        }
    }

    #[test]
    fn a_part_that_is_not_there_is_named(length in 20_usize..200, limit in 3_usize..19, lost in any::<prop::sample::Index>()) {
        let (_, mut parts) = cut(0, length, limit);
        let lost = lost.index(parts.len());
        parts.remove(lost);
        let count = parts.len() + 1;
        let out = read_all(parts);
        prop_assert_eq!(out.len(), 1);
        prop_assert_eq!(&out[0].missing, &vec![lost + 1]);
        prop_assert_eq!(out[0].complete(), Err(format!("1 of {count} parts are not there: {}", lost + 1)));
    }
}

#[test]
fn what_is_held_has_a_limit_and_one_letter_is_never_given_up_for_itself() {
    let mut held = Parts { most: 100, ..Parts::default() };
    let (_, first) = cut(0, 60, 20);
    let (body, second) = cut(1, 200, 20);
    let out: Vec<_> = first.into_iter().take(2).chain(second).flat_map(|(head, body)| held.add(head, body)).collect();
    assert_eq!(out.len(), 2);
    assert_eq!((&out[0].missing, out[0].head.size), (&vec![3], 40), "the older one, once both are too much");
    assert_eq!(out[1].body, body);
}

#[test]
fn bytes_of_another_letter_are_found_out() {
    let whole = Whole { head: head(b"a", None, 1), body: Bytes::from_static(b"b"), count: 1, missing: Vec::new() };
    assert!(whole.complete().unwrap_err().contains("not those"));
}

#[test]
fn a_count_nobody_can_have_meant_costs_nothing() {
    let part = Part { number: 1, count: usize::MAX };
    let out = read_all(vec![(head(b"a", Some(part), 1), Bytes::from_static(b"a"))]);
    assert_eq!(out[0].missing.len(), 10_000);
}
