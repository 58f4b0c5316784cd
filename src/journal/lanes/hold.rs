//! Holding all lanes of a broker while records are changed under them.
//!
//! A record that is moved to another lane keeps its place among all records, so it may come before what that lane has
//! in memory, on its way, or waiting to go past. So while lanes are held, no turn begins, and nothing passes: what comes
//! is kept behind. Once nothing is on its way any more, what is on disk is all there is, and each lane that was changed
//! is read from there again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use super::one::At;
use super::{Lane, Lanes};
use crate::journal::Moved;

/// Lanes that are held for as long as this lives.
#[derive(Debug)]
pub struct Held(Arc<Lanes>);

impl Held {
    /// Holds these; nobody else may at the same time.
    pub fn new(lanes: &Arc<Lanes>) -> Self {
        lanes.with(|state| {
            state.held = true;
            state.lanes.values_mut().for_each(At::shut);
        });
        Self(lanes.clone())
    }

    /// The records that were taken and may still be on disk, once nothing is on its way; none: something still is.
    pub fn quiet(&self) -> Option<HashSet<i64>> {
        self.0.with(|state| {
            let quiet = state.working == 0 && state.lanes.values().all(|at| at.held == 0);
            quiet.then(|| state.lanes.values().flat_map(|at| at.taken.iter().copied()).collect())
        })
    }

    /// A lane was changed on disk.
    pub fn moved(&self, lane: Lane, by: Moved) {
        self.0.with(|state| {
            state.lanes.entry(lane).or_insert_with(|| At::new(by.since));
        });
        self.0.change(lane, |at, bytes| {
            at.owed = at.owed.saturating_add_signed(by.records);
            at.since = at.since.min(by.since);
            at.top = at.top.max(by.last);
            at.stick(bytes);
        });
    }

    /// The first record of a lane came then.
    pub fn since(&self, lane: Lane, since: SystemTime) {
        self.0.with(|state| state.lanes.get_mut(&lane).map(|at| at.since = since));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.with(|state| state.held = false);
        self.0.ready.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::journal::{Gate, Owed, Record};

    const FROM: Lane = Lane(1);
    const TO: Lane = Lane(2);

    fn by(records: i64, last: i64) -> Moved {
        Moved { records, last, since: UNIX_EPOCH }
    }

    fn turn(lanes: &Lanes) -> Option<Lane> {
        lanes.with(|state| state.turn()).map(|turn| turn.lane)
    }

    #[test]
    fn while_lanes_are_held_no_turn_begins_and_nothing_passes() {
        let lanes = Arc::new(Lanes::new(vec![Owed { lane: FROM, records: 3, since: UNIX_EPOCH }]));
        assert!(lanes.idle() || matches!(lanes.gate(TO), Gate::Open));
        let held = Held::new(&lanes);
        assert!(!lanes.idle() && matches!(lanes.gate(TO), Gate::Shut));
        assert_eq!(turn(&lanes), None);
        drop(held);
        assert!(matches!(lanes.gate(TO), Gate::Open));
        assert_eq!(turn(&lanes), Some(FROM));
    }

    #[test]
    fn what_is_on_its_way_is_waited_for() {
        let lanes = Arc::new(Lanes::new(vec![Owed { lane: FROM, records: 3, since: UNIX_EPOCH }]));
        assert_eq!(turn(&lanes), Some(FROM));
        let held = Held::new(&lanes);
        assert_eq!(held.quiet(), None, "a turn");
        lanes.took(FROM, 4, None);
        lanes.end(FROM, true, &[]);
        // sent before, and kept since
        lanes.enter(TO, true, UNIX_EPOCH);
        lanes.kept(TO, 9, None::<fn() -> Record>);
        assert_eq!(held.quiet(), None, "a report");
        lanes.reported(TO, 9, false);
        assert_eq!(held.quiet(), Some(HashSet::from([4])), "taken, and perhaps still on disk");
    }

    #[test]
    fn what_was_moved_is_owed_in_its_new_lane_and_read_from_the_disk() {
        let lanes = Arc::new(Lanes::new(vec![Owed { lane: FROM, records: 3, since: UNIX_EPOCH }]));
        lanes.enter(TO, false, UNIX_EPOCH);
        let record = || panic!("what comes before it is on disk");
        let held = Held::new(&lanes);
        held.moved(FROM, by(-3, 0));
        held.moved(TO, by(3, 7));
        lanes.kept(TO, 9, Some(record));
        assert_eq!(lanes.owed(), (4, Some(UNIX_EPOCH)));
        drop(held);
        assert!(matches!(lanes.gate(TO), Gate::Shut) && matches!(lanes.gate(FROM), Gate::Open));
        let handed = std::iter::from_fn(|| lanes.with(|state| state.turn())).map(|turn| (turn.lane, turn.handed.len()));
        let handed: Vec<_> = handed.collect();
        assert!(handed.contains(&(TO, 0)), "{handed:?}");
    }
}
