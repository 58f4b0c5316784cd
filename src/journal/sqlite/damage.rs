//! Rescues a database with damaged pages: moves the records that can be read to sound pages, and lists the others.
//!
//! SQLite reports a bad page when it reads it, and cannot add or delete records beside it either. So the writer copies the
//! records that can be read to a new table, and gives up the pages of the old table. The table `unreadable` lists the
//! other records until an operator drops them: nothing gets lost unnoticed. A process that only reads the journal skips
//! them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, Result, Row, ToSql, ffi, params, params_from_iter};
use tracing::{error, warn};

use super::leaves::DatabaseCopy;
use super::queries::of;
use super::rows::{COLUMNS, record};
use super::{directory, edit};
use crate::message::{Broker, Id};

/// Minimum time between two rescues, also if the first one failed.
pub(super) const RESCUE_INTERVAL: Duration = Duration::from_secs(60);
/// The most records that are logged one by one.
const MAX_LOGGED: usize = 20;

/// True if the error is about the part of the file that was read: other parts may be sound.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error;
    match error {
        // a row that this program did not write
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..) => true,
        other => {
            let extended = other.sqlite_error().map(|error| error.extended_code);
            let unreadable = [ffi::SQLITE_IOERR_READ, ffi::SQLITE_IOERR_SHORT_READ, ffi::SQLITE_IOERR_CORRUPTFS];
            other.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)
                || extended.is_some_and(|code| unreadable.contains(&code))
        }
    }
}

/// The error for work that found damage without an error of SQLite.
pub(super) fn damage_met() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), None)
}

/// Does some work. If damage prevents it, calls [`rescue`] and does the work again.
pub(super) fn with_rescue<T>(db: &mut Connection, work: impl Fn(&mut Connection) -> Result<T>) -> Result<T> {
    match work(db) {
        Err(error) if is_damage(&error) => {
            rescue(db)?;
            work(db)
        }
        done => done,
    }
}

/// The version of the schema in this file; [`rescue`] changes it.
pub(super) fn schema_cookie(db: &Connection) -> Result<i64> {
    db.pragma_query_value(None, "schema_version", |row| row.get(0))
}

/// Moves all records that can be read to sound pages, in one transaction. It needs disk space for a copy of them.
///
/// # Errors
/// What SQLite reports: there is too little space, or more than records and the dedup window is damaged.
pub(super) fn rescue(db: &mut Connection) -> Result<()> {
    check_space(db)?;
    let unreadable = match move_sound(db) {
        // the freelist may be damaged: a rewrite of the whole file creates a new one
        Err(error) if is_damage(&error) => return edit::rewrite(db, u64::MAX).map(|_| ()),
        moved => moved?,
    };
    // the abandoned pages stay until an erasure frees them: `.recover` may still find records there
    if unreadable > 0 {
        warn!(
            records = unreadable,
            "records cannot be read: `sqlite3 journal.db .recover` on a copy of the folder may find some of them"
        );
    }
    Ok(())
}

/// Returns how many records cannot be read.
fn move_sound(db: &mut Connection) -> Result<usize> {
    // before the transaction: after such an error SQLite writes nothing more in it
    let FoundSeqs { seqs, all: is_complete } = find_seqs(db, (0, i64::MAX))?;
    if !is_complete {
        // this would give up records whose numbers are unknown: an operator must look at the file
        return Err(damage_met());
    }
    let all = seqs.len();
    let (mut sound, mut unreadable) = (Vec::new(), BTreeSet::new());
    for seq in seqs {
        if is_sound(db, seq)? { sound.push(seq) } else { _ = unreadable.insert(seq) }
    }
    let salvaged: Vec<_> = unreadable.iter().map(|seq| (*seq, raw(db, *seq))).collect();
    // if the copy fails, rows below a damaged page stay hidden
    let copy_of_all = if unreadable.is_empty() { None } else { DatabaseCopy::of(db).ok() };
    // every byte of them: the length alone is in the first page of a row
    let window = db.query_row("SELECT sum(length(hex(ids)) + at) FROM seen", [], |_| Ok(()));
    let counted = self::unreadable(db).map(|_| ());
    let transaction = db.transaction()?;
    replace_table(&transaction, "record", |old| {
        let copy = format!("INSERT INTO record ({COLUMNS}) SELECT {COLUMNS} FROM {old} WHERE seq = ?1");
        let mut copy = transaction.prepare(&copy)?;
        sound.iter().try_for_each(|seq| copy.execute([seq]).map(|_| ()))?;
        copy_of_all.as_ref().map_or(Ok(()), |all| add_hidden(&transaction, all, &mut unreadable))
    })?;
    empty_if_damaged(
        &transaction,
        "unreadable",
        counted,
        "the records that could not be read before are no longer listed",
    )?;
    empty_if_damaged(
        &transaction,
        "seen",
        window,
        "the dedup window is lost: repeats of what it had are stored once more",
    )?;
    for (seq, raw) in salvaged.iter().filter(|(seq, _)| unreadable.contains(seq)) {
        let (rest, body) = raw.as_ref().map(|(rest, body)| (rest, body)).unzip();
        transaction.execute("REPLACE INTO unreadable VALUES (?1, ?2, ?3)", params![seq, rest, body])?;
    }
    transaction.commit()?;
    log_unreadable(&unreadable, all - unreadable.len());
    Ok(unreadable.len())
}

/// Replaces a table by an empty one, if reading it met damage.
fn empty_if_damaged(db: &Connection, table: &str, read: Result<()>, detail: &str) -> Result<()> {
    match read {
        Err(error) if is_damage(&error) => {
            error!(detail, "the journal's disk is damaged");
            replace_table(db, table, |_| Ok(()))
        }
        read => read,
    }
}

fn check_space(db: &Connection) -> Result<()> {
    let number = |pragma| db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map(i64::unsigned_abs);
    let bytes = number("page_count")? * number("page_size")?;
    let free = db.path().and_then(|path| Path::new(path).parent()).map_or(u64::MAX, directory::free);
    // a copy of all, and the sound records in the log first, and then in the database
    if free < bytes.saturating_mul(3) {
        let needed =
            format!("moving its sound records needs {} MiB free there", bytes.saturating_mul(3).div_ceil(1 << 20));
        return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_FULL), Some(needed)));
    }
    Ok(())
}

fn log_unreadable(unreadable: &BTreeSet<i64>, moved: usize) {
    for seq in unreadable.iter().take(MAX_LOGGED) {
        let remedy = format!("`greenapi-bridge journal drop --seq {seq}` removes it");
        error!(event = "record_unreadable", seq, remedy, "record cannot be read: no broker gets it");
    }
    warn!(
        moved,
        unreadable = unreadable.len(),
        "the journal's disk is damaged: its sound records are moved to other pages; move the journal to another disk"
    );
}

/// Whether a record can be read. A disk that fails once may read it the next time.
fn is_sound(db: &Connection, seq: i64) -> Result<bool> {
    const TRIES: usize = 3;
    let mut select = db.prepare_cached(&format!("SELECT {COLUMNS} FROM record WHERE seq = ?1"))?;
    for _ in 0..TRIES {
        match select.query_row([seq], |row| record(row).map(|_| ())) {
            Err(error) if is_damage(&error) => {}
            read => return read.map(|()| true),
        }
    }
    Ok(false)
}

/// Adds the records that only a damaged page hides, and takes them off the unreadable ones.
fn add_hidden(db: &Connection, all: &DatabaseCopy, unreadable: &mut BTreeSet<i64>) -> Result<()> {
    let hidden = unreadable.clone();
    all.visit_rows(&hidden, |seq, row| {
        if unreadable.contains(&seq) && insert_found(db, seq, row)? {
            unreadable.remove(&seq);
        }
        Ok(())
    })
}

/// Adds a row that was found without its table, if it is a record with the body it had. Brokers may have it: their acks may
/// be on the page that is lost.
fn insert_found(db: &Connection, seq: i64, mut row: Vec<Value>) -> Result<bool> {
    // in the order of the schema; the last column was added later, and an old row may not have it
    const STORED: &str = "seq, owed, id, received, instance, class, reason, kafka, nats, rest, body, unknown";
    let backlog = match (row.get(1), row.get(2), row.get(10)) {
        (Some(Value::Integer(backlog)), Some(Value::Blob(id)), Some(Value::Blob(body)))
            if Id::of(body).as_u128().to_be_bytes() == id.as_slice() =>
        {
            *backlog
        }
        _ => return Ok(false),
    };
    row.truncate(11);
    row.push(Value::Integer(backlog));
    row[0] = Value::Integer(seq);
    let parameters = vec!["?"; row.len()].join(", ");
    db.execute(&format!("REPLACE INTO record ({STORED}) VALUES ({parameters})"), params_from_iter(row))?;
    if is_sound(db, seq)? {
        return Ok(true);
    }
    db.execute("DELETE FROM record WHERE seq = ?1", [seq]).map(|_| false)
}

/// What SQLite can read of a record that this program cannot, for an operator.
fn raw(db: &Connection, seq: i64) -> Option<(String, Vec<u8>)> {
    let select = "SELECT CAST(rest AS TEXT), CAST(body AS BLOB) FROM record WHERE seq = ?1";
    db.query_row(select, [seq], |row| Ok((row.get(0)?, row.get(1)?))).ok()
}

/// Replaces a table and its indexes, and gives up the pages of the old table. `copy` gets the name of the old table.
fn replace_table(db: &Connection, table: &str, copy: impl FnOnce(&str) -> Result<()>) -> Result<()> {
    let old = format!("{table}_damaged");
    let mut select =
        db.prepare("SELECT sql FROM sqlite_master WHERE tbl_name = ?1 AND sql NOT NULL ORDER BY type DESC")?;
    let definitions = select.query_map([table], |row| row.get(0))?.collect::<Result<Vec<String>>>()?;
    drop(select);
    db.execute_batch(&format!("ALTER TABLE {table} RENAME TO {old}"))?;
    give_up(db, &format!("type = 'index' AND tbl_name = '{old}'"))?;
    let [of_table, of_indexes @ ..] = definitions.as_slice() else { return Ok(()) };
    db.execute_batch(of_table)?;
    copy(&old)?;
    of_indexes.iter().try_for_each(|index| db.execute_batch(index))?;
    give_up(db, &format!("name = '{old}'"))
}

/// Removes tables from the schema without reading their pages; DROP would read them.
fn give_up(db: &Connection, which: &str) -> Result<()> {
    db.pragma_update(None, "writable_schema", true)?;
    let forgotten = db.execute(&format!("DELETE FROM sqlite_master WHERE {which}"), []);
    db.execute_batch("PRAGMA writable_schema = RESET")?;
    forgotten.map(|_| ())
}

/// The sequence numbers of records, as far as they can be read.
struct FoundSeqs {
    seqs: BTreeSet<i64>,
    /// True if no record is missing.
    all: bool,
}

/// Finds the records between two sequence numbers in the table. If the table cannot be read completely, also in the
/// indexes: they have pages of their own, and each record is in one of them.
fn find_seqs(db: &Connection, (first, last): (i64, i64)) -> Result<FoundSeqs> {
    let mut seqs = BTreeSet::new();
    let of_broker = |broker| {
        let (column, bit) = of(broker);
        format!("SELECT seq FROM record INDEXED BY owed_{column} WHERE {bit} AND seq BETWEEN ?1 AND ?2")
    };
    let [kafka, nats] = Broker::ALL.map(of_broker);
    let journal_only = "SELECT seq FROM record INDEXED BY kept WHERE owed = 0 AND seq BETWEEN ?1 AND ?2";
    let mut add_all = |sql: &str| -> Result<bool> {
        let mut select = db.prepare(sql)?;
        let mut rows = select.query([first, last])?;
        loop {
            match rows.next() {
                Ok(Some(row)) => _ = seqs.insert(row.get(0)?),
                Ok(None) => return Ok(true),
                Err(error) if is_damage(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    };
    let mut all = add_all("SELECT seq FROM record NOT INDEXED WHERE seq BETWEEN ?1 AND ?2")?;
    if !all {
        let by_index = [add_all(&kafka)?, add_all(&nats)?, add_all(journal_only)?];
        all = by_index.into_iter().all(|all| all);
    }
    Ok(FoundSeqs { seqs, all })
}

/// The first and the last sequence number, for a table that cannot be read completely.
pub(super) fn range(db: &Connection) -> Result<(Option<i64>, Option<i64>)> {
    let FoundSeqs { seqs, .. } = find_seqs(db, (0, i64::MAX))?;
    Ok((seqs.first().copied(), seqs.last().copied()))
}

/// Visits rows of records in ascending order, between two sequence numbers, until `visit` breaks. The sequence numbers are
/// `?1` and `?2` of the statement, and `parameters` follow; its first column is `seq`. Returns the sequence numbers of the
/// records that cannot be read.
pub(super) fn visit(
    db: &Connection,
    sql: &str,
    (first, last): (i64, i64),
    parameters: &[&dyn ToSql],
    mut visit: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>>,
) -> Result<Vec<i64>> {
    let mut next = first;
    let mut visit_range = |first: i64, last: i64, next: &mut i64| -> Result<ControlFlow<()>> {
        let mut select = db.prepare_cached(sql)?;
        let bounds: [&dyn ToSql; 2] = [&first, &last];
        let mut rows = select.query(params_from_iter(bounds.iter().chain(parameters)))?;
        while let Some(row) = rows.next()? {
            let seq: i64 = row.get(0)?;
            if visit(row)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            *next = seq + 1;
        }
        Ok(ControlFlow::Continue(()))
    };
    match visit_range(first, last, &mut next) {
        Err(error) if is_damage(&error) => {}
        done => return done.map(|_| Vec::new()),
    }
    let mut unreadable = Vec::new();
    for seq in find_seqs(db, (next, last))?.seqs {
        match visit_range(seq, seq, &mut next) {
            Err(error) if is_damage(&error) => unreadable.push(seq),
            Ok(ControlFlow::Continue(())) => {}
            done => return done.map(|_| unreadable),
        }
    }
    Ok(unreadable)
}

/// The sequence numbers of the records in the table `unreadable`.
pub(super) fn unreadable(db: &Connection) -> Result<Vec<i64>> {
    let mut select = db.prepare_cached("SELECT seq FROM unreadable ORDER BY seq")?;
    let seqs = select.query_map([], |row| row.get(0))?;
    seqs.collect()
}

#[cfg(test)]
#[path = "damage_tests.rs"]
mod tests;
