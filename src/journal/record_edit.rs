//! Editing the records of a journal.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use super::{Lane, Record, RecordFilter};
use crate::message::{Brokers, Id, Message, PerBroker};

/// What an edit does to a record.
#[derive(Debug)]
pub enum RecordEdit {
    /// It stays as it is.
    Keep,
    /// It gets another destination, and keeps its sequence number.
    Replace {
        /// What it becomes.
        message: Box<Message>,
        /// The brokers that are to ack it.
        backlog: Brokers,
        /// Those of them that may have stored it already.
        maybe_stored: Brokers,
    },
    /// It is deleted.
    Delete,
}

/// Decides what an edit does to a record, and under which result that counts.
pub type EditPlan<R> = dyn Fn(&Record) -> (R, RecordEdit) + Send + Sync;

/// The records one call of [`super::Journal::edit_batch`] covers.
#[derive(Debug, Clone)]
pub struct EditScope {
    /// Which records.
    pub filter: RecordFilter,
    /// Only after this sequence number.
    pub after: i64,
    /// Only up to this sequence number.
    pub until: i64,
    /// Records that a broker has acked, though the table may not say so yet.
    pub acked: Arc<PerBroker<HashSet<i64>>>,
    /// The dedup window may contain ids of records received since then: their entries change too.
    pub dedup_since: SystemTime,
    /// Whether a record that cannot be read is deleted. Without that it stays.
    pub delete_unreadable: bool,
}

/// What one call of [`super::Journal::edit_batch`] did.
#[derive(Debug)]
pub struct EditBatch<R> {
    /// How many records had which result.
    pub counts: BTreeMap<R, u64>,
    /// How many records cannot be read.
    pub unreadable: u64,
    /// How the lanes of each broker changed.
    pub lanes: PerBroker<HashMap<Lane, LaneDelta>>,
    /// How entries of the dedup window change.
    pub ids: Vec<IdDelta>,
    /// The next call begins after this sequence number. `None` means it was the last.
    pub next: Option<i64>,
}

/// How the backlog of a lane changed.
#[derive(Debug, Clone, Copy)]
pub struct LaneDelta {
    /// How many records more, or fewer.
    pub records: i64,
    /// The last record that joined it; 0 means none did.
    pub last: i64,
    /// When the first of all these records was received.
    pub since: SystemTime,
}

/// How an entry of the dedup window changes.
#[derive(Debug, Clone, Copy)]
pub struct IdDelta {
    /// The id of the notification.
    pub id: Id,
    /// The brokers it no longer counts for.
    pub removed: Brokers,
    /// The brokers it counts for now.
    pub added: Brokers,
}
