//! Counts what became of the notifications.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;

/// The most values of `stored` that are counted apart; others count as `other`. The bridge has four.
const MAX_STORED_VALUES: usize = 16;

/// The counters of all instances.
#[derive(Debug)]
pub(super) struct Counters {
    counts: Mutex<Counts>,
    begun: Instant,
}

#[derive(Debug)]
struct Counts {
    sent: u64,
    repeats: u64,
    faults: u64,
    lost: u64,
    answered: BTreeMap<u16, u64>,
    stored: BTreeMap<String, u64>,
    /// Microseconds.
    latency: Histogram<u64>,
    problem: Option<String>,
}

impl Counters {
    pub(super) fn new() -> Option<Self> {
        // from a microsecond to an hour, with three significant digits
        let latency = Histogram::new_with_bounds(1, 3_600_000_000, 3).ok()?;
        let counts = Counts {
            sent: 0,
            repeats: 0,
            faults: 0,
            lost: 0,
            answered: BTreeMap::new(),
            stored: BTreeMap::new(),
            latency,
            problem: None,
        };
        Some(Self { counts: Mutex::new(counts), begun: Instant::now() })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the first request of a notification.
    pub(super) fn first_attempt(&self) -> Attempt<'_> {
        self.counts().sent += 1;
        Attempt { counters: self, begun: Instant::now(), answered: false }
    }

    /// Counts a repeated request of a notification.
    pub(super) fn repeated_attempt(&self) -> Attempt<'_> {
        self.counts().repeats += 1;
        Attempt { counters: self, begun: Instant::now(), answered: false }
    }

    pub(super) fn add_lost(&self, count: u64) {
        if count > 0 {
            self.counts().lost += count;
        }
    }

    /// Sets the last problem, in words.
    pub(super) fn set_problem(&self, problem: String) {
        self.counts().problem = Some(problem);
    }

    pub(super) fn take_problem(&self) -> Option<String> {
        self.counts().problem.take()
    }

    pub(super) fn summary(&self) -> Summary {
        let counts = self.counts();
        let seconds = self.begun.elapsed().as_secs_f64();
        let stored = counts.answered.get(&200).copied().unwrap_or_default();
        let at = |quantile| counts.latency.value_at_quantile(quantile) as f64 / 1000.0;
        let latency_ms =
            Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: counts.latency.max() as f64 / 1000.0 };
        Summary {
            sent: counts.sent,
            answered: counts.answered.clone(),
            stored: counts.stored.clone(),
            repeats: counts.repeats,
            faults: counts.faults,
            lost: counts.lost,
            seconds,
            per_second: if seconds > 0.0 { stored as f64 / seconds } else { 0.0 },
            latency_ms,
        }
    }
}

/// A request in flight. Dropping it without [`Attempt::answered`] counts a fault.
pub(super) struct Attempt<'c> {
    counters: &'c Counters,
    begun: Instant,
    answered: bool,
}

impl Attempt<'_> {
    /// Counts the answer, and its value of `stored` if it has one.
    pub(super) fn answered(mut self, status: u16, stored: Option<&str>) {
        self.answered = true;
        let took = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut counts = self.counters.counts();
        counts.latency.saturating_record(took.max(1));
        *counts.answered.entry(status).or_default() += 1;
        let Some(stored) = stored else { return };
        if let Some(count) = counts.stored.get_mut(stored) {
            *count += 1;
        } else {
            let stored = if counts.stored.len() < MAX_STORED_VALUES { stored } else { "other" };
            *counts.stored.entry(stored.into()).or_default() += 1;
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.counters.counts().faults += 1;
        }
    }
}

/// What became of the notifications. `sent + repeats` requests had the answers in `answered` or were `faults`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Notifications sent at least once.
    pub sent: u64,
    /// Answers, by status.
    pub answered: BTreeMap<u16, u64>,
    /// Answers of 200, by their value of `stored`.
    pub stored: BTreeMap<String, u64>,
    /// Repeated requests.
    pub repeats: u64,
    /// Requests without an answer: no connection, a broken one, a timeout, or aborted at the end.
    pub faults: u64,
    /// Notifications lost: too old, repeated too often, or dropped by a full queue.
    pub lost: u64,
    /// The duration of the run.
    pub seconds: f64,
    /// Notifications answered 200 per second, on average.
    pub per_second: f64,
    /// The time from a request to the end of its answer, for every status.
    pub latency_ms: Latency,
}

/// Latency, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The maximum.
    pub max: f64,
}

impl Summary {
    /// Notifications answered 200.
    pub fn answered_200(&self) -> u64 {
        self.answered.get(&200).copied().unwrap_or_default()
    }

    /// Whether every notification sent was answered 200.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.answered_200() == self.sent
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_request_is_an_answer_or_a_fault() {
        let counters = Counters::new().unwrap();
        let first = counters.first_attempt();
        tokio::time::advance(Duration::from_millis(7)).await;
        first.answered(503, None);
        drop(counters.repeated_attempt());
        counters.repeated_attempt().answered(200, Some("broker"));
        drop(counters.first_attempt());
        let summary = counters.summary();
        assert_eq!((summary.sent, summary.repeats, summary.faults), (2, 2, 2));
        assert_eq!(summary.answered, BTreeMap::from([(200, 1), (503, 1)]));
        assert_eq!(summary.stored, BTreeMap::from([("broker".into(), 1)]));
        assert!((6.9..7.1).contains(&summary.latency_ms.max), "{summary:?}");
        assert!(!summary.is_clean(), "the last one was never answered");
    }

    #[tokio::test(start_paused = true)]
    async fn counted_values_of_stored_are_bounded() {
        let counters = Counters::new().unwrap();
        for number in 0..100 {
            counters.first_attempt().answered(200, Some(&number.to_string()));
        }
        let stored = counters.summary().stored;
        assert_eq!((stored.len(), stored["other"]), (MAX_STORED_VALUES + 1, 100 - MAX_STORED_VALUES as u64));
    }
}
