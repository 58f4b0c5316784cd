//! The backlog of one broker in memory, lane by lane: which message may be published now, and which must wait. A lane is
//! a destination and a key, the unit of order.
//!
//! In: the backlog found at start, every append, every ack. Out: a [`Gate`] for each new message, and leases: one task at
//! a time may forward a lane, one record after the other.
//!
//! A new message must not overtake the backlog. It is appended behind ([`Gate::Shut`]) or, while the broker acks, waits a
//! little ([`Gate::Wait`]): each that waits gets eight acks of time before it joins the backlog. So a lane under constant
//! load drains. A record is forwarded from memory (prefetched) if all before it are in memory; else, and after a fault,
//! from disk.

mod lease;
mod paused;
mod state;

use std::collections::{HashMap, VecDeque};
use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::journal::{Lane, LaneBacklog, Record};
pub use lease::{Claim, LaneLease, LeaseEnd};
pub use paused::PausedLanes;
pub use state::MaybeSent;
use state::{Flow, LaneState, Phase};

/// How many acks a new message waits for.
const ACKS_PER_WAITER: u64 = 8;

/// Whether a message may go past the backlog of its lane.
#[derive(Debug)]
pub enum Gate {
    /// There is none: it may go to the broker itself.
    Open,
    /// The broker acks it: ask again when this is sent.
    Wait(oneshot::Receiver<()>),
    /// It is blocked, or paused: the message goes behind.
    Shut,
}

/// Whether the direct publish of a record, begun before it was appended, may still be acked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectAck {
    /// It may.
    Awaited,
    /// There was none, or it failed.
    NotAwaited,
}

/// What one broker has not acked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// How many records.
    pub records: u64,
    /// How many lanes they are in: each takes memory.
    pub lanes: usize,
    /// When the oldest was received. `None` means that there is none.
    pub since: Option<SystemTime>,
}

/// The lanes of one broker.
#[derive(Debug, Default)]
pub struct Lanes {
    state: Mutex<State>,
    queued: Notify,
}

#[derive(Debug, Default)]
struct State {
    lanes: HashMap<Lane, LaneState>,
    queue: VecDeque<Lane>,
    leases: usize,
    /// While true, no gate is open, and no lease begins.
    paused: bool,
    /// The bytes of all prefetched records.
    prefetched_bytes: usize,
}

impl Lanes {
    /// The backlog of a journal that was opened. An earlier process may have sent the first records of each lane.
    pub fn new(backlog: Vec<LaneBacklog>) -> Self {
        let mut state = State::default();
        for LaneBacklog { lane, records, since } in backlog {
            let recovered = LaneState {
                backlog: records,
                maybe_sent: MaybeSent::Recovered,
                phase: Phase::Queued,
                // all of it must be read
                must_read_to: i64::MAX,
                ..LaneState::new(since)
            };
            state.lanes.insert(lane, recovered);
            state.queue.push_back(lane);
        }
        Self { state: Mutex::new(state), queued: Notify::new() }
    }

    /// Whether no lane has a backlog: then each gate is open.
    pub fn is_empty(&self) -> bool {
        let state = self.state.lock();
        state.lanes.is_empty() && !state.paused
    }

    /// Whether this lane has a backlog.
    pub fn has_backlog(&self, lane: Lane) -> bool {
        self.state.lock().lanes.get(&lane).is_some_and(|lane_state| lane_state.backlog > 0)
    }

    /// Waits until `deadline` at most for the gate of this lane. False means that the message must go behind.
    pub async fn pass(&self, lane: Lane, deadline: Instant) -> bool {
        match self.gate(lane) {
            Gate::Open => true,
            Gate::Shut => false,
            // with more backlog than the new message waits for, it goes behind
            Gate::Wait(acked) => timeout_at(deadline, acked).await.is_ok() && matches!(self.gate(lane), Gate::Open),
        }
    }

    /// Whether a message of this lane may go to the broker itself.
    pub fn gate(&self, lane: Lane) -> Gate {
        let mut state = self.state.lock();
        if state.paused {
            return Gate::Shut;
        }
        let Some(lane_state) = state.lanes.get_mut(&lane).filter(|lane_state| lane_state.backlog > 0) else {
            return Gate::Open;
        };
        if lane_state.flow == Flow::Blocked {
            return Gate::Shut;
        }
        let (sender, acked) = oneshot::channel();
        lane_state.waiting.retain(|(_, waiter)| !waiter.is_closed());
        let waiters = lane_state.waiting.len() as u64 + 1;
        lane_state.waiting.push((lane_state.acked_total + lane_state.backlog.min(waiters * ACKS_PER_WAITER), sender));
        Gate::Wait(acked)
    }

    /// A record of this lane is about to be appended: [`Self::finish_append`] or
    /// [`Self::cancel_append`] must follow.
    pub fn begin_append(&self, lane: Lane, direct: DirectAck, now: SystemTime) {
        let mut state = self.state.lock();
        let lane_state = state.lanes.entry(lane).or_insert_with(|| LaneState::new(now));
        if lane_state.backlog == 0 {
            lane_state.since = now;
            lane_state.flow = Flow::Blocked;
        }
        lane_state.backlog += 1;
        lane_state.appending += 1;
        lane_state.direct_acks += u64::from(direct == DirectAck::Awaited);
        lane_state.wake();
    }

    /// The record is appended. If all records before it are in memory, it is prefetched as `record` makes it.
    pub fn finish_append(&self, lane: Lane, seq: i64, record: Option<impl FnOnce() -> Record>) {
        self.change(lane, |lane_state, bytes| lane_state.append(seq, record, bytes));
    }

    /// The journal refused the record.
    pub fn cancel_append(&self, lane: Lane, direct: DirectAck) {
        self.change(lane, |lane_state, _| {
            lane_state.backlog = lane_state.backlog.saturating_sub(1);
            lane_state.appending = lane_state.appending.saturating_sub(1);
            lane_state.direct_acks = lane_state.direct_acks.saturating_sub(u64::from(direct == DirectAck::Awaited));
            lane_state.wake();
        });
    }

    /// The awaited direct ack of an appended record came, and the disk has it.
    pub fn direct_ack(&self, lane: Lane, seq: i64) {
        self.change(lane, |lane_state, _| {
            lane_state.direct_acks = lane_state.direct_acks.saturating_sub(1);
            lane_state.ack(seq);
        });
    }

    /// The direct publish of an appended record failed after all.
    pub fn direct_fault(&self, lane: Lane) {
        self.change(lane, |lane_state, _| lane_state.direct_acks = lane_state.direct_acks.saturating_sub(1));
    }

    /// How many records the broker has not acked, and since when.
    pub fn backlog(&self) -> Backlog {
        let state = self.state.lock();
        let lanes = || state.lanes.values().filter(|lane_state| lane_state.backlog > 0);
        Backlog {
            records: lanes().map(|lane_state| lane_state.backlog).sum(),
            lanes: lanes().count(),
            since: lanes().map(|lane_state| lane_state.since).min(),
        }
    }

    /// Changes a lane. It is forgotten if that leaves nothing of it, and queued if it can be forwarded.
    fn change(&self, lane: Lane, act: impl FnOnce(&mut LaneState, &mut usize)) {
        let mut state = self.state.lock();
        let State { lanes, queue, prefetched_bytes, .. } = &mut *state;
        let Some(lane_state) = lanes.get_mut(&lane) else { return };
        act(lane_state, prefetched_bytes);
        if lane_state.is_removable() {
            lanes.remove(&lane);
        } else if lane_state.queue() {
            queue.push_back(lane);
            drop(state);
            self.queued.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
