//! Rows: how a record is written, and how a broker's part of it is settled.

use rusqlite::{Connection, params};

use super::super::record::{Columns, Lane};
use super::schema::SHIFT;
use crate::message::{Broker, Brokers, Message};

pub(super) fn insert(
    connection: &Connection,
    seq: i64,
    message: &Message,
    owed: Brokers,
    unknown: Brokers,
) -> rusqlite::Result<()> {
    let columns = Columns::of(message);
    let lane = |broker| owed.has(broker).then(|| Lane::of(message, broker).0);
    let mut insert = connection.prepare_cached(
        "INSERT INTO record (seq, owed, unknown, id, received, instance, class, reason, kafka, nats, rest, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    insert.execute(params![
        seq,
        bits(owed),
        bits(unknown),
        columns.id,
        columns.received,
        columns.instance,
        columns.class,
        columns.reason,
        lane(Broker::Kafka),
        lane(Broker::Nats),
        columns.rest,
        &message.body[..],
    ])?;
    Ok(())
}

/// A dead letter was replayed once more.
pub(super) fn replayed(connection: &Connection, letter: i64) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached(
        "UPDATE record SET rest = json_set(rest, '$.replayed', coalesce(json_extract(rest, '$.replayed'), 0) + 1)
         WHERE seq = ?1",
    )?;
    update.execute([letter]).map(|_| ())
}

/// Whom a record is owed to, as it stands in the table.
pub(super) fn bits(of: Brokers) -> u8 {
    let brokers: Brokers = of.each().collect();
    brokers.bits() << SHIFT
}

/// One broker has the record; with the last of them it is gone. Whether it is by this.
pub(super) fn settle(connection: &Connection, seq: i64, broker: Broker) -> rusqlite::Result<bool> {
    let row = params![seq, bits(Brokers::NONE.with(broker))];
    let gone = connection.prepare_cached("DELETE FROM record WHERE seq = ?1 AND owed = ?2")?.execute(row)? > 0;
    if !gone {
        let mut update =
            connection.prepare_cached("UPDATE record SET owed = owed & ~?2 WHERE seq = ?1 AND owed & ?2")?;
        update.execute(row)?;
    }
    Ok(gone)
}
