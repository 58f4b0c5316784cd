//! What was stored lately, and what is under way.

use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use hashbrown::HashTable;
use hashbrown::hash_table::OccupiedEntry;
use tokio::sync::oneshot;

use super::Outcome;
use crate::message::{Brokers, Id};

/// How a notification stands.
pub(super) enum Standing {
    /// Stored by all of its brokers inside the window.
    Stored,
    /// Being stored; its outcome will be told here.
    UnderWay(Told),
    /// Not stored by these; whoever gets this stores it there. Its outcome will be told here.
    New(Told, Brokers),
}

/// Where an outcome is told.
pub(super) type Told = oneshot::Receiver<Outcome>;

/// The ids stored inside the window, at most so many, and those under way.
///
/// 250,000 ids take less than 10 MB: 24 bytes in a ring, in order of storing, and 4 in an index into it.
pub(super) struct Seen {
    window: Duration,
    most: usize,
    start: Option<Instant>,
    ring: VecDeque<Entry>,
    /// How many entries have left the ring: entry `n` of all time is at `n - left`.
    left: u32,
    /// How many had to go before the end of their window since this was last told.
    evicted: usize,
    index: HashTable<u32>,
    /// Who waits for which; each has a place of its own among the requests in flight.
    under_way: HashMap<u128, Vec<oneshot::Sender<Outcome>>>,
}

/// `u64` halves keep it at 24 bytes; a `u128` would be aligned to 16.
struct Entry {
    id: [u64; 2],
    second: u32,
    stored: Brokers,
}

impl Seen {
    pub(super) fn new(window: Duration, most: usize) -> Self {
        // room that is not used costs nothing, and growing into it would need both the old and the new at once
        let (ring, index) = (VecDeque::with_capacity(most), HashTable::with_capacity(most));
        Self { window, most, start: None, ring, left: 0, evicted: 0, index, under_way: HashMap::new() }
    }

    /// Asks for an id that these brokers should have, and takes it on if nobody has.
    pub(super) fn begin(&mut self, id: Id, wanted: Brokers, now: Instant) -> Standing {
        self.forget_old(now);
        let stored = self.entry(id).map_or(Brokers::NONE, |entry| entry.stored);
        let missing = wanted.without(stored);
        if missing.is_empty() {
            return Standing::Stored;
        }
        if !stored.is_empty() {
            self.renew(id, stored, now);
        }
        let (tell, told) = oneshot::channel();
        match self.under_way.entry(id.as_u128()) {
            Occupied(mut waiting) => {
                let waiting = waiting.get_mut();
                waiting.retain(|tell| !tell.is_closed());
                waiting.push(tell);
                Standing::UnderWay(told)
            }
            Vacant(none) => {
                none.insert(vec![tell]);
                Standing::New(told, missing)
            }
        }
    }

    /// Tells whoever waits for it now; it stays under way.
    pub(super) fn tell(&mut self, id: Id, outcome: Outcome) {
        let waiting = self.under_way.get_mut(&id.as_u128()).map(std::mem::take);
        tell_all(waiting.unwrap_or_default(), outcome);
    }

    fn entry(&mut self, id: Id) -> Option<&mut Entry> {
        let (ring, left, key) = (&mut self.ring, self.left, halves(id));
        let place = |place: &u32| place.wrapping_sub(left) as usize;
        let found = self.index.find(key[0], |at| ring[place(at)].id == key).map(place)?;
        ring.get_mut(found)
    }

    /// Ends what [`Self::begin`] began: these brokers have it now, and whoever waits is told the outcome. Returns
    /// how many ids had to go before the end of their window.
    pub(super) fn end(&mut self, id: Id, stored: Brokers, outcome: Outcome, now: Instant) -> usize {
        self.remember(id, stored, now);
        tell_all(self.under_way.remove(&id.as_u128()).unwrap_or_default(), outcome);
        std::mem::take(&mut self.evicted)
    }

    fn remember(&mut self, id: Id, stored: Brokers, now: Instant) {
        if stored.is_empty() {
            return;
        }
        self.forget_old(now);
        match self.entry(id) {
            Some(entry) => entry.stored = entry.stored.and(stored),
            None => self.push(id, stored, now),
        }
    }

    /// What some of its brokers lack is asked for again until they have it, however long that takes: meanwhile the
    /// others must not get it twice. The place it had stays empty.
    fn renew(&mut self, id: Id, stored: Brokers, now: Instant) {
        let (ring, left, key) = (&self.ring, self.left, halves(id));
        if let Ok(place) = self.index.find_entry(key[0], |at| ring[at.wrapping_sub(left) as usize].id == key) {
            place.remove();
            self.push(id, stored, now);
        }
    }

    fn push(&mut self, id: Id, stored: Brokers, now: Instant) {
        while !self.ring.is_empty() && self.ring.len() >= self.most {
            self.evicted += usize::from(self.forget_first());
        }
        if self.most == 0 {
            self.evicted += 1;
            return;
        }
        let place = self.left.wrapping_add(self.ring.len() as u32);
        let second = self.second(now);
        self.ring.push_back(Entry { id: halves(id), second, stored });
        let (ring, left) = (&self.ring, self.left);
        // the halves of a SHA-256 are hashes already
        self.index.insert_unique(halves(id)[0], place, |place| ring[place.wrapping_sub(left) as usize].id[0]);
    }

    fn forget_old(&mut self, now: Instant) {
        let now = self.second(now);
        let window = self.window.as_secs();
        while self.ring.front().is_some_and(|first| u64::from(now.saturating_sub(first.second)) >= window) {
            self.forget_first();
        }
    }

    /// Whether there was one, and not an empty place.
    fn forget_first(&mut self) -> bool {
        let Some(first) = self.ring.front() else { return false };
        let first_place = self.left;
        let entry = self.index.find_entry(first.id[0], |place| *place == first_place);
        let was_there = entry.map(OccupiedEntry::remove).is_ok();
        self.ring.pop_front();
        self.left = self.left.wrapping_add(1);
        was_there
    }

    fn second(&mut self, now: Instant) -> u32 {
        let start = *self.start.get_or_insert(now);
        u32::try_from(now.saturating_duration_since(start).as_secs()).unwrap_or(u32::MAX)
    }
}

fn tell_all(waiting: Vec<oneshot::Sender<Outcome>>, outcome: Outcome) {
    for tell in waiting {
        // who gave up has nothing to hear
        let _ = tell.send(outcome);
    }
}

fn halves(id: Id) -> [u64; 2] {
    let id = id.as_u128();
    [(id >> 64) as u64, id as u64]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::Broker;

    const KAFKA: Brokers = Brokers::NONE.with(Broker::Kafka);
    const BOTH: Brokers = KAFKA.with(Broker::Nats);

    fn standing(seen: &mut Seen, id: u128, wanted: Brokers, now: Instant) -> Result<Brokers, &'static str> {
        match seen.begin(Id::from(id), wanted, now) {
            Standing::Stored => Err("stored"),
            Standing::UnderWay(_) => Err("under way"),
            Standing::New(_, missing) => Ok(missing),
        }
    }

    #[test]
    fn a_failed_one_is_new_again() {
        let (mut seen, now) = (Seen::new(Duration::from_secs(60), 10), Instant::now());
        assert_eq!(standing(&mut seen, 1, KAFKA, now), Ok(KAFKA));
        assert_eq!(standing(&mut seen, 1, KAFKA, now), Err("under way"));
        seen.end(Id::from(1), Brokers::NONE, Outcome::NotStored, now);
        assert_eq!(standing(&mut seen, 1, KAFKA, now), Ok(KAFKA));
        seen.end(Id::from(1), KAFKA, Outcome::Stored, now);
        assert_eq!(standing(&mut seen, 1, KAFKA, now), Err("stored"));
    }

    #[test]
    fn what_one_broker_lacks_is_not_stored_again_by_the_other_however_long_that_takes() {
        let (mut seen, start) = (Seen::new(Duration::from_secs(60), 10), Instant::now());
        assert_eq!(standing(&mut seen, 1, BOTH, start), Ok(BOTH));
        seen.end(Id::from(1), KAFKA, Outcome::NotStored, start);
        for minute in 1..20 {
            let now = start + Duration::from_secs(minute * 59);
            assert_eq!(standing(&mut seen, 1, BOTH, now), Ok(BOTH.without(KAFKA)), "after {minute}");
            seen.end(Id::from(1), Brokers::NONE, Outcome::NotStored, now);
        }
    }

    #[test]
    fn whoever_waits_is_told_when_it_is_late_and_whoever_waits_then_when_it_ends() {
        let (mut seen, now, id) = (Seen::new(Duration::from_secs(60), 10), Instant::now(), Id::from(1));
        let Standing::New(mut first, _) = seen.begin(id, KAFKA, now) else { panic!("it is new") };
        let Standing::UnderWay(mut second) = seen.begin(id, KAFKA, now) else { panic!("it is under way") };
        assert!(first.try_recv().is_err(), "nothing is known yet");
        seen.tell(id, Outcome::NotStored);
        assert_eq!((first.try_recv(), second.try_recv()), (Ok(Outcome::NotStored), Ok(Outcome::NotStored)));
        let Standing::UnderWay(mut third) = seen.begin(id, KAFKA, now) else { panic!("it still is") };
        seen.end(id, KAFKA, Outcome::Stored, now);
        assert_eq!(third.try_recv(), Ok(Outcome::Stored));
        assert!(matches!(seen.begin(id, KAFKA, now), Standing::Stored));
    }

    #[test]
    fn the_index_takes_no_more_than_promised() {
        assert_eq!(size_of::<Entry>(), 24);
    }

    proptest! {
        /// Against the plainest model there is: a list of what was stored where and when.
        #[test]
        fn it_remembers_what_a_list_would(
            steps in prop::collection::vec((0_u128..12, 0_usize..4, 1_usize..4, 0_u64..20), 1..200),
            window in 1_u64..60, most in 0_usize..8, high: bool,
        ) {
            let sets = [Brokers::NONE, KAFKA, BOTH.without(KAFKA), BOTH];
            let mut seen = Seen::new(Duration::from_secs(window), most);
            // none: the place of one that was renewed
            let mut model: Vec<(Option<u128>, u64, Brokers)> = Vec::new();
            let (start, mut clock) = (Instant::now(), 0);
            for (id, stored, wanted, pause) in steps {
                // ids that differ in one half only meet in one bucket of the index
                let id = if high { id << 64 } else { id };
                clock += pause;
                let now = start + Duration::from_secs(clock);
                model.retain(|(_, at, _)| clock - at < window);
                let mut forgotten = 0;
                let mut add = |model: &mut Vec<_>, stored| {
                    model.push((Some(id), clock, stored));
                    if model.len() > most {
                        forgotten += usize::from(model.remove(0).0.is_some());
                    }
                };
                let known = model.iter_mut().find(|(other, ..)| *other == Some(id));
                let missing = sets[wanted].without(known.as_ref().map_or(Brokers::NONE, |known| known.2));
                let expected = if missing.is_empty() { Err("stored") } else { Ok(missing) };
                if let Some(known) = known.filter(|_| !missing.is_empty()) {
                    known.0 = None;
                    let stored = known.2;
                    add(&mut model, stored);
                }
                prop_assert_eq!(standing(&mut seen, id, sets[wanted], now), expected);
                if missing.is_empty() {
                    continue;
                }
                // only what was asked for can have been stored
                let stored = missing.without(BOTH.without(sets[stored]));
                let evicted = seen.end(Id::from(id), stored, Outcome::Stored, now);
                match model.iter_mut().find(|(other, ..)| *other == Some(id)) {
                    _ if stored.is_empty() => {}
                    Some(known) => known.2 = known.2.and(stored),
                    None => add(&mut model, stored),
                }
                prop_assert_eq!(evicted, forgotten);
            }
        }
    }
}
