//! Whether the stream is still the one that was inspected.
//!
//! A stream numbers its messages, each higher than those before. A stream that was deleted and created again begins from
//! the start, and may lose what it acknowledges: until it has been inspected, its acks do not mean stored.

use super::ack::Ack;
use crate::brokers::{Fault, FaultReason};

/// The highest sequence number seen in acks and inspections, and whether the stream may have been recreated.
#[derive(Debug, Default)]
pub(super) struct StreamContinuity {
    last_sequence: u64,
    /// How often the stream became suspect.
    suspicions: u64,
    /// True since the stream counted backwards or was said to have changed, until it has been inspected.
    suspect: bool,
}

/// What was known of the stream when an inspection began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checkpoint {
    last_sequence: u64,
    suspicions: u64,
}

impl StreamContinuity {
    /// The highest sequence number known. A message that is sent now gets a higher one.
    pub(super) fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Accepts the ack of a message that was sent when `floor` was the last sequence number known.
    ///
    /// # Errors
    /// The stream must be inspected before its acks mean stored.
    pub(super) fn accept(&mut self, ack: Ack, floor: u64) -> Result<(), Fault> {
        // the ack of a repeat has the number of the first
        if ack.seq <= floor && !ack.duplicate && !self.suspect {
            self.suspect();
        }
        if self.suspect {
            return Err(Fault::maybe_stored(
                FaultReason::NotInspected,
                "the stream was changed or created again and must be inspected first",
            ));
        }
        self.last_sequence = self.last_sequence.max(ack.seq);
        Ok(())
    }

    /// The stream may be another one: no ack counts until it has been inspected.
    pub(super) fn suspect(&mut self) {
        self.suspicions += 1;
        self.suspect = true;
    }

    /// True if no ack counts until the stream has been inspected.
    pub(super) fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// What is known now, for an inspection that begins.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint { last_sequence: self.last_sequence, suspicions: self.suspicions }
    }

    /// True if the stream has acked anything new since, or became suspect.
    pub(super) fn changed_since(&self, before: Checkpoint) -> bool {
        self.checkpoint() != before
    }

    /// An inspection that began at `before` found the stream safe, and its last sequence number.
    pub(super) fn verified(&mut self, before: Checkpoint, last_sequence: u64) {
        if self.suspect && before.suspicions == self.suspicions {
            self.suspect = false;
            self.last_sequence = last_sequence;
        }
        self.last_sequence = self.last_sequence.max(last_sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(seq: u64) -> Ack {
        Ack { seq, duplicate: false }
    }

    #[test]
    fn acks_may_overtake_each_other() {
        let mut stream = StreamContinuity::default();
        let floor = stream.last_sequence();
        assert_eq!([7, 5, 6].map(|seq| stream.accept(ack(seq), floor)), [Ok(()), Ok(()), Ok(())]);
        assert_eq!(stream.accept(Ack { seq: 2, duplicate: true }, stream.last_sequence()), Ok(()), "stored before");
        assert_eq!(stream.accept(ack(8), stream.last_sequence()), Ok(()));
    }

    #[test]
    fn acks_of_a_recreated_stream_count_only_after_an_inspection() {
        let mut stream = StreamContinuity::default();
        let first = stream.checkpoint();
        stream.verified(first, 7);
        let floor = stream.last_sequence();
        assert_eq!(stream.accept(ack(7), floor).unwrap_err().reason, FaultReason::NotInspected);
        let repeat = |seq| Ack { seq, duplicate: true };
        assert!(stream.accept(repeat(7), floor).is_err(), "the repeat of a message that may be lost");
        assert!(stream.accept(ack(8), floor).is_err());
        stream.verified(first, 8);
        assert!(stream.accept(ack(9), floor).is_err(), "that inspection found the earlier stream");
        stream.verified(stream.checkpoint(), 2);
        assert_eq!(stream.accept(repeat(2), stream.last_sequence()), Ok(()));
        assert_eq!(stream.accept(ack(3), stream.last_sequence()), Ok(()));
        assert!(stream.accept(ack(3), stream.last_sequence()).is_err());
    }
}
