//! Which dead letters were replayed.

use std::collections::{HashMap, HashSet};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Bodies, DlqHeaders, ParsedRecord, Source, parse_record};
use crate::message::Id;

/// Which dead letters were replayed: about 50 bytes for each that was, and none for the others.
#[derive(Debug, Default)]
pub struct ReplayMarkers(HashMap<Id, Replays>);

/// The replays of the dead letters with one id.
#[derive(Debug, Default)]
struct Replays {
    /// Unix milliseconds: covers the dead letters received until then.
    until: u64,
    times: u32,
    /// Whether this process made one of them.
    by_this_process: bool,
}

impl ReplayMarkers {
    /// Reads the markers of a source, or only those of these ids if there are any. Calls `progress` for each record with
    /// the records read and those there are.
    ///
    /// # Errors
    /// What is wrong with the source, and what to do.
    pub async fn read(
        source: &mut Source,
        ids: &HashSet<Id>,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Self, String> {
        let (mut markers, all, mut read) = (Self::default(), source.begin(Bodies::Skip).await?, 0);
        while let Some(record) = source.next().await? {
            read += 1;
            progress(read, all);
            if let ParsedRecord::ReplayMarker { id, until } = parse_record(record)
                && (ids.is_empty() || ids.contains(&id))
            {
                markers.add(id, until);
            }
        }
        Ok(markers)
    }

    /// How many times a dead letter with this id was replayed.
    pub fn times(&self, id: Id) -> u32 {
        self.0.get(&id).map_or(0, |replays| replays.times)
    }

    /// Whether this dead letter was replayed. One with the same bytes that was received later is another one.
    pub fn is_replayed(&self, headers: &DlqHeaders) -> bool {
        self.0.get(&headers.id).is_some_and(|replays| replays.until >= millis(headers.received))
    }

    /// Whether this process has replayed a dead letter with this id.
    pub fn replayed_here(&self, id: Id) -> bool {
        self.0.get(&id).is_some_and(|replays| replays.by_this_process)
    }

    /// Adds a marker that covers the dead letters with this id received until then.
    fn add(&mut self, id: Id, until: SystemTime) {
        let replays = self.0.entry(id).or_default();
        replays.until = replays.until.max(millis(until));
        replays.times = replays.times.saturating_add(1);
    }

    /// Adds a replay that this process made, with its marker.
    pub fn add_replay(&mut self, id: Id, until: SystemTime) {
        self.add(id, until);
        self.0.entry(id).or_default().by_this_process = true;
    }
}

fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
