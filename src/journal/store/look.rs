//! Looking at a journal beside whoever writes it, or before anybody does.

use super::super::{Config, OpenError, Outlook};
use super::directory::{self, Directory};
use super::room::Room;
use super::{queries, readable, tally, version};

/// See [`super::super::Journal::look_at`].
pub fn look_at(config: &Config) -> Result<Outlook, OpenError> {
    let there = directory::usable(&config.directory)?;
    let room = Room::of(config, Directory::beside(&config.directory));
    let running = tally::files(&config.directory).is_ok_and(|(_, running)| running);
    let log = if running { 0 } else { super::room::LOG.saturating_sub(room.directory.log_bytes()) };
    let aside = room.directory.lacks_reserve() + log;
    let free = directory::free(there).saturating_sub(aside);
    let path = room.directory.database();
    if !path.exists() {
        return Ok(Outlook { free, aside, owed: Default::default(), used: 0, room: room.of_nothing(free) });
    }
    let unusable = |source| room.unusable(source);
    let connection = readable(&path).map_err(unusable)?;
    let found = version(&room, &connection)?;
    let mut owed = <[u64; _]>::default();
    // a start that was cut off left it empty
    if found > 0 {
        let recovered = queries::recover(&connection, i64::MAX, 0).map_err(unusable)?;
        owed = recovered.owed.map(|lanes| lanes.iter().map(|lane| lane.records).sum());
        queries::name_and_next(&connection).map_err(unusable)?;
    }
    // a start brings the log into the database first
    let (used, room) = room.seen(&connection, free, running);
    Ok(Outlook { free, aside, owed, used, room })
}
