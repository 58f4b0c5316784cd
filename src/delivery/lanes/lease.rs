//! Leases: the right of one forwarder's task to work on one lane.

use std::time::SystemTime;

use super::state::{MaybeSent, Phase};
use super::{Lane, Lanes, Record, State};

/// Whether the holder of a lease may send a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It may.
    Send,
    /// The broker acked it already.
    AlreadyAcked,
    /// A direct ack is awaited that may be this record's: nothing may be sent before.
    AwaitingAck,
}

/// How far the holder of a lease came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseEnd {
    /// The broker has all records of the lease.
    Through,
    /// Not so far.
    Interrupted,
}

/// The right to work on one lane; [`Lanes::release`] ends it.
#[derive(Debug)]
pub struct LaneLease {
    /// The lane.
    pub lane: Lane,
    /// Its first records, if they are in memory; empty means that they must be read.
    pub prefetched: Vec<Record>,
    /// How many records of it were appended when the lease began.
    pub appended: u64,
    /// Which of them the broker may have.
    pub maybe_sent: MaybeSent,
}

impl Lanes {
    /// Waits for a lane that can be forwarded.
    pub async fn lease(&self) -> LaneLease {
        loop {
            let queued = self.queued.notified();
            if let Some(lease) = self.try_lease() {
                return lease;
            }
            queued.await;
        }
    }

    pub(super) fn try_lease(&self) -> Option<LaneLease> {
        let mut state = self.state.lock();
        let State { lanes, queue, leases, paused: false, prefetched_bytes } = &mut *state else { return None };
        let lane = std::iter::from_fn(|| queue.pop_front()).find(|lane| lanes.contains_key(lane))?;
        let lane_state = lanes.get_mut(&lane)?;
        lane_state.phase = Phase::Leased;
        *leases += 1;
        let prefetched = lane_state.take_prefetched(prefetched_bytes);
        Some(LaneLease { lane, prefetched, appended: lane_state.appended(), maybe_sent: lane_state.maybe_sent })
    }

    /// Of a leased lane: whether this record may be sent now.
    pub fn claim(&self, lane: Lane, seq: i64) -> Claim {
        match self.state.lock().lanes.get(&lane) {
            Some(lane_state) if lane_state.acked.contains(&seq) => Claim::AlreadyAcked,
            Some(lane_state) if lane_state.direct_acks > 0 => Claim::AwaitingAck,
            _ => Claim::Send,
        }
    }

    /// Of a leased lane: the broker acked a record. `next` is when the next record was received, if it is known.
    pub fn acked(&self, lane: Lane, seq: i64, next: Option<SystemTime>) {
        let mut state = self.state.lock();
        let Some(lane_state) = state.lanes.get_mut(&lane) else { return };
        if lane_state.maybe_sent == MaybeSent::FirstRecord {
            lane_state.maybe_sent = MaybeSent::Nothing;
        }
        lane_state.since = next.unwrap_or(lane_state.since);
        lane_state.ack(seq);
    }

    /// Of a leased lane: its records up to this one were read from the disk.
    pub fn read_to(&self, lane: Lane, last: i64) {
        if let Some(lane_state) = self.state.lock().lanes.get_mut(&lane) {
            lane_state.read_to = lane_state.read_to.max(last);
        }
    }

    /// Of a leased lane: the broker acks nothing now. `maybe_sent` says whether it may have the first record all the same.
    pub fn block(&self, lane: Lane, maybe_sent: MaybeSent) {
        let mut state = self.state.lock();
        let State { lanes, prefetched_bytes, .. } = &mut *state;
        let Some(lane_state) = lanes.get_mut(&lane) else { return };
        lane_state.maybe_sent = lane_state.maybe_sent.max(maybe_sent);
        lane_state.block(prefetched_bytes);
    }

    /// Of a leased lane: this many records, appended before the lease, are no longer on the disk, and were not acked.
    pub fn lost(&self, lane: Lane, records: u64) {
        let mut state = self.state.lock();
        let Some(lane_state) = state.lanes.get_mut(&lane) else { return };
        lane_state.backlog = lane_state.backlog.saturating_sub(records);
        lane_state.wake();
    }

    /// The records of a lane that were acked and may still be read.
    pub fn acked_records(&self, lane: Lane) -> Vec<i64> {
        self.state.lock().lanes.get(&lane).map(|lane_state| lane_state.acked.clone()).unwrap_or_default()
    }

    /// Ends a lease; the lane is queued again if it has more records. The disk has the `synced` records as acked, so
    /// they can not be read any more.
    pub fn release(&self, lane: Lane, end: LeaseEnd, synced: &[i64]) {
        self.state.lock().leases -= 1;
        self.change(lane, |lane_state, _| {
            lane_state.phase = Phase::Idle;
            if end == LeaseEnd::Through && lane_state.maybe_sent == MaybeSent::Recovered {
                lane_state.maybe_sent = MaybeSent::Nothing;
            }
            lane_state.acked.retain(|seq| !synced.contains(seq));
        });
    }
}
