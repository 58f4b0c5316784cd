//! What the journal keeps of a message, and how.
//!
//! What is searched for has a column of its own; the rest of what a broker is given stands in one JSON text, so that
//! `sqlite3` shows all of it; the body is kept byte for byte.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::message::{
    Broker, Brokers, DeadLetter, Destinations, Event, Id, Message, Part, Reason, Replay, TraceContext,
};

/// A message as it is kept.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its place among all records of this journal, ascending in the order they came; never used twice.
    pub seq: i64,
    /// The message.
    pub message: Message,
    /// The brokers it is still owed to; none where it is kept for its own sake.
    pub owed: Brokers,
    /// Those of them that may have it all the same.
    pub unknown: Brokers,
}

/// What must stay in order at one broker: a topic or a stream, and a key. Numbers that meet are one lane, which keeps
/// order too.
///
/// The upper bits are of the topic, so that keys of different topics never meet; the lower 16 of the key, so that there
/// are at most 65,536 lanes of a topic, whatever keys there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(pub i64);

impl Lane {
    /// The lane of a message at a broker. Without a key it is that of its instance: in a stream even these are in order.
    pub fn of(message: &Message, broker: Broker) -> Self {
        // all subjects are of one stream
        let place = match broker {
            Broker::Kafka => message.destination(broker),
            Broker::Nats => "",
        };
        let event = &message.event;
        let instance = || event.instance.map(|instance| instance.to_string()).unwrap_or_default();
        let key = event.partition_key.as_deref().map_or_else(|| Cow::Owned(instance()), Cow::Borrowed);
        Self(i64::from(number::<4>(place)) << 16 | i64::from(number::<2>(&key)))
    }
}

/// The first bytes of a SHA-256, the same in every version.
fn number<const BYTES: usize>(of: &str) -> u32 {
    Sha256::digest(of.as_bytes()).iter().take(BYTES).fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// What has no column of its own.
#[derive(Debug, Serialize, Deserialize)]
struct Rest<'m> {
    to: Destinations,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<Cow<'m, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Cow<'m, str>>,
    json: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    open: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    structured: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<Cow<'m, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<Cow<'m, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Cow<'m, str>>,
    /// Which one, of how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<(usize, usize)>,
    /// Of a dead letter, how many times it was replayed.
    #[serde(default, skip_serializing_if = "is_zero")]
    replayed: u32,
    /// Of a notification that comes out of a dead letter, how many times it did before.
    #[serde(skip_serializing_if = "Option::is_none")]
    again: Option<u32>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(it: &bool) -> bool {
    !it
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(it: &u32) -> bool {
    *it == 0
}

/// The columns of a record, but for its place and whom it is owed to.
#[derive(Debug)]
pub(super) struct Columns<'m> {
    pub(super) id: [u8; 16],
    /// Unix milliseconds.
    pub(super) received: i64,
    /// Its bits, for SQLite has no `u64`.
    pub(super) instance: Option<i64>,
    pub(super) class: Option<Cow<'m, str>>,
    /// Why it is a dead letter.
    pub(super) reason: Option<Cow<'m, str>>,
    pub(super) rest: String,
}

/// Why a row is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a record of this version")]
pub struct NotARecord;

impl<'m> Columns<'m> {
    pub(super) fn of(message: &'m Message) -> Self {
        let Message { event, dead_letter, .. } = message;
        let rest = Rest {
            to: message.to.clone(),
            kind: event.kind.as_deref().map(Cow::Borrowed),
            time: event.time,
            key: event.partition_key.as_deref().map(Cow::Borrowed),
            json: event.json,
            open: message.open,
            structured: message.structured,
            traceparent: event.trace.parent.as_deref().map(Cow::Borrowed),
            tracestate: event.trace.state.as_deref().map(Cow::Borrowed),
            detail: dead_letter.as_ref().map(|dead| dead.detail.as_str().into()),
            part: dead_letter.as_ref().and_then(|dead| dead.part).map(|part| (part.number, part.count)),
            replayed: dead_letter.as_ref().map_or(0, |dead| dead.replayed),
            again: match message.replay {
                Some(Replay::Notification(before)) => Some(before),
                // notes lie beside letters, and are not kept
                Some(Replay::Note(_)) | None => None,
            },
        };
        Self {
            id: event.id.as_u128().to_be_bytes(),
            received: millis(event.recorded),
            instance: event.instance.map(u64::cast_signed),
            class: event.class.as_deref().map(Cow::Borrowed),
            reason: dead_letter.as_ref().map(|dead| dead.reason.as_str().into()),
            // strings, numbers and lists of them are always JSON
            rest: serde_json::to_string(&rest).unwrap_or_default(),
        }
    }

    pub(super) fn message(self, body: Vec<u8>) -> Result<Message, NotARecord> {
        let rest: Rest<'_> = serde_json::from_str(&self.rest).map_err(|_| NotARecord)?;
        let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        let reason = match self.reason {
            None => None,
            Some(name) => Some(Reason::ALL.into_iter().find(|reason| reason.as_str() == name).ok_or(NotARecord)?),
        };
        let dead_letter = reason.map(|reason| DeadLetter {
            reason,
            detail: owned(rest.detail).unwrap_or_default(),
            part: rest.part.map(|(number, count)| Part { number, count }),
            replayed: rest.replayed,
        });
        let event = Event {
            instance: self.instance.map(i64::cast_unsigned),
            kind: owned(rest.kind),
            class: self.class.map(|class| Cow::Owned(class.into_owned())),
            time: rest.time,
            partition_key: owned(rest.key),
            json: rest.json,
            trace: TraceContext { parent: owned(rest.traceparent), state: owned(rest.tracestate) },
            ..Event::unparsed(Id::from(u128::from_be_bytes(self.id)), time(self.received))
        };
        let Rest { to, open, structured, again, .. } = rest;
        let replay = again.map(Replay::Notification);
        Ok(Message { to, event, body: Bytes::from(body), dead_letter, open, structured, replay })
    }
}

/// Adds an id to those that are seen, as 17 bytes.
pub fn seen_as(ids: &mut Vec<u8>, id: Id, by: Brokers) {
    ids.extend(id.as_u128().to_be_bytes());
    ids.push(by.bits());
}

/// Unix milliseconds; times before 1970 are 1970.
pub(super) fn millis(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The time of these Unix milliseconds.
pub(super) fn time(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis.max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(
        body: Vec<u8>,
        texts: [Option<String>; 6],
        (instance, at, part): (Option<u32>, u32, Option<usize>),
    ) -> Message {
        let id = Id::of(&body);
        let [topic, subject, kind, key, parent, detail] = texts;
        let event = Event {
            instance: instance.map(u64::from),
            kind,
            class: instance.map(|_| "incoming".into()),
            time: instance.map(u64::from),
            partition_key: key,
            json: instance.is_some(),
            trace: TraceContext { parent, state: None },
            ..Event::unparsed(id, UNIX_EPOCH + Duration::from_millis(at.into()))
        };
        let dead_letter = detail.map(|detail| DeadLetter {
            part: part.map(|number| Part { number, count: number + 1 }),
            replayed: at % 3,
            ..DeadLetter::new(Reason::TooLarge, detail)
        });
        let (open, structured) = (subject.is_some(), topic.is_some());
        Message {
            to: [topic, subject],
            event,
            body: body.into(),
            dead_letter,
            open,
            structured,
            replay: part.map(|_| Replay::Notification(at % 2)),
        }
    }

    proptest! {
        #[test]
        fn a_message_comes_back_as_it_went(
            body in prop::collection::vec(any::<u8>(), 0..200),
            texts in prop::array::uniform6(prop::option::of(any::<String>())),
            numbers: (Option<u32>, u32, Option<u16>),
        ) {
            let numbers = (numbers.0, numbers.1, numbers.2.map(usize::from));
            let before = message(body, texts, numbers);
            let after = Columns::of(&before).message(before.body.to_vec()).unwrap();
            prop_assert_eq!(format!("{before:?}"), format!("{after:?}"));
        }
    }

    #[test]
    fn a_lane_is_of_a_topic_or_the_stream_and_a_key() {
        let of = |topic: &str, key: Option<&str>, instance| {
            let texts = [Some(topic.to_owned()), Some(topic.to_owned()), None, key.map(Into::into), None, None];
            let message = message(Vec::new(), texts, (instance, 0, None));
            Broker::ALL.map(|broker| Lane::of(&message, broker))
        };
        let [kafka, nats] = of("a", Some("7"), Some(7));
        assert_eq!([kafka, nats], of("a", None, Some(7)), "without a key it is the instance's");
        let [other_topic, same_stream] = of("b", Some("7"), None);
        assert_ne!(kafka, other_topic);
        assert_eq!(nats, same_stream);
        assert_ne!(nats, of("a", Some("8"), None)[1]);
        // `printf 7 | sha256sum`, and of nothing: journals of every version are read with these numbers
        assert_eq!(nats.0, 0xe3b0_c442_7902);
    }
}
