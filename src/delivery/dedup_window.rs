//! The dedup window: the ids stored lately, and those in flight.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use hashbrown::HashTable;
use hashbrown::hash_table::{self, OccupiedEntry};
use tokio::sync::oneshot;

use super::Outcome;
use crate::message::{Broker, Brokers, Id};

/// What the window knows of a message.
pub(super) enum DedupState {
    /// All required brokers have it, inside the window.
    Stored,
    /// Another request has begun it, and gives its outcome here.
    InFlight(OutcomeReceiver),
    /// These brokers do not have it. The caller has begun it now, and must finish it.
    Missing(Brokers),
    /// A stream that is not inspected since the start had it. The caller has begun it now, and must finish it.
    Unverified,
}

/// Receives the outcome of a message that another request has begun.
pub(super) type OutcomeReceiver = oneshot::Receiver<Outcome>;

/// The ids stored inside the window, a limited number of them, and the ids in flight.
///
/// 250,000 ids take less than 10 MB: 24 bytes in a ring, in order of storing, and 4 in an index into it.
pub(super) struct DedupWindow {
    length: Duration,
    max_ids: usize,
    start: Option<Instant>,
    ring: VecDeque<Entry>,
    /// How many entries have left the ring: the entry with number `n` is at `n - removed_count`.
    removed_count: u32,
    /// How many ids left the ring before the end of their window, since the last call of [`Self::finish`].
    evicted: usize,
    index: HashTable<u32>,
    in_flight: HashTable<InFlightEntry>,
    /// Brokers whose stream is not inspected since the start: it may have lost what the ring says.
    unverified: Brokers,
}

/// `u64` halves keep it at 24 bytes; a `u128` would be aligned to 16.
struct Entry {
    id: [u64; 2],
    second: u32,
    stored: Brokers,
}

/// An id in flight, and the requests that wait for its outcome. A waiting request holds no permit: their number is
/// bounded by `http.limits.connections`.
struct InFlightEntry {
    id: [u64; 2],
    waiting: Vec<oneshot::Sender<Outcome>>,
}

impl DedupWindow {
    pub(super) fn new(length: Duration, max_ids: usize) -> Self {
        // capacity that is not used costs nothing, and to grow would need the old and the new memory at once
        let (ring, index) = (VecDeque::with_capacity(max_ids), HashTable::with_capacity(max_ids));
        Self {
            length,
            max_ids,
            start: None,
            ring,
            removed_count: 0,
            evicted: 0,
            index,
            in_flight: HashTable::new(),
            unverified: Brokers::NONE,
        }
    }

    /// Adds the ids that an earlier process stored, in the order of storing.
    pub(super) fn recover(&mut self, ids: Vec<(SystemTime, Id, Brokers)>, now: Instant, clock: SystemTime) {
        let window = u32::try_from(self.length.as_secs()).unwrap_or(u32::MAX);
        // seconds are counted from the beginning of the window
        self.start = now.checked_sub(self.length).or(Some(now));
        let this_second = self.second(now);
        for (at, id, by) in ids {
            if id == Id::NONE {
                by.each().for_each(|broker| self.forget(broker));
                continue;
            }
            if by.has_any(Brokers::REMOVED) {
                self.replace_brokers(id, by.without(Brokers::REMOVED), Brokers::NONE);
                continue;
            }
            let age = clock.duration_since(at).map_or(0, |age| u32::try_from(age.as_secs()).unwrap_or(u32::MAX));
            if age >= window {
                continue;
            }
            match self.entry(id).map(|entry| entry.stored) {
                // it was sent again, and stored by brokers that had not acked it
                Some(stored) => self.renew(id, stored.and(by), this_second.saturating_sub(age)),
                None => self.push_at(id, by, this_second.saturating_sub(age)),
            }
        }
        self.evicted = 0;
    }

    /// Says what is known of an id that these brokers must have; if it is neither stored nor in flight, it is in flight
    /// from now on.
    pub(super) fn begin(&mut self, id: Id, required: Brokers, now: Instant) -> DedupState {
        let doubted = self.unverified;
        let unverified = !doubted.is_empty() && self.entry(id).is_some_and(|entry| entry.stored.has_any(doubted));
        let missing = self.missing(id, required, now);
        if missing.is_empty() && !unverified {
            return DedupState::Stored;
        }
        let key = halves(id);
        match self.in_flight.entry(key[0], |one| one.id == key, |one| one.id[0]) {
            hash_table::Entry::Occupied(mut one) => {
                let (sender, outcome) = oneshot::channel();
                let waiting = &mut one.get_mut().waiting;
                waiting.retain(|sender| !sender.is_closed());
                waiting.push(sender);
                DedupState::InFlight(outcome)
            }
            hash_table::Entry::Vacant(vacant) => {
                vacant.insert(InFlightEntry { id: key, waiting: Vec::new() });
                if unverified { DedupState::Unverified } else { DedupState::Missing(missing) }
            }
        }
    }

    /// The brokers of these that do not have this id.
    pub(super) fn missing(&mut self, id: Id, required: Brokers, now: Instant) -> Brokers {
        self.forget_old(now);
        let stored = self.entry(id).map_or(Brokers::NONE, |entry| entry.stored);
        let missing = required.without(stored);
        if !missing.is_empty() && !stored.is_empty() {
            let second = self.second(now);
            self.renew(id, stored, second);
        }
        missing
    }

    /// Gives an outcome to each request that waits for this id now; the id stays in flight.
    pub(super) fn notify(&mut self, id: Id, outcome: Outcome) {
        let key = halves(id);
        if let Some(one) = self.in_flight.find_mut(key[0], |one| one.id == key) {
            notify_all(std::mem::take(&mut one.waiting), outcome);
        }
    }

    /// Replaces brokers in the entry of this id.
    pub(super) fn replace_brokers(&mut self, id: Id, from: Brokers, to: Brokers) {
        if let Some(entry) = self.entry(id) {
            entry.stored = entry.stored.without(from).and(to);
        }
    }

    pub(super) fn length(&self) -> Duration {
        self.length
    }

    /// Forgets all that this broker had: it is gone there.
    pub(super) fn forget(&mut self, broker: Broker) {
        for entry in &mut self.ring {
            entry.stored = entry.stored.without(Brokers::NONE.with(broker));
        }
    }

    /// Sets the brokers that may have lost what they had.
    pub(super) fn set_unverified(&mut self, brokers: Brokers) {
        self.unverified = brokers;
    }

    fn entry(&mut self, id: Id) -> Option<&mut Entry> {
        let (ring, removed_count, key) = (&mut self.ring, self.removed_count, halves(id));
        let position = |number: &u32| number.wrapping_sub(removed_count) as usize;
        let found = self.index.find(key[0], |number| ring[position(number)].id == key).map(position)?;
        ring.get_mut(found)
    }

    /// Ends what [`Self::begin`] began: these brokers have the id now, and each request that waits for it gets the
    /// outcome. Returns how many ids left before the end of their window.
    pub(super) fn finish(&mut self, id: Id, stored: Brokers, outcome: Outcome, now: Instant) -> usize {
        self.remember(id, stored, now);
        let key = halves(id);
        if let Ok(one) = self.in_flight.find_entry(key[0], |one| one.id == key) {
            notify_all(one.remove().0.waiting, outcome);
        }
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

    /// Moves an entry to the end of the ring, and leaves an empty one behind. While a broker lacks the message, the
    /// sender repeats it, however long that takes, and the brokers that have it must not get it twice.
    fn renew(&mut self, id: Id, stored: Brokers, second: u32) {
        let (ring, removed_count, key) = (&self.ring, self.removed_count, halves(id));
        let is_entry = |number: &u32| ring[number.wrapping_sub(removed_count) as usize].id == key;
        if let Ok(number) = self.index.find_entry(key[0], is_entry) {
            number.remove();
            self.push_at(id, stored, second);
        }
    }

    fn push(&mut self, id: Id, stored: Brokers, now: Instant) {
        let second = self.second(now);
        self.push_at(id, stored, second);
    }

    fn push_at(&mut self, id: Id, stored: Brokers, second: u32) {
        while !self.ring.is_empty() && self.ring.len() >= self.max_ids {
            self.evicted += usize::from(self.forget_first());
        }
        if self.max_ids == 0 {
            self.evicted += 1;
            return;
        }
        let number = self.removed_count.wrapping_add(self.ring.len() as u32);
        self.ring.push_back(Entry { id: halves(id), second, stored });
        let (ring, removed_count) = (&self.ring, self.removed_count);
        // the halves of a SHA-256 are hashes already
        self.index
            .insert_unique(halves(id)[0], number, |number| ring[number.wrapping_sub(removed_count) as usize].id[0]);
    }

    fn forget_old(&mut self, now: Instant) {
        let now = self.second(now);
        let window = self.length.as_secs();
        while self.ring.front().is_some_and(|first| u64::from(now.saturating_sub(first.second)) >= window) {
            self.forget_first();
        }
    }

    /// Removes the first entry of the ring; false if it was empty already.
    fn forget_first(&mut self) -> bool {
        let Some(first) = self.ring.front() else { return false };
        let first_number = self.removed_count;
        let entry = self.index.find_entry(first.id[0], |number| *number == first_number);
        let had_id = entry.map(OccupiedEntry::remove).is_ok();
        self.ring.pop_front();
        self.removed_count = self.removed_count.wrapping_add(1);
        had_id
    }

    fn second(&mut self, now: Instant) -> u32 {
        let start = *self.start.get_or_insert(now);
        u32::try_from(now.saturating_duration_since(start).as_secs()).unwrap_or(u32::MAX)
    }
}

fn notify_all(waiting: Vec<oneshot::Sender<Outcome>>, outcome: Outcome) {
    for sender in waiting {
        // a request that is gone waits for nothing
        let _ = sender.send(outcome);
    }
}

fn halves(id: Id) -> [u64; 2] {
    let id = id.as_u128();
    [(id >> 64) as u64, id as u64]
}

#[cfg(test)]
#[path = "dedup_window_tests.rs"]
mod tests;
