//! What is deleted by age.
//!
//! Clocks go wrong, and records bear the time of when they came. One that bears too early a time is kept for as long as
//! the first of those that came before it; one that bears a time to come goes with the first that came after it. Only
//! what came before any right time, or between a clock that was ahead and one that was behind, can go early.

use std::time::{Duration, Instant, SystemTime};

use rusqlite::{Connection, Result};

use super::super::record::millis;
use super::clock::{self, Clock};
use super::queries;

/// The most records one transaction deletes: others wait meanwhile.
const AT_ONCE: usize = 500;
/// How long others wait for more of it at most; the rest is for the next time.
const AT_MOST: Duration = Duration::from_millis(200);
/// What bears a time so far ahead came while the clock was wrong.
const TO_COME: Duration = Duration::from_secs(24 * 3600);

/// Of which records `reason` says this.
const NOTIFICATIONS: &str = "IS NULL";

/// How long each is kept.
pub(super) struct Retention {
    pub(super) records: Duration,
    pub(super) dead_letters: Duration,
    pub(super) seen: Duration,
    /// So many ids that were seen are kept at most, about.
    pub(super) ids: u64,
}

/// Keeps a journal free of what is too old.
pub(super) struct Tidy {
    retention: Retention,
    clock: Clock,
    /// By which records are too old.
    age: Clock,
    /// How many ids there are that were seen.
    ids: u64,
}

impl Tidy {
    /// # Errors
    /// What SQLite says.
    pub(super) fn new(connection: &Connection, retention: Retention, clock: clock::Read) -> Result<Self> {
        let age = Clock::going_on(clock.clone(), queries::last_came(connection)?);
        let ids = connection.query_row("SELECT coalesce(sum(length(ids)), 0) / 17 FROM seen", [], |row| row.get(0))?;
        Ok(Self { retention, clock: Clock::new(clock), age, ids })
    }

    /// The time of day as this machine has it.
    pub(super) fn day(&self) -> SystemTime {
        self.clock.day()
    }

    /// So many more ids were seen.
    pub(super) fn saw(&mut self, ids: usize) {
        self.ids += ids as u64;
    }

    /// Deletes what is older than it is kept: records that are owed to nobody, dead letters among them, and ids that
    /// were seen; of these also the first where there are too many.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn tidy(&mut self, connection: &Connection) -> Result<()> {
        let begun = Instant::now();
        let (now, of_records) = (self.clock.now(), self.age.now());
        let kept = [(NOTIFICATIONS, self.retention.records), ("IS NOT NULL", self.retention.dead_letters)];
        for (dead, kept) in kept {
            let times = [before(of_records, kept), to_come(of_records)];
            while records(connection, dead, times)? == AT_ONCE && begun.elapsed() < AT_MOST {}
        }
        let old = old_ids(connection, [before(now, self.retention.seen), to_come(now)])?;
        let last = old.max(self.ids_beyond(connection)?);
        if let Some(last) = last {
            let gone = "SELECT coalesce(sum(length(ids)), 0) / 17 FROM seen WHERE seq <= ?1";
            let gone: u64 = connection.prepare_cached(gone)?.query_row([last], |row| row.get(0))?;
            connection.prepare_cached("DELETE FROM seen WHERE seq <= ?1")?.execute([last])?;
            self.ids = self.ids.saturating_sub(gone);
        }
        Ok(())
    }

    /// The last of the rows of ids that are too many, if they are by an eighth.
    fn ids_beyond(&self, connection: &Connection) -> Result<Option<i64>> {
        let most = self.retention.ids;
        if self.ids <= most + most / 8 {
            return Ok(None);
        }
        let (mut excess, mut last) = (self.ids - most, None);
        let mut first = connection.prepare_cached("SELECT seq, length(ids) / 17 FROM seen ORDER BY seq")?;
        let mut rows = first.query([])?;
        while let Some(row) = rows.next()? {
            let ids = row.get(1)?;
            if excess < ids {
                break;
            }
            (excess, last) = (excess - ids, Some(row.get(0)?));
        }
        Ok(last)
    }
}

/// Unix milliseconds: what came before is too old where it is kept for so long.
fn before(now: SystemTime, kept: Duration) -> i64 {
    millis(now.checked_sub(kept).unwrap_or(SystemTime::UNIX_EPOCH))
}

/// Unix milliseconds: what came later came while the clock was wrong, which the clock tells that tells what is too old.
fn to_come(now: SystemTime) -> i64 {
    millis(now.checked_add(TO_COME).unwrap_or(now))
}

/// The last of the rows of ids that are too old: in the order they came, before the first that is young.
fn old_ids(connection: &Connection, times: [i64; 2]) -> Result<Option<i64>> {
    let last = "SELECT max(seq) FROM seen WHERE at < ?1 AND seq < coalesce(
                    (SELECT seq FROM seen WHERE at >= ?1 AND at < ?2 ORDER BY seq LIMIT 1), 9223372036854775807)";
    connection.prepare_cached(last)?.query_row(times, |row| row.get(0))
}

/// Deletes some records that came before this time; returns how many.
fn records(connection: &Connection, dead: &str, [before, to_come]: [i64; 2]) -> Result<usize> {
    let of = format!("owed = 0 AND reason {dead}");
    let delete = format!(
        "DELETE FROM record WHERE seq IN (SELECT seq FROM record WHERE {of} AND received < ?1 LIMIT {AT_ONCE})
             AND seq < coalesce((SELECT seq FROM record WHERE {of} AND received >= ?1 AND received < ?2
                                 ORDER BY received LIMIT 1), 9223372036854775807)
         RETURNING seq"
    );
    let transaction = connection.unchecked_transaction()?;
    let mut delete = connection.prepare_cached(&delete)?;
    let gone = delete.query_map([before, to_come], |row| row.get(0))?.collect::<Result<Vec<i64>>>()?;
    if let Some(last) = gone.iter().max() {
        let delete = format!(
            "DELETE FROM record WHERE seq IN (SELECT seq FROM record WHERE {of} AND received >= ?1 AND seq < ?2
                                              LIMIT {AT_ONCE})"
        );
        connection.prepare_cached(&delete)?.execute([to_come, *last])?;
        if dead == NOTIFICATIONS {
            let trimmed = "INSERT INTO meta VALUES ('trimmed', ?1) ON CONFLICT DO UPDATE SET value = max(value, ?1)";
            connection.prepare_cached(trimmed)?.execute([*last])?;
        }
    }
    transaction.commit()?;
    Ok(gone.len())
}
