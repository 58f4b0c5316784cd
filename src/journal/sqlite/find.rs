//! Queries for readers: where to begin, how far back, and counts. Each function is one short transaction.

use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::super::EventFilter;
use super::super::counts::{Backwards, Counts, Resume, SeqRange};
use super::super::record::{millis, time};
use super::queries::{of, range};
use super::rows::{COLUMNS, record};
use crate::message::Broker;

/// The name of a journal.
pub(super) fn name(connection: &Connection) -> Result<String> {
    connection.query_row("SELECT value FROM meta WHERE name = 'name'", [], |row| row.get(0))
}

/// Whether this record is there.
fn is_there(connection: &Connection, seq: i64) -> Result<bool> {
    connection.prepare_cached("SELECT 1 FROM record WHERE seq = ?1")?.exists([seq])
}

/// The last notification that was deleted for its age; 0 means none was.
fn trimmed(connection: &Connection) -> Result<i64> {
    let trimmed = "SELECT coalesce((SELECT value FROM meta WHERE name = 'trimmed'), 0)";
    connection.prepare_cached(trimmed)?.query_row([], |row| row.get(0))
}

/// The number before the first record received at this time or later. Records are in the order of their arrival, so a
/// binary search finds it; after a step of the clock it is one of the numbers at which that time was passed.
pub(super) fn before(connection: &Connection, at: SystemTime) -> Result<i64> {
    let Some(SeqRange { first, last }) = range(connection)? else { return Ok(0) };
    let at = millis(at);
    let mut select = connection.prepare("SELECT seq, received FROM record WHERE seq >= ?1 ORDER BY seq LIMIT 1")?;
    // every record before `low` is earlier; none from `high` on is
    let (mut low, mut high) = (first, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let found = select.query_row([middle], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))).optional()?;
        match found {
            Some((seq, received)) if received < at => low = seq + 1,
            _ => high = middle,
        }
    }
    Ok(low - 1)
}

/// Goes back over the records before this number until it has found as many that match as are wanted; examines at most
/// `limit` of them.
pub(super) fn back(
    connection: &Connection,
    filter: &EventFilter,
    before: i64,
    wanted: usize,
    limit: usize,
) -> Result<Backwards> {
    let select = format!("SELECT {COLUMNS} FROM record WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2");
    // whether a record matches does not depend on its body
    let select = select.replace(", body FROM", ", x'' FROM");
    let mut select = connection.prepare_cached(&select)?;
    let mut rows = select.query(params![before, limit])?;
    let mut back = Backwards { after: before - 1, ..Backwards::default() };
    let mut examined = 0;
    while let Some(row) = rows.next()? {
        if back.found == wanted {
            return Ok(back);
        }
        let record = record(row)?;
        examined += 1;
        back.after = record.seq - 1;
        back.found += usize::from(filter.matches(&record));
    }
    back.at_end = examined < limit;
    Ok(back)
}

/// Whether a reader can go on after this record without a gap.
pub(super) fn resume(connection: &Connection, seq: i64) -> Result<Resume> {
    // with either of the two every later record is there, if no later one was deleted for its age: the neighbour may be
    // a dead letter, which has another retention
    let neighbour = is_there(connection, seq)? || is_there(connection, seq + 1)?;
    let is_complete = neighbour && trimmed(connection)? <= seq;
    Ok(Resume { is_complete, range: range(connection)? })
}

/// Counts what there is, by indexes alone: no body is read.
pub(super) fn counts(connection: &Connection, now: SystemTime) -> Result<Counts> {
    let count =
        |which: &str| connection.query_row(&format!("SELECT count(*) FROM record WHERE {which}"), [], |row| row.get(0));
    let mut counts = Counts { journal_only: count("owed = 0")?, ..Counts::default() };
    for broker in Broker::ALL {
        counts.backlog[broker] = count(of(broker).1)?;
    }
    let oldest = "SELECT received FROM record ORDER BY seq LIMIT 1";
    let oldest: Option<i64> = connection.query_row(oldest, [], |row| row.get(0)).optional()?;
    counts.oldest = oldest.map(|received| now.duration_since(time(received)).unwrap_or_default());
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use bytes::Bytes;

    use super::super::{rows, schema};
    use super::*;
    use crate::message::{Brokers, Destinations, Event, Id, Message};

    /// Records 10, 20, 30 and 40, received at 1 to 4 seconds; of class `incoming` and `state` in turn.
    fn journal() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection).unwrap();
        for number in 1..=4_u8 {
            let at = UNIX_EPOCH + Duration::from_secs(number.into());
            let class = if number % 2 == 1 { "incoming" } else { "state" };
            let event =
                Event { class: Some(class.into()), json: true, ..Event::unparsed(Id::from(u128::from(number)), at) };
            let body = Bytes::from_static(b"{}");
            let message = Message::notification(Destinations::default(), event, body);
            rows::insert(&connection, i64::from(number) * 10, &message, Brokers::NONE, Brokers::NONE).unwrap();
        }
        connection
    }

    #[test]
    fn a_time_is_found() {
        let journal = journal();
        let at = |millis| before(&journal, UNIX_EPOCH + Duration::from_millis(millis)).unwrap();
        let first_after = |after: i64| ends_after(&journal, after);
        assert_eq!(first_after(at(0)), Some(10));
        assert_eq!(first_after(at(1000)), Some(10));
        assert_eq!(first_after(at(1001)), Some(20));
        assert_eq!(first_after(at(4000)), Some(40));
        assert_eq!(first_after(at(4001)), None);
        journal.execute("DELETE FROM record", []).unwrap();
        assert_eq!(at(4001), 0);
    }

    fn ends_after(journal: &Connection, after: i64) -> Option<i64> {
        journal.query_row("SELECT min(seq) FROM record WHERE seq > ?1", [after], |row| row.get(0)).unwrap()
    }

    #[test]
    fn the_last_matching_records_are_found() {
        let (journal, any) = (journal(), EventFilter::default());
        let of = |filter: &EventFilter, wanted, limit| back(&journal, filter, i64::MAX, wanted, limit).unwrap();
        assert_eq!(of(&any, 2, 10), Backwards { found: 2, after: 29, at_end: false });
        assert_eq!(of(&any, 9, 10), Backwards { found: 4, after: 9, at_end: true });
        let state = EventFilter { classes: vec!["state".into()], ..EventFilter::default() };
        assert_eq!(of(&state, 2, 10), Backwards { found: 2, after: 19, at_end: false });
        assert_eq!(of(&state, 2, 2), Backwards { found: 1, after: 29, at_end: false }, "there are more further back");
        assert_eq!(of(&any, 0, 10), Backwards { found: 0, after: i64::MAX - 1, at_end: false });
    }
}
