//! The numbers a stream gives to messages: each greater than those before. One that was deleted and made anew begins
//! again, and may keep nothing: until it has been looked at, its reports do not mean stored.

use super::ack::Ack;
use crate::brokers::Fault;

/// How far the stream has counted, as far as it has told.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    highest: u64,
    /// How often it has counted backwards, or has said that it was changed.
    doubts: u64,
    /// Whether it has done so since it was last looked at.
    doubted: bool,
}

/// What had been told when a look began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Before {
    highest: u64,
    doubts: u64,
}

impl Sequence {
    /// A message sent from now on gets a greater number than this.
    pub(super) fn floor(&self) -> u64 {
        self.highest
    }

    /// Whether a report on a message that was sent at this floor means stored.
    pub(super) fn take(&mut self, ack: Ack, floor: u64) -> Result<(), Fault> {
        // a repeat is told the number of the first
        if ack.seq <= floor && !ack.duplicate && !self.doubted {
            self.doubt();
        }
        if self.doubted {
            return Err(Fault::unknown(
                "not_inspected",
                "the stream was changed or made anew and must be looked at first",
            ));
        }
        self.highest = self.highest.max(ack.seq);
        Ok(())
    }

    /// It may be another stream: it must be looked at before a report means anything.
    pub(super) fn doubt(&mut self) {
        self.doubts += 1;
        self.doubted = true;
    }

    /// Whether it must be looked at before a report means anything.
    pub(super) fn doubted(&self) -> bool {
        self.doubted
    }

    pub(super) fn now(&self) -> Before {
        Before { highest: self.highest, doubts: self.doubts }
    }

    /// Whether the stream has reported anything new since.
    pub(super) fn went_on_since(&self, before: Before) -> bool {
        self.now() != before
    }

    /// A look that began with this has found the stream safe, and `last` its last number.
    pub(super) fn trust(&mut self, before: Before, last: u64) {
        if self.doubted && before.doubts == self.doubts {
            self.doubted = false;
            self.highest = last;
        }
        self.highest = self.highest.max(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(seq: u64) -> Ack {
        Ack { seq, duplicate: false }
    }

    #[test]
    fn reports_may_overtake_each_other() {
        let mut sequence = Sequence::default();
        let floor = sequence.floor();
        assert_eq!([7, 5, 6].map(|seq| sequence.take(ack(seq), floor)), [Ok(()), Ok(()), Ok(())]);
        assert_eq!(sequence.take(Ack { seq: 2, duplicate: true }, sequence.floor()), Ok(()), "stored before");
        assert_eq!(sequence.take(ack(8), sequence.floor()), Ok(()));
    }

    #[test]
    fn a_stream_that_counts_anew_is_not_believed_until_it_was_looked_at() {
        let mut sequence = Sequence::default();
        let looked_before = sequence.now();
        sequence.trust(looked_before, 7);
        let floor = sequence.floor();
        assert_eq!(sequence.take(ack(7), floor).unwrap_err().reason, "not_inspected");
        let repeated = |seq| Ack { seq, duplicate: true };
        assert!(sequence.take(repeated(7), floor).is_err(), "the repeat of what nobody may keep");
        assert!(sequence.take(ack(8), floor).is_err());
        sequence.trust(looked_before, 8);
        assert!(sequence.take(ack(9), floor).is_err(), "that look saw the stream before");
        sequence.trust(sequence.now(), 2);
        assert_eq!(sequence.take(repeated(2), sequence.floor()), Ok(()));
        assert_eq!(sequence.take(ack(3), sequence.floor()), Ok(()));
        assert!(sequence.take(ack(3), sequence.floor()).is_err());
    }
}
