//! A disk that hangs returns no error: the call that writes just does not end. A thread of its own notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::error;

use super::super::{JournalRefusal, JournalState};
use super::queue::Load;
use crate::telemetry::Dated;

/// How long one transaction may take: a disk that is only busy syncs in less.
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(5);
/// How often the thread checks the activity.
const CHECK_EVERY: Duration = Duration::from_millis(250);

/// Since when the writer works on one thing.
#[derive(Debug)]
pub(super) struct WriterActivity {
    start: Instant,
    /// Milliseconds after `start`; 0 means that the writer waits for commands.
    busy_since: AtomicU64,
}

impl WriterActivity {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), busy_since: AtomicU64::new(0) }
    }

    /// The writer begins with one thing.
    pub(super) fn mark_busy(&self) {
        self.busy_since.store(self.now().max(1), Ordering::Relaxed);
    }

    /// The writer waits for commands, or does what may take long.
    pub(super) fn mark_idle(&self) {
        self.busy_since.store(0, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn busy_for(&self) -> Duration {
        match self.busy_since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_millis(self.now().saturating_sub(since)),
        }
    }
}

/// Marks the journal as down while its writer hangs, until the writer ends and drops its end of `ended`.
pub(super) fn watch(
    activity: &WriterActivity,
    load: &Arc<Load>,
    state: &watch::Sender<Dated<JournalRefusal>>,
    ended: &Receiver<()>,
) {
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(CHECK_EVERY) {
        let stalled = activity.busy_for() >= STALLED_AFTER;
        if stalled && !load.is_stalled() {
            error!(
                event = "journal_refuses",
                reason = "stalled",
                "the journal's disk hangs; notifications that need the journal are refused"
            );
            state.send_if_modified(|state| state.set(JournalState::down(JournalRefusal::Stalled)));
        }
        load.set_stalled(stalled);
    }
}
