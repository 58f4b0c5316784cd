//! How much of its disk a journal takes.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Config;

/// How many bytes there are.
#[derive(Debug)]
pub struct Usage {
    bytes: AtomicU64,
    used: AtomicU64,
    capacity: u64,
    for_log: u64,
}

impl Usage {
    pub(super) fn of(config: &Config) -> Self {
        let [capacity, for_log] = [config.max_bytes, config.for_log()].map(|bytes| bytes as u64);
        Self { bytes: AtomicU64::new(0), used: AtomicU64::new(0), capacity, for_log }
    }

    pub(super) fn set(&self, bytes: u64, used: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.used.store(used, Ordering::Relaxed);
    }

    /// On disk, the log included; a second old at most.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The most there may be.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Those of the database that something is in; a second old at most.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// What of the most is kept for the log: the database has the rest.
    pub fn for_log(&self) -> u64 {
        self.for_log
    }
}
