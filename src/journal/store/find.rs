//! Where in a journal to begin. Each is one short transaction.

use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::super::record::millis;
use super::queries::{COLUMNS, Filter, ends, of, record, since as since_then};
use crate::message::Broker;

/// The name of a journal.
pub fn name(connection: &Connection) -> Result<String> {
    connection.query_row("SELECT value FROM meta WHERE name = 'name'", [], |row| row.get(0))
}

/// Whether this record is there.
pub fn is_there(connection: &Connection, seq: i64) -> Result<bool> {
    connection.prepare_cached("SELECT 1 FROM record WHERE seq = ?1")?.exists([seq])
}

/// The last notification that was deleted for its age; 0 where none was.
pub fn trimmed(connection: &Connection) -> Result<i64> {
    let trimmed = "SELECT coalesce((SELECT value FROM meta WHERE name = 'trimmed'), 0)";
    connection.prepare_cached(trimmed)?.query_row([], |row| row.get(0))
}

/// The number before the first record that came at this time or later. Records stand in the order they came, so a few
/// looks are enough; after a step of the clock it is one of the places where that time was passed.
pub fn since(connection: &Connection, at: SystemTime) -> Result<i64> {
    let Some((first, last)) = ends(connection)? else { return Ok(0) };
    let at = millis(at);
    let mut look = connection.prepare("SELECT seq, received FROM record WHERE seq >= ?1 ORDER BY seq LIMIT 1")?;
    // all before `low` came earlier; nothing from `high` on did
    let (mut low, mut high) = (first, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let found = look.query_row([middle], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))).optional()?;
        match found {
            Some((seq, received)) if received < at => low = seq + 1,
            _ => high = middle,
        }
    }
    Ok(low - 1)
}

/// What was read backwards.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Back {
    /// How many were asked for.
    pub found: usize,
    /// The number before the last one looked at, so reading after it brings all that were found.
    pub after: i64,
    /// Whether there was nothing more.
    pub end: bool,
}

/// Goes back over the records before this number until it has found so many that are asked for; looks at `most` of
/// them.
pub fn back(connection: &Connection, filter: &Filter, before: i64, wanted: usize, most: usize) -> Result<Back> {
    let select = format!("SELECT {COLUMNS} FROM record WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2");
    // whether one is asked for does not depend on its body
    let select = select.replace(", body FROM", ", x'' FROM");
    let mut select = connection.prepare_cached(&select)?;
    let mut rows = select.query(params![before, most])?;
    let mut back = Back { after: before - 1, ..Back::default() };
    let mut looked = 0;
    while let Some(row) = rows.next()? {
        if back.found == wanted {
            return Ok(back);
        }
        let record = record(row)?;
        looked += 1;
        back.after = record.seq - 1;
        back.found += usize::from(filter.takes(&record));
    }
    back.end = looked < most;
    Ok(back)
}

/// What there is: how much is kept for its own sake, how much is owed to each broker, and how old the first is.
#[derive(Debug, Default)]
pub struct Tally {
    /// Kept for its own sake, dead letters among it.
    pub kept: u64,
    /// Owed to each broker, by its place.
    pub owed: [u64; Broker::ALL.len()],
    /// The age of the first record.
    pub oldest: Option<Duration>,
}

/// Counts what there is, by indexes alone: no body is read.
pub fn tally(connection: &Connection, now: SystemTime) -> Result<Tally> {
    let count =
        |which: &str| connection.query_row(&format!("SELECT count(*) FROM record WHERE {which}"), [], |row| row.get(0));
    let mut tally = Tally { kept: count("owed = 0")?, ..Tally::default() };
    for broker in Broker::ALL {
        tally.owed[broker as usize] = count(of(broker).1)?;
    }
    let oldest = "SELECT received FROM record ORDER BY seq LIMIT 1";
    let oldest = connection.query_row(oldest, [], |row| row.get(0)).optional()?;
    tally.oldest = oldest.map(|received| since_then(now, received));
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use bytes::Bytes;

    use super::super::{rows, schema};
    use super::*;
    use crate::message::{Brokers, Event, Id, Message};

    /// Records 10, 20, 30 and 40, which came at 1 to 4 seconds; of class `incoming` and `state` in turn.
    fn journal() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection).unwrap();
        for number in 1..=4_u8 {
            let at = UNIX_EPOCH + Duration::from_secs(number.into());
            let class = if number % 2 == 1 { "incoming" } else { "state" };
            let event =
                Event { class: Some(class.into()), json: true, ..Event::unparsed(Id::from(u128::from(number)), at) };
            let body = Bytes::from_static(b"{}");
            let message = Message {
                to: [None, None],
                event,
                body,
                dead_letter: None,
                open: false,
                structured: false,
                replay: None,
            };
            rows::insert(&connection, i64::from(number) * 10, &message, Brokers::NONE, Brokers::NONE).unwrap();
        }
        connection
    }

    #[test]
    fn a_time_is_found() {
        let journal = journal();
        let at = |millis| since(&journal, UNIX_EPOCH + Duration::from_millis(millis)).unwrap();
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
    fn the_last_that_are_asked_for_are_found() {
        let (journal, any) = (journal(), Filter::default());
        let of = |filter: &Filter, wanted, most| back(&journal, filter, i64::MAX, wanted, most).unwrap();
        assert_eq!(of(&any, 2, 10), Back { found: 2, after: 29, end: false });
        assert_eq!(of(&any, 9, 10), Back { found: 4, after: 9, end: true });
        let state = Filter { classes: vec!["state".into()], ..Filter::default() };
        assert_eq!(of(&state, 2, 10), Back { found: 2, after: 19, end: false });
        assert_eq!(of(&state, 2, 2), Back { found: 1, after: 29, end: false }, "further back is more");
        assert_eq!(of(&any, 0, 10), Back { found: 0, after: i64::MAX - 1, end: false });
    }
}
