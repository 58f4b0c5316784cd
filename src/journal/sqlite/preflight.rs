//! Inspecting a journal beside the process that writes it, or before a bridge starts with it.

use super::super::{Config, OpenError, Preflight};
use super::capacity::{Capacity, WAL_BYTES};
use super::directory::{self, Directory};
use super::{queries, readable, totals, version};
use crate::message::PerBroker;

/// See [`super::super::Journal::preflight`].
pub(super) fn preflight(config: &Config) -> Result<Preflight, OpenError> {
    let there = directory::usable(&config.directory)?;
    let capacity = Capacity::of(config, Directory::without_lock(&config.directory));
    let in_use = totals::files(&config.directory).is_ok_and(|files| files.in_use);
    let log = if in_use { 0 } else { WAL_BYTES.saturating_sub(capacity.directory.wal_bytes()) };
    let reserved = capacity.directory.missing_reserve() + log;
    let free = directory::free(there).saturating_sub(reserved);
    let path = capacity.directory.database();
    // a folder that does not exist yet has none: the start makes it
    let risks = directory::risks(there).into_iter().filter(|_| there == config.directory).collect();
    if !path.exists() {
        let accepts = capacity.empty_accepts(free);
        let (backlog, unreadable) = (Default::default(), Vec::new());
        let stream = None;
        return Ok(Preflight { free, reserved, risks, backlog, stream, journal_only: 0, unreadable, used: 0, accepts });
    }
    let unusable = |source| capacity.unusable(source);
    let connection = readable(&path).map_err(unusable)?;
    let found = version(&capacity, &connection)?;
    let (mut backlog, mut stream, mut journal_only, mut unreadable) = (PerBroker::default(), None, 0, Vec::new());
    // a start that was cut off left it empty
    if found > 0 {
        let recovered = queries::recover(&connection, i64::MAX, 0).map_err(unusable)?;
        backlog = recovered.backlog.map(|lanes| lanes.iter().map(|lane| lane.records).sum());
        stream = recovered.stream;
        journal_only = recovered.journal_only;
        unreadable = recovered.unreadable;
        queries::name_and_next(&connection).map_err(unusable)?;
    }
    // a start checkpoints the WAL first
    let (used, accepts) = capacity.inspect(&connection, free, in_use);
    Ok(Preflight { free, reserved, risks, backlog, stream, journal_only, unreadable, used, accepts })
}
