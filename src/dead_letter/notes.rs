//! What was replayed before.

use std::collections::{HashMap, HashSet};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Head, Record, Source, read};
use crate::message::Id;

/// Which letters were replayed: about 50 bytes for each that was, and none for the others.
#[derive(Debug, Default)]
pub struct Notes(HashMap<Id, Noted>);

#[derive(Debug, Default)]
struct Noted {
    /// Unix milliseconds: what was received until then is meant.
    until: u64,
    times: u32,
    /// Whether it was noted by this process, not read.
    here: bool,
}

impl Notes {
    /// Reads every note of a source; only those of these ids, if any are given. `each` is told of every record.
    ///
    /// # Errors
    /// What is wrong with the source, and the remedy.
    pub async fn gather(
        source: &mut Source,
        ids: &HashSet<Id>,
        mut each: impl FnMut(u64, u64),
    ) -> Result<Self, String> {
        let (mut notes, all, mut seen) = (Self::default(), source.begin(false).await?, 0);
        while let Some(letter) = source.next().await? {
            seen += 1;
            each(seen, all);
            if let Record::Note(id, until) = read(letter)
                && (ids.is_empty() || ids.contains(&id))
            {
                notes.enter(id, until, false);
            }
        }
        Ok(notes)
    }

    /// How many times what has this id was replayed.
    pub fn times(&self, id: Id) -> u32 {
        self.0.get(&id).map_or(0, |noted| noted.times)
    }

    /// Whether this letter was replayed. One of the same bytes that was received later is another one.
    pub fn has(&self, head: &Head) -> bool {
        self.0.get(&head.id).is_some_and(|noted| noted.until >= millis(head.received))
    }

    /// Whether this process has replayed it.
    pub fn has_here(&self, id: Id) -> bool {
        self.0.get(&id).is_some_and(|noted| noted.here)
    }

    /// One more was replayed.
    pub fn enter(&mut self, id: Id, until: SystemTime, here: bool) {
        let noted = self.0.entry(id).or_default();
        noted.until = noted.until.max(millis(until));
        noted.times = noted.times.saturating_add(1);
        noted.here |= here;
    }
}

fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
