//! How long to wait before the next try of what has failed: longer after each failure, up to a limit.
//!
//! Jitter spreads the tries of many lanes or clients that failed at the same moment.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// An exponential back-off. It has no state: the caller counts the failures.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// The pause is `first` after one failure, doubles with each further failure, and is never longer than `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The pause after this many failures in a row, shortened by up to a quarter at random.
    pub fn pause(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let full = self.first.saturating_mul(1 << doublings).min(self.longest);
        // each state hashes with keys of its own, which is random enough here and needs no generator
        let random = RandomState::new().hash_one(failures) % 256;
        full - full / 4 * random as u32 / 256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

    #[test]
    fn pause_doubles_with_each_failure_up_to_the_longest() {
        for (failures, full) in [(0, 100), (1, 100), (2, 200), (3, 400), (5, 1600), (6, 2000), (u32::MAX, 2000)] {
            let pause = BACKOFF.pause(failures).as_millis();
            assert!((full * 3 / 4..=full).contains(&pause), "{failures}: {pause} ms");
        }
    }

    #[test]
    fn pauses_of_many_lanes_differ() {
        let pauses: std::collections::HashSet<_> = (0..50).map(|_| BACKOFF.pause(1)).collect();
        assert!(pauses.len() > 10, "{pauses:?}");
    }
}
