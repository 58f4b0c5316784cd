//! Queries. Each is one short transaction.

use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::super::counts::{Page, PageLimit, RecordId, SeqRange};
use super::super::record::{Lane, Record, time};
use super::super::{EventFilter, LaneBacklog, LaneBatch, Recovered};
use super::damage;
use super::rows::{COLUMNS, record};
use super::schema::{self, SHIFT};
use crate::message::{Broker, Brokers, Id};

/// The column with the lanes of a broker, and its bit of `owed` as the index has it.
pub(super) const fn of(broker: Broker) -> (&'static str, &'static str) {
    match broker {
        Broker::Kafka => ("kafka", "owed & 2"),
        Broker::Nats => ("nats", "owed & 4"),
    }
}

/// The name of a journal, and the next number of a record.
pub(super) fn name_and_next(connection: &Connection) -> Result<(String, i64)> {
    let name = connection.query_row("SELECT value FROM meta WHERE name = 'name'", [], |row| row.get(0))?;
    let reserved = connection.query_row("SELECT value FROM meta WHERE name = 'reserved'", [], |row| row.get(0));
    let reserved: i64 = reserved.optional()?.unwrap_or(1);
    let last: Option<i64> = connection.query_row("SELECT max(seq) FROM record", [], |row| row.get(0))?;
    Ok((name, reserved.max(last.unwrap_or(0) + 1)))
}

/// When the last record was received.
pub(super) fn last_received(connection: &Connection) -> Result<Option<SystemTime>> {
    let last = connection.query_row("SELECT received FROM record ORDER BY seq DESC LIMIT 1", [], |row| row.get(0));
    Ok(last.optional()?.map(time))
}

/// What a bridge must know at start: the backlogs, and the last `max_ids` ids of the dedup window since then (Unix
/// milliseconds).
pub(super) fn recover(connection: &Connection, since: i64, max_ids: usize) -> Result<Recovered> {
    let mut recovered = Recovered::default();
    for broker in Broker::ALL {
        recovered.backlog[broker] = backlog(connection, broker)?;
    }
    let journal_only = "SELECT count(*) FROM record WHERE owed = 0 AND reason IS NULL";
    recovered.journal_only = connection.query_row(journal_only, [], |row| row.get(0))?;
    // a journal of an earlier version, which is only looked at, has no table for them
    if schema::version(connection)? >= schema::VERSION {
        recovered.unreadable = damage::unreadable(connection)?;
    }
    let mut ids = connection.prepare("SELECT at, ids FROM seen WHERE at >= ?1 ORDER BY seq DESC")?;
    let mut rows = ids.query([since])?;
    while let Some(row) = rows.next()?
        && recovered.ids.len() < max_ids
    {
        let at = time(row.get(0)?);
        let entries: &[u8] = row.get_ref(1)?.as_blob()?;
        recovered.ids.extend(entries.as_chunks::<17>().0.iter().rev().map(|entry| id_of(at, entry)));
    }
    recovered.ids.reverse();
    let stream = "SELECT value FROM meta WHERE name = 'stream'";
    recovered.stream = connection.query_row(stream, [], |row| row.get(0)).optional()?;
    Ok(recovered)
}

fn id_of(at: SystemTime, entry: &[u8; 17]) -> (SystemTime, Id, Brokers) {
    let [id @ .., by] = entry;
    (at, Id::from(u128::from_be_bytes(*id)), Brokers::from_bits(*by))
}

/// The backlog of a broker, by lane.
pub(super) fn backlog(connection: &Connection, broker: Broker) -> Result<Vec<LaneBacklog>> {
    let (lane, bit) = of(broker);
    let count = format!("SELECT {lane}, count(*), min(seq) FROM record WHERE {bit} GROUP BY {lane}");
    let mut received = connection.prepare("SELECT received FROM record WHERE seq = ?1")?;
    let mut count = connection.prepare(&count)?;
    let lanes = count.query_map([], |row| {
        let (lane, records, first) = (Lane(row.get(0)?), row.get(1)?, row.get::<_, i64>(2)?);
        let since = received.query_row([first], |row| row.get(0))?;
        Ok(LaneBacklog { lane, records, since: time(since) })
    })?;
    lanes.collect()
}

/// Whether a broker has not acked all records of a lane.
pub(super) fn has_backlog(connection: &Connection, broker: Broker, lane: Lane) -> Result<bool> {
    let (column, bit) = of(broker);
    let select = format!("SELECT EXISTS (SELECT 1 FROM record WHERE {bit} AND {column} = ?1)");
    connection.prepare_cached(&select)?.query_row([lane.0], |row| row.get(0))
}

/// Whether every broker has acked everything.
pub(super) fn is_drained(connection: &Connection) -> Result<bool> {
    let backlogs = Broker::ALL.map(|broker| format!("EXISTS (SELECT 1 FROM record WHERE {})", of(broker).1));
    connection.query_row(&format!("SELECT NOT ({})", backlogs.join(" OR ")), [], |row| row.get(0))
}

/// The first records of a lane, in order, that have this many bytes together.
pub(super) fn batch(connection: &Connection, broker: Broker, lane: Lane, max_bytes: usize) -> Result<LaneBatch> {
    let (column, bit) = of(broker);
    let select = format!("SELECT {COLUMNS}, length(body) FROM record WHERE {bit} AND {column} = ?1 ORDER BY seq");
    let mut select = connection.prepare_cached(&select)?;
    let mut rows = select.query([lane.0])?;
    let (mut records, mut bytes) = (Vec::new(), 0_usize);
    while let Some(row) = rows.next()? {
        let length: usize = row.get("length(body)")?;
        bytes = bytes.saturating_add(length).saturating_add(1024);
        if bytes > max_bytes && records.is_empty() {
            return Ok(LaneBatch::TooLarge(length + 1024));
        }
        if bytes > max_bytes {
            break;
        }
        records.push(record(row)?);
    }
    Ok(LaneBatch::Records(records))
}

/// The record with this sequence number.
pub(super) fn by_number(connection: &Connection, seq: i64) -> Result<Option<Record>> {
    let mut select = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM record WHERE seq = ?1"))?;
    select.query_row([seq], record).optional()
}

/// The records after this number that match, in order. More may match beyond the limit.
pub(super) fn page(connection: &Connection, filter: &EventFilter, after: i64, limit: PageLimit) -> Result<Page> {
    let select = format!("SELECT {COLUMNS} FROM record WHERE seq > ?1 ORDER BY seq LIMIT ?2");
    let mut select = connection.prepare_cached(&select)?;
    let mut rows = select.query(params![after, limit.records])?;
    let mut page = Page { through: after, ..Page::default() };
    let (mut examined, mut bytes) = (0, 0);
    while let Some(row) = rows.next()? {
        let record = record(row)?;
        page.through = record.seq;
        examined += 1;
        if filter.matches(&record) {
            bytes += record.message.body.len();
            page.records.push(record);
        }
        if bytes >= limit.bytes {
            return Ok(page);
        }
    }
    page.at_end = examined < limit.records;
    Ok(page)
}

/// How many dead letters are for the journal alone.
pub(super) fn count_dead_letters(connection: &Connection) -> Result<u64> {
    connection.query_row("SELECT count(*) FROM record WHERE owed = 0 AND reason IS NOT NULL", [], |row| row.get(0))
}

/// The first and the last sequence number.
pub(super) fn range(connection: &Connection) -> Result<Option<SeqRange>> {
    // one query with both would read the whole table
    let bounds = "SELECT (SELECT min(seq) FROM record), (SELECT max(seq) FROM record)";
    let (first, last) = match connection.query_row(bounds, [], |row| Ok((row.get(0)?, row.get(1)?))) {
        Err(error) if damage::is_damage(&error) => damage::range(connection)?,
        bounds => bounds?,
    };
    Ok(Option::zip(first, last).map(|(first, last)| SeqRange { first, last }))
}

/// Identities of records after a number, some at a time.
pub(super) fn ids_after(connection: &Connection, after: i64) -> Result<Vec<RecordId>> {
    let mut select = connection.prepare_cached(
        "SELECT seq, id, owed, rest ->> 'again' IS NOT NULL FROM record WHERE seq > ?1 ORDER BY seq LIMIT 5000",
    )?;
    let rows = select.query_map([after], |row| {
        let pending = Brokers::from_bits(row.get::<_, u8>(2)? >> SHIFT);
        let id = Id::from(u128::from_be_bytes(row.get(1)?));
        Ok(RecordId { seq: row.get(0)?, id, pending, is_replay: row.get(3)? })
    })?;
    rows.collect()
}
