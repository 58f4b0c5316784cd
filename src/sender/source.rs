//! Where the notifications of an instance come from.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::queue::{Queue, Queued};
use super::sample::{Fields, Sample};
use super::tally::Tally;

pub(super) enum Source {
    /// What is put there.
    Queue(Arc<Shared>),
    /// What is made up as it goes.
    Made(Made),
}

impl Source {
    /// The next; waits for it. None when there will be no more.
    pub(super) async fn first(&mut self, tally: &Tally) -> Option<Queued> {
        match self {
            Self::Queue(shared) => shared.first(tally).await,
            Self::Made(made) => made.next(),
        }
    }

    /// It is over with this one; false if it is no longer there.
    pub(super) fn done(&mut self, sequence: u64) -> bool {
        match self {
            Self::Queue(shared) => shared.queue().done(sequence),
            Self::Made(_) => true,
        }
    }
}

/// A queue, and whether more may come.
pub(super) struct Shared {
    queue: Mutex<Queue>,
    news: Notify,
    closed: std::sync::atomic::AtomicBool,
}

impl Shared {
    pub(super) fn new(queue: Queue) -> Self {
        Self { queue: Mutex::new(queue), news: Notify::new(), closed: false.into() }
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, body: Bytes, tally: &Tally) -> Option<u64> {
        let mut queue = self.queue();
        let place = queue.push(body, Instant::now());
        tally.lost(queue.take_dropped());
        self.news.notify_one();
        place
    }

    pub(super) fn len(&self, tally: &Tally) -> usize {
        let mut queue = self.queue();
        let len = queue.len(Instant::now());
        tally.lost(queue.take_dropped());
        len
    }

    /// No more will come.
    pub(super) fn close(&self) {
        self.closed.store(true, Relaxed);
        self.news.notify_one();
    }

    async fn first(&self, tally: &Tally) -> Option<Queued> {
        loop {
            let first = {
                let mut queue = self.queue();
                let first = queue.first(Instant::now());
                tally.lost(queue.take_dropped());
                first
            };
            if first.is_some() || self.closed.load(Relaxed) {
                return first;
            }
            self.news.notified().await;
        }
    }
}

/// How many are made in all, by all instances together.
pub(super) struct Tickets {
    next: AtomicU64,
    count: u64,
    until: Option<Instant>,
}

impl Tickets {
    pub(super) fn new(count: Option<u64>, time: Option<Duration>) -> Self {
        let until = time.map(|time| Instant::now() + time);
        Self { next: AtomicU64::new(0), count: count.unwrap_or(u64::MAX), until }
    }

    fn take(&self) -> Option<u64> {
        if self.until.is_some_and(|until| until <= Instant::now()) {
            return None;
        }
        let ticket = self.next.fetch_add(1, Relaxed);
        (ticket < self.count).then_some(ticket)
    }
}

/// Samples, one after the other, each as new.
pub(super) struct Made {
    pub(super) samples: Arc<Vec<Sample>>,
    pub(super) tickets: Arc<Tickets>,
    pub(super) instance: u64,
    pub(super) run: u32,
    pub(super) size: usize,
    /// How many this instance has had.
    pub(super) made: u64,
}

impl Made {
    fn next(&mut self) -> Option<Queued> {
        let ticket = self.tickets.take()?;
        let sample = &self.samples[usize::try_from(ticket).ok()? % self.samples.len()];
        self.made += 1;
        let fields = Fields { instance: self.instance, time: unix_seconds(), run: self.run, sequence: self.made };
        let mut body = Vec::with_capacity(sample.usual_size().max(self.size));
        sample.write(&mut body, fields, self.size);
        Some(Queued { sequence: self.made, body: body.into(), since: Instant::now() })
    }
}

pub(super) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Eight digits that hardly repeat from one run to the next: microseconds of the last minute and a half.
pub(super) fn run_number() -> u32 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    10_000_000 + u32::try_from(now.as_micros() % 90_000_000).unwrap_or_default()
}
