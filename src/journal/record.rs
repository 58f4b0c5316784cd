//! A record: one message in the journal, and the row it is stored as.
//!
//! What the journal searches for has a column of its own. The rest of what a broker is given is one JSON text, so that
//! `sqlite3` shows all of it. The body is stored byte for byte.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::message::{
    Broker, Brokers, DeadLetter, Destinations, Event, Id, Message, MessageKind, Part, Reason, TraceContext,
};

/// A message in the journal.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its sequence number: ascends in the order of arrival, and is never used twice.
    pub seq: i64,
    /// The message.
    pub message: Message,
    /// The brokers that have not acked it; none if it is for the journal alone.
    pub backlog: Brokers,
    /// Those of them that may have stored it already.
    pub maybe_stored: Brokers,
}

/// The unit of order at one broker: topic or stream, and key, as a 48-bit hash. Keys whose hashes collide share a lane,
/// which is stricter order, not less.
///
/// The upper bits are of the topic, so that keys of different topics never share a lane; the lower 16 are of the key, so
/// that a topic has at most 65,536 lanes, whatever its keys are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(pub i64);

impl Lane {
    /// The lane of a message at a broker. A message without a key is in the lane of its instance: a stream keeps even
    /// these in order.
    pub fn of(message: &Message, broker: Broker) -> Self {
        // one stream has all subjects
        let destination = match broker {
            Broker::Kafka => message.destination(broker),
            Broker::Nats => "",
        };
        let event = &message.event;
        let instance = || event.instance.map(|instance| instance.to_string()).unwrap_or_default();
        let key = event.partition_key.as_deref().map_or_else(|| Cow::Owned(instance()), Cow::Borrowed);
        Self(i64::from(hash::<4>(destination)) << 16 | i64::from(hash::<2>(&key)))
    }
}

/// The first bytes of a SHA-256, the same in every version.
fn hash<const BYTES: usize>(of: &str) -> u32 {
    Sha256::digest(of.as_bytes()).iter().take(BYTES).fold(0, |hash, byte| hash << 8 | u32::from(*byte))
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
    /// Of a dead letter: for people, why it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Cow<'m, str>>,
    /// Of a dead letter: which part, of how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<(usize, usize)>,
    /// Of a dead letter: how many times it was replayed.
    #[serde(default, skip_serializing_if = "is_zero")]
    replayed: u32,
    /// Of a replay: how many replays came before it.
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

/// The columns of a record that its message decides; without its lanes and its body.
#[derive(Debug)]
pub(super) struct Columns<'m> {
    pub(super) id: [u8; 16],
    /// Unix milliseconds.
    pub(super) received: i64,
    /// Its bits: SQLite has no `u64`.
    pub(super) instance: Option<i64>,
    pub(super) class: Option<Cow<'m, str>>,
    /// Why it is a dead letter. `None` means it is none.
    pub(super) reason: Option<Cow<'m, str>>,
    pub(super) rest: String,
}

/// A row that is not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a record of this version")]
pub struct InvalidRecord;

impl<'m> Columns<'m> {
    pub(super) fn of(message: &'m Message) -> Self {
        // no field is left out: a new one does not compile until it is stored
        let Message { to, event, body: _, kind: message_kind, topic_from_payload, structured } = message;
        let Event { id, instance, kind, class, time, recorded, partition_key, json, trace } = event;
        let TraceContext { parent, state } = trace;
        let (reason, detail, part, replayed, again) = match message_kind {
            MessageKind::Notification { earlier_replays } => (None, None, None, 0, *earlier_replays),
            MessageKind::DeadLetter(DeadLetter { reason, detail, part, replayed, earlier_replays }) => {
                (Some(reason), Some(detail), *part, *replayed, *earlier_replays)
            }
            // the journal never has replay markers
            MessageKind::ReplayMarker { earlier_replays: _ } => (None, None, None, 0, None),
        };
        let rest = Rest {
            to: to.clone(),
            kind: kind.as_deref().map(Cow::Borrowed),
            time: *time,
            key: partition_key.as_deref().map(Cow::Borrowed),
            json: *json,
            open: *topic_from_payload,
            structured: *structured,
            traceparent: parent.as_deref().map(Cow::Borrowed),
            tracestate: state.as_deref().map(Cow::Borrowed),
            detail: detail.map(|detail| detail.as_str().into()),
            part: part.map(|Part { number, count }| (number, count)),
            replayed,
            again,
        };
        Self {
            id: id.as_u128().to_be_bytes(),
            received: millis(*recorded),
            instance: instance.map(u64::cast_signed),
            class: class.as_deref().map(Cow::Borrowed),
            reason: reason.map(|reason| reason.as_str().into()),
            // strings, numbers and lists of them are always JSON
            rest: serde_json::to_string(&rest).unwrap_or_default(),
        }
    }

    pub(super) fn message(self, body: Vec<u8>) -> Result<Message, InvalidRecord> {
        let Self { id, received, instance, class, reason, rest } = self;
        let rest: Rest<'_> = serde_json::from_str(&rest).map_err(|_| InvalidRecord)?;
        let Rest { to, kind, time, key, json, open, structured, traceparent, tracestate, .. } = rest;
        let message_kind = match reason {
            None => MessageKind::Notification { earlier_replays: rest.again },
            Some(name) => MessageKind::DeadLetter(DeadLetter {
                reason: Reason::ALL.into_iter().find(|reason| reason.as_str() == name).ok_or(InvalidRecord)?,
                detail: rest.detail.map(Cow::into_owned).unwrap_or_default(),
                part: rest.part.map(|(number, count)| Part { number, count }),
                replayed: rest.replayed,
                earlier_replays: rest.again,
            }),
        };
        let event = Event {
            id: Id::from(u128::from_be_bytes(id)),
            instance: instance.map(i64::cast_unsigned),
            kind: kind.map(Cow::into_owned),
            class: class.map(|class| Cow::Owned(class.into_owned())),
            time,
            recorded: self::time(received),
            partition_key: key.map(Cow::into_owned),
            json,
            trace: TraceContext { parent: traceparent.map(Cow::into_owned), state: tracestate.map(Cow::into_owned) },
        };
        Ok(Message { to, event, body: Bytes::from(body), kind: message_kind, topic_from_payload: open, structured })
    }
}

/// Adds an id and the brokers that have it to a list for [`super::Journal::append_dedup_ids`], as 17 bytes.
pub fn push_id(ids: &mut Vec<u8>, id: Id, by: Brokers) {
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
            trace: TraceContext { state: parent.as_ref().map(|parent| format!("{parent}=1")), parent },
            id,
            recorded: UNIX_EPOCH + Duration::from_millis(at.into()),
        };
        let earlier_replays = part.map(|_| at % 2);
        let kind = match detail {
            None => MessageKind::Notification { earlier_replays },
            Some(detail) => MessageKind::DeadLetter(DeadLetter {
                reason: Reason::ALL[at as usize % Reason::ALL.len()],
                detail,
                part: part.map(|number| Part { number, count: number + 1 }),
                replayed: at % 3,
                earlier_replays,
            }),
        };
        let (topic_from_payload, structured) = (subject.is_some(), topic.is_some());
        let mut to = Destinations::default();
        (to[Broker::Kafka], to[Broker::Nats]) = (topic, subject);
        Message { to, event, body: body.into(), kind, topic_from_payload, structured }
    }

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_stored(
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
    fn a_lane_is_a_topic_or_the_stream_and_a_key() {
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
