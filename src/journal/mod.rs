//! The durable store on this machine's disk: what is in it survives any crash of the process or of the machine.
//!
//! In: messages that brokers have not stored in time ([`Journal::append`]), acks ([`Journal::ack`]), ids for the dedup
//! window, edits. Out: the backlog of each broker, lane by lane ([`Journal::batch`]), and everything a reader asks for
//! ([`JournalReader`], [`Follower`]).
//!
//! An append returns once the transaction that contains the record is synced. Many appends that come at once share one
//! transaction. Each record has the brokers that have not acked it; the ack of the last one deletes it. A record for no
//! broker stays until it is too old. A build without the feature `journal` has a stub of the same API.

mod config;
mod counts;
mod edit_result;
mod error;
mod follow;
pub mod line;
mod preflight;
mod record;
mod record_edit;
mod record_filter;
mod usage;

use std::time::SystemTime;

pub use config::{Config, DeadLetterConfig, DedupLimits};
pub use counts::{Counts, Files, Matching, Page, PageLimit, RecordId, SeqRange, Sum, Totals};
pub use edit_result::EditResult;
pub use error::{ChangeError, JournalRefusal, OpenError, ReadError};
pub use follow::{FollowFrom, Follower, PositionLost, is_position, parse_position};
pub use preflight::{Preflight, Risk, describe_usage};
pub use record::{Lane, Record, push_id};
pub use record_edit::{EditBatch, EditPlan, EditScope, IdDelta, LaneDelta, RecordEdit};
pub use record_filter::{EventFilter, RecordFilter};
pub use usage::Usage;

cfg_if::cfg_if! {
    if #[cfg(feature = "journal")] {
        mod sqlite;

        pub use sqlite::{Journal, JournalReader};
    } else {
        mod stub;

        pub use stub::{Journal, JournalReader};
    }
}

use crate::message::{Brokers, Id, PerBroker};
use crate::telemetry::Availability;

/// Whether the journal stores now, and if not, why.
pub type JournalState = Availability<JournalRefusal>;

/// The sequence number of a record that is on disk, or why it is not.
pub type AppendResult = Result<i64, JournalRefusal>;

/// The backlog of one lane at a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneBacklog {
    /// The lane.
    pub lane: Lane,
    /// How many records.
    pub records: u64,
    /// When the first of them was received.
    pub since: SystemTime,
}

/// What a journal contained when it was opened.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The backlog of each broker.
    pub backlog: PerBroker<Vec<LaneBacklog>>,
    /// Notifications for the journal alone.
    pub journal_only: u64,
    /// The sequence numbers of the records that cannot be read.
    pub unreadable: Vec<i64>,
    /// Ids for the dedup window, in the order of their arrival: when each arrived, and the brokers that have it.
    pub ids: Vec<(SystemTime, Id, Brokers)>,
    /// The creation time of the stream that has what NATS stored, in Unix nanoseconds. `None` means it is unknown.
    pub stream: Option<i64>,
}

/// Records of one lane.
#[derive(Debug)]
pub enum LaneBatch {
    /// The first records, in order; none if the lane is empty.
    Records(Vec<Record>),
    /// The first record alone takes this many bytes, more than the caller asked for.
    TooLarge(usize),
}
