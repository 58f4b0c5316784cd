//! The queue of one instance: in order, bounded, with an age limit.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

/// One notification in a queue.
#[derive(Debug, Clone)]
pub(super) struct Queued {
    /// Its number among those of its instance, from 1.
    pub(super) sequence: u64,
    /// The bytes to send.
    pub(super) body: Bytes,
    /// When it was queued.
    pub(super) since: Instant,
}

/// Notifications in order of arrival. One that is older than `retention` is dropped and counted.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: VecDeque<Queued>,
    capacity: usize,
    retention: Duration,
    next_sequence: u64,
    /// How many were dropped since the last [`Self::take_dropped`].
    dropped: u64,
}

impl Queue {
    pub(super) fn new(capacity: usize, retention: Duration) -> Self {
        Self { waiting: VecDeque::new(), capacity, retention, next_sequence: 1, dropped: 0 }
    }

    /// Returns its sequence number. None means the queue is full and the notification is dropped.
    pub(super) fn push(&mut self, body: Bytes, now: Instant) -> Option<u64> {
        self.drop_old(now);
        if self.waiting.len() >= self.capacity {
            self.dropped += 1;
            return None;
        }
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.waiting.push_back(Queued { sequence, body, since: now });
        Some(sequence)
    }

    /// The notification to send. It stays in the queue until it is removed or too old.
    pub(super) fn first(&mut self, now: Instant) -> Option<Queued> {
        self.drop_old(now);
        self.waiting.front().cloned()
    }

    /// Removes the first notification if it has this number. False means it was dropped before.
    pub(super) fn remove_first(&mut self, sequence: u64) -> bool {
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

    fn queue(capacity: usize) -> (Queue, Instant) {
        (Queue::new(capacity, DAY), Instant::now())
    }

    #[test]
    fn first_stays_until_it_is_removed() {
        let (mut queue, now) = queue(9);
        for body in ["a", "b"] {
            queue.push(body.into(), now);
        }
        assert_eq!(queue.first(now).unwrap().body, "a");
        assert!(!queue.remove_first(2), "only the first can be removed");
        assert_eq!(queue.first(now).unwrap().body, "a");
        assert!(queue.remove_first(1));
        assert_eq!(queue.first(now).unwrap().body, "b");
    }

    #[test]
    fn only_notifications_older_than_retention_are_lost() {
        let (mut queue, now) = queue(9);
        queue.push("old".into(), now);
        queue.push("young".into(), now + DAY / 2);
        assert_eq!(queue.len(now + DAY - Duration::from_millis(1)), 2);
        assert_eq!(queue.first(now + DAY).unwrap().body, "young");
        assert_eq!((queue.take_dropped(), queue.take_dropped()), (1, 0));
    }

    #[test]
    fn full_queue_drops_new_notifications() {
        let (mut queue, now) = queue(2);
        let sequences = [(); 3].map(|()| queue.push("x".into(), now));
        assert_eq!((sequences, queue.take_dropped()), ([Some(1), Some(2), None], 1));
        queue.remove_first(1);
        assert_eq!(queue.push("y".into(), now), Some(3), "the queue is no longer full");
    }
}
