//! What `check` found out, in the same form for every broker.

use serde::Serialize;

/// One line of `check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it is.
    pub verdict: Verdict,
    /// What was looked at, in a word or two.
    pub about: &'static str,
    /// What was found.
    pub found: String,
    /// What to do; empty where nothing is to be done.
    pub remedy: String,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// Worth knowing, and no reason not to go on: what cannot be asked, or what the operator has chosen.
    Note,
    /// Notifications are refused, or could be lost.
    Wrong,
}

impl Verdict {
    /// The mark in front of a line.
    pub const fn mark(self) -> char {
        match self {
            Self::Fine => '✓',
            Self::Note => '!',
            Self::Wrong => '✗',
        }
    }
}

impl Finding {
    /// Something that is as it should be.
    pub fn fine(about: &'static str, found: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fine, about, found: found.into(), remedy: String::new() }
    }

    /// Something worth knowing.
    pub fn note(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Note, about, found: found.into(), remedy: remedy.into() }
    }

    /// Something that must be put right.
    pub fn wrong(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Wrong, about, found: found.into(), remedy: remedy.into() }
    }
}
