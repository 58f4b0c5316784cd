//! What a sender is told.

use crate::message::Message;

/// What became of a notification. All but the last are answered 200. Of several brokers' outcomes the greatest is the
/// notification's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The broker acknowledged it.
    Stored,
    /// It is in the journal, and owed to a broker that did not acknowledge it.
    Journal,
    /// It had been stored before.
    Duplicate,
    /// It is stored in the dead letter.
    DeadLetter,
    /// It is not known to be stored.
    NotStored,
}

impl Outcome {
    /// The labels of outcomes, in their order.
    pub const LABELS: [&'static str; 5] = ["broker", "journal", "duplicate", "dead_letter", "not_stored"];

    /// What the sender is told of a message that was kept in the journal.
    pub(super) fn kept(message: &Message) -> Self {
        if message.dead_letter.is_some() { Self::DeadLetter } else { Self::Journal }
    }
}
