//! The clock by which things are too old.
//!
//! A machine's clock may jump, and what was answered 200 must not be deleted because of that. One that goes ahead while
//! the bridge runs is believed once it has stood there for an hour; until then time goes on as it did. One that goes
//! back is believed at once: nothing is deleted early by that. At start it is compared with the last that came: one
//! that is further ahead must stand for an hour too, since nobody knows how long the bridge was at rest.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How far ahead of the time that passed a clock may be; one that is set by the network moves in small steps.
const STEP: Duration = Duration::from_secs(60);
/// How long one that is further ahead must stand there.
const STANDS: Duration = Duration::from_secs(3600);

/// Tells the time of day, and how much time has passed since some beginning.
pub(super) type Read = Arc<dyn Fn() -> (SystemTime, Duration) + Send + Sync>;

/// A clock that is not believed at once when it goes ahead.
pub(super) struct Clock {
    read: Read,
    /// What was believed last, and when.
    last: (SystemTime, Duration),
    /// Where it stood when it went ahead, and when that was.
    ahead: Option<(SystemTime, Duration)>,
}

impl Clock {
    pub(super) fn new(read: Read) -> Self {
        let last = read();
        Self { read, last, ahead: None }
    }

    /// One that goes on from the last that came, if anything did.
    pub(super) fn going_on(read: Read, last: Option<SystemTime>) -> Self {
        let mut clock = Self::new(read);
        clock.last.0 = last.map_or(clock.last.0, |last| last.min(clock.last.0));
        clock
    }

    /// That of this machine.
    pub(super) fn of_machine() -> Read {
        let begun = Instant::now();
        Arc::new(move || (SystemTime::now(), begun.elapsed()))
    }

    /// The time of day as this machine has it.
    pub(super) fn day(&self) -> SystemTime {
        (self.read)().0
    }

    /// The time by which things are too old.
    pub(super) fn now(&mut self) -> SystemTime {
        let (day, passed) = (self.read)();
        let is_ahead_of = |(at, since): (SystemTime, Duration)| day > at + passed.saturating_sub(since) + STEP;
        if is_ahead_of(self.last) {
            // one that goes ahead once more begins anew
            let since = self.ahead.filter(|ahead| !is_ahead_of(*ahead)).unwrap_or((day, passed));
            self.ahead = Some(since);
            if passed.saturating_sub(since.1) < STANDS {
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
    fn one_that_goes_ahead_is_believed_after_an_hour_and_one_that_goes_back_at_once() {
        let shown = Arc::new(Mutex::new((100 * HOUR, 0)));
        let secs = Duration::from_secs;
        let read = shown.clone();
        let mut clock = Clock::new(Arc::new(move || {
            let (day, passed) = *read.lock().unwrap();
            (SystemTime::UNIX_EPOCH + secs(day), secs(passed))
        }));
        for (day, passed, believed) in [
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
            assert_eq!(clock.now(), SystemTime::UNIX_EPOCH + secs(believed), "{day} after {passed}");
        }
    }

    #[test]
    fn at_a_start_one_that_is_ahead_of_the_last_that_came_is_believed_after_an_hour() {
        let at = |hours: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(hours * HOUR);
        for (last, believed) in [(Some(100), 100), (Some(900), 500), (None, 500)] {
            let passed = Arc::new(Mutex::new(0));
            let read = passed.clone();
            let read = move || {
                let passed = *read.lock().unwrap();
                (at(500 + passed), Duration::from_secs(passed * HOUR))
            };
            let mut clock = Clock::going_on(Arc::new(read), last.map(at));
            assert_eq!(clock.now(), at(believed), "{last:?}");
            *passed.lock().unwrap() = 1;
            assert_eq!(clock.now(), at(501), "{last:?}: it has stood there");
        }
    }
}
