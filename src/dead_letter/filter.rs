//! Which dead letters a command asks for.

use std::collections::HashSet;
use std::time::SystemTime;

use super::DlqHeaders;
use crate::message::{Id, Reason};

/// The dead letters that a command asks for. A field that is empty or not set matches every one.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterFilter {
    /// Only those with one of these ids.
    pub ids: HashSet<Id>,
    /// Only those with one of these reasons.
    pub reasons: Vec<Reason>,
    /// Only those of this instance.
    pub instance: Option<u64>,
    /// Only those received then or later.
    pub since: Option<SystemTime>,
}

impl DeadLetterFilter {
    /// Whether the command asks for this dead letter.
    pub fn matches(&self, letter: &DlqHeaders) -> bool {
        (self.ids.is_empty() || self.ids.contains(&letter.id))
            && (self.reasons.is_empty() || self.reasons.iter().any(|reason| reason.as_str() == letter.reason))
            && self.instance.is_none_or(|instance| letter.instance == Some(instance))
            && self.since.is_none_or(|since| letter.received >= since)
    }
}

/// Reads an id as `dead-letter list` shows it.
///
/// # Errors
/// What an id looks like.
pub fn parse_id(text: &str) -> Result<Id, &'static str> {
    super::record::id(text).ok_or("an id has 32 digits, 0-9 and a-f, as `greenapi-bridge dead-letter list` shows it")
}
