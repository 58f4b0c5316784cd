//! What a record of the dead letter destination is, by its headers.

use std::time::SystemTime;

use bytes::Bytes;

use crate::message::{Attribute, Broker, DlqRecord, Id, MessageKind, Part, TraceContext};

/// A record, as far as its headers say.
#[derive(Debug)]
pub enum ParsedRecord {
    /// A dead letter, or one part of it, with its bytes.
    DeadLetter(Box<DlqHeaders>, Bytes),
    /// The dead letters with this id that were received until then have been replayed.
    ReplayMarker {
        /// Their id.
        id: Id,
        /// Covers those received until then.
        until: SystemTime,
    },
    /// The bridge did not write this record.
    Foreign,
}

/// What the headers of a dead letter say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DlqHeaders {
    /// The broker that has it. `None` means the journal.
    pub broker: Option<Broker>,
    /// Its position there; of a dead letter in parts, that of the first part that was read.
    pub position: String,
    /// `ce_id`.
    pub id: Id,
    /// When the bridge received it.
    pub received: SystemTime,
    /// `bridge-reason`.
    pub reason: String,
    /// `bridge-detail`.
    pub detail: String,
    /// The instance. `None` means that it is not known.
    pub instance: Option<u64>,
    /// The type as in `ce_type`, without its prefix. `None` means that it is not known.
    pub kind: Option<String>,
    /// Which part this is. `None` means that the body was not split.
    pub part: Option<Part>,
    /// The bytes of its body.
    pub size: usize,
    /// Every header, as the broker has it.
    pub all: Vec<(String, String)>,
}

impl DlqHeaders {
    /// The trace context that the notification came with.
    pub fn trace(&self) -> TraceContext {
        let header = |name: &str| self.all.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let parent = header("traceparent");
        TraceContext { state: header("tracestate").filter(|_| parent.is_some()), parent }
    }
}

/// The name of what stores dead letters: a broker, or the journal.
pub fn location_name(broker: Option<Broker>) -> &'static str {
    broker.map_or("journal", Broker::as_str)
}

/// Reads the headers of a record.
pub fn parse_record(record: DlqRecord) -> ParsedRecord {
    let Some(id) = record.attribute(Attribute::Id).and_then(id) else { return ParsedRecord::Foreign };
    let time = record.attribute(Attribute::RecordedTime);
    let received = time.and_then(|time| humantime::parse_rfc3339(time).ok()).unwrap_or(record.at);
    if record.header(MessageKind::REPLAYED_HEADER).is_some() {
        return ParsedRecord::ReplayMarker { id, until: received };
    }
    let Some(reason) = record.header("bridge-reason").map(str::to_owned) else { return ParsedRecord::Foreign };
    let part = record.header("bridge-part").map(part);
    if matches!(part, Some(None)) {
        return ParsedRecord::Foreign;
    }
    let kind = record.attribute(Attribute::Type).and_then(|kind| kind.strip_prefix("com.green-api."));
    let headers = DlqHeaders {
        broker: record.broker,
        id,
        received,
        reason,
        detail: record.header("bridge-detail").unwrap_or_default().to_owned(),
        instance: record.attribute(Attribute::Instance).and_then(|instance| instance.parse().ok()),
        kind: kind.filter(|kind| *kind != "unparsed").map(str::to_owned),
        part: part.flatten(),
        size: record.size,
        position: record.position,
        all: record.headers,
    };
    ParsedRecord::DeadLetter(Box::new(headers), record.body)
}

/// Reads an id in the form that it is shown in.
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

    fn record(headers: &[(&str, &str)]) -> DlqRecord {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let body = Bytes::from_static(b"{");
        DlqRecord {
            broker: Some(Broker::Kafka),
            position: "0/1".into(),
            at: UNIX_EPOCH,
            headers,
            size: body.len(),
            body,
        }
    }

    const ID: (&str, &str) = ("ce_id", "00000000000000000000000000000007");

    #[test]
    fn only_a_record_that_the_bridge_wrote_is_a_dead_letter() {
        let reason = ("bridge-reason", "not_json");
        assert!(matches!(parse_record(record(&[ID, reason])), ParsedRecord::DeadLetter(..)));
        assert!(
            matches!(parse_record(record(&[ID, ("bridge-replayed", "1")])), ParsedRecord::ReplayMarker { id, .. } if id == Id::from(7))
        );
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
            assert!(matches!(parse_record(record(foreign)), ParsedRecord::Foreign), "{foreign:?}");
        }
    }

    #[test]
    fn an_unknown_type_or_instance_is_none() {
        let reason = ("bridge-reason", "not_json");
        let ParsedRecord::DeadLetter(headers, _) =
            parse_record(record(&[ID, reason, ("ce_type", "com.green-api.unparsed")]))
        else {
            panic!("a dead letter")
        };
        assert_eq!((headers.kind, headers.instance, headers.received), (None, None, UNIX_EPOCH));
        let known = [ID, reason, ("ce_type", "com.green-api.x"), ("ce_instance", "7"), ("bridge-part", "2/3")];
        let time = ("ce_recordedtime", "1970-01-01T00:00:07.500Z");
        let ParsedRecord::DeadLetter(headers, _) = parse_record(record(&[&known[..], &[time]].concat())) else {
            panic!("a dead letter")
        };
        assert_eq!((headers.kind.as_deref(), headers.instance), (Some("x"), Some(7)));
        assert_eq!(headers.received, UNIX_EPOCH + Duration::from_millis(7500));
        assert_eq!(headers.part, Some(Part { number: 2, count: 3 }));
    }
}
