//! The queue of one instance: in order, bounded, and for a day.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

/// One notification in a queue.
#[derive(Debug, Clone)]
pub(super) struct Queued {
    /// Its place among those of its instance, from 1.
    pub(super) sequence: u64,
    /// The bytes that are sent, and sent again.
    pub(super) body: Bytes,
    /// Since when it is there.
    pub(super) since: Instant,
}

/// In order of arrival. What has been there for `retention` is dropped, and counted.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: VecDeque<Queued>,
    most: usize,
    retention: Duration,
    next: u64,
    /// How many were dropped since it was asked last.
    dropped: u64,
}

impl Queue {
    pub(super) fn new(most: usize, retention: Duration) -> Self {
        Self { waiting: VecDeque::new(), most, retention, next: 1, dropped: 0 }
    }

    /// Its place; none where the queue is full, and the notification is dropped.
    pub(super) fn push(&mut self, body: Bytes, now: Instant) -> Option<u64> {
        self.drop_old(now);
        if self.waiting.len() >= self.most {
            self.dropped += 1;
            return None;
        }
        let sequence = self.next;
        self.next += 1;
        self.waiting.push_back(Queued { sequence, body, since: now });
        Some(sequence)
    }

    /// The one to send. It stays until it is [`Self::done`] or too old.
    pub(super) fn first(&mut self, now: Instant) -> Option<Queued> {
        self.drop_old(now);
        self.waiting.front().cloned()
    }

    /// Takes away the first, if it still is this one; false if it is not.
    pub(super) fn done(&mut self, sequence: u64) -> bool {
        let is_first = self.waiting.front().is_some_and(|first| first.sequence == sequence);
        is_first && self.waiting.pop_front().is_some()
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    pub(super) fn len(&mut self, now: Instant) -> usize {
        self.drop_old(now);
        self.waiting.len()
    }

    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn drop_old(&mut self, now: Instant) {
        while self.waiting.front().is_some_and(|first| now.duration_since(first.since) >= self.retention) {
            self.waiting.pop_front();
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn queue(most: usize) -> (Queue, Instant) {
        (Queue::new(most, DAY), Instant::now())
    }

    #[test]
    fn the_first_stays_until_it_is_done() {
        let (mut queue, now) = queue(9);
        for body in ["a", "b"] {
            queue.push(body.into(), now);
        }
        assert_eq!(queue.first(now).unwrap().body, "a");
        assert!(!queue.done(2), "only the first can be done");
        assert_eq!(queue.first(now).unwrap().body, "a");
        assert!(queue.done(1));
        assert_eq!(queue.first(now).unwrap().body, "b");
    }

    #[test]
    fn after_a_day_it_is_lost_and_what_is_younger_is_not() {
        let (mut queue, now) = queue(9);
        queue.push("old".into(), now);
        queue.push("young".into(), now + DAY / 2);
        assert_eq!(queue.len(now + DAY - Duration::from_millis(1)), 2);
        assert_eq!(queue.first(now + DAY).unwrap().body, "young");
        assert_eq!((queue.take_dropped(), queue.take_dropped()), (1, 0));
    }

    #[test]
    fn a_full_queue_takes_no_more() {
        let (mut queue, now) = queue(2);
        let places = [(); 3].map(|()| queue.push("x".into(), now));
        assert_eq!((places, queue.take_dropped()), ([Some(1), Some(2), None], 1));
        queue.done(1);
        assert_eq!(queue.push("y".into(), now), Some(3), "there is room again");
    }
}
