//! Messages that never get an ack, while smaller ones do: a server behind the first one takes less than the first.
//!
//! The first server announces its own `max_payload`. What it passes on, such as a leaf node to its hub, is cut off there
//! without an answer. No repeat ever helps, and its lane would wait for ever.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::message::Id;

/// From this many tries without an ack on, over at least the time of [`Patience`], a message counts as too large.
const TRIES: u32 = 5;
/// A body of this size is never too large for a server behind: its lane waits.
const ALWAYS_FITS: usize = 16 * 1024;
/// By how many bytes the headers of a dead letter may be longer than those of a notification.
const DEAD_LETTER_HEADERS: usize = 2 * 1024;
/// The most messages whose tries are counted; beyond, the oldest is forgotten.
const MAX_COUNTED: usize = 256;

/// How long a message is tried.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long one ack may take.
    pub ack: Duration,
    /// For how long a message must have got no ack before it counts as too large for a server behind the first one.
    pub too_large: Duration,
}

/// The tries of large messages.
#[derive(Debug)]
pub(super) struct Unanswered {
    too_large_after: Duration,
    largest_acked: AtomicUsize,
    acks: AtomicU64,
    tries: Mutex<HashMap<Id, Tries>>,
}

#[derive(Debug, Clone, Copy)]
struct Tries {
    count: u32,
    since: Instant,
    /// How many acks there had been when the first try began.
    acks_before: u64,
    /// The most bytes of a body that is acked, once the message counts as too large.
    limit: Option<usize>,
}

/// A message that may be too large for a server behind the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) tries: u32,
    /// For how long it was tried.
    pub(super) age: Duration,
    /// The most bytes of a body that is acked.
    pub(super) limit: usize,
}

impl Unanswered {
    pub(super) fn new(too_large_after: Duration) -> Self {
        Self { too_large_after, largest_acked: AtomicUsize::new(0), acks: AtomicU64::new(0), tries: Mutex::default() }
    }

    /// A body of this size was acked.
    pub(super) fn acked(&self, id: Id, bytes: usize) {
        self.acks.fetch_add(1, Ordering::Relaxed);
        if self.largest_acked.fetch_max(bytes, Ordering::Relaxed) < bytes && bytes > ALWAYS_FITS {
            // the limit of a dead letter stays until all its parts are acked
            self.tries.lock().retain(|tried, tries| *tried != id || tries.limit.is_some());
        }
    }

    /// The ack of a body of this size did not come in time; the try began at `begun`.
    pub(super) fn unanswered(&self, id: Id, bytes: usize, begun: Instant) {
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

    /// Whether a body of this size may never be acked: it got none often and long enough, and smaller ones did meanwhile.
    pub(super) fn suspect(&self, id: Id, bytes: usize) -> Option<Suspect> {
        if bytes <= ALWAYS_FITS {
            return None;
        }
        let tries = *self.tries.lock().get(&id)?;
        let (age, limit) = (tries.since.elapsed(), self.limit());
        let acked_meanwhile = self.acks.load(Ordering::Relaxed) > tries.acks_before;
        if tries.count < TRIES || age < self.too_large_after || !acked_meanwhile {
            return None;
        }
        if bytes <= limit && tries.limit.is_some() {
            // a part of the dead letter that the message became
            return None;
        }
        if bytes <= limit {
            // the server that took as much is another one now: what is acked from now on counts
            self.largest_acked.store(0, Ordering::Relaxed);
            return None;
        }
        Some(Suspect { tries: tries.count, age, limit })
    }

    /// From now on the message and its parts may be only as large as a body of this many bytes was.
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

    /// The most bytes of a body that certainly gets an ack.
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

    async fn tried(unanswered: &Unanswered, times: u32, small: usize) {
        let [large, other] = ids();
        for _ in 0..times {
            let begun = Instant::now();
            advance(MINUTE).await;
            unanswered.unanswered(large, LARGE, begun);
            if small > 0 {
                unanswered.acked(other, small);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn five_tries_over_five_minutes_make_a_suspect_where_smaller_bodies_are_acked() {
        let unanswered = Unanswered::new(5 * MINUTE);
        let [large, _] = ids();
        tried(&unanswered, 4, 40_000).await;
        assert_eq!(unanswered.suspect(large, LARGE), None, "four tries");
        tried(&unanswered, 1, 20_000).await;
        assert_eq!(unanswered.suspect(large, LARGE), Some(Suspect { tries: 5, age: 5 * MINUTE, limit: 40_000 }));
        assert_eq!(unanswered.limit_of(large), usize::MAX);
        unanswered.set_limit(large, 40_000);
        // a part of it is neither a suspect, nor does its ack end the limit of the others
        assert_eq!(unanswered.suspect(large, 32_768), None);
        assert_eq!(unanswered.suspect(large, LARGE).map(|suspect| suspect.limit), Some(40_000));
        unanswered.acked(large, 41_000);
        assert_eq!(unanswered.limit_of(large), 40_000 - DEAD_LETTER_HEADERS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_takes_less_than_the_one_before_is_noticed() {
        let unanswered = Unanswered::new(5 * MINUTE);
        let [large, other] = ids();
        unanswered.acked(other, 5 * LARGE);
        tried(&unanswered, 5, 20_000).await;
        assert_eq!(unanswered.suspect(large, LARGE), None, "one as large was acked");
        unanswered.acked(other, 20_000);
        assert_eq!(unanswered.suspect(large, LARGE).map(|suspect| suspect.limit), Some(20_000));
    }

    #[tokio::test(start_paused = true)]
    async fn without_smaller_acks_it_waits() {
        let unanswered = Unanswered::new(5 * MINUTE);
        let [large, other] = ids();
        unanswered.acked(other, 500);
        tried(&unanswered, 30, 0).await;
        assert_eq!(unanswered.suspect(large, LARGE), None);
        unanswered.acked(other, 500);
        assert_eq!(unanswered.suspect(large, LARGE).map(|suspect| suspect.limit), Some(ALWAYS_FITS));
    }

    #[tokio::test(start_paused = true)]
    async fn quick_tries_and_small_bodies_and_those_that_are_acked_are_no_suspects() {
        let unanswered = Unanswered::new(5 * MINUTE);
        let [large, other] = ids();
        for _ in 0..9 {
            unanswered.unanswered(large, LARGE, Instant::now());
            unanswered.unanswered(other, ALWAYS_FITS, Instant::now());
            unanswered.acked(other, 500);
        }
        assert_eq!(unanswered.suspect(large, LARGE), None, "within no time");
        advance(5 * MINUTE).await;
        assert_eq!(unanswered.suspect(other, ALWAYS_FITS), None);
        assert!(unanswered.suspect(large, LARGE).is_some());
        unanswered.acked(large, LARGE);
        assert_eq!(unanswered.suspect(large, LARGE), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_counted_messages_is_bounded() {
        let unanswered = Unanswered::new(5 * MINUTE);
        for number in 0..2 * MAX_COUNTED {
            advance(Duration::from_millis(1)).await;
            unanswered.unanswered(Id::of(&number.to_be_bytes()), LARGE, Instant::now());
        }
        let tries = unanswered.tries.lock();
        assert_eq!(tries.len(), MAX_COUNTED);
        assert!(tries.contains_key(&Id::of(&(2 * MAX_COUNTED - 1).to_be_bytes())));
    }
}
