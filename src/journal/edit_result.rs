//! The results of journal edits, by name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an edit did to one record, or why it left the record as it was. The bridge and the commands share these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EditResult {
    /// The record has another destination now.
    Rerouted,
    /// The other broker acked the record, or has it in its backlog: only the first broker's backlog lost it.
    AlreadyThere,
    /// Unchanged: the current routes give the same destination.
    Unchanged,
    /// Unchanged: the current routes give no destination at that broker.
    NoDestination,
    /// Unchanged: the body is not a notification any more.
    Unreadable,
    /// Unchanged: the record cannot be read, because its part of the disk is damaged.
    Damaged,
    /// The record left the broker's backlog; no broker gets it from there.
    Dropped,
    /// The record is deleted.
    Erased,
    /// Unchanged: the record belongs to another instance or chat.
    Unrelated,
}

impl EditResult {
    /// The name in answers and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rerouted => "rerouted",
            Self::AlreadyThere => "already_there",
            Self::Unchanged => "unchanged",
            Self::NoDestination => "no_destination",
            Self::Unreadable => "unreadable",
            Self::Damaged => "damaged",
            Self::Dropped => "dropped",
            Self::Erased => "erased",
            Self::Unrelated => "unrelated",
        }
    }

    /// Whether the record was changed.
    pub const fn is_change(self) -> bool {
        matches!(self, Self::Rerouted | Self::AlreadyThere | Self::Dropped | Self::Erased)
    }
}

impl fmt::Display for EditResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
