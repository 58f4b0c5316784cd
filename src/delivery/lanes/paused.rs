//! All lanes of a broker, paused while an operator's edit changes records under them.
//!
//! A record that moves to another lane keeps its sequence number, so it may belong before records of that lane that are
//! prefetched, in flight or waiting. While lanes are paused, no lease begins and every gate is shut; new messages join
//! the backlog. Once nothing is in flight, the disk has every record, and each changed lane is read again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use super::state::LaneState;
use super::{Lane, Lanes};
use crate::journal::LaneDelta;

/// Lanes that are paused for as long as this lives. Only [`Lanes::pause`] makes one, and one at a time.
#[derive(Debug)]
pub struct PausedLanes(Arc<Lanes>);

impl Lanes {
    /// Pauses all lanes. `None` means that they are paused already.
    pub fn pause(self: &Arc<Self>) -> Option<PausedLanes> {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.paused, true) {
            return None;
        }
        state.lanes.values_mut().for_each(LaneState::close_gate);
        Some(PausedLanes(self.clone()))
    }
}

impl PausedLanes {
    /// The records that were acked and may still be on disk, once nothing is in flight. `None` means that something is.
    pub fn acked_if_idle(&self) -> Option<HashSet<i64>> {
        let state = self.0.state.lock();
        let idle = state.leases == 0 && state.lanes.values().all(|lane_state| lane_state.direct_acks == 0);
        idle.then(|| state.lanes.values().flat_map(|lane_state| lane_state.acked.iter().copied()).collect())
    }

    /// A lane was changed on disk.
    pub fn apply(&self, lane: Lane, delta: LaneDelta) {
        self.0.state.lock().lanes.entry(lane).or_insert_with(|| LaneState::new(delta.since));
        self.0.change(lane, |lane_state, bytes| {
            lane_state.backlog = lane_state.backlog.saturating_add_signed(delta.records);
            lane_state.since = lane_state.since.min(delta.since);
            lane_state.last_seq = lane_state.last_seq.max(delta.last);
            lane_state.block(bytes);
        });
    }

    /// The first record of a lane was received then.
    pub fn set_since(&self, lane: Lane, since: SystemTime) {
        if let Some(lane_state) = self.0.state.lock().lanes.get_mut(&lane) {
            lane_state.since = since;
        }
    }
}

impl Drop for PausedLanes {
    fn drop(&mut self) {
        self.0.state.lock().paused = false;
        self.0.queued.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::super::{DirectAck, Gate, LeaseEnd};
    use super::*;
    use crate::journal::{LaneBacklog, Record};

    const FROM: Lane = Lane(1);
    const TO: Lane = Lane(2);

    fn delta(records: i64, last: i64) -> LaneDelta {
        LaneDelta { records, last, since: UNIX_EPOCH }
    }

    fn lanes() -> Arc<Lanes> {
        Arc::new(Lanes::new(vec![LaneBacklog { lane: FROM, records: 3, since: UNIX_EPOCH }]))
    }

    fn leased(lanes: &Lanes) -> Option<Lane> {
        lanes.try_lease().map(|lease| lease.lane)
    }

    #[test]
    fn no_lease_begins_and_no_gate_opens_while_lanes_are_paused() {
        let lanes = lanes();
        assert!(lanes.is_empty() || matches!(lanes.gate(TO), Gate::Open));
        let paused = lanes.pause().unwrap();
        assert!(!lanes.is_empty() && matches!(lanes.gate(TO), Gate::Shut));
        assert_eq!(leased(&lanes), None);
        drop(paused);
        assert!(matches!(lanes.gate(TO), Gate::Open));
        assert_eq!(leased(&lanes), Some(FROM));
    }

    #[test]
    fn lanes_are_paused_once_at_a_time() {
        let lanes = lanes();
        let paused = lanes.pause().unwrap();
        assert!(lanes.pause().is_none());
        assert_eq!(leased(&lanes), None, "the second caller ended no pause");
        drop(paused);
        assert!(lanes.pause().is_some());
    }

    #[test]
    fn edit_waits_for_what_is_in_flight() {
        let lanes = lanes();
        assert_eq!(leased(&lanes), Some(FROM));
        let paused = lanes.pause().unwrap();
        assert_eq!(paused.acked_if_idle(), None, "a lease");
        lanes.acked(FROM, 4, None);
        lanes.release(FROM, LeaseEnd::Through, &[]);
        // sent before, and appended since
        lanes.begin_append(TO, DirectAck::Awaited, UNIX_EPOCH);
        lanes.finish_append(TO, 9, None::<fn() -> Record>);
        assert_eq!(paused.acked_if_idle(), None, "a direct ack");
        lanes.direct_fault(TO);
        assert_eq!(paused.acked_if_idle(), Some(HashSet::from([4])), "acked, and perhaps still on disk");
    }

    #[test]
    fn moved_records_are_backlog_of_their_new_lane_and_read_from_the_disk() {
        let lanes = lanes();
        lanes.begin_append(TO, DirectAck::NotAwaited, UNIX_EPOCH);
        let record = || panic!("what comes before it is on disk");
        let paused = lanes.pause().unwrap();
        paused.apply(FROM, delta(-3, 0));
        paused.apply(TO, delta(3, 7));
        lanes.finish_append(TO, 9, Some(record));
        assert_eq!((lanes.backlog().records, lanes.backlog().since), (4, Some(UNIX_EPOCH)));
        drop(paused);
        assert!(matches!(lanes.gate(TO), Gate::Shut) && matches!(lanes.gate(FROM), Gate::Open));
        let leases = std::iter::from_fn(|| lanes.try_lease()).map(|lease| (lease.lane, lease.prefetched.len()));
        let leases: Vec<_> = leases.collect();
        assert!(leases.contains(&(TO, 0)), "{leases:?}");
    }
}
