//! What is owed to one broker, lane by lane, known without asking the disk.
//!
//! While a lane owes anything, what comes for it must not overtake: it is kept behind ([`Gate::Shut`]), or, while the
//! broker takes what is owed, it waits a little ([`Gate::Wait`]). Who waits for two records to be taken adds one, so a
//! lane under constant load has ever less to owe, and is open again soon.
//!
//! A lane is worked on by one turn at a time, which sends one record after the other.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::{Notify, oneshot};

use super::{Lane, Owed};

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

/// A turn at one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The lane.
    pub lane: Lane,
    /// The last record that was taken.
    pub after: i64,
    /// Records that were taken and may still be read.
    pub taken: Vec<i64>,
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
}

#[derive(Debug)]
struct At {
    /// Records that are kept, or about to be.
    owed: u64,
    /// Those that are kept.
    kept: u64,
    /// Those whose first report is still outstanding: nothing may be sent before it is here.
    held: u64,
    /// Whether it has a turn, or one is due.
    busy: bool,
    /// Whether the broker takes nothing of it now.
    stuck: bool,
    fresh: bool,
    doubtful: bool,
    after: i64,
    taken: Vec<i64>,
    /// How many were taken in all.
    count: u64,
    /// When the first of them came.
    since: SystemTime,
    /// Who waits for the count to be so high.
    waiting: Vec<(u64, oneshot::Sender<()>)>,
}

impl At {
    fn new(now: SystemTime) -> Self {
        Self {
            owed: 0,
            kept: 0,
            held: 0,
            busy: false,
            stuck: true,
            fresh: false,
            doubtful: false,
            after: 0,
            taken: Vec::new(),
            count: 0,
            since: now,
            waiting: Vec::new(),
        }
    }

    /// One less is owed: it was taken.
    fn take(&mut self) {
        self.owed = self.owed.saturating_sub(1);
        self.kept = self.kept.saturating_sub(1);
        self.count += 1;
        self.stuck = false;
        self.wake();
    }

    /// Wakes those whose wait is over.
    fn wake(&mut self) {
        let (open, stuck, count) = (self.owed == 0, self.stuck, self.count);
        for (_, waits) in self.waiting.extract_if(.., |(for_count, _)| open || stuck || *for_count <= count) {
            // who gave up went another way
            let _ = waits.send(());
        }
    }
}

impl Lanes {
    /// What a journal owed when it was opened. Any of the first records of each lane may have been taken.
    pub fn new(owed: Vec<Owed>) -> Self {
        let mut state = State::default();
        for Owed { lane, records, since } in owed {
            let at = At { owed: records, kept: records, fresh: true, busy: true, ..At::new(since) };
            state.lanes.insert(lane, at);
            state.ready.push_back(lane);
        }
        Self { state: Mutex::new(state), ready: Notify::new() }
    }

    /// Whether no lane is owed anything: then each is open.
    pub fn idle(&self) -> bool {
        self.with(|state| state.lanes.is_empty())
    }

    /// Whether a message of this lane may go to the broker itself.
    pub fn gate(&self, lane: Lane) -> Gate {
        self.with(|state| {
            let Some(at) = state.lanes.get_mut(&lane).filter(|at| at.owed > 0) else { return Gate::Open };
            if at.stuck {
                return Gate::Shut;
            }
            let (tell, told) = oneshot::channel();
            at.waiting.retain(|(_, waits)| !waits.is_closed());
            at.waiting.push((at.count + at.owed.min(2), tell));
            Gate::Wait(told)
        })
    }

    /// A record of this lane is about to be kept; `held` if its first report is outstanding.
    pub fn enter(&self, lane: Lane, held: bool, now: SystemTime) {
        self.with(|state| {
            let at = state.lanes.entry(lane).or_insert_with(|| At::new(now));
            if at.owed == 0 {
                at.since = now;
                at.stuck = true;
            }
            at.owed += 1;
            at.held += u64::from(held);
            at.wake();
        });
    }

    /// It is kept.
    pub fn kept(&self, lane: Lane) {
        self.change(lane, |at| at.kept += 1);
    }

    /// It is not kept.
    pub fn refused(&self, lane: Lane, held: bool) {
        self.change(lane, |at| {
            at.owed = at.owed.saturating_sub(1);
            at.held = at.held.saturating_sub(u64::from(held));
            at.wake();
        });
    }

    /// The outstanding report of a kept record is here: it was taken, or not.
    pub fn reported(&self, lane: Lane, seq: i64, taken: bool) {
        self.change(lane, |at| {
            at.held = at.held.saturating_sub(1);
            if taken {
                at.taken.push(seq);
                at.take();
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

    /// In a turn: a record was taken; the next one came then, if it is known.
    pub fn took(&self, lane: Lane, seq: i64, next: Option<SystemTime>) {
        self.with(|state| {
            let Some(at) = state.lanes.get_mut(&lane) else { return };
            (at.after, at.doubtful) = (seq, false);
            at.since = next.unwrap_or(at.since);
            at.take();
        });
    }

    /// In a turn: nothing is taken now. `doubtful` if the first may have been taken all the same.
    pub fn stuck(&self, lane: Lane, doubtful: bool) {
        self.with(|state| {
            let Some(at) = state.lanes.get_mut(&lane) else { return };
            at.stuck = true;
            at.doubtful |= doubtful;
            at.wake();
        });
    }

    /// In a turn: all that was kept when it began is gone, without having been taken.
    pub fn emptied(&self, lane: Lane, kept: u64) {
        self.with(|state| {
            let Some(at) = state.lanes.get_mut(&lane) else { return };
            at.kept = at.kept.saturating_sub(kept);
            at.owed = at.owed.saturating_sub(kept);
            at.wake();
        });
    }

    /// How many records of a lane are kept.
    pub fn kept_of(&self, lane: Lane) -> u64 {
        self.with(|state| state.lanes.get(&lane).map_or(0, |at| at.kept))
    }

    /// Ends a turn; another one is due if more is kept. `through`: all that might have been taken before this process
    /// was looked at.
    pub fn end(&self, turn: &Turn, through: bool) {
        self.change(turn.lane, |at| {
            at.busy = false;
            at.fresh &= !through;
            at.taken.retain(|seq| !turn.taken.contains(seq));
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
    fn change(&self, lane: Lane, act: impl FnOnce(&mut At)) {
        let ready = self.with(|state| {
            let Some(at) = state.lanes.get_mut(&lane) else { return false };
            act(at);
            if at.owed == 0 && !at.busy {
                state.lanes.remove(&lane);
                return false;
            }
            let ready = at.kept > 0 && at.held == 0 && !at.busy;
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
        let (lane, at) = std::iter::from_fn(|| self.ready.pop_front())
            .find_map(|lane| self.lanes.get(&lane).map(|at| (lane, at)))?;
        Some(Turn { lane, after: at.after, taken: at.taken.clone(), fresh: at.fresh, doubtful: at.doubtful })
    }
}
