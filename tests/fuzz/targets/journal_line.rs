//! A record is read from its line as it was written, and a line that is read is written as it was.
//!
//! An even first byte means that the rest is a line; an odd one, that it is a body of a record.

#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use greenapi_bridge::journal::{Record, line};
use greenapi_bridge::message::{Broker, Brokers, DeadLetter, Destinations, Event, Id, Message, MessageKind, Reason};
use libfuzzer_sys::fuzz_target;

/// A record with this body, and text of it wherever a record can have text.
fn record(first: u8, body: &[u8]) -> Record {
    let text = String::from_utf8_lossy(body).into_owned();
    let event = Event {
        instance: (first & 2 == 0).then_some(u64::from(first)),
        kind: (first & 4 == 0).then(|| text.clone()),
        partition_key: (first & 8 == 0).then(|| text.clone()),
        json: first & 16 == 0,
        ..Event::unparsed(Id::of(body), UNIX_EPOCH + Duration::from_millis(first.into()))
    };
    let kind = match first & 32 == 0 {
        true => MessageKind::Notification { earlier_replays: None },
        false => MessageKind::DeadLetter(DeadLetter {
            reason: Reason::Ambiguous,
            detail: text.clone(),
            part: None,
            replayed: 1,
            earlier_replays: Some(2),
        }),
    };
    let to = Destinations::only(Broker::Nats, text);
    let message = Message { kind, ..Message::notification(to, event, bytes::Bytes::copy_from_slice(body)) };
    Record { seq: 7, message, backlog: Brokers::NONE.with(Broker::Nats), maybe_stored: Brokers::NONE }
}

fuzz_target!(|input: (u8, &[u8])| {
    let (first, rest) = input;
    let before = match first & 1 == 0 {
        true => match line::read(rest) {
            Ok(record) => record,
            Err(error) => return assert!(!error.to_string().is_empty()),
        },
        false => record(first, rest),
    };
    let written = line::write(&before);
    assert!(written.ends_with(b"\n") && !written[..written.len() - 1].contains(&b'\n'));
    let after = line::read(&written).expect("a line that was written");
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
    assert_eq!(written, line::write(&after));
});
