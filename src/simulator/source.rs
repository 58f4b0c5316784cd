//! Where the notifications of an instance come from.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::counters::Counters;
use super::queue::{Queue, Queued};
use super::sample::{Fields, Sample};

pub(super) enum Source {
    /// What a test pushes to an instance.
    Queue(Arc<SharedQueue>),
    /// Samples, made when they are sent.
    Samples(SampleSource),
}

impl Source {
    /// Waits for the next notification to send. None means there will be no more.
    pub(super) async fn first(&mut self, counters: &Counters) -> Option<Queued> {
        match self {
            Self::Queue(queue) => queue.first(counters).await,
            Self::Samples(samples) => samples.next(),
        }
    }

    /// Removes a notification after its last request. False means it was dropped before.
    pub(super) fn remove(&mut self, sequence: u64) -> bool {
        match self {
            Self::Queue(queue) => queue.lock().remove_first(sequence),
            Self::Samples(_) => true,
        }
    }
}

/// A queue that an instance fills and its worker empties.
pub(super) struct SharedQueue {
    queue: Mutex<Queue>,
    changed: Notify,
    /// No more will be pushed.
    closed: std::sync::atomic::AtomicBool,
}

impl SharedQueue {
    pub(super) fn new(queue: Queue) -> Self {
        Self { queue: Mutex::new(queue), changed: Notify::new(), closed: false.into() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, body: Bytes, counters: &Counters) -> Option<u64> {
        let mut queue = self.lock();
        let sequence = queue.push(body, Instant::now());
        counters.add_lost(queue.take_dropped());
        self.changed.notify_one();
        sequence
    }

    pub(super) fn len(&self, counters: &Counters) -> usize {
        let mut queue = self.lock();
        let len = queue.len(Instant::now());
        counters.add_lost(queue.take_dropped());
        len
    }

    /// Ends the worker once the queue is empty.
    pub(super) fn close(&self) {
        self.closed.store(true, Relaxed);
        self.changed.notify_one();
    }

    async fn first(&self, counters: &Counters) -> Option<Queued> {
        loop {
            let first = {
                let mut queue = self.lock();
                let first = queue.first(Instant::now());
                counters.add_lost(queue.take_dropped());
                first
            };
            if first.is_some() || self.closed.load(Relaxed) {
                return first;
            }
            self.changed.notified().await;
        }
    }
}

/// The limit of a load, shared by its instances.
pub(super) struct LoadLimit {
    begun: AtomicU64,
    count: u64,
    until: Option<Instant>,
}

impl LoadLimit {
    pub(super) fn new(count: Option<u64>, duration: Option<Duration>) -> Self {
        let until = duration.map(|duration| Instant::now() + duration);
        Self { begun: AtomicU64::new(0), count: count.unwrap_or(u64::MAX), until }
    }

    /// The number of a new notification, from 0. None means the limit is reached.
    fn next_number(&self) -> Option<u64> {
        if self.until.is_some_and(|until| until <= Instant::now()) {
            return None;
        }
        let number = self.begun.fetch_add(1, Relaxed);
        (number < self.count).then_some(number)
    }
}

/// Makes notifications of one instance from samples.
pub(super) struct SampleSource {
    pub(super) samples: Arc<Vec<Sample>>,
    pub(super) limit: Arc<LoadLimit>,
    pub(super) instance: u64,
    pub(super) run: u32,
    pub(super) min_size: usize,
    /// The number of its last notification.
    pub(super) sequence: u64,
}

impl SampleSource {
    fn next(&mut self) -> Option<Queued> {
        let number = self.limit.next_number()?;
        let sample = &self.samples[usize::try_from(number).ok()? % self.samples.len()];
        self.sequence += 1;
        let fields = Fields { instance: self.instance, time: unix_seconds(), run: self.run, sequence: self.sequence };
        let mut body = Vec::with_capacity(sample.max_unpadded_size().max(self.min_size));
        sample.write(&mut body, fields, self.min_size);
        Some(Queued { sequence: self.sequence, body: body.into(), since: Instant::now() })
    }
}

pub(super) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Eight digits that rarely repeat from one run to the next: microseconds within the last 90 seconds.
pub(super) fn run_number() -> u32 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    10_000_000 + u32::try_from(now.as_micros() % 90_000_000).unwrap_or_default()
}
