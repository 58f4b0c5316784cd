//! A record as one line of JSON, to move it to another journal or to read it elsewhere: a CloudEvent in its JSON form,
//! with what a journal needs in attributes that begin with `bridge`.
//!
//! A body that is JSON on one line is in the line as it came; any other is in base64. Either way the import reads the
//! same bytes.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use super::Record;
use super::record::{Columns, millis};
use super::record_filter::{broker_names, brokers_named};
use crate::message::{Brokers, Id, Message};

/// Why a line is not a record, and what to do.
#[derive(Debug, Error)]
pub enum LineError {
    /// Not JSON, or without an attribute that a record must have.
    #[error("not a line of `greenapi-bridge journal export`: {0}")]
    Form(#[from] serde_json::Error),
    /// A value that no record has.
    #[error("`{name}` cannot be read; give the file as `greenapi-bridge journal export` wrote it")]
    Value {
        /// The attribute.
        name: &'static str,
    },
    /// The id is not that of the body.
    #[error("`data` is not what `id` was made of; the body was changed since it was exported")]
    Changed,
}

/// The attributes that an import reads; the others follow from them.
#[derive(Deserialize)]
struct Line<'l> {
    #[serde(borrow)]
    id: Cow<'l, str>,
    #[serde(borrow)]
    recordedtime: Cow<'l, str>,
    instance: Option<String>,
    class: Option<String>,
    #[serde(default)]
    bridgeseq: i64,
    /// Exports of earlier versions have it as `bridgeowed`.
    #[serde(borrow, alias = "bridgeowed")]
    bridgebacklog: Cow<'l, str>,
    #[serde(default)]
    bridgeunknown: String,
    bridgereason: Option<String>,
    bridgerecord: String,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'l RawValue>,
    data_base64: Option<String>,
}

/// A value that is present, also if it is `null`.
fn present<'l, D: serde::Deserializer<'l>>(value: D) -> Result<Option<&'l RawValue>, D::Error> {
    Deserialize::deserialize(value).map(Some)
}

/// Writes a record as one line, its end included.
pub fn write(record: &Record) -> Vec<u8> {
    let Record { seq, message, backlog, maybe_stored } = record;
    let columns = Columns::of(message);
    let mut out = Vec::with_capacity(message.body.len() + 1024);
    out.push(b'{');
    let attributes = message.event.attributes().map(|(attribute, value)| (attribute.as_str(), value));
    let own = [
        ("datacontenttype", Some(message.event.content_type().into())),
        ("bridgebacklog", Some(broker_names(*backlog).into())),
        ("bridgeunknown", Some(broker_names(*maybe_stored).into())),
        ("bridgereason", columns.reason.clone()),
        ("bridgerecord", Some(columns.rest.as_str().into())),
    ];
    for (name, value) in attributes.chain(own.into_iter().filter_map(|(name, value)| Some((name, value?)))) {
        // a string is always JSON, and writing to memory does not fail
        out.extend_from_slice(format!("\"{name}\":{},", serde_json::Value::from(value)).as_bytes());
    }
    out.extend_from_slice(format!("\"bridgeseq\":{seq},").as_bytes());
    match verbatim(&message.body) {
        Some(data) => out.extend([b"\"data\":", data, b"}\n"].concat()),
        None => out.extend([b"\"data_base64\":\"", STANDARD.encode(&message.body).as_bytes(), b"\"}\n"].concat()),
    }
    out
}

/// The body, if a line of JSON can contain it as it is, and a reader finds the same bytes.
fn verbatim(body: &[u8]) -> Option<&[u8]> {
    let one_line = !body.contains(&b'\n') && !body.contains(&b'\r');
    let read: &RawValue = serde_json::from_slice(body).ok().filter(|_| one_line)?;
    (read.get().as_bytes() == body).then_some(body)
}

/// Reads a line back.
///
/// # Errors
/// [`LineError`].
pub fn read(line: &[u8]) -> Result<Record, LineError> {
    let line: Line<'_> = serde_json::from_slice(line)?;
    let wrong = |name| move || LineError::Value { name };
    let id = u128::from_str_radix(&line.id, 16).map(Id::from).map_err(|_| wrong("id")())?;
    let recorded = humantime::parse_rfc3339(&line.recordedtime).map_err(|_| wrong("recordedtime")())?;
    let instance = line.instance.map(|text| text.parse::<u64>()).transpose().map_err(|_| wrong("instance")())?;
    let body = match (line.data, &line.data_base64) {
        (Some(data), None) => data.get().as_bytes().to_vec(),
        (None, Some(data)) => STANDARD.decode(data).map_err(|_| wrong("data_base64")())?,
        _ => return Err(wrong("data")()),
    };
    let changed = id != Id::of(&body);
    let columns = Columns {
        id: id.as_u128().to_be_bytes(),
        received: millis(recorded),
        instance: instance.map(u64::cast_signed),
        class: line.class.map(Cow::Owned),
        reason: line.bridgereason.map(Cow::Owned),
        rest: line.bridgerecord,
    };
    let message = columns.message(body).map_err(|_| wrong("bridgerecord")())?;
    // a part has the id of the whole
    if changed && !is_part(&message) {
        return Err(LineError::Changed);
    }
    let brokers = |names: &str, name| brokers_named(names).ok_or_else(wrong(name));
    let (backlog, maybe_stored) =
        (brokers(&line.bridgebacklog, "bridgebacklog")?, brokers(&line.bridgeunknown, "bridgeunknown")?);
    if backlog.each().any(|broker| message.to[broker].is_none()) {
        return Err(wrong("bridgebacklog")());
    }
    Ok(Record { seq: line.bridgeseq, message, backlog, maybe_stored: maybe_stored.without(Brokers::JOURNAL) })
}

fn is_part(message: &Message) -> bool {
    message.as_dead_letter().is_some_and(|dead| dead.part.is_some())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;
    use crate::message::{Broker, DeadLetter, Destinations, Event, MessageKind, Part, Reason, TraceContext};

    fn record(body: Vec<u8>, texts: [Option<String>; 5], numbers: (Option<u32>, u32, u8)) -> Record {
        let [subject, kind, key, parent, detail] = texts;
        let (instance, at, backlog) = numbers;
        let event = Event {
            instance: instance.map(u64::from),
            kind,
            class: instance.map(|_| "incoming".into()),
            time: instance.map(u64::from),
            partition_key: key,
            json: instance.is_some(),
            trace: TraceContext { state: parent.as_ref().map(|parent| format!("{parent}=1")), parent },
            id: Id::of(&body),
            recorded: UNIX_EPOCH + Duration::from_millis(at.into()),
        };
        let kind = match detail {
            None => MessageKind::Notification { earlier_replays: (at % 5 == 0).then_some(at % 7) },
            Some(detail) => MessageKind::DeadLetter(DeadLetter {
                reason: Reason::Ambiguous,
                detail,
                part: (at % 3 == 0).then_some(Part { number: 1, count: 2 }),
                replayed: at % 4,
                earlier_replays: (at % 5 == 0).then_some(at % 7),
            }),
        };
        let mut to = Destinations::only(Broker::Kafka, "topic".to_owned());
        to[Broker::Nats] = subject;
        let backlog = Broker::ALL.into_iter().filter(|broker| backlog >> *broker as u8 & 1 == 1);
        let backlog: Brokers = backlog.filter(|broker| to[*broker].is_some()).collect();
        let columns =
            Message { to, event, body: body.into(), kind, topic_from_payload: at % 2 == 0, structured: at % 3 == 0 };
        Record { seq: 7, message: columns, backlog, maybe_stored: backlog }
    }

    #[test]
    fn a_body_that_is_null_is_read_again() {
        let record = record(b"null".into(), [None, None, None, None, Some("no object".into())], (None, 0, 1));
        assert_eq!(&read(&write(&record)).unwrap().message.body[..], b"null");
    }

    proptest! {
        #[test]
        fn a_record_is_read_from_its_line_as_it_was_written(
            body in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                ".*".prop_map(String::into_bytes),
                Just(br#"{ "a" : 1.10, "a":"\u00e9\ud800" }"#.to_vec()),
                Just(b"{\n\"a\":1}".to_vec()),
                Just(b" {}".to_vec()),
            ],
            texts in prop::array::uniform5(prop::option::of(any::<String>())),
            numbers: (Option<u32>, u32, u8),
        ) {
            let before = record(body, texts, numbers);
            let line = write(&before);
            prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            prop_assert!(line.ends_with(b"\n"));
            let after = read(&line).unwrap();
            prop_assert_eq!(format!("{before:?}"), format!("{after:?}"));
        }
    }

    #[test]
    fn a_body_of_json_is_readable_in_its_line() {
        let before = record(br#"{"a":1.10}"#.to_vec(), [None, None, None, None, None], (Some(7), 0, 1));
        let line = String::from_utf8(write(&before)).unwrap();
        assert!(line.ends_with("\"data\":{\"a\":1.10}}\n"), "{line}");
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&event["specversion"], &event["bridgebacklog"]), (&"1.0".into(), &"kafka".into()));
    }

    #[test]
    fn a_line_of_an_earlier_version_is_read_too() {
        let record = record(br#"{"a":1}"#.to_vec(), [None, None, None, None, None], (Some(7), 0, 1));
        let line = String::from_utf8(write(&record)).unwrap();
        let earlier = line.replace("bridgebacklog", "bridgeowed");
        assert_ne!(earlier, line);
        assert_eq!(format!("{:?}", read(earlier.as_bytes()).unwrap()), format!("{record:?}"));
    }

    #[test]
    fn a_line_with_a_changed_value_is_refused() {
        let line = write(&record(br#"{"a":1}"#.to_vec(), [None, None, None, None, None], (Some(7), 0, 1)));
        let line = String::from_utf8(line).unwrap();
        let refused = |from: &str, to: &str| read(line.replace(from, to).as_bytes()).unwrap_err();
        assert!(matches!(refused("{\"a\":1}", "{\"a\":2}"), LineError::Changed));
        assert!(
            matches!(refused("\"kafka\"", "\"nats\""), LineError::Value { name: "bridgebacklog" }),
            "it has no destination there"
        );
        assert!(matches!(refused("\"kafka\"", "\"rabbit\""), LineError::Value { name: "bridgebacklog" }));
        assert!(matches!(refused("bridgerecord", "other"), LineError::Form(_)));
    }
}
