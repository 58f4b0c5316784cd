//! What was stored lately, and what is under way.

use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use hashbrown::HashTable;
use hashbrown::hash_table::OccupiedEntry;
use tokio::sync::oneshot;

use super::Outcome;
use crate::message::{Broker, Brokers, Id};

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

    /// Takes up what was seen before this process began, in the order it was seen.
    pub(super) fn recover(&mut self, seen: Vec<(SystemTime, Id, Brokers)>, now: Instant, clock: SystemTime) {
        let window = u32::try_from(self.window.as_secs()).unwrap_or(u32::MAX);
        // seconds are counted from the beginning of the window
        self.start = now.checked_sub(self.window).or(Some(now));
        let here = self.second(now);
        for (at, id, by) in seen {
            if id == Id::NONE {
                by.each().for_each(|broker| self.forget(broker));
                continue;
            }
            if by.has_any(Brokers::NO_LONGER) {
                self.moved(id, by.without(Brokers::NO_LONGER), Brokers::NONE);
                continue;
            }
            let age = clock.duration_since(at).map_or(0, |age| u32::try_from(age.as_secs()).unwrap_or(u32::MAX));
            if age >= window {
                continue;
            }
            match self.entry(id).map(|entry| entry.stored) {
                // it was asked for again, and stored where it had lacked
                Some(stored) => self.renew(id, stored.and(by), here.saturating_sub(age)),
                None => self.push_at(id, by, here.saturating_sub(age)),
            }
        }
        self.evicted = 0;
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
            let second = self.second(now);
            self.renew(id, stored, second);
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

    /// Whether this broker is remembered to have it.
    pub(super) fn has(&mut self, id: Id, broker: Broker) -> bool {
        self.entry(id).is_some_and(|entry| entry.stored.has(broker))
    }

    /// These have it, or are owed it, no longer, and those now.
    pub(super) fn moved(&mut self, id: Id, from: Brokers, to: Brokers) {
        if let Some(entry) = self.entry(id) {
            entry.stored = entry.stored.without(from).and(to);
        }
    }

    #[cfg(feature = "journal")]
    pub(super) fn window(&self) -> Duration {
        self.window
    }

    /// What this broker had is gone.
    pub(super) fn forget(&mut self, broker: Broker) {
        for entry in &mut self.ring {
            entry.stored = entry.stored.without(Brokers::NONE.with(broker));
        }
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
    fn renew(&mut self, id: Id, stored: Brokers, second: u32) {
        let (ring, left, key) = (&self.ring, self.left, halves(id));
        if let Ok(place) = self.index.find_entry(key[0], |at| ring[at.wrapping_sub(left) as usize].id == key) {
            place.remove();
            self.push_at(id, stored, second);
        }
    }

    fn push(&mut self, id: Id, stored: Brokers, now: Instant) {
        let second = self.second(now);
        self.push_at(id, stored, second);
    }

    fn push_at(&mut self, id: Id, stored: Brokers, second: u32) {
        while !self.ring.is_empty() && self.ring.len() >= self.most {
            self.evicted += usize::from(self.forget_first());
        }
        if self.most == 0 {
            self.evicted += 1;
            return;
        }
        let place = self.left.wrapping_add(self.ring.len() as u32);
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
#[path = "seen_tests.rs"]
mod tests;
