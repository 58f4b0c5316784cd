//! Finds messages that are larger than a server behind the connected one accepts (for example the hub of a leaf node).
//! Such a server drops them without an error.
//!
//! The connected server announces only its own `max_payload`. A message that a later server drops never gets an ack,
//! while smaller messages do. A repeat cannot help, and without this detection its lane would wait for ever.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::message::Id;

/// A message counts as too large after this many tries without an ack, over at least [`AckTimeouts::too_large_after`].
const TRIES: u32 = 5;
/// A body of this size is never too large for a server: without an ack its lane waits.
const ALWAYS_FITS: usize = 16 * 1024;
/// By how many bytes the headers of a dead letter may be longer than those of a notification.
const DEAD_LETTER_HEADERS: usize = 2 * 1024;
/// The most messages whose tries are counted. One more replaces the oldest.
const MAX_COUNTED: usize = 256;

/// How long a message may have no ack.
#[derive(Debug, Clone, Copy)]
pub struct AckTimeouts {
    /// How long one ack may take.
    pub ack: Duration,
    /// After this time without an ack a message counts as too large for a server behind the connected one, if smaller
    /// messages got their acks meanwhile.
    pub too_large_after: Duration,
}

/// Counts the tries of large messages without an ack, and compares them with the acks of other messages.
#[derive(Debug)]
pub(super) struct OversizeDetector {
    too_large_after: Duration,
    largest_acked: AtomicUsize,
    acks: AtomicU64,
    tries: Mutex<HashMap<Id, Tries>>,
}

#[derive(Debug, Clone, Copy)]
struct Tries {
    count: u32,
    since: Instant,
    /// How many acks had come before the first try ended.
    acks_before: u64,
    /// The most bytes of body that a part of this message may have, once the message counts as too large.
    limit: Option<usize>,
}

/// What speaks for it that a message is too large for a server behind the connected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OversizeEvidence {
    pub(super) tries: u32,
    /// Time since the first try.
    pub(super) age: Duration,
    /// The size of the largest body that was acked.
    pub(super) limit: usize,
}

impl OversizeDetector {
    pub(super) fn new(too_large_after: Duration) -> Self {
        Self { too_large_after, largest_acked: AtomicUsize::new(0), acks: AtomicU64::new(0), tries: Mutex::default() }
    }

    /// Records the ack of a body of this size.
    pub(super) fn record_ack(&self, id: Id, bytes: usize) {
        self.acks.fetch_add(1, Ordering::Relaxed);
        if self.largest_acked.fetch_max(bytes, Ordering::Relaxed) < bytes && bytes > ALWAYS_FITS {
            // the limit of a dead letter stays until all its parts are acked
            self.tries.lock().retain(|tried, tries| *tried != id || tries.limit.is_some());
        }
    }

    /// Records that the ack of a body of this size did not come in time. The try began at `begun`.
    pub(super) fn record_missing_ack(&self, id: Id, bytes: usize, begun: Instant) {
        if bytes <= ALWAYS_FITS {
            return;
        }
        let acks_before = self.acks.load(Ordering::Relaxed);
        let mut tries = self.tries.lock();
        if tries.len() >= MAX_COUNTED && !tries.contains_key(&id) {
            let oldest = tries.iter().min_by_key(|(_, tries)| tries.since).map(|(id, _)| *id);
            oldest.map(|oldest| tries.remove(&oldest));
        }
        tries.entry(id).or_insert(Tries { count: 0, since: begun, acks_before, limit: None }).count += 1;
    }

    /// Returns the evidence that a body of this size is too large: it got no ack, while smaller bodies did.
    pub(super) fn oversize_evidence(&self, id: Id, bytes: usize) -> Option<OversizeEvidence> {
        let tries = self.long_unacked(id, bytes)?;
        let limit = self.limit();
        (bytes > limit).then(|| OversizeEvidence { tries: tries.count, age: tries.since.elapsed(), limit })
    }

    /// Forgets the largest acked body if it was at least as large as this one, which gets no ack any more: the server that
    /// accepted it has been replaced. Only acks from now on count.
    pub(super) fn forget_outdated_limit(&self, id: Id, bytes: usize) {
        // a message with a limit of its own is a part of a dead letter, which fits
        let is_outdated = |tries: Tries| tries.limit.is_none() && bytes <= self.limit();
        if self.long_unacked(id, bytes).is_some_and(is_outdated) {
            self.largest_acked.store(0, Ordering::Relaxed);
        }
    }

    /// The tries of a message, if there were enough of them over enough time, and other messages got acks meanwhile.
    fn long_unacked(&self, id: Id, bytes: usize) -> Option<Tries> {
        if bytes <= ALWAYS_FITS {
            return None;
        }
        let tries = *self.tries.lock().get(&id)?;
        let others_acked = self.acks.load(Ordering::Relaxed) > tries.acks_before;
        let is_long = tries.count >= TRIES && tries.since.elapsed() >= self.too_large_after;
        (is_long && others_acked).then_some(tries)
    }

    /// Limits the bodies of the message and its parts, so that a part is no larger than a body of this many bytes was.
    pub(super) fn set_limit(&self, id: Id, limit: usize) {
        if let Some(tries) = self.tries.lock().get_mut(&id) {
            tries.limit = Some(limit.saturating_sub(DEAD_LETTER_HEADERS));
        }
    }

    /// The most bytes of body that the message, or a part of it, may have.
    pub(super) fn limit_of(&self, id: Id) -> usize {
        let tries = self.tries.lock();
        if tries.is_empty() {
            return usize::MAX;
        }
        tries.get(&id).and_then(|tries| tries.limit).unwrap_or(usize::MAX)
    }

    /// The most bytes of a body that gets an ack, as far as is known.
    fn limit(&self) -> usize {
        self.largest_acked.load(Ordering::Relaxed).max(ALWAYS_FITS)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const LARGE: usize = 100_000;

    fn ids() -> [Id; 2] {
        [Id::of(b"large"), Id::of(b"small")]
    }

    async fn tried(detector: &OversizeDetector, times: u32, small: usize) {
        let [large, other] = ids();
        for _ in 0..times {
            let begun = Instant::now();
            advance(MINUTE).await;
            detector.record_missing_ack(large, LARGE, begun);
            if small > 0 {
                detector.record_ack(other, small);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn five_tries_over_five_minutes_are_evidence_if_smaller_bodies_are_acked() {
        let detector = OversizeDetector::new(5 * MINUTE);
        let [large, _] = ids();
        tried(&detector, 4, 40_000).await;
        assert_eq!(detector.oversize_evidence(large, LARGE), None, "four tries");
        tried(&detector, 1, 20_000).await;
        assert_eq!(
            detector.oversize_evidence(large, LARGE),
            Some(OversizeEvidence { tries: 5, age: 5 * MINUTE, limit: 40_000 })
        );
        assert_eq!(detector.limit_of(large), usize::MAX);
        detector.set_limit(large, 40_000);
        // a part of it is not too large, and its ack does not end the limit of the other parts
        assert_eq!(detector.oversize_evidence(large, 32_768), None);
        assert_eq!(detector.oversize_evidence(large, LARGE).map(|evidence| evidence.limit), Some(40_000));
        detector.record_ack(large, 41_000);
        assert_eq!(detector.limit_of(large), 40_000 - DEAD_LETTER_HEADERS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_takes_less_than_the_one_before_is_noticed() {
        let detector = OversizeDetector::new(5 * MINUTE);
        let [large, other] = ids();
        detector.record_ack(other, 5 * LARGE);
        tried(&detector, 5, 20_000).await;
        assert_eq!(detector.oversize_evidence(large, LARGE), None, "one as large was acked");
        detector.forget_outdated_limit(large, LARGE);
        detector.record_ack(other, 20_000);
        assert_eq!(detector.oversize_evidence(large, LARGE).map(|evidence| evidence.limit), Some(20_000));
    }

    #[tokio::test(start_paused = true)]
    async fn without_smaller_acks_it_waits() {
        let detector = OversizeDetector::new(5 * MINUTE);
        let [large, other] = ids();
        detector.record_ack(other, 500);
        tried(&detector, 30, 0).await;
        assert_eq!(detector.oversize_evidence(large, LARGE), None);
        detector.record_ack(other, 500);
        assert_eq!(detector.oversize_evidence(large, LARGE).map(|evidence| evidence.limit), Some(ALWAYS_FITS));
    }

    #[tokio::test(start_paused = true)]
    async fn quick_tries_and_small_bodies_and_acked_bodies_are_no_evidence() {
        let detector = OversizeDetector::new(5 * MINUTE);
        let [large, other] = ids();
        for _ in 0..9 {
            detector.record_missing_ack(large, LARGE, Instant::now());
            detector.record_missing_ack(other, ALWAYS_FITS, Instant::now());
            detector.record_ack(other, 500);
        }
        assert_eq!(detector.oversize_evidence(large, LARGE), None, "within no time");
        advance(5 * MINUTE).await;
        assert_eq!(detector.oversize_evidence(other, ALWAYS_FITS), None);
        assert!(detector.oversize_evidence(large, LARGE).is_some());
        detector.record_ack(large, LARGE);
        assert_eq!(detector.oversize_evidence(large, LARGE), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_counted_messages_is_bounded() {
        let detector = OversizeDetector::new(5 * MINUTE);
        for number in 0..2 * MAX_COUNTED {
            advance(Duration::from_millis(1)).await;
            detector.record_missing_ack(Id::of(&number.to_be_bytes()), LARGE, Instant::now());
        }
        let tries = detector.tries.lock();
        assert_eq!(tries.len(), MAX_COUNTED);
        assert!(tries.contains_key(&Id::of(&(2 * MAX_COUNTED - 1).to_be_bytes())));
    }
}
