//! What a journal contains, in numbers and in pages.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use super::Record;
use crate::message::{Brokers, Id, PerBroker};

/// The first and the last sequence number in a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeqRange {
    /// Of the oldest record.
    pub first: i64,
    /// Of the newest record.
    pub last: i64,
}

/// How much one page may read.
#[derive(Debug, Clone, Copy)]
pub struct PageLimit {
    /// The most records it examines.
    pub records: usize,
    /// It ends with the record whose body brings it to this many bytes.
    pub bytes: usize,
}

/// Records in ascending order: those that match, and how far the page has come.
#[derive(Debug, Default)]
pub struct Page {
    /// The records that match.
    pub records: Vec<Record>,
    /// The sequence number of the last record examined; the next page begins after it.
    pub through: i64,
    /// Whether the journal has no record beyond.
    pub at_end: bool,
}

/// Some of the records that match a [`super::RecordFilter`], in ascending order.
#[derive(Debug, Default)]
pub struct Matching {
    /// The records.
    pub records: Vec<Record>,
    /// The sequence numbers of those that cannot be read; they may match or not.
    pub unreadable: Vec<i64>,
    /// The next call begins after this sequence number. `None` means there are no more.
    pub next: Option<i64>,
}

/// The identity of a record.
#[derive(Debug, Clone, Copy)]
pub struct RecordId {
    /// Its sequence number.
    pub seq: i64,
    /// The id of its notification.
    pub id: Id,
    /// The brokers that have not acked it.
    pub pending: Brokers,
    /// Whether it is the replay of a dead letter.
    pub is_replay: bool,
}

/// A quick count, for a status page.
#[derive(Debug, Default)]
pub struct Counts {
    /// Records for the journal alone, its dead letters included.
    pub journal_only: u64,
    /// Records each broker has not acked.
    pub backlog: PerBroker<u64>,
    /// The age of the oldest record. `None` means the journal is empty.
    pub oldest: Option<Duration>,
}

/// Some records together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub records: u64,
    /// The bytes of their bodies.
    pub bytes: u64,
    /// When the oldest of them was received. `None` means there is no record.
    pub oldest: Option<SystemTime>,
}

impl Sum {
    /// The age of the oldest record. `None` means there is no record.
    pub fn age(&self) -> Option<Duration> {
        self.oldest.map(|oldest| SystemTime::now().duration_since(oldest).unwrap_or_default())
    }
}

/// All records, by what becomes of them next.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// The backlog of each broker.
    pub backlog: PerBroker<Sum>,
    /// The same by instance; `None` is for bodies that name no instance.
    pub by_instance: PerBroker<HashMap<Option<u64>, Sum>>,
    /// Notifications for the journal alone.
    pub journal_only: Sum,
    /// Dead letters for the journal alone.
    pub dead_letters: Sum,
    /// The sequence numbers of the records that cannot be read: none of the other numbers has them.
    pub unreadable: BTreeSet<i64>,
}

/// The files of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Files {
    /// Their bytes.
    pub bytes: u64,
    /// Whether a process has the journal open for writing.
    pub in_use: bool,
}

/// What [`JournalReader::backwards`](super::JournalReader) found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Backwards {
    /// How many records that match.
    pub(super) found: usize,
    /// The number before the last record examined: reading after it brings all that were found.
    pub(super) after: i64,
    /// Whether there was nothing more.
    pub(super) at_end: bool,
}

/// Whether a reader can go on after a record without a gap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resume {
    /// No later record was deleted for its age.
    pub(super) is_complete: bool,
    /// What the journal contains now.
    pub(super) range: Option<SeqRange>,
}
