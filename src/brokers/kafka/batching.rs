//! Chooses how a record is batched, by how many are in flight.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::clients::Batching;

/// Up to this many records in flight, each is sent at once; beyond, records linger.
///
/// A lone sender would wait out any linger, and many senders pay for a request each without one.
const MAX_IMMEDIATE: usize = 24;

/// After a record that found [`MAX_IMMEDIATE`] others in flight, this many further records linger too. The delivery
/// reports of a batch leave few records in flight for a moment: without this the next ones would go out one by one.
const LINGER_FOR: usize = 64;

/// Counts the records in flight.
#[derive(Default)]
pub(super) struct InFlightCounter {
    count: AtomicUsize,
    /// How many of the next records linger even if they find few in flight.
    linger_next: AtomicUsize,
}

/// One record in flight, until its outcome is known.
pub(super) struct InFlightRecord<'c>(&'c AtomicUsize);

impl Drop for InFlightRecord<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl InFlightCounter {
    /// Counts one more record, and chooses its batching. Threads may race here: then one record more or less lingers.
    pub(super) fn begin(&self) -> (InFlightRecord<'_>, Batching) {
        let others = self.count.fetch_add(1, Ordering::Relaxed);
        let before = self.linger_next.load(Ordering::Relaxed);
        let linger_next = if others < MAX_IMMEDIATE { before.saturating_sub(1) } else { LINGER_FOR };
        if linger_next != before {
            self.linger_next.store(linger_next, Ordering::Relaxed);
        }
        let batching = if linger_next > 0 { Batching::Lingering } else { Batching::Immediate };
        (InFlightRecord(&self.count), batching)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins this many records while none ends.
    fn begin(in_flight: &InFlightCounter, count: usize) -> (Vec<InFlightRecord<'_>>, Vec<Batching>) {
        (0..count).map(|_| in_flight.begin()).unzip()
    }

    #[test]
    fn few_records_are_sent_at_once_and_more_linger() {
        let in_flight = InFlightCounter::default();
        let (_counted, batchings) = begin(&in_flight, MAX_IMMEDIATE + 2);
        let (few, more) = batchings.split_at(MAX_IMMEDIATE);
        assert!(few.iter().all(|batching| *batching == Batching::Immediate));
        assert_eq!(more, [Batching::Lingering; 2]);
    }

    #[test]
    fn one_load_has_one_mode() {
        let in_flight = InFlightCounter::default();
        drop(begin(&in_flight, MAX_IMMEDIATE + 1));
        for _ in 0..10 {
            let (_counted, batchings) = begin(&in_flight, MAX_IMMEDIATE + 1);
            assert!(batchings.iter().all(|batching| *batching == Batching::Lingering), "from its first record");
        }
    }

    #[test]
    fn a_lone_sender_after_a_burst_is_soon_sent_at_once() {
        let in_flight = InFlightCounter::default();
        drop(begin(&in_flight, 100));
        let alone: Vec<_> = (0..LINGER_FOR).map(|_| in_flight.begin().1).collect();
        assert_eq!((alone[0], alone[LINGER_FOR - 1]), (Batching::Lingering, Batching::Immediate));
        assert_eq!(in_flight.count.load(Ordering::Relaxed), 0);
    }
}
