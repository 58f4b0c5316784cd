//! What became of a notification.

use crate::message::Message;
use crate::telemetry::Label;

/// What became of a notification. All outcomes but the last are answered 200. Of several brokers' outcomes the greatest
/// is the notification's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The broker acked it.
    Stored,
    /// The journal has it, for a broker that did not ack it.
    Journal,
    /// It was stored before.
    Duplicate,
    /// It is stored in the dead letter.
    DeadLetter,
    /// It is not known to be stored.
    NotStored,
}

impl Outcome {
    /// The outcome of a message that the journal has.
    pub(super) fn appended(message: &Message) -> Self {
        if message.is_dead_letter() { Self::DeadLetter } else { Self::Journal }
    }
}

impl Label for Outcome {
    const ALL: &'static [Self] = &[Self::Stored, Self::Journal, Self::Duplicate, Self::DeadLetter, Self::NotStored];

    fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "broker",
            Self::Journal => "journal",
            Self::Duplicate => "duplicate",
            Self::DeadLetter => "dead_letter",
            Self::NotStored => "not_stored",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}
