//! What a broker is given: a destination, a key, CloudEvents attributes, and bytes.
//!
//! In: what `route` or `dead_letter` decided. Out: a [`Message`], which goes through `delivery` to `brokers`; each writes
//! it in its own headers. It never looks into the body; of GREEN-API it knows only the names in `source` and `type`. Its
//! [`MessageKind`] says whether it is a notification, a dead letter, or a replay marker.

mod broker;
mod dead_letter;
mod dlq_record;
mod event;
mod id;
mod kind;
mod per_broker;
mod structured;

use std::borrow::Cow;

use bytes::Bytes;

pub use broker::{Broker, Brokers};
pub use dead_letter::{DeadLetter, MIN_PART_BYTES, PART_BYTES, Part, Reason};
pub use dlq_record::DlqRecord;
pub use event::{Attribute, Event, TraceContext};
pub use id::Id;
pub use kind::MessageKind;
pub use per_broker::PerBroker;

/// The destination at each broker: a topic or a subject. None means that the message does not go to that broker.
pub type Destinations = PerBroker<Option<String>>;

/// One message for its brokers.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its destinations.
    pub to: Destinations,
    /// The CloudEvents attributes it carries as headers.
    pub event: Event,
    /// Exactly the bytes received, or one part of them.
    pub body: Bytes,
    /// A notification, a dead letter or a replay marker.
    pub kind: MessageKind,
    /// Whether the payload chose the topic: then a topic that does not exist is the payload's fault.
    pub topic_from_payload: bool,
    /// Whether it is sent in CloudEvents structured mode. A dead letter never is.
    pub structured: bool,
}

impl Message {
    /// A notification as GREEN-API sent it, in binary mode, for destinations that no payload chooses.
    pub fn notification(to: Destinations, event: Event, body: Bytes) -> Self {
        let kind = MessageKind::Notification { earlier_replays: None };
        Self { to, event, body, kind, topic_from_payload: false, structured: false }
    }

    /// A body for the dead letter.
    pub fn dead_letter(to: Destinations, event: Event, body: Bytes, dead: DeadLetter) -> Self {
        Self { kind: MessageKind::DeadLetter(dead), ..Self::notification(to, event, body) }
    }

    /// A replay marker, after `earlier_replays` others of the same dead letter.
    pub fn replay_marker(to: Destinations, event: Event, earlier_replays: u32) -> Self {
        Self { kind: MessageKind::ReplayMarker { earlier_replays }, ..Self::notification(to, event, Bytes::new()) }
    }

    /// Its dead letter headers. None means that it is not a dead letter.
    pub fn as_dead_letter(&self) -> Option<&DeadLetter> {
        match &self.kind {
            MessageKind::DeadLetter(dead) => Some(dead),
            MessageKind::Notification { .. } | MessageKind::ReplayMarker { .. } => None,
        }
    }

    /// Whether it is a dead letter.
    pub fn is_dead_letter(&self) -> bool {
        self.as_dead_letter().is_some()
    }

    /// How many replays came before this one. None means that it is not a replay.
    pub fn earlier_replays(&self) -> Option<u32> {
        match &self.kind {
            MessageKind::Notification { earlier_replays } => *earlier_replays,
            MessageKind::DeadLetter(dead) => dead.earlier_replays,
            MessageKind::ReplayMarker { earlier_replays } => Some(*earlier_replays),
        }
    }

    /// The value for the broker: the envelope in structured mode, else the body.
    pub fn value(&self) -> Bytes {
        if self.structured { self.envelope() } else { self.body.clone() }
    }

    /// The CloudEvents JSON envelope, whatever the mode. The body must be a JSON text.
    pub fn envelope(&self) -> Bytes {
        structured::envelope(&self.event, &self.body)
    }

    /// The attributes sent as headers: none in structured mode, where the envelope has them.
    pub fn attributes(&self) -> impl Iterator<Item = (Attribute, Cow<'_, str>)> {
        self.event.attributes().filter(|_| !self.structured)
    }

    /// All other headers; their names are the same at every broker.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
        let content_type = if self.structured { structured::CONTENT_TYPE } else { self.event.content_type() };
        let dead = self.as_dead_letter();
        let trace = &self.event.trace;
        [
            ("content-type", Some(Cow::Borrowed(content_type))),
            ("bridge-reason", dead.map(|dead| dead.reason.as_str().into())),
            ("bridge-detail", dead.map(|dead| dead.detail.as_str().into())),
            ("bridge-part", dead.and_then(|dead| dead.part).map(|part| part.to_string().into())),
            (MessageKind::REPLAYED_HEADER, self.kind.replayed().map(|count| count.to_string().into())),
            ("traceparent", trace.parent.as_deref().map(Into::into)),
            ("tracestate", trace.state.as_deref().map(Into::into)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }

    /// The identity the broker dedupes by (`Nats-Msg-Id`).
    ///
    /// A dead letter has another one than its notification, and each of its parts has its own: JetStream dedupes over the
    /// whole stream, so it would drop a replay or a second part otherwise.
    pub fn dedupe_id(&self) -> String {
        self.kind.dedupe_id(self.event.id)
    }

    /// The brokers of its route.
    pub fn brokers(&self) -> Brokers {
        self.to.iter().filter_map(|(broker, to)| to.as_ref().map(|_| broker)).collect()
    }

    /// Its destination at this broker; empty if it does not go there.
    pub fn destination(&self, broker: Broker) -> &str {
        self.to[broker].as_deref().unwrap_or_default()
    }

    /// The same body as a dead letter. Its key is the instance, whatever the key of notifications.
    #[must_use]
    pub fn into_dead_letter(self, to: Destinations, reason: Reason, detail: String) -> Self {
        let earlier_replays = self.earlier_replays();
        let kind = MessageKind::DeadLetter(DeadLetter { earlier_replays, ..DeadLetter::new(reason, detail) });
        let partition_key = self.event.instance.map(|instance| instance.to_string());
        let event = Event { partition_key, ..self.event };
        Self { to, event, kind, structured: false, ..self }
    }

    /// A dead letter split into parts of at most `limit` bytes, in order. A part of a JSON text is not a JSON text, so
    /// parts are declared as plain bytes.
    pub fn parts(&self, limit: usize) -> Vec<Self> {
        let count = self.body.len().div_ceil(limit);
        let part = |number: usize| {
            let from = (number - 1) * limit;
            let to = self.body.len().min(from + limit);
            let mut message = Self { body: self.body.slice(from..to), ..self.clone() };
            message.event.json = false;
            if let MessageKind::DeadLetter(dead) = &mut message.kind {
                dead.part = Some(Part { number, count });
            }
            message
        };
        (1..=count).map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn at_nats(subject: &str) -> Destinations {
        Destinations::only(Broker::Nats, subject.into())
    }

    fn message(body: &'static [u8]) -> Message {
        let event = Event::unparsed(Id::of(body), SystemTime::UNIX_EPOCH);
        Message::notification(at_nats("a"), event, Bytes::from_static(body))
    }

    #[test]
    fn joined_parts_are_the_body_and_each_has_its_own_dedupe_id() {
        let dead = message(b"0123456789").into_dead_letter(at_nats("dead"), Reason::TooLarge, "x".into());
        let parts = dead.parts(4);
        let joined: Vec<u8> = parts.iter().flat_map(|part| part.body.to_vec()).collect();
        assert_eq!(joined, b"0123456789");
        let ids: Vec<_> = parts.iter().map(Message::dedupe_id).collect();
        let id = dead.event.id;
        assert_eq!(ids, [format!("dl-{id}-1/3"), format!("dl-{id}-2/3"), format!("dl-{id}-3/3")]);
        assert!(parts.iter().all(|part| part.destination(Broker::Nats) == "dead" && !part.event.json));
    }

    #[test]
    fn a_dead_letter_has_another_dedupe_id_than_its_notification() {
        let live = message(b"{}");
        let dead = live.clone().into_dead_letter(at_nats("dead"), Reason::Ambiguous, "x".into());
        assert_eq!(live.dedupe_id(), live.event.id.to_string());
        assert_eq!(dead.dedupe_id(), format!("dl-{}", live.event.id));
    }

    #[test]
    fn a_dead_letter_is_keyed_by_its_instance() {
        let mut live = message(b"{}");
        (live.event.instance, live.event.partition_key) = (Some(7), Some("7:79990000001@c.us".into()));
        let dead = live.into_dead_letter(at_nats("dead"), Reason::TooLarge, "x".into());
        assert_eq!(dead.event.partition_key.as_deref(), Some("7"));
    }
}
