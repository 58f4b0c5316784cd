//! What became of what was sent, counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;

/// How many different words of storing are told apart; more are counted as `other`. The bridge has four.
const MOST_WORDS: usize = 16;

/// Counts as it goes.
#[derive(Debug)]
pub(super) struct Tally {
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
    trouble: Option<String>,
}

impl Tally {
    pub(super) fn new() -> Option<Self> {
        // a microsecond to an hour, to a thousandth
        let latency = Histogram::new_with_bounds(1, 3_600_000_000, 3).ok()?;
        let counts = Counts {
            sent: 0,
            repeats: 0,
            faults: 0,
            lost: 0,
            answered: BTreeMap::new(),
            stored: BTreeMap::new(),
            latency,
            trouble: None,
        };
        Some(Self { counts: Mutex::new(counts), begun: Instant::now() })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request goes out. Until [`Attempt::answered`] is said of it, it counts as a fault when it is dropped.
    pub(super) fn attempt(&self, again: bool) -> Attempt<'_> {
        let mut counts = self.counts();
        if again {
            counts.repeats += 1;
        } else {
            counts.sent += 1;
        }
        Attempt { tally: self, begun: Instant::now(), open: true }
    }

    pub(super) fn lost(&self, count: u64) {
        if count > 0 {
            self.counts().lost += count;
        }
    }

    /// What went wrong last, for people.
    pub(super) fn trouble(&self, trouble: String) {
        self.counts().trouble = Some(trouble);
    }

    pub(super) fn take_trouble(&self) -> Option<String> {
        self.counts().trouble.take()
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

/// One request under way.
pub(super) struct Attempt<'t> {
    tally: &'t Tally,
    begun: Instant,
    open: bool,
}

impl Attempt<'_> {
    /// It has an answer, with the word of storing if it had one.
    pub(super) fn answered(mut self, status: u16, stored: Option<&str>) {
        self.open = false;
        let took = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut counts = self.tally.counts();
        counts.latency.saturating_record(took.max(1));
        *counts.answered.entry(status).or_default() += 1;
        let Some(word) = stored else { return };
        if let Some(count) = counts.stored.get_mut(word) {
            *count += 1;
        } else {
            let word = if counts.stored.len() < MOST_WORDS { word } else { "other" };
            *counts.stored.entry(word.into()).or_default() += 1;
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.open {
            self.tally.counts().faults += 1;
        }
    }
}

/// What became of what was sent. `sent + repeats` requests had the answers in `answered` or were `faults`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Notifications sent at least once.
    pub sent: u64,
    /// Answers, by status.
    pub answered: BTreeMap<u16, u64>,
    /// Answers of 200, by the word the bridge said: where it is stored.
    pub stored: BTreeMap<String, u64>,
    /// How often one was sent again.
    pub repeats: u64,
    /// Requests without an answer: no connection, a broken one, nothing in time, cut off at the end.
    pub faults: u64,
    /// Notifications given up: too old, sent too often, or more than the queue holds.
    pub lost: u64,
    /// How long it took.
    pub seconds: f64,
    /// Notifications answered 200, on average.
    pub per_second: f64,
    /// From the request to its whole answer, whatever the answer was.
    pub latency_ms: Latency,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// Half of the answers took no longer.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// All.
    pub max: f64,
}

impl Summary {
    /// Notifications answered 200.
    pub fn taken(&self) -> u64 {
        self.answered.get(&200).copied().unwrap_or_default()
    }

    /// Whether everything that was sent was answered 200.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.taken() == self.sent
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_request_is_an_answer_or_a_fault() {
        let tally = Tally::new().unwrap();
        let first = tally.attempt(false);
        tokio::time::advance(Duration::from_millis(7)).await;
        first.answered(503, None);
        drop(tally.attempt(true));
        tally.attempt(true).answered(200, Some("broker"));
        drop(tally.attempt(false));
        let summary = tally.summary();
        assert_eq!((summary.sent, summary.repeats, summary.faults), (2, 2, 2));
        assert_eq!(summary.answered, BTreeMap::from([(200, 1), (503, 1)]));
        assert_eq!(summary.stored, BTreeMap::from([("broker".into(), 1)]));
        assert!((6.9..7.1).contains(&summary.latency_ms.max), "{summary:?}");
        assert!(!summary.is_clean(), "the last one was never answered");
    }

    #[tokio::test(start_paused = true)]
    async fn words_of_storing_are_bounded() {
        let tally = Tally::new().unwrap();
        for number in 0..100 {
            tally.attempt(false).answered(200, Some(&number.to_string()));
        }
        let stored = tally.summary().stored;
        assert_eq!((stored.len(), stored["other"]), (MOST_WORDS + 1, 100 - MOST_WORDS as u64));
    }
}
