//! Which dead letters are meant.

use std::collections::HashSet;
use std::time::SystemTime;

use super::Head;
use crate::message::{Id, Reason};

/// Which dead letters are meant: those that have everything that is asked for.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only these; all if there is none.
    pub ids: HashSet<Id>,
    /// Only for these reasons; for all if there is none.
    pub reasons: Vec<Reason>,
    /// Only of this instance.
    pub instance: Option<u64>,
    /// Only those received then or later.
    pub since: Option<SystemTime>,
}

impl Selection {
    /// Whether this one is.
    pub fn has(&self, head: &Head) -> bool {
        (self.ids.is_empty() || self.ids.contains(&head.id))
            && (self.reasons.is_empty() || self.reasons.iter().any(|reason| reason.as_str() == head.reason))
            && self.instance.is_none_or(|instance| head.instance == Some(instance))
            && self.since.is_none_or(|since| head.received >= since)
    }
}

/// An id as `list` shows it.
///
/// # Errors
/// What an id looks like.
pub fn read_id(text: &str) -> Result<Id, &'static str> {
    super::record::id(text).ok_or("an id has 32 digits, 0-9 and a-f, as `greenapi-bridge dead-letter list` shows it")
}
