//! Whether a broker or the journal stores now.

use std::ops::Deref;
use std::time::SystemTime;

/// Whether a broker or the journal stores now, and if not, why. `R` is the enum of its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability<R> {
    /// Stores everything.
    Up,
    /// Stores, but not everything.
    Degraded {
        /// Metric label and log field.
        reason: R,
        /// For people; may be empty.
        detail: String,
    },
    /// Stores nothing.
    Down {
        /// Metric label and log field.
        reason: R,
        /// For people; may be empty.
        detail: String,
    },
}

impl<R: Copy> Availability<R> {
    /// Stores, but not everything.
    pub fn degraded(reason: R) -> Self {
        Self::Degraded { reason, detail: String::new() }
    }

    /// Stores nothing.
    pub fn down(reason: R) -> Self {
        Self::Down { reason, detail: String::new() }
    }

    /// The same with words for people.
    #[must_use]
    pub fn because(self, detail: impl Into<String>) -> Self {
        match self {
            Self::Up => Self::Up,
            Self::Degraded { reason, .. } => Self::Degraded { reason, detail: detail.into() },
            Self::Down { reason, .. } => Self::Down { reason, detail: detail.into() },
        }
    }

    /// True if it stores now, if only in part.
    pub fn is_up(&self) -> bool {
        !matches!(self, Self::Down { .. })
    }

    /// Why it does not store everything. `None` means that it does.
    pub fn reason(&self) -> Option<R> {
        match self {
            Self::Up => None,
            Self::Degraded { reason, .. } | Self::Down { reason, .. } => Some(*reason),
        }
    }

    /// For people; may be empty.
    pub fn detail(&self) -> &str {
        match self {
            Self::Up => "",
            Self::Degraded { detail, .. } | Self::Down { detail, .. } => detail,
        }
    }
}

/// An availability, and since when it has been so for the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dated<R> {
    now: Availability<R>,
    since: SystemTime,
}

impl<R: Copy + PartialEq> Dated<R> {
    /// Now, and already since `since`.
    pub fn new(now: Availability<R>, since: SystemTime) -> Self {
        Self { now, since }
    }

    /// Returns whether anything changed. With other words for the same reason the time stays.
    pub fn set(&mut self, now: Availability<R>) -> bool {
        if (self.now.is_up(), self.now.reason()) != (now.is_up(), now.reason()) {
            self.since = SystemTime::now();
        }
        let changed = self.now != now;
        self.now = now;
        changed
    }

    /// Since when.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// The same with its reason as a label, and without words.
    pub fn labelled(&self) -> Dated<&'static str>
    where
        R: Into<&'static str>,
    {
        let now = match &self.now {
            Availability::Up => Availability::Up,
            Availability::Degraded { reason, .. } => Availability::degraded((*reason).into()),
            Availability::Down { reason, .. } => Availability::down((*reason).into()),
        };
        Dated { now, since: self.since }
    }
}

impl<R> Deref for Dated<R> {
    type Target = Availability<R>;

    fn deref(&self) -> &Availability<R> {
        &self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_changes_with_the_reason_and_not_with_the_words() {
        let down = || Availability::down("disconnected");
        let mut state = Dated::new(down(), SystemTime::UNIX_EPOCH);
        let began = state.since();
        assert!(!state.set(down()) && state.set(down().because("connection refused")));
        assert_eq!(state.since(), began);
        for next in [Availability::down("no_topic"), Availability::degraded("no_topic"), Availability::Up] {
            let before = state.since();
            assert!(state.set(next) && state.since() > before);
        }
    }
}
