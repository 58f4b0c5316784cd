//! What a record in the dead letter is.

use std::time::SystemTime;

use bytes::Bytes;

use crate::message::{Attribute, Broker, Id, Letter, Part, Replay, TraceContext};

/// A record, as far as its headers tell.
#[derive(Debug)]
pub enum Record {
    /// A dead letter, or one part of it.
    Letter(Box<Head>, Bytes),
    /// Says that what has this id, and was received until then, has been replayed.
    Note(Id, SystemTime),
    /// Not of the bridge's making.
    Foreign,
}

/// What a dead letter says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Where it lies; none: in the journal.
    pub broker: Option<Broker>,
    /// Its place there; of one in parts that of the first that was read.
    pub position: String,
    /// `ce_id`.
    pub id: Id,
    /// When the bridge received it.
    pub received: SystemTime,
    /// `bridge-reason`.
    pub reason: String,
    /// `bridge-detail`.
    pub detail: String,
    /// The instance, where it is known.
    pub instance: Option<u64>,
    /// The type as in `ce_type`; none where it is not known.
    pub kind: Option<String>,
    /// Which part it is, where the body was cut.
    pub part: Option<Part>,
    /// How many bytes its body has.
    pub size: usize,
    /// Every header, as the broker has it.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The trace context it came with.
    pub fn trace(&self) -> TraceContext {
        let header = |name: &str| self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let parent = header("traceparent");
        TraceContext { state: header("tracestate").filter(|_| parent.is_some()), parent }
    }
}

/// Where letters lie, in a word.
pub fn place_name(broker: Option<Broker>) -> &'static str {
    broker.map_or("journal", Broker::as_str)
}

/// Reads a record's headers.
pub fn read(letter: Letter) -> Record {
    let Some(id) = letter.attribute(Attribute::Id).and_then(id) else { return Record::Foreign };
    let time = letter.attribute(Attribute::RecordedTime);
    let received = time.and_then(|time| humantime::parse_rfc3339(time).ok()).unwrap_or(letter.at);
    if letter.header(Replay::HEADER).is_some() {
        return Record::Note(id, received);
    }
    let Some(reason) = letter.header("bridge-reason").map(str::to_owned) else { return Record::Foreign };
    let cut = letter.header("bridge-part").map(part);
    if matches!(cut, Some(None)) {
        return Record::Foreign;
    }
    let kind = letter.attribute(Attribute::Type).and_then(|kind| kind.strip_prefix("com.green-api."));
    let head = Head {
        broker: letter.broker,
        id,
        received,
        reason,
        detail: letter.header("bridge-detail").unwrap_or_default().to_owned(),
        instance: letter.attribute(Attribute::Instance).and_then(|instance| instance.parse().ok()),
        kind: kind.filter(|kind| *kind != "unparsed").map(str::to_owned),
        part: cut.flatten(),
        size: letter.size,
        position: letter.position,
        headers: letter.headers,
    };
    Record::Letter(Box::new(head), letter.body)
}

/// An id as it is shown.
pub(super) fn id(text: &str) -> Option<Id> {
    let is_id = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u128::from_str_radix(text, 16).ok().filter(|_| is_id).map(Id::from)
}

fn part(text: &str) -> Option<Part> {
    let (number, count) = text.split_once('/')?;
    let (number, count) = (number.parse().ok()?, count.parse().ok()?);
    (1..=count).contains(&number).then_some(Part { number, count })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn letter(headers: &[(&str, &str)]) -> Letter {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let body = Bytes::from_static(b"{");
        Letter { broker: Some(Broker::Kafka), position: "0/1".into(), at: UNIX_EPOCH, headers, size: body.len(), body }
    }

    const ID: (&str, &str) = ("ce_id", "00000000000000000000000000000007");

    #[test]
    fn only_what_the_bridge_made_is_a_letter() {
        let reason = ("bridge-reason", "not_json");
        assert!(matches!(read(letter(&[ID, reason])), Record::Letter(..)));
        assert!(matches!(read(letter(&[ID, ("bridge-replayed", "1")])), Record::Note(id, _) if id == Id::from(7)));
        for foreign in [
            &[reason][..],
            &[ID],
            &[("ce_id", "7"), reason],
            &[("ce_id", "+0000000000000000000000000000007"), reason],
            &[("ce-id", ID.1), reason],
            &[ID, reason, ("bridge-part", "4/3")],
            &[ID, reason, ("bridge-part", "0/3")],
            &[ID, reason, ("bridge-part", "x")],
        ] {
            assert!(matches!(read(letter(foreign)), Record::Foreign), "{foreign:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        let reason = ("bridge-reason", "not_json");
        let Record::Letter(head, _) = read(letter(&[ID, reason, ("ce_type", "com.green-api.unparsed")])) else {
            panic!("a letter")
        };
        assert_eq!((head.kind, head.instance, head.received), (None, None, UNIX_EPOCH));
        let known = [ID, reason, ("ce_type", "com.green-api.x"), ("ce_instance", "7"), ("bridge-part", "2/3")];
        let time = ("ce_recordedtime", "1970-01-01T00:00:07.500Z");
        let Record::Letter(head, _) = read(letter(&[&known[..], &[time]].concat())) else { panic!("a letter") };
        assert_eq!((head.kind.as_deref(), head.instance), (Some("x"), Some(7)));
        assert_eq!(head.received, UNIX_EPOCH + Duration::from_millis(7500));
        assert_eq!(head.part, Some(Part { number: 2, count: 3 }));
    }
}
