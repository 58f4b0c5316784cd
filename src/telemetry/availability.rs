//! Whether a broker or the journal stores now.

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
