//! What can be found out about a journal without opening it for writing.

use super::JournalRefusal;
use crate::message::PerBroker;

/// What a bridge would find that starts with this journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preflight {
    /// The bytes its file system has left, without those that a start still reserves.
    pub free: u64,
    /// The bytes that a start still reserves: for the reserve file and for the WAL.
    pub reserved: u64,
    /// What an operator should know of its folder.
    pub risks: Vec<Risk>,
    /// The records each broker has not acked.
    pub backlog: PerBroker<u64>,
    /// When the stream was created that has what NATS stored, in Unix nanoseconds. `None` means it is unknown.
    pub stream: Option<i64>,
    /// Notifications for the journal alone.
    pub journal_only: u64,
    /// The sequence numbers of the records that cannot be read.
    pub unreadable: Vec<i64>,
    /// The bytes of its database that are not empty.
    pub used: u64,
    /// Whether a notification of 256 KiB fits: else `full` or `no_space`.
    pub accepts: Result<(), JournalRefusal>,
}

/// Something of a journal's folder that is no fault, and may not be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Risk {
    /// What it is.
    pub problem: String,
    /// What to do if it is not meant.
    pub remedy: &'static str,
}

/// How much of the capacity for records is in use, in words: `capacity` includes the part `wal_share`.
pub fn describe_usage(used: u64, capacity: u64, wal_share: u64) -> String {
    let shown = |bytes: u64| bytesize::ByteSize::b(bytes).display().iec().to_string();
    let records = shown(capacity.saturating_sub(wal_share));
    let wal = shown(wal_share);
    let used = shown(used);
    format!("{used} of {records} used, plus {wal} reserved for the write-ahead log")
}
