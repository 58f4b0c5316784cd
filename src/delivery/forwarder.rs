//! Forwarding the journal's backlog to a broker: many lanes at once, in each one record after the other.
//!
//! Under one lease the first records of a lane are read and published in order. Their acks are synced to disk before the
//! lane is queued again. So after a crash only the first records of a lane may already be stored. If they are older than
//! the stream's duplicate window, the forwarder asks the stream which of them it has.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::blocked_lanes::BlockedLaneLog;
use super::fallback::{JournalFallback, SYNCED_WITHIN};
use super::lanes::{Claim, LaneLease, Lanes, LeaseEnd, MaybeSent};
use super::target::Target;
use crate::backoff::Backoff;
use crate::brokers::{Fault, FaultKind};
use crate::journal::{Journal, Lane, LaneBatch, Record};
use crate::message::Broker;
use crate::telemetry::Metrics;

/// Lanes in flight at once.
const LANES: usize = 256;
/// The bytes of records that are read and not yet sent, of all lanes together, in KiB; one record may be larger.
const READ_KIB: usize = 16 * 1024;
/// The bytes of records of one lease, in KiB.
const LEASE_KIB: usize = 64;
/// The pauses before a blocked lane is tried again.
const UNBLOCK: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
/// How long a broker may be silent before its lane counts as blocked: new messages do not wait for that.
const SILENT_WITHIN: Duration = Duration::from_secs(2);
/// Margin of the stream's duplicate window for clock skew and network delay.
const WINDOW_MARGIN: Duration = Duration::from_secs(2);
/// How long records in flight get to be acked when forwarding stops.
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(2);

/// Of each subject, the [`crate::message::Message::dedupe_id`]s that the stream has of late.
type StoredIds = HashMap<String, Vec<String>>;

/// Forwards to one broker.
pub(super) struct Forwarder {
    lanes: Arc<LaneForwarder>,
    memory: Arc<Semaphore>,
}

/// Forwards the backlog of one lane after the other.
struct LaneForwarder {
    target: Arc<Target>,
    journal: Journal,
    lanes: Arc<Lanes>,
    metrics: Arc<Metrics>,
    blocked: BlockedLaneLog,
}

impl Forwarder {
    pub(super) fn new(target: Arc<Target>, fallback: &JournalFallback, metrics: Arc<Metrics>) -> Self {
        let broker = target.publisher.broker();
        let (lanes, journal) = (fallback.lanes(broker).clone(), fallback.journal.clone());
        let blocked = BlockedLaneLog::new(broker.as_str());
        let lanes = Arc::new(LaneForwarder { target, journal, lanes, metrics, blocked });
        Self { lanes, memory: Arc::new(Semaphore::new(READ_KIB)) }
    }

    /// Forwards until `stop`; each lease is worked on by a task of `tasks`.
    pub(super) async fn run(self, tasks: TaskTracker, stop: CancellationToken) {
        let permits = Arc::new(Semaphore::new(LANES));
        let mut state = self.lanes.target.publisher.state();
        let forward = async {
            loop {
                let Ok(permit) = permits.clone().acquire_owned().await else { return };
                if state.wait_for(|state| state.is_up()).await.is_err() {
                    return;
                }
                let lease = self.lanes.lanes.lease().await;
                // a lease that waits for the broker would keep an operator's edit waiting
                if !state.borrow().is_up() {
                    self.lanes.lanes.block(lease.lane, MaybeSent::Nothing);
                    self.lanes.lanes.release(lease.lane, LeaseEnd::Interrupted, &[]);
                    continue;
                }
                tasks.spawn(self.lanes.clone().forward(lease, self.memory.clone(), permit, stop.clone()));
            }
        };
        stop.run_until_cancelled(forward).await;
    }
}

impl LaneForwarder {
    fn broker(&self) -> Broker {
        self.target.publisher.broker()
    }

    /// Works on one lease, and releases it. A blocked lane is tried again after a pause, without a permit.
    async fn forward(
        self: Arc<Self>,
        lease: LaneLease,
        memory: Arc<Semaphore>,
        permit: OwnedSemaphorePermit,
        stop: CancellationToken,
    ) {
        let lane = lease.lane;
        let result = self.send_records(lease, memory, permit, &stop).await;
        let acked = self.lanes.acked_records(lane);
        let on_disk = timeout(SYNCED_WITHIN, self.journal.synced()).await.unwrap_or(false);
        let synced = if on_disk { acked } else { Vec::new() };
        let (fault, destination) = match result {
            Ok(end) => {
                self.blocked.unblocked(lane);
                return self.lanes.release(lane, end, &synced);
            }
            Err(blocked) => blocked,
        };
        self.lanes.block(lane, maybe_sent_after(&fault));
        let failures = self.blocked.blocked(lane, &fault, &destination);
        if failures == 1 || fault.kind != FaultKind::Connection {
            debug!(
                broker = self.broker().as_str(),
                reason = fault.reason.as_str(),
                detail = fault.detail,
                "not forwarded"
            );
        }
        tokio::spawn(async move {
            let _ = timeout(UNBLOCK.pause(failures), self.reconnected()).await;
            self.lanes.release(lane, LeaseEnd::Interrupted, &synced);
        });
    }

    /// Waits until the broker is up again after it was down.
    async fn reconnected(&self) {
        let mut state = self.target.publisher.state();
        for up in [false, true] {
            // without a publisher it never is
            if state.wait_for(|state| state.is_up() == up).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Sends the first records of a lane, one after the other, up to the first that the broker does not ack: then the
    /// fault, and the destination of that record for the log.
    async fn send_records(
        &self,
        mut lease: LaneLease,
        memory: Arc<Semaphore>,
        permit: OwnedSemaphorePermit,
        stop: &CancellationToken,
    ) -> Result<LeaseEnd, (Fault, String)> {
        let (lane, broker) = (lease.lane, self.broker());
        let mut records = std::mem::take(&mut lease.prefetched);
        let mut _memory = None;
        if records.is_empty() {
            (records, _memory) = self.read(&lease, memory).await.map_err(|detail| {
                // every lane may say it, again and again; the field limits repeats
                warn!(ce_id = tracing::field::Empty, broker = broker.as_str(), detail, "journal cannot be read");
                (Fault::not_read(detail), String::new())
            })?;
            match records.last() {
                Some(last) => self.lanes.read_to(lane, last.seq),
                None => self.lanes.lost(lane, lease.appended),
            }
        }
        let (mut stored_ids, mut permit) = (StoredIds::default(), Some(permit));
        records.reverse();
        while let Some(record) = records.pop() {
            if stop.is_cancelled() {
                return Ok(LeaseEnd::Interrupted);
            }
            let at = |fault| (fault, self.destination_for_log(&record));
            match self.lanes.claim(lane, record.seq) {
                Claim::AlreadyAcked => continue,
                Claim::AwaitingAck => {
                    self.lanes.block(lane, MaybeSent::Nothing);
                    return Ok(LeaseEnd::Interrupted);
                }
                Claim::Send if self.is_stored(lease.maybe_sent, &record, &mut stored_ids).await.map_err(at)? => {
                    info!(broker = broker.as_str(), ce_id = %record.message.event.id, "already stored: not sent again");
                }
                Claim::Send => self.send(lane, &record, &mut permit).await.map_err(at)?,
            }
            if lease.maybe_sent == MaybeSent::FirstRecord {
                lease.maybe_sent = MaybeSent::Nothing;
            }
            self.journal.ack(record.seq, broker, record.message.body.len());
            self.metrics.journal.forwarded(broker);
            self.lanes.acked(lane, record.seq, records.last().map(|next| next.message.event.recorded));
        }
        Ok(LeaseEnd::Through)
    }

    /// Nothing that a payload may have chosen.
    fn destination_for_log(&self, record: &Record) -> String {
        match self.broker() {
            Broker::Kafka if !record.message.topic_from_payload => record.message.destination(Broker::Kafka).to_owned(),
            Broker::Kafka => "topic".to_owned(),
            Broker::Nats => "stream".to_owned(),
        }
    }

    /// The first records of a lane, and the permit for their memory.
    async fn read(
        &self,
        lease: &LaneLease,
        memory: Arc<Semaphore>,
    ) -> Result<(Vec<Record>, Option<OwnedSemaphorePermit>), String> {
        let mut kib = LEASE_KIB;
        loop {
            let permits = u32::try_from(kib.min(READ_KIB)).unwrap_or(u32::MAX);
            let permit = memory.clone().acquire_many_owned(permits).await.ok();
            match self.journal.batch(self.broker(), lease.lane, kib * 1024).await.map_err(|error| error.to_string())? {
                LaneBatch::Records(mut records) => {
                    records.iter_mut().for_each(|record| self.replace_altered(record));
                    return Ok((records, permit));
                }
                LaneBatch::TooLarge(bytes) => kib = bytes.div_ceil(1024),
            }
        }
    }

    /// Makes a dead letter of a record whose body was changed on disk.
    fn replace_altered(&self, record: &mut Record) {
        let Some(dead_letter) = self.target.altered(&record.message) else { return };
        warn!(
            broker = self.broker().as_str(),
            seq = record.seq,
            ce_id = %record.message.event.id,
            "record changed on disk: to the dead letter"
        );
        record.message = dead_letter;
    }

    /// Sends one record. A broker that is silent costs the lane its permit, so that another lane is served meanwhile.
    async fn send(&self, lane: Lane, record: &Record, permit: &mut Option<OwnedSemaphorePermit>) -> Result<(), Fault> {
        let (message, now) = (&record.message, Instant::now());
        let publish = async {
            if message.is_dead_letter() {
                Box::pin(self.target.publish_dead_letter(message, now)).await
            } else {
                self.target.publish_with_retry(message, now).await
            }
        };
        tokio::pin!(publish);
        let result = match timeout(SILENT_WITHIN, &mut publish).await {
            Ok(result) => result,
            Err(_) => {
                permit.take();
                // new messages join the backlog, and are answered
                self.lanes.block(lane, MaybeSent::FirstRecord);
                publish.await
            }
        };
        result.map(drop)
    }

    /// Whether the broker has a record whose ack did not come to this process. Asked only if the broker would
    /// not drop it as a repeat.
    async fn is_stored(
        &self,
        maybe_sent: MaybeSent,
        record: &Record,
        stored_ids: &mut StoredIds,
    ) -> Result<bool, Fault> {
        let publisher = &self.target.publisher;
        let Some(window) = publisher.duplicate_window() else { return Ok(false) };
        let maybe_sent = maybe_sent != MaybeSent::Nothing || record.maybe_stored.has(self.broker());
        let since = record.message.event.recorded;
        if !maybe_sent || SystemTime::now().duration_since(since).is_ok_and(|age| age + WINDOW_MARGIN < window) {
            return Ok(false);
        }
        for (form, ids) in self.target.possible_dedup_ids(&record.message) {
            let subject = form.destination(self.broker());
            if !stored_ids.contains_key(subject) {
                // the first record of its subject in this lease is the oldest
                stored_ids.insert(subject.to_owned(), publisher.stored_since(&form, since).await?);
            }
            let Some(stored) = stored_ids.get_mut(subject) else { continue };
            if ids.iter().all(|id| stored.contains(id)) {
                // the same message a second time is another record
                for id in ids {
                    stored.iter().position(|one| *one == id).map(|position| stored.swap_remove(position));
                }
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether the broker may have the first record after this fault.
fn maybe_sent_after(fault: &Fault) -> MaybeSent {
    if fault.maybe_stored { MaybeSent::FirstRecord } else { MaybeSent::Nothing }
}
