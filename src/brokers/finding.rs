//! The findings of `check`, in the same form for every broker.

use serde::Serialize;

/// One finding: a line of `check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The verdict.
    pub verdict: Verdict,
    /// What was audited, in a word or two.
    pub about: &'static str,
    /// What was found.
    pub found: String,
    /// What to do. Empty means nothing.
    pub remedy: String,
}

/// Whether what was audited is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// Worth knowing: what could not be found out, or what the operator has chosen. The bridge works with it.
    Note,
    /// Notifications are refused, or could be lost.
    Wrong,
}

impl Verdict {
    /// The mark in front of the line.
    pub const fn mark(self) -> char {
        match self {
            Self::Fine => '✓',
            Self::Note => '!',
            Self::Wrong => '✗',
        }
    }
}

impl Finding {
    /// A finding that is as it should be.
    pub fn fine(about: &'static str, found: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fine, about, found: found.into(), remedy: String::new() }
    }

    /// A finding that is worth knowing.
    pub fn note(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Note, about, found: found.into(), remedy: remedy.into() }
    }

    /// A finding that must be corrected.
    pub fn wrong(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Wrong, about, found: found.into(), remedy: remedy.into() }
    }
}
