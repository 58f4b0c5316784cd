//! The clock that decides what is too old.
//!
//! A machine's clock may jump, and what was answered 200 must not be deleted because of that. A clock that jumps ahead
//! while the bridge runs is trusted after an hour; until then time passes as before. A clock that jumps back is
//! trusted at once: that deletes nothing early. At start the clock is compared with the last record: if it is far
//! ahead of it, it is trusted after an hour too, since the bridge cannot know how long it did not run.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How far a clock may be ahead of the time that passed: the network sets clocks in small steps.
const STEP: Duration = Duration::from_secs(60);
/// How long a clock that is further ahead is not trusted.
const ACCEPT_CLOCK_JUMP_AFTER: Duration = Duration::from_secs(3600);

/// Returns the time of day, and how much time has passed since some beginning.
pub(super) type Read = Arc<dyn Fn() -> (SystemTime, Duration) + Send + Sync>;

/// A clock that is not trusted at once when it jumps ahead.
pub(super) struct Clock {
    read: Read,
    /// The last time of day that was trusted, and when.
    last: (SystemTime, Duration),
    /// The time of day to which it jumped ahead, and when.
    ahead: Option<(SystemTime, Duration)>,
}

impl Clock {
    pub(super) fn new(read: Read) -> Self {
        let last = read();
        Self { read, last, ahead: None }
    }

    /// A clock that continues from when the last record was received, if there is one.
    pub(super) fn continuing(read: Read, last: Option<SystemTime>) -> Self {
        let mut clock = Self::new(read);
        clock.last.0 = last.map_or(clock.last.0, |last| last.min(clock.last.0));
        clock
    }

    /// The clock of this machine.
    pub(super) fn of_machine() -> Read {
        let begun = Instant::now();
        Arc::new(move || (SystemTime::now(), begun.elapsed()))
    }

    /// The time of day of this machine, trusted or not.
    pub(super) fn machine_time(&self) -> SystemTime {
        (self.read)().0
    }

    /// The time that decides what is too old.
    pub(super) fn now(&mut self) -> SystemTime {
        let (day, passed) = (self.read)();
        let is_ahead_of = |(at, since): (SystemTime, Duration)| day > at + passed.saturating_sub(since) + STEP;
        if is_ahead_of(self.last) {
            // a second jump ahead starts the hour again
            let since = self.ahead.filter(|ahead| !is_ahead_of(*ahead)).unwrap_or((day, passed));
            self.ahead = Some(since);
            if passed.saturating_sub(since.1) < ACCEPT_CLOCK_JUMP_AFTER {
                return self.last.0 + passed.saturating_sub(self.last.1);
            }
        }
        (self.last, self.ahead) = ((day, passed), None);
        day
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const HOUR: u64 = 3600;

    #[test]
    fn a_jump_ahead_is_believed_after_an_hour_and_a_jump_back_at_once() {
        let shown = Arc::new(Mutex::new((100 * HOUR, 0)));
        let secs = Duration::from_secs;
        let read = shown.clone();
        let mut clock = Clock::new(Arc::new(move || {
            let (day, passed) = *read.lock().unwrap();
            (SystemTime::UNIX_EPOCH + secs(day), secs(passed))
        }));
        for (day, passed, trusted) in [
            (100 * HOUR + 1, 1, 100 * HOUR + 1),
            // a little faster than time
            (100 * HOUR + 50, 2, 100 * HOUR + 50),
            // years ahead, and back within the hour
            (90_000 * HOUR, 10, 100 * HOUR + 58),
            (90_000 * HOUR + HOUR / 2, 10 + HOUR / 2, 100 * HOUR + 58 + HOUR / 2),
            (101 * HOUR, HOUR, 101 * HOUR),
            // ahead, and it stays
            (90_000 * HOUR, HOUR + 1, 101 * HOUR + 1),
            (90_001 * HOUR - 1, 2 * HOUR, 102 * HOUR),
            (90_001 * HOUR, 2 * HOUR + 1, 90_001 * HOUR),
            // ahead a little, and then far
            (90_001 * HOUR + HOUR / 4, 2 * HOUR + 1 + HOUR / 8, 90_001 * HOUR + HOUR / 8),
            (95_000 * HOUR, 3 * HOUR, 90_001 * HOUR + HOUR - 1),
            (95_000 * HOUR + HOUR / 2, 3 * HOUR + HOUR / 2, 90_001 * HOUR + HOUR * 3 / 2 - 1),
            (95_001 * HOUR, 4 * HOUR, 95_001 * HOUR),
            // back
            (50 * HOUR, 4 * HOUR + 2, 50 * HOUR),
            (50 * HOUR + 1, 4 * HOUR + 3, 50 * HOUR + 1),
        ] {
            *shown.lock().unwrap() = (day, passed);
            assert_eq!(clock.now(), SystemTime::UNIX_EPOCH + secs(trusted), "{day} after {passed}");
        }
    }

    #[test]
    fn at_start_a_clock_ahead_of_the_last_record_is_believed_after_an_hour() {
        let at = |hours: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(hours * HOUR);
        for (last, trusted) in [(Some(100), 100), (Some(900), 500), (None, 500)] {
            let passed = Arc::new(Mutex::new(0));
            let read = passed.clone();
            let read = move || {
                let passed = *read.lock().unwrap();
                (at(500 + passed), Duration::from_secs(passed * HOUR))
            };
            let mut clock = Clock::continuing(Arc::new(read), last.map(at));
            assert_eq!(clock.now(), at(trusted), "{last:?}");
            *passed.lock().unwrap() = 1;
            assert_eq!(clock.now(), at(501), "{last:?}: an hour has passed");
        }
    }
}
