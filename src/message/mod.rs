//! What a broker is given: bytes, a destination, and CloudEvents attributes.
//!
//! A [`Message`] knows nothing of GREEN-API and nothing of a broker's wire form: `route` makes it from a
//! notification, `deliver` decides what becomes of it, `brokers` writes it in its broker's own headers.

mod dead_letter;
mod event;
mod id;

use bytes::Bytes;

pub use dead_letter::{DeadLetter, PART_BYTES, Part, Reason};
pub use event::{Event, TraceContext};
pub use id::Id;

/// One message on its way to a broker.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where it goes: a NATS subject.
    pub destination: String,
    /// The CloudEvents attributes it carries as headers.
    pub event: Event,
    /// Exactly the bytes received, or one part of them.
    pub body: Bytes,
    /// Set when it goes to the dead letter instead of its own destination.
    pub dead_letter: Option<DeadLetter>,
}

impl Message {
    /// The identity the broker dedupes by (`Nats-Msg-Id`).
    ///
    /// A dead letter has another one than the notification it came from, and so has each of its parts:
    /// JetStream dedupes over the whole stream, so a replay or a second part would be dropped otherwise.
    pub fn dedupe_id(&self) -> String {
        let id = self.event.id;
        match &self.dead_letter {
            None => id.to_string(),
            Some(DeadLetter { part: None, .. }) => format!("dl-{id}"),
            Some(DeadLetter { part: Some(part), .. }) => format!("dl-{id}-{part}"),
        }
    }

    /// The same bytes on the way to the dead letter.
    #[must_use]
    pub fn into_dead_letter(self, destination: String, reason: Reason, detail: String) -> Self {
        let dead_letter = Some(DeadLetter::new(reason, detail));
        Self { destination, dead_letter, ..self }
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
        Message { destination: "a".into(), event, body: Bytes::from_static(body), dead_letter: None }
    }

    #[test]
    fn parts_put_together_are_the_body_and_each_has_its_own_dedupe_id() {
        let dead = message(b"0123456789").into_dead_letter("dead".into(), Reason::TooLarge, "x".into());
        let parts = dead.parts(4);
        let joined: Vec<u8> = parts.iter().flat_map(|part| part.body.to_vec()).collect();
        assert_eq!(joined, b"0123456789");
        let ids: Vec<_> = parts.iter().map(Message::dedupe_id).collect();
        let id = dead.event.id;
        assert_eq!(ids, [format!("dl-{id}-1/3"), format!("dl-{id}-2/3"), format!("dl-{id}-3/3")]);
        assert!(parts.iter().all(|part| part.destination == "dead" && !part.event.json));
    }

    #[test]
    fn a_dead_letter_does_not_share_the_identity_of_its_notification() {
        let live = message(b"{}");
        let dead = live.clone().into_dead_letter("dead".into(), Reason::Ambiguous, "x".into());
        assert_eq!(live.dedupe_id(), live.event.id.to_string());
        assert_eq!(dead.dedupe_id(), format!("dl-{}", live.event.id));
    }
}
