//! Rows: how a record is written, and how an ack changes it.

use std::borrow::Cow;

use rusqlite::{Connection, Result, Row, params, types};

use super::super::record::{Columns, Lane, Record};
use super::schema::SHIFT;
use crate::message::{Broker, Brokers, Message};

/// The columns of a record, once for every statement that reads or writes all of them: in the order of [`write`] and
/// [`record`].
macro_rules! columns {
    () => {
        "seq, owed, unknown, id, received, instance, class, reason, kafka, nats, rest, body"
    };
}

/// One parameter for each of them.
macro_rules! parameters {
    () => {
        "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12"
    };
}

pub(super) const COLUMNS: &str = columns!();

/// A record, of a row of [`COLUMNS`].
pub(super) fn record(row: &Row<'_>) -> Result<Record> {
    let text = |index| row.get::<_, Option<String>>(index).map(|text| text.map(Cow::Owned));
    let bits = |index| row.get::<_, u8>(index).map(|bits| Brokers::from_bits(bits >> SHIFT));
    let (seq, backlog, maybe_stored) = (row.get(0)?, bits(1)?, bits(2)?);
    // the lanes, 8 and 9, follow from the message
    let columns = Columns {
        id: row.get(3)?,
        received: row.get(4)?,
        instance: row.get(5)?,
        class: text(6)?,
        reason: text(7)?,
        rest: row.get(10)?,
    };
    let invalid = |error| rusqlite::Error::FromSqlConversionFailure(10, types::Type::Text, Box::new(error));
    let message = columns.message(row.get(11)?).map_err(invalid)?;
    Ok(Record { seq, message, backlog, maybe_stored })
}

/// Adds a record.
pub(super) fn insert(
    connection: &Connection,
    seq: i64,
    message: &Message,
    backlog: Brokers,
    maybe_stored: Brokers,
) -> Result<()> {
    const INSERT: &str = concat!("INSERT INTO record (", columns!(), ") VALUES (", parameters!(), ")");
    write(connection, INSERT, seq, message, backlog, maybe_stored)
}

/// Replaces the record with this sequence number.
pub(super) fn replace(
    connection: &Connection,
    seq: i64,
    message: &Message,
    backlog: Brokers,
    maybe_stored: Brokers,
) -> Result<()> {
    const UPDATE: &str = concat!("UPDATE record SET (", columns!(), ") = (", parameters!(), ") WHERE seq = ?1");
    write(connection, UPDATE, seq, message, backlog, maybe_stored)
}

fn write(
    connection: &Connection,
    statement: &str,
    seq: i64,
    message: &Message,
    backlog: Brokers,
    maybe_stored: Brokers,
) -> Result<()> {
    let Columns { id, received, instance, class, reason, rest } = Columns::of(message);
    let lane = |broker| backlog.has(broker).then(|| Lane::of(message, broker).0);
    connection.prepare_cached(statement)?.execute(params![
        seq,
        bits(backlog),
        bits(maybe_stored),
        id,
        received,
        instance,
        class,
        reason,
        lane(Broker::Kafka),
        lane(Broker::Nats),
        rest,
        &message.body[..],
    ])?;
    Ok(())
}

/// Counts one more replay of a dead letter.
pub(super) fn count_replay(connection: &Connection, dead_letter: i64) -> Result<()> {
    let mut update = connection.prepare_cached(
        "UPDATE record SET rest = json_set(rest, '$.replayed', coalesce(json_extract(rest, '$.replayed'), 0) + 1)
         WHERE seq = ?1",
    )?;
    update.execute([dead_letter]).map(|_| ())
}

/// Brokers as the columns `owed` and `unknown` have them.
pub(super) fn bits(of: Brokers) -> u8 {
    let brokers: Brokers = of.each().collect();
    brokers.bits() << SHIFT
}

/// A broker has acked the record; the ack of the last broker deletes it. Whether this ack did.
pub(super) fn ack(connection: &Connection, seq: i64, broker: Broker) -> Result<bool> {
    let row = params![seq, bits(Brokers::NONE.with(broker))];
    let deleted = connection.prepare_cached("DELETE FROM record WHERE seq = ?1 AND owed = ?2")?.execute(row)? > 0;
    if !deleted {
        let mut update =
            connection.prepare_cached("UPDATE record SET owed = owed & ~?2 WHERE seq = ?1 AND owed & ?2")?;
        update.execute(row)?;
    }
    Ok(deleted)
}
