//! What is owed to one broker, lane by lane, known without asking the disk.
//!
//! While a lane owes anything, what comes for it must not overtake: it is kept behind ([`Gate::Shut`]), or, while the
//! broker takes what is owed, it waits a little ([`Gate::Wait`]). Who waits for eight records to be taken adds one, so a
//! lane under constant load has ever less to owe, and is open again soon.
//!
//! A lane is worked on by one turn at a time, which sends one record after the other. A record that is kept while all
//! before it are in memory is handed over there; others are read from the disk, and so is everything after a fault.

mod hold;
mod one;

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::{Notify, oneshot};

use super::{Lane, Owed, Record};
pub use hold::Held;
use one::At;

/// So many records are taken before one that waits for them is kept behind the rest.
const FOR_ONE: u64 = 8;

/// Whether a message may go past what is owed.
#[derive(Debug)]
pub enum Gate {
    /// Nothing is owed: it may go to the broker itself.
    Open,
    /// What is owed is being taken: ask again when this is told.
    Wait(oneshot::Receiver<()>),
    /// What is owed is stuck: it goes behind.
    Shut,
}

/// Whether a record may be sent in its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It may.
    Send,
    /// It was taken already.
    Taken,
    /// A report is outstanding that may be its own: nothing may be sent before it is here.
    Held,
}

/// A turn at one lane.
#[derive(Debug)]
pub struct Turn {
    /// The lane.
    pub lane: Lane,
    /// Its first records, where they are in memory; none: they are to be read.
    pub handed: Vec<Record>,
    /// How many records were kept for it when the turn began.
    pub kept: u64,
    /// Whether any of the first records may have been taken without our knowing: by a process before this one.
    pub fresh: bool,
    /// Whether the first may have been.
    pub doubtful: bool,
}

/// The lanes of one broker.
#[derive(Debug, Default)]
pub struct Lanes {
    state: Mutex<State>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct State {
    lanes: HashMap<Lane, At>,
    ready: VecDeque<Lane>,
    /// Turns that have not ended.
    working: usize,
    /// Whether records are being changed under them: nothing passes, and no turn begins.
    held: bool,
    /// The bytes of all records that are handed over.
    bytes: usize,
}

impl Lanes {
    /// What a journal owed when it was opened. Any of the first records of each lane may have been taken.
    pub fn new(owed: Vec<Owed>) -> Self {
        let mut state = State::default();
        for Owed { lane, records, since } in owed {
            // all there is must be read
            let at = At { owed: records, fresh: true, busy: true, to_read: i64::MAX, ..At::new(since) };
            state.lanes.insert(lane, at);
            state.ready.push_back(lane);
        }
        Self { state: Mutex::new(state), ready: Notify::new() }
    }

    /// Whether no lane is owed anything: then each is open.
    pub fn idle(&self) -> bool {
        self.with(|state| state.lanes.is_empty() && !state.held)
    }

    /// Whether a message of this lane may go to the broker itself.
    pub fn gate(&self, lane: Lane) -> Gate {
        self.with(|state| {
            if state.held {
                return Gate::Shut;
            }
            let Some(at) = state.lanes.get_mut(&lane).filter(|at| at.owed > 0) else { return Gate::Open };
            if at.stuck {
                return Gate::Shut;
            }
            let (tell, told) = oneshot::channel();
            at.waiting.retain(|(_, waits)| !waits.is_closed());
            let before = at.waiting.len() as u64 + 1;
            at.waiting.push((at.count + at.owed.min(before * FOR_ONE), tell));
            Gate::Wait(told)
        })
    }

    /// A record of this lane is about to be kept: [`Self::kept`] or [`Self::refused`] must follow. `held` if its first report is outstanding.
    pub fn enter(&self, lane: Lane, held: bool, now: SystemTime) {
        self.with(|state| {
            let at = state.lanes.entry(lane).or_insert_with(|| At::new(now));
            if at.owed == 0 {
                at.since = now;
                at.stuck = true;
            }
            at.owed += 1;
            at.pending += 1;
            at.held += u64::from(held);
            at.wake();
        });
    }

    /// It is kept. Where all before it are in memory, it is handed over as this makes it.
    pub fn kept(&self, lane: Lane, seq: i64, record: Option<impl FnOnce() -> Record>) {
        self.change(lane, |at, bytes| at.keep(seq, record, bytes));
    }

    /// It is not kept.
    pub fn refused(&self, lane: Lane, held: bool) {
        self.change(lane, |at, _| {
            at.owed = at.owed.saturating_sub(1);
            at.pending = at.pending.saturating_sub(1);
            at.held = at.held.saturating_sub(u64::from(held));
            at.wake();
        });
    }

    /// The outstanding report of a kept record is here: it was taken, and is on disk as such, or it was not.
    pub fn reported(&self, lane: Lane, seq: i64, taken: bool) {
        self.change(lane, |at, _| {
            at.held = at.held.saturating_sub(1);
            if taken {
                at.take(seq);
            }
        });
    }

    /// Waits for a lane whose turn it is.
    pub async fn next(&self) -> Turn {
        loop {
            let told = self.ready.notified();
            if let Some(turn) = self.with(State::turn) {
                return turn;
            }
            told.await;
        }
    }

    /// In a turn: whether this record may be sent now.
    pub fn claim(&self, lane: Lane, seq: i64) -> Claim {
        self.with(|state| match state.lanes.get(&lane) {
            Some(at) if at.taken.contains(&seq) => Claim::Taken,
            Some(at) if at.held > 0 => Claim::Held,
            _ => Claim::Send,
        })
    }

    /// In a turn: a record was taken; the next one came then, if it is known.
    pub fn took(&self, lane: Lane, seq: i64, next: Option<SystemTime>) {
        self.with(|state| {
            let Some(at) = state.lanes.get_mut(&lane) else { return };
            at.doubtful = false;
            at.since = next.unwrap_or(at.since);
            at.take(seq);
        });
    }

    /// In a turn: the records up to this one were read from the disk.
    pub fn read(&self, lane: Lane, last: i64) {
        self.with(|state| {
            if let Some(at) = state.lanes.get_mut(&lane) {
                at.read = at.read.max(last);
            }
        });
    }

    /// In a turn: nothing is taken now. `doubtful` if the first may have been taken all the same.
    pub fn stuck(&self, lane: Lane, doubtful: bool) {
        self.with(|state| {
            let Some(at) = state.lanes.get_mut(&lane) else { return };
            at.doubtful |= doubtful;
            at.stick(&mut state.bytes);
        });
    }

    /// In a turn: all that was kept when it began is gone, without having been taken.
    pub fn emptied(&self, lane: Lane, kept: u64) {
        self.with(|state| {
            let Some(at) = state.lanes.get_mut(&lane) else { return };
            at.owed = at.owed.saturating_sub(kept);
            at.wake();
        });
    }

    /// Records of a lane that were taken and may still be read.
    pub fn taken(&self, lane: Lane) -> Vec<i64> {
        self.with(|state| state.lanes.get(&lane).map(|at| at.taken.clone()).unwrap_or_default())
    }

    /// Ends a turn; another one is due if more is kept. `through`: all that might have been taken before this process
    /// was looked at. `gone`: records that can not be read any more.
    pub fn end(&self, lane: Lane, through: bool, gone: &[i64]) {
        self.with(|state| state.working -= 1);
        self.change(lane, |at, _| {
            at.busy = false;
            at.fresh &= !through;
            at.taken.retain(|seq| !gone.contains(seq));
        });
    }

    /// How many records are owed, and since when the oldest.
    pub fn owed(&self) -> (u64, Option<SystemTime>) {
        self.with(|state| {
            let owing = || state.lanes.values().filter(|at| at.owed > 0);
            (owing().map(|at| at.owed).sum(), owing().map(|at| at.since).min())
        })
    }

    /// Changes a lane; it is forgotten if it owes nothing, and ready if it can be worked on.
    fn change(&self, lane: Lane, act: impl FnOnce(&mut At, &mut usize)) {
        let ready = self.with(|state| {
            let Some(at) = state.lanes.get_mut(&lane) else { return false };
            act(at, &mut state.bytes);
            if at.owed == 0 && at.pending == 0 && !at.busy {
                state.lanes.remove(&lane);
                return false;
            }
            let ready = at.kept() > 0 && at.held == 0 && !at.busy;
            if ready {
                at.busy = true;
                state.ready.push_back(lane);
            }
            ready
        });
        if ready {
            self.ready.notify_one();
        }
    }

    fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn turn(&mut self) -> Option<Turn> {
        if self.held {
            return None;
        }
        let lane = std::iter::from_fn(|| self.ready.pop_front()).find(|lane| self.lanes.contains_key(lane))?;
        let at = self.lanes.get_mut(&lane)?;
        let handed = std::mem::take(&mut at.handed);
        self.bytes -= handed.iter().map(|record| record.message.body.len()).sum::<usize>();
        let kept = at.kept();
        self.working += 1;
        Some(Turn { lane, handed, kept, fresh: at.fresh, doubtful: at.doubtful })
    }
}

#[cfg(test)]
mod tests;
