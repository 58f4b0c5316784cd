//! What a broker is given: bytes, a destination, and CloudEvents attributes.
//!
//! A [`Message`] knows nothing of GREEN-API and nothing of a broker's wire form: `route` makes it from a
//! notification, `deliver` decides what becomes of it, `brokers` writes it in its broker's own headers.

mod broker;
mod dead_letter;
mod event;
mod id;
mod letter;
mod replay;
mod structured;

use std::borrow::Cow;

use bytes::Bytes;

pub use broker::{Broker, Brokers};
pub use dead_letter::{DeadLetter, LEAST_PART, PART_BYTES, Part, Reason};
pub use event::{Attribute, Event, TraceContext};
pub use id::Id;
pub use letter::Letter;
pub use replay::Replay;

/// The destination at each broker, by its place in [`Broker::ALL`]: a topic, a subject, or none where the
/// broker is not of the message's route.
pub type Destinations = [Option<String>; Broker::ALL.len()];

/// One message on its way to its brokers.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where it goes.
    pub to: Destinations,
    /// The CloudEvents attributes it carries as headers.
    pub event: Event,
    /// Exactly the bytes received, or one part of them.
    pub body: Bytes,
    /// Set when it goes to the dead letter instead of its own destination.
    pub dead_letter: Option<DeadLetter>,
    /// Whether the payload had a say in which topic it goes to: then one that is not there is the payload's fault.
    pub open: bool,
    /// Whether it travels in a CloudEvents envelope. A dead letter never does.
    pub structured: bool,
    /// Set when it comes out of a dead letter again.
    pub replay: Option<Replay>,
}

impl Message {
    /// What the broker is given as value.
    pub fn value(&self) -> Bytes {
        if self.structured { self.envelope() } else { self.body.clone() }
    }

    /// It as CloudEvents JSON, however it travels. Its body must be a JSON text.
    pub fn envelope(&self) -> Bytes {
        structured::envelope(&self.event, &self.body)
    }

    /// The attributes that travel as headers: none in an envelope, which has them.
    pub fn attributes(&self) -> impl Iterator<Item = (Attribute, Cow<'_, str>)> {
        self.event.attributes().filter(|_| !self.structured)
    }

    /// All other headers that every broker carries under the same name.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
        let content_type = if self.structured { structured::CONTENT_TYPE } else { self.event.content_type() };
        let dead = self.dead_letter.as_ref();
        let trace = &self.event.trace;
        [
            ("content-type", Some(Cow::Borrowed(content_type))),
            ("bridge-reason", dead.map(|dead| dead.reason.as_str().into())),
            ("bridge-detail", dead.map(|dead| dead.detail.as_str().into())),
            ("bridge-part", dead.and_then(|dead| dead.part).map(|part| part.to_string().into())),
            (Replay::HEADER, self.replay.and_then(Replay::noted).map(|count| count.to_string().into())),
            ("traceparent", trace.parent.as_deref().map(Into::into)),
            ("tracestate", trace.state.as_deref().map(Into::into)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }

    /// The identity the broker dedupes by (`Nats-Msg-Id`).
    ///
    /// A dead letter has another one than the notification it came from, and so has each of its parts:
    /// JetStream dedupes over the whole stream, so a replay or a second part would be dropped otherwise.
    pub fn dedupe_id(&self) -> String {
        let id = self.event.id;
        if let Some(replay) = self.replay {
            return replay.dedupe_id(id);
        }
        match &self.dead_letter {
            None => id.to_string(),
            Some(DeadLetter { part: None, .. }) => format!("dl-{id}"),
            Some(DeadLetter { part: Some(part), .. }) => format!("dl-{id}-{part}"),
        }
    }

    /// The brokers of its route.
    pub fn brokers(&self) -> Brokers {
        Broker::ALL.into_iter().filter(|broker| self.to[*broker as usize].is_some()).collect()
    }

    /// Where it goes at this broker; empty where it does not.
    pub fn destination(&self, broker: Broker) -> &str {
        self.to[broker as usize].as_deref().unwrap_or_default()
    }

    /// The same bytes on the way to a dead letter. Its key is the instance, whatever that of notifications is.
    #[must_use]
    pub fn into_dead_letter(self, to: Destinations, reason: Reason, detail: String) -> Self {
        let dead_letter = Some(DeadLetter::new(reason, detail));
        let partition_key = self.event.instance.map(|instance| instance.to_string());
        let event = Event { partition_key, ..self.event };
        Self { to, event, dead_letter, structured: false, ..self }
    }

    /// A dead letter cut into parts of at most `limit` bytes, in order. A part of a JSON text is no JSON
    /// text, so parts are declared as plain bytes.
    pub fn parts(&self, limit: usize) -> Vec<Self> {
        let count = self.body.len().div_ceil(limit);
        let part = |number: usize| {
            let from = (number - 1) * limit;
            let to = self.body.len().min(from + limit);
            let mut message = Self { body: self.body.slice(from..to), ..self.clone() };
            message.event.json = false;
            if let Some(dead_letter) = &mut message.dead_letter {
                dead_letter.part = Some(Part { number, count });
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

    fn message(body: &'static [u8]) -> Message {
        let event = Event::unparsed(Id::of(body), SystemTime::UNIX_EPOCH);
        Message {
            to: [None, Some("a".into())],
            event,
            body: Bytes::from_static(body),
            dead_letter: None,
            open: false,
            structured: false,
            replay: None,
        }
    }

    #[test]
    fn parts_put_together_are_the_body_and_each_has_its_own_dedupe_id() {
        let dead = message(b"0123456789").into_dead_letter([None, Some("dead".into())], Reason::TooLarge, "x".into());
        let parts = dead.parts(4);
        let joined: Vec<u8> = parts.iter().flat_map(|part| part.body.to_vec()).collect();
        assert_eq!(joined, b"0123456789");
        let ids: Vec<_> = parts.iter().map(Message::dedupe_id).collect();
        let id = dead.event.id;
        assert_eq!(ids, [format!("dl-{id}-1/3"), format!("dl-{id}-2/3"), format!("dl-{id}-3/3")]);
        assert!(parts.iter().all(|part| part.destination(Broker::Nats) == "dead" && !part.event.json));
    }

    #[test]
    fn a_dead_letter_does_not_share_the_identity_of_its_notification() {
        let live = message(b"{}");
        let dead = live.clone().into_dead_letter([None, Some("dead".into())], Reason::Ambiguous, "x".into());
        assert_eq!(live.dedupe_id(), live.event.id.to_string());
        assert_eq!(dead.dedupe_id(), format!("dl-{}", live.event.id));
    }

    #[test]
    fn a_dead_letter_is_keyed_by_its_instance() {
        let mut live = message(b"{}");
        (live.event.instance, live.event.partition_key) = (Some(7), Some("7:79990000001@c.us".into()));
        let dead = live.into_dead_letter([None, Some("dead".into())], Reason::TooLarge, "x".into());
        assert_eq!(dead.event.partition_key.as_deref(), Some("7"));
    }
}
