//! How much of its disk a journal takes.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many bytes there are.
#[derive(Debug)]
pub struct Usage {
    bytes: AtomicU64,
    capacity: u64,
}

impl Usage {
    pub(super) fn of(capacity: usize) -> Self {
        Self { bytes: AtomicU64::new(0), capacity: capacity as u64 }
    }

    pub(super) fn set(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// On disk, the log included; a second old at most.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The most there may be.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }
}
