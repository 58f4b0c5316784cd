//! Logs each outage of a broker and what happens to notifications in it: at its begin, once a minute, and at its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::Target;
use crate::brokers::{BrokerState, FaultReason};
use crate::journal::Journal;
use crate::telemetry::TimedAvailability;

/// Time between two lines about an outage that lasts.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Counts, since the start, the notifications that a broker did not ack, by what happened to them.
#[derive(Debug, Default)]
pub(super) struct UnackedCounts {
    to_journal: AtomicU64,
    not_stored: AtomicU64,
}

impl UnackedCounts {
    /// Counts a notification that went to the journal instead.
    pub(super) fn count_journaled(&self) {
        self.to_journal.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a notification that was answered 503.
    pub(super) fn count_not_stored(&self) {
        self.not_stored.fetch_add(1, Ordering::Relaxed);
    }

    fn snapshot(&self) -> UnackedSnapshot {
        UnackedSnapshot {
            to_journal: self.to_journal.load(Ordering::Relaxed),
            not_stored: self.not_stored.load(Ordering::Relaxed),
        }
    }
}

/// The [`UnackedCounts`] at one moment.
#[derive(Clone, Copy)]
struct UnackedSnapshot {
    to_journal: u64,
    not_stored: u64,
}

impl UnackedSnapshot {
    fn since(self, before: Self) -> Self {
        Self { to_journal: self.to_journal - before.to_journal, not_stored: self.not_stored - before.not_stored }
    }
}

/// An outage that lasts.
struct Outage {
    began: Instant,
    before: UnackedSnapshot,
}

/// Logs the outages of one broker.
pub(super) struct OutageLog {
    target: Arc<Target>,
    journal: Option<Journal>,
}

impl OutageLog {
    pub(super) fn new(target: Arc<Target>, journal: Option<Journal>) -> Self {
        Self { target, journal }
    }

    /// Until the publisher is closed.
    pub(super) async fn run(self) {
        let mut state = self.target.publisher.state();
        while let Some(reason) = wait_for_outage(&mut state).await {
            let outage = Outage { began: Instant::now(), before: self.target.unacked_counts.snapshot() };
            self.log_begin(reason);
            if !self.wait_for_end(&mut state, &outage).await {
                return;
            }
            self.log_end(&outage);
        }
    }

    /// Logs once a minute until the broker is up. False means that the publisher was closed before.
    async fn wait_for_end(&self, state: &mut watch::Receiver<TimedAvailability<FaultReason>>, outage: &Outage) -> bool {
        let mut next = outage.began + LOG_INTERVAL;
        loop {
            let ended = state.wait_for(|state| state.is_up() || is_closed(state));
            match timeout_at(next, ended).await {
                Ok(Ok(state)) => return state.is_up(),
                Ok(Err(_)) => return false,
                Err(_) => self.log_still_down(outage),
            }
            next += LOG_INTERVAL;
        }
    }

    fn log_begin(&self, reason: FaultReason) {
        let (broker, reason) = (self.broker(), reason.as_str());
        let Some(journal) = &self.journal else {
            warn!(event = "outage_began", broker, reason, "notifications are answered 503 and GREEN-API repeats them");
            return;
        };
        let journal_reason = journal.state().borrow().reason().map(|refusal| refusal.as_str());
        match journal_reason {
            None => {
                let free_capacity_bytes = free_capacity_bytes(journal);
                warn!(
                    event = "outage_began",
                    broker, reason, free_capacity_bytes, "notifications go to the journal and are forwarded later"
                );
            }
            Some(journal_reason) => {
                warn!(
                    event = "outage_began",
                    broker,
                    reason,
                    journal_reason,
                    "the journal refuses records too: notifications are answered 503 and GREEN-API repeats them"
                );
            }
        }
    }

    fn log_still_down(&self, outage: &Outage) {
        let (broker, down_seconds) = (self.broker(), outage.began.elapsed().as_secs());
        let reason = self.target.publisher.state().borrow().reason().map(FaultReason::as_str);
        let UnackedSnapshot { to_journal, not_stored } = self.target.unacked_counts.snapshot().since(outage.before);
        let usage = self.journal.as_ref().map(|journal| (journal.usage().used(), free_capacity_bytes(journal)));
        let (journal_bytes, free_capacity_bytes) = usage.unzip();
        warn!(
            event = "outage_lasts",
            broker, reason, down_seconds, to_journal, not_stored, journal_bytes, free_capacity_bytes, "outage lasts"
        );
    }

    fn log_end(&self, outage: &Outage) {
        let (broker, down_seconds) = (self.broker(), outage.began.elapsed().as_secs());
        let UnackedSnapshot { to_journal, not_stored } = self.target.unacked_counts.snapshot().since(outage.before);
        info!(event = "outage_ended", broker, down_seconds, to_journal, not_stored, "outage ended");
    }

    fn broker(&self) -> &'static str {
        self.target.publisher.broker().as_str()
    }
}

/// Waits until the broker is down, and returns why. `None` means that the publisher was closed.
async fn wait_for_outage(state: &mut watch::Receiver<TimedAvailability<FaultReason>>) -> Option<FaultReason> {
    // right after the start it is not known yet
    let is_known = |state: &BrokerState| state.reason() != Some(FaultReason::Connecting);
    let down = state.wait_for(|state| !state.is_up() && is_known(state)).await.ok()?;
    down.reason().filter(|_| !is_closed(&down))
}

fn is_closed(state: &BrokerState) -> bool {
    state.reason() == Some(FaultReason::Closed)
}

/// How many more bytes of records the journal may take.
fn free_capacity_bytes(journal: &Journal) -> u64 {
    let usage = journal.usage();
    usage.capacity().saturating_sub(usage.wal_share()).saturating_sub(usage.used())
}
