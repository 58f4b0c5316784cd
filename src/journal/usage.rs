//! The bytes of an open journal, and what is damaged of it.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// The bytes of an open journal; those that change are a second old at most.
#[derive(Debug)]
pub struct Usage {
    pub(super) bytes: AtomicU64,
    pub(super) used: AtomicU64,
    pub(super) unreadable: Mutex<Vec<i64>>,
    pub(super) capacity: u64,
    pub(super) wal_share: u64,
}

impl Usage {
    /// On disk, the WAL included.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The most there may be: `journal.max_bytes`.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Of the database, without its empty pages.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The sequence numbers of the records that cannot be read.
    pub fn unreadable(&self) -> Vec<i64> {
        self.unreadable.lock().clone()
    }

    /// The part of the capacity that is for the WAL. The rest is for the database.
    pub fn wal_share(&self) -> u64 {
        self.wal_share
    }
}
