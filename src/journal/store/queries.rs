//! What is asked of a journal. Each is one short transaction.

use std::borrow::Cow;
use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, Result, Row, params, types};

use super::super::record::{Columns, Lane, Record, millis, time};
use super::super::{Batch, Owed, Recovered};
use super::schema::SHIFT;
use crate::message::{Broker, Brokers, Id};

/// The columns of a record, in the order [`record`] reads them.
pub(super) const COLUMNS: &str = "seq, owed, unknown, id, received, instance, class, reason, rest, body";

/// The column with the lanes of a broker, and its bit of `owed` as it stands in the index.
pub(super) const fn of(broker: Broker) -> (&'static str, &'static str) {
    match broker {
        Broker::Kafka => ("kafka", "owed & 2"),
        Broker::Nats => ("nats", "owed & 4"),
    }
}

/// The name of a journal, and the next number of a record.
pub fn name_and_next(connection: &Connection) -> Result<(String, i64)> {
    let name = connection.query_row("SELECT value FROM meta WHERE name = 'name'", [], |row| row.get(0))?;
    let reserved = connection.query_row("SELECT value FROM meta WHERE name = 'reserved'", [], |row| row.get(0));
    let reserved: i64 = reserved.optional()?.unwrap_or(1);
    let last: Option<i64> = connection.query_row("SELECT max(seq) FROM record", [], |row| row.get(0))?;
    Ok((name, reserved.max(last.unwrap_or(0) + 1)))
}

/// When the last record came.
pub(super) fn last_came(connection: &Connection) -> Result<Option<SystemTime>> {
    let last = connection.query_row("SELECT received FROM record ORDER BY seq DESC LIMIT 1", [], |row| row.get(0));
    Ok(last.optional()?.map(time))
}

/// What a bridge must know of it at start: what is owed, and the last `most` ids that were seen since then (Unix
/// milliseconds).
pub(super) fn recover(connection: &Connection, since: i64, most: usize) -> Result<Recovered> {
    let mut recovered = Recovered::default();
    for broker in Broker::ALL {
        recovered.owed[broker as usize] = owed(connection, broker)?;
    }
    let mut seen = connection.prepare("SELECT at, ids FROM seen WHERE at >= ?1 ORDER BY seq DESC")?;
    let mut rows = seen.query([since])?;
    while let Some(row) = rows.next()?
        && recovered.seen.len() < most
    {
        let at = time(row.get(0)?);
        let ids: &[u8] = row.get_ref(1)?.as_blob()?;
        recovered.seen.extend(ids.as_chunks::<17>().0.iter().rev().map(|entry| seen_of(at, entry)));
    }
    recovered.seen.reverse();
    let stream = "SELECT value FROM meta WHERE name = 'stream'";
    recovered.stream = connection.query_row(stream, [], |row| row.get(0)).optional()?;
    Ok(recovered)
}

fn seen_of(at: SystemTime, entry: &[u8; 17]) -> (SystemTime, Id, Brokers) {
    let [id @ .., by] = entry;
    (at, Id::from(u128::from_be_bytes(*id)), Brokers::from_bits(*by))
}

/// What is owed to a broker, by lanes.
pub fn owed(connection: &Connection, broker: Broker) -> Result<Vec<Owed>> {
    let (lane, bit) = of(broker);
    let count = format!("SELECT {lane}, count(*), min(seq) FROM record WHERE {bit} GROUP BY {lane}");
    let mut received = connection.prepare("SELECT received FROM record WHERE seq = ?1")?;
    let mut count = connection.prepare(&count)?;
    let lanes = count.query_map([], |row| {
        let (lane, records, first) = (Lane(row.get(0)?), row.get(1)?, row.get::<_, i64>(2)?);
        let since = received.query_row([first], |row| row.get(0))?;
        Ok(Owed { lane, records, since: time(since) })
    })?;
    lanes.collect()
}

/// Whether anything is owed in a lane of a broker.
pub fn owes(connection: &Connection, broker: Broker, lane: Lane) -> Result<bool> {
    let (column, bit) = of(broker);
    let select = format!("SELECT EXISTS (SELECT 1 FROM record WHERE {bit} AND {column} = ?1)");
    connection.prepare_cached(&select)?.query_row([lane.0], |row| row.get(0))
}

/// Whether no broker is owed anything.
pub fn owes_nothing(connection: &Connection) -> Result<bool> {
    let owes = Broker::ALL.map(|broker| format!("EXISTS (SELECT 1 FROM record WHERE {})", of(broker).1));
    connection.query_row(&format!("SELECT NOT ({})", owes.join(" OR ")), [], |row| row.get(0))
}

/// The first records of a lane, in order, that have so many bytes together.
pub fn batch(connection: &Connection, broker: Broker, lane: Lane, most: usize) -> Result<Batch> {
    let (column, bit) = of(broker);
    let select = format!("SELECT {COLUMNS}, length(body) FROM record WHERE {bit} AND {column} = ?1 ORDER BY seq");
    let mut select = connection.prepare_cached(&select)?;
    let mut rows = select.query([lane.0])?;
    let (mut records, mut bytes) = (Vec::new(), 0_usize);
    while let Some(row) = rows.next()? {
        let length: usize = row.get("length(body)")?;
        bytes = bytes.saturating_add(length).saturating_add(1024);
        if bytes > most && records.is_empty() {
            return Ok(Batch::Large(length + 1024));
        }
        if bytes > most {
            break;
        }
        records.push(record(row)?);
    }
    Ok(Batch::Records(records))
}

/// A record, of the columns in [`COLUMNS`].
pub(super) fn record(row: &Row<'_>) -> Result<Record> {
    let text = |place| row.get::<_, Option<String>>(place).map(|text| text.map(Cow::Owned));
    let columns = Columns {
        id: row.get(3)?,
        received: row.get(4)?,
        instance: row.get(5)?,
        class: text(6)?,
        reason: text(7)?,
        rest: row.get(8)?,
    };
    let message = columns.message(row.get(9)?);
    let message =
        message.map_err(|error| rusqlite::Error::FromSqlConversionFailure(8, types::Type::Text, Box::new(error)))?;
    let bits = |place| row.get::<_, u8>(place).map(|bits| Brokers::from_bits(bits >> SHIFT));
    Ok(Record { seq: row.get(0)?, message, owed: bits(1)?, unknown: bits(2)? })
}

/// One record.
pub fn by_number(connection: &Connection, seq: i64) -> Result<Option<Record>> {
    let mut select = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM record WHERE seq = ?1"))?;
    select.query_row([seq], record).optional()
}

/// Which records are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of these classes; none: of all.
    pub classes: Vec<String>,
    /// Only of these instances; none: of all.
    pub instances: Vec<u64>,
    /// Only of these types, as in `ce_type` without its prefix; none: of all.
    pub types: Vec<String>,
    /// Only dead letters, or none of them.
    pub dead_letters: bool,
}

impl Filter {
    /// Whether a record is asked for.
    pub fn takes(&self, record: &Record) -> bool {
        let event = &record.message.event;
        let class = || event.class.as_deref().is_some_and(|class| self.classes.iter().any(|one| one == class));
        let kind = || event.kind.as_deref().is_some_and(|kind| self.types.iter().any(|one| one == kind));
        self.dead_letters == record.message.dead_letter.is_some()
            && (self.classes.is_empty() || class())
            && (self.instances.is_empty() || event.instance.is_some_and(|one| self.instances.contains(&one)))
            && (self.types.is_empty() || kind())
    }
}

/// What was read of all records: those that were asked for, and the last number that was looked at.
#[derive(Debug, Default)]
pub struct Page {
    /// Those that were asked for.
    pub records: Vec<Record>,
    /// Where to go on.
    pub last: i64,
    /// Whether there was nothing more.
    pub end: bool,
}

/// The records after this number, in order; looks at so many at most, and stops when it has so many bytes. What is
/// asked for may be further on.
pub fn page(connection: &Connection, filter: &Filter, after: i64, most: usize, bytes: usize) -> Result<Page> {
    let select = format!("SELECT {COLUMNS} FROM record WHERE seq > ?1 ORDER BY seq LIMIT ?2");
    let mut select = connection.prepare_cached(&select)?;
    let mut rows = select.query(params![after, most])?;
    let mut page = Page { last: after, ..Page::default() };
    let (mut looked, mut held) = (0, 0);
    while let Some(row) = rows.next()? {
        let record = record(row)?;
        (page.last, looked) = (record.seq, looked + 1);
        if filter.takes(&record) {
            held += record.message.body.len();
            page.records.push(record);
        }
        if held >= bytes {
            return Ok(page);
        }
    }
    page.end = looked < most;
    Ok(page)
}

/// How many dead letters are kept for their own sake.
pub fn kept_letters(connection: &Connection) -> Result<u64> {
    connection.query_row("SELECT count(*) FROM record WHERE owed = 0 AND reason IS NOT NULL", [], |row| row.get(0))
}

/// The first and the last number there is.
pub fn ends(connection: &Connection) -> Result<Option<(i64, i64)>> {
    let ends =
        connection.query_row("SELECT min(seq), max(seq) FROM record", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(match ends {
        (Some(first), Some(last)) => Some((first, last)),
        _ => None,
    })
}

/// Ids of records after a number, with their numbers and whom they are owed to, and whether they came out of a replay;
/// some at a time.
pub fn ids(connection: &Connection, after: i64) -> Result<Vec<(i64, Id, Brokers, bool)>> {
    let mut select = connection.prepare_cached(
        "SELECT seq, id, owed, rest ->> 'again' IS NOT NULL FROM record WHERE seq > ?1 ORDER BY seq LIMIT 5000",
    )?;
    let rows = select.query_map([after], |row| {
        let owed = Brokers::from_bits(row.get::<_, u8>(2)? >> SHIFT);
        Ok((row.get(0)?, Id::from(u128::from_be_bytes(row.get(1)?)), owed, row.get(3)?))
    })?;
    rows.collect()
}

/// The time of these Unix milliseconds.
pub fn at(millis: i64) -> SystemTime {
    time(millis)
}

/// How old something is, from Unix milliseconds.
pub fn since(now: SystemTime, received: i64) -> std::time::Duration {
    std::time::Duration::from_millis(millis(now).saturating_sub(received).max(0).unsigned_abs())
}
