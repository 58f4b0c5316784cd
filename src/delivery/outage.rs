//! Tells in the log what an outage of a broker means for notifications: when it begins, once a minute, and when it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::Target;
use crate::brokers::{BrokerState, FaultReason};
use crate::journal::Journal;
use crate::telemetry::Dated;

/// How often an outage is logged while it lasts.
const EVERY: Duration = Duration::from_secs(60);

/// What became of the notifications that a broker did not ack, since the start.
#[derive(Debug, Default)]
pub(super) struct UnackedCounts {
    journal: AtomicU64,
    not_stored: AtomicU64,
}

impl UnackedCounts {
    /// The journal has one.
    pub(super) fn add_to_journal(&self) {
        self.journal.fetch_add(1, Ordering::Relaxed);
    }

    /// One was answered 503.
    pub(super) fn add_not_stored(&self) {
        self.not_stored.fetch_add(1, Ordering::Relaxed);
    }

    fn counts(&self) -> Counts {
        Counts { journal: self.journal.load(Ordering::Relaxed), not_stored: self.not_stored.load(Ordering::Relaxed) }
    }
}

#[derive(Clone, Copy)]
struct Counts {
    journal: u64,
    not_stored: u64,
}

impl Counts {
    fn since(self, before: Self) -> Self {
        Self { journal: self.journal - before.journal, not_stored: self.not_stored - before.not_stored }
    }
}

/// An outage that lasts.
struct Outage {
    began: Instant,
    before: Counts,
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
            let outage = Outage { began: Instant::now(), before: self.target.unacked_counts.counts() };
            self.log_begin(reason);
            if !self.wait_for_end(&mut state, &outage).await {
                return;
            }
            self.log_end(&outage);
        }
    }

    /// Logs once a minute until the broker is up. False means that the publisher was closed before.
    async fn wait_for_end(&self, state: &mut watch::Receiver<Dated<FaultReason>>, outage: &Outage) -> bool {
        let mut next = outage.began + EVERY;
        loop {
            let ended = state.wait_for(|state| state.is_up() || is_closed(state));
            match timeout_at(next, ended).await {
                Ok(Ok(state)) => return state.is_up(),
                Ok(Err(_)) => return false,
                Err(_) => self.log_still_down(outage),
            }
            next += EVERY;
        }
    }

    fn log_begin(&self, reason: FaultReason) {
        let (broker, reason) = (self.broker(), reason.as_str());
        let Some(journal) = &self.journal else {
            warn!(event = "outage_began", broker, reason, "notifications are answered 503 and GREEN-API repeats them");
            return;
        };
        let refused = journal.state().borrow().reason().map(|refusal| refusal.as_str());
        match refused {
            None => {
                let room_bytes = room_bytes(journal);
                warn!(
                    event = "outage_began",
                    broker, reason, room_bytes, "notifications go to the journal and are forwarded later"
                );
            }
            Some(journal) => {
                warn!(
                    event = "outage_began",
                    broker,
                    reason,
                    journal,
                    "the journal refuses records too: notifications are answered 503 and GREEN-API repeats them"
                );
            }
        }
    }

    fn log_still_down(&self, outage: &Outage) {
        let (broker, down_seconds) = (self.broker(), outage.began.elapsed().as_secs());
        let reason = self.target.publisher.state().borrow().reason().map(FaultReason::as_str);
        let Counts { journal, not_stored } = self.target.unacked_counts.counts().since(outage.before);
        let usage = self.journal.as_ref().map(|journal| (journal.usage().used(), room_bytes(journal)));
        let (journal_bytes, room_bytes) = usage.unzip();
        warn!(
            event = "outage_lasts",
            broker, reason, down_seconds, journal, not_stored, journal_bytes, room_bytes, "outage lasts"
        );
    }

    fn log_end(&self, outage: &Outage) {
        let (broker, down_seconds) = (self.broker(), outage.began.elapsed().as_secs());
        let Counts { journal, not_stored } = self.target.unacked_counts.counts().since(outage.before);
        info!(event = "outage_ended", broker, down_seconds, journal, not_stored, "outage ended");
    }

    fn broker(&self) -> &'static str {
        self.target.publisher.broker().as_str()
    }
}

/// Waits until the broker is down, and returns why. `None` means that the publisher was closed.
async fn wait_for_outage(state: &mut watch::Receiver<Dated<FaultReason>>) -> Option<FaultReason> {
    // right after the start it is not known yet
    let is_known = |state: &BrokerState| state.reason() != Some(FaultReason::Connecting);
    let down = state.wait_for(|state| !state.is_up() && is_known(state)).await.ok()?;
    down.reason().filter(|_| !is_closed(&down))
}

fn is_closed(state: &BrokerState) -> bool {
    state.reason() == Some(FaultReason::Closed)
}

/// How much more the journal may take.
fn room_bytes(journal: &Journal) -> u64 {
    let usage = journal.usage();
    usage.capacity().saturating_sub(usage.wal_reserve()).saturating_sub(usage.used())
}
