//! The dedup window as all requests share it, and its copy in the journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::time::interval;

use super::attempt::Acks;
use super::dedup_window::{DedupState, DedupWindow};
use super::{DedupeConfig, Delivery, Outcome};
use crate::journal::IdDelta;
use crate::journal::{Journal, push_id};
use crate::message::{Broker, Brokers, Id};

/// How often ids that a broker acked directly are written to the journal.
const FLUSHED_EVERY: Duration = Duration::from_millis(100);

const NATS: Brokers = Brokers::NONE.with(Broker::Nats);

/// The shared dedup window.
pub(super) struct Dedup {
    state: Mutex<State>,
    /// When the stream was created that has what the window knows of NATS, in Unix nanoseconds; 0 while there is none.
    stream: Arc<AtomicI64>,
    /// `None` means that the window is lost at a restart.
    journal: Option<Journal>,
}

struct State {
    window: DedupWindow,
    /// Ids that are not written to the journal yet, 17 bytes each.
    unflushed: Vec<u8>,
}

impl Dedup {
    /// Recovers the ids that the journal has. `stream` is shared with the target of NATS, `None` where there is none;
    /// `created` is the creation time of the stream that the ids refer to, if any was ever used.
    pub(super) fn new(
        config: &DedupeConfig,
        journal: Option<Journal>,
        ids: Vec<(SystemTime, Id, Brokers)>,
        stream: Option<Arc<AtomicI64>>,
        created: Option<i64>,
    ) -> Self {
        let mut window = DedupWindow::new(config.window, config.max_ids);
        window.recover(ids, Instant::now(), SystemTime::now());
        if let (Some(stream), Some(created)) = (&stream, created.filter(|created| *created != 0)) {
            stream.store(created, Ordering::Release);
            window.set_unverified(NATS);
        }
        Self { state: Mutex::new(State { window, unflushed: Vec::new() }), stream: stream.unwrap_or_default(), journal }
    }

    /// See [`DedupWindow::begin`].
    pub(super) fn begin(&self, id: Id, required: Brokers) -> DedupState {
        self.state.lock().window.begin(id, required, Instant::now())
    }

    /// The brokers of these that the window does not know to have this id.
    pub(super) fn missing(&self, id: Id, required: Brokers) -> Brokers {
        self.state.lock().window.missing(id, required, Instant::now())
    }

    /// Gives an outcome to each request that waits for this id now; the id stays in flight.
    pub(super) fn notify(&self, id: Id, outcome: Outcome) {
        self.state.lock().window.notify(id, outcome);
    }

    /// Ends what [`Self::begin`] began; see [`DedupWindow::finish`]. Brokers that acked it are known after a restart
    /// too; what is in the journal, the journal knows itself.
    pub(super) fn finish(&self, id: Id, acks: Acks, journaled: Brokers, outcome: Outcome) -> usize {
        let mut state = self.state.lock();
        let mut acked = acks.brokers;
        // what was acked by a stream that is gone since is stored nowhere
        if acks.stream.is_some_and(|stream| stream != self.stream.load(Ordering::Acquire)) {
            acked = acked.without(NATS);
        }
        if self.journal.is_some() && !acked.is_empty() {
            push_id(&mut state.unflushed, id, acked);
        }
        state.window.finish(id, acked.and(journaled), outcome, Instant::now())
    }

    /// Takes the creation time (Unix nanoseconds) of the inspected stream, before an ack of it counts. If it changed, forgets
    /// every entry of NATS, and writes that to the journal.
    pub(super) fn apply_stream_created(&self, created: i64) {
        let mut state = self.state.lock();
        state.window.set_unverified(Brokers::NONE);
        let before = self.stream.swap(created, Ordering::AcqRel);
        if before == created {
            return;
        }
        let mut entries = Vec::new();
        if before != 0 {
            state.window.forget(Broker::Nats);
            // id 0 marks that NATS lost all earlier entries
            push_id(&mut entries, Id::NONE, NATS);
        }
        if let Some(journal) = &self.journal {
            Self::flush_to(journal, &mut state);
            journal.append_dedup_ids(entries, Some(created));
        }
    }

    /// Writes new ids to the journal until the process ends.
    pub(super) async fn flush_regularly(self: Arc<Self>) {
        let mut due = interval(FLUSHED_EVERY);
        loop {
            due.tick().await;
            self.flush();
        }
    }

    /// Writes new ids to the journal.
    pub(super) fn flush(&self) {
        if let Some(journal) = &self.journal {
            Self::flush_to(journal, &mut self.state.lock());
        }
    }

    /// The lock orders the ids in the journal: those of the earlier stream are written before the creation time of the new
    /// one.
    fn flush_to(journal: &Journal, state: &mut State) {
        if !state.unflushed.is_empty() {
            journal.append_dedup_ids(std::mem::take(&mut state.unflushed), None);
        }
    }
}

impl Dedup {
    pub(super) fn window(&self) -> Duration {
        self.state.lock().window.length()
    }

    /// Replaces brokers in these entries, after a journal edit.
    pub(super) fn replace_brokers(&self, deltas: &[IdDelta]) {
        let mut state = self.state.lock();
        deltas.iter().for_each(|delta| state.window.replace_brokers(delta.id, delta.removed, delta.added));
    }
}

/// An id that is in flight until [`Self::finish`]. Dropped before that, by a panic or with the runtime, it ends as not
/// stored, so that a repeat can begin again.
pub(super) struct InFlightGuard {
    delivery: Arc<Delivery>,
    id: Id,
    finished: bool,
}

impl InFlightGuard {
    pub(super) fn new(delivery: Arc<Delivery>, id: Id) -> Self {
        Self { delivery, id, finished: false }
    }

    /// Ends the entry, and gives this outcome to each request that waits for it; returns the outcome. `journaled` are
    /// the brokers for which the journal has the message.
    pub(super) fn finish(mut self, acks: Acks, journaled: Brokers, outcome: Outcome) -> Outcome {
        self.finished = true;
        let evicted = self.delivery.dedup.finish(self.id, acks, journaled, outcome);
        self.delivery.metrics.evicted(evicted);
        outcome
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if !self.finished {
            self.delivery.dedup.finish(self.id, Acks::default(), Brokers::NONE, Outcome::NotStored);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::target::Ack;
    use super::*;

    fn acked_by_stream(created: i64) -> Acks {
        Acks::default().with((Broker::Nats, Ack { outcome: Outcome::Stored, stream: created }))
    }

    fn window(ids: Vec<(SystemTime, Id, Brokers)>, created: Option<i64>) -> Dedup {
        Dedup::new(&DedupeConfig::default(), None, ids, Some(Arc::default()), created)
    }

    fn is_missing(dedup: &Dedup, id: Id) -> bool {
        matches!(dedup.begin(id, NATS), DedupState::Missing(_))
    }

    #[test]
    fn ack_of_a_stream_that_is_gone_does_not_count() {
        let id = Id::of(b"acked");
        let dedup = window(Vec::new(), None);
        dedup.apply_stream_created(1);
        assert!(is_missing(&dedup, id));
        // the watcher finds another stream between the ack and the end of the request
        dedup.apply_stream_created(2);
        dedup.finish(id, acked_by_stream(1), Brokers::NONE, Outcome::Stored);
        assert!(is_missing(&dedup, id));
        dedup.finish(id, acked_by_stream(2), Brokers::NONE, Outcome::Stored);
        assert!(matches!(dedup.begin(id, NATS), DedupState::Stored));
    }

    #[test]
    fn new_stream_clears_the_entries_of_the_earlier_one() {
        let id = Id::of(b"acked");
        let dedup = window(Vec::new(), None);
        dedup.apply_stream_created(1);
        assert!(is_missing(&dedup, id));
        dedup.finish(id, acked_by_stream(1), Brokers::NONE, Outcome::Stored);
        dedup.apply_stream_created(1);
        assert!(matches!(dedup.begin(id, NATS), DedupState::Stored), "the same stream, inspected again");
        dedup.apply_stream_created(2);
        assert!(is_missing(&dedup, id));
    }

    #[test]
    fn recovered_id_is_unverified_until_its_stream_is_inspected() {
        let id = Id::of(b"stored before a restart");
        let recovered = || window(vec![(SystemTime::now(), id, NATS)], Some(1));
        let same = recovered();
        assert!(matches!(same.begin(id, NATS), DedupState::Unverified));
        same.finish(id, Acks::default(), Brokers::NONE, Outcome::Duplicate);
        same.apply_stream_created(1);
        assert!(matches!(same.begin(id, NATS), DedupState::Stored));
        let other = recovered();
        other.apply_stream_created(2);
        assert!(is_missing(&other, id));
    }
}
