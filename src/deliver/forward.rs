//! Forwarding what the journal owes a broker: many lanes at once, in each one record after the other.
//!
//! A lane has a turn: some of its records are read, sent, settled, and on disk as settled before it goes to the end of
//! the line. What another process may have sent before it was killed is therefore among the first that are read; if
//! that is longer ago than the stream remembers, the stream is asked whether it has them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::keep::{Keeper, SYNCED_WITHIN};
use super::stuck::Stuck;
use super::target::Target;
use crate::brokers::{Fault, FaultKind};
use crate::journal::{Batch, Claim, Journal, Lane, Lanes, Record, Turn};
use crate::message::Broker;
use crate::observe::Metrics;

/// Lanes in flight at once.
const LANES: usize = 256;
/// The bytes of records that are read and not yet sent, of all lanes together, in KiB; one record may be larger.
const HELD: usize = 16 * 1024;
/// The bytes of records of one turn, in KiB.
const TURN: usize = 64;
/// How long a stuck lane waits before it is tried again: at first, and at most.
const PAUSE: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];
/// How long a broker may say nothing before its lane counts as stuck: what comes for it is not to wait for that.
const SILENCE: Duration = Duration::from_secs(2);
/// What may be missing of the stream's window by clocks and ways.
const SAFELY: Duration = Duration::from_secs(2);
/// How long what is on its way gets when there is to be no more.
pub(super) const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// Forwards to one broker.
pub(super) struct Forwarder {
    at: Arc<Way>,
    room: Arc<Semaphore>,
}

/// Where it forwards from and to.
struct Way {
    targets: Arc<[Target]>,
    place: usize,
    journal: Journal,
    lanes: Arc<Lanes>,
    metrics: Arc<Metrics>,
    stuck: Stuck,
}

impl Forwarder {
    pub(super) fn new(targets: Arc<[Target]>, place: usize, keeper: &Keeper, metrics: Arc<Metrics>) -> Self {
        let lanes = keeper.lanes(targets[place].publisher.broker()).clone();
        let journal = keeper.journal.clone();
        let stuck = Stuck::new(targets[place].publisher.broker().as_str());
        let at = Arc::new(Way { targets, place, journal, lanes, metrics, stuck });
        Self { at, room: Arc::new(Semaphore::new(HELD)) }
    }

    /// Forwards until there is to be no more; its turns are tasks of `tasks`.
    pub(super) async fn run(self, tasks: TaskTracker, no_more: CancellationToken) {
        let slots = Arc::new(Semaphore::new(LANES));
        let mut state = self.at.target().publisher.state();
        let forward = async {
            loop {
                let Ok(slot) = slots.clone().acquire_owned().await else { return };
                if state.wait_for(|state| state.up).await.is_err() {
                    return;
                }
                let turn = self.at.lanes.next().await;
                // not to be kept until the broker is back: what is on no turn can be changed
                if !state.borrow().up {
                    self.at.lanes.stuck(turn.lane, false);
                    self.at.lanes.end(turn.lane, false, &[]);
                    continue;
                }
                tasks.spawn(self.at.clone().turn(turn, self.room.clone(), slot, no_more.clone()));
            }
        };
        no_more.run_until_cancelled(forward).await;
    }
}

impl Way {
    fn target(&self) -> &Target {
        &self.targets[self.place]
    }

    fn broker(&self) -> Broker {
        self.target().publisher.broker()
    }

    /// One turn at a lane. A stuck one is tried again by itself, and keeps nobody else from it.
    async fn turn(
        self: Arc<Self>,
        turn: Turn,
        room: Arc<Semaphore>,
        slot: OwnedSemaphorePermit,
        no_more: CancellationToken,
    ) {
        let (lane, fresh) = (turn.lane, turn.fresh);
        let settled = self.work(turn, room, slot, &no_more).await;
        let taken = self.lanes.taken(lane);
        let synced = timeout(SYNCED_WITHIN, self.journal.synced()).await.unwrap_or(false);
        let gone = if synced { taken } else { Vec::new() };
        match settled {
            Ok(through) => {
                self.stuck.goes_on(lane);
                self.lanes.end(lane, fresh && through, &gone);
            }
            Err((fault, destination)) => {
                self.lanes.stuck(lane, fault.unknown);
                let tried = self.stuck.waits(lane, &fault, &destination);
                if tried == 0 || fault.kind != FaultKind::Connection {
                    debug!(
                        broker = self.broker().as_str(),
                        reason = fault.reason,
                        detail = fault.detail,
                        "not forwarded"
                    );
                }
                tokio::spawn(async move {
                    let pause = (PAUSE[0] * 2_u32.saturating_pow(tried.min(16))).min(PAUSE[1]);
                    let _ = timeout(pause, self.is_back()).await;
                    self.lanes.end(lane, false, &gone);
                });
            }
        }
    }

    /// Waits until the broker is there again after it was gone.
    async fn is_back(&self) {
        let mut state = self.target().publisher.state();
        for up in [false, true] {
            // without a sender it never is
            if state.wait_for(|state| state.up == up).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Sends the first records of a lane, one after the other, up to the first that is not taken. Whether it came to
    /// their end.
    async fn work(
        &self,
        mut turn: Turn,
        room: Arc<Semaphore>,
        slot: OwnedSemaphorePermit,
        no_more: &CancellationToken,
    ) -> Result<bool, (Fault, String)> {
        let (lane, broker) = (turn.lane, self.broker());
        let mut left = std::mem::take(&mut turn.handed);
        let mut _room = None;
        if left.is_empty() {
            (left, _room) = self.read(&turn, room).await.map_err(|problem| {
                warn!(broker = broker.as_str(), problem, "what is owed cannot be read");
                (Fault::not_read(problem), String::new())
            })?;
            match left.last() {
                Some(last) => self.lanes.read(lane, last.seq),
                None => self.lanes.emptied(lane, turn.kept),
            }
        }
        let (mut stored, mut slot) = (Stored::default(), Some(slot));
        left.reverse();
        while let Some(record) = left.pop() {
            if no_more.is_cancelled() {
                return Ok(false);
            }
            let at = |fault| (fault, self.named(&record));
            match self.lanes.claim(lane, record.seq) {
                Claim::Taken => continue,
                Claim::Held => {
                    self.lanes.stuck(lane, false);
                    return Ok(false);
                }
                Claim::Send if self.is_stored(&turn, &record, &mut stored).await.map_err(at)? => {
                    info!(broker = broker.as_str(), id = %record.message.event.id, "sent before, and stored");
                }
                Claim::Send => self.send(&record, &mut slot).await.map_err(at)?,
            }
            turn.doubtful = false;
            self.journal.settle(record.seq, broker, record.message.body.len());
            self.metrics.journal.forwarded(broker as usize);
            self.lanes.took(lane, record.seq, left.last().map(|next| next.message.event.recorded));
        }
        Ok(true)
    }

    /// Where a record goes, for the log: nothing that a payload may have chosen.
    fn named(&self, record: &Record) -> String {
        match self.broker() {
            Broker::Kafka if !record.message.open => record.message.destination(Broker::Kafka).to_owned(),
            Broker::Kafka => "topic".to_owned(),
            Broker::Nats => "stream".to_owned(),
        }
    }

    /// The first records of a lane, and the room they take.
    async fn read(
        &self,
        turn: &Turn,
        room: Arc<Semaphore>,
    ) -> Result<(Vec<Record>, Option<OwnedSemaphorePermit>), String> {
        let mut kib = TURN;
        loop {
            let permits = u32::try_from(kib.min(HELD)).unwrap_or(u32::MAX);
            let held = room.clone().acquire_many_owned(permits).await.ok();
            match self.journal.batch(self.broker(), turn.lane, kib * 1024).await? {
                Batch::Records(records) => return Ok((records, held)),
                Batch::Large(bytes) => kib = bytes.div_ceil(1024),
            }
        }
    }

    /// One that is silent gives up its slot: another lane may be served meanwhile.
    async fn send(&self, record: &Record, slot: &mut Option<OwnedSemaphorePermit>) -> Result<(), Fault> {
        let lane = Lane::of(&record.message, self.broker());
        let sent = self.target().settle(&record.message, Instant::now());
        tokio::pin!(sent);
        let settled = match timeout(SILENCE, &mut sent).await {
            Ok(settled) => settled,
            Err(_) => {
                slot.take();
                // what comes meanwhile goes behind it, and is answered
                self.lanes.stuck(lane, true);
                sent.await
            }
        };
        settled.map(|_| ())
    }

    /// Whether a record that may have been sent is stored, though nobody here heard of it. Asked only where the broker
    /// would not drop it as a repeat.
    async fn is_stored(&self, turn: &Turn, record: &Record, stored: &mut Stored) -> Result<bool, Fault> {
        let publisher = &self.target().publisher;
        let Some(window) = publisher.remembers() else { return Ok(false) };
        let sent = turn.fresh || turn.doubtful || record.unknown.has(self.broker());
        let since = record.message.event.recorded;
        if !sent || SystemTime::now().duration_since(since).is_ok_and(|age| age + SAFELY < window) {
            return Ok(false);
        }
        for (form, ids) in self.target().forms(&record.message) {
            let subject = form.destination(self.broker());
            if !stored.contains_key(subject) {
                // the first of its subject in this turn is the oldest
                stored.insert(subject.to_owned(), publisher.stored_since(&form, since).await?);
            }
            let Some(there) = stored.get_mut(subject) else { continue };
            if ids.iter().all(|id| there.contains(id)) {
                // the same again is another one
                for id in ids {
                    there.iter().position(|one| *one == id).map(|place| there.swap_remove(place));
                }
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Of each subject, the [`crate::message::Message::dedupe_id`]s that a broker has of late.
type Stored = HashMap<String, Vec<String>>;
