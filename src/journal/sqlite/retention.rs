//! Deletion by age.
//!
//! A record's age is that of its receive time, which a wrong clock may have set. A record whose time is too early is
//! deleted only after the records before it; a record whose time is in the future is deleted with the first record
//! after it. Only a record received before any correct time, or between two clock errors of opposite sign, can be
//! deleted early.

use std::time::{Duration, Instant, SystemTime};

use rusqlite::{Connection, Result};

use super::super::record::millis;
use super::super::{Config, DeadLetterConfig, DedupLimits};
use super::clock::{self, Clock};
use super::queries;

/// The most records that one transaction deletes: appends wait meanwhile.
const AT_ONCE: usize = 500;
/// The longest that appends wait for several transactions; the next time continues.
const MAX_TIME: Duration = Duration::from_millis(200);
/// A record received this far in the future was received while the clock was wrong.
const FUTURE: Duration = Duration::from_secs(24 * 3600);

/// Which records without a backlog: the condition on their `reason`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Notifications,
    DeadLetters,
}

impl Kind {
    const fn condition(self) -> &'static str {
        match self {
            Self::Notifications => "owed = 0 AND reason IS NULL",
            Self::DeadLetters => "owed = 0 AND reason IS NOT NULL",
        }
    }
}

/// How long each is stored.
#[derive(Clone, Copy)]
pub(super) struct RetentionLimits {
    pub(super) records: Duration,
    pub(super) dead_letters: Duration,
    /// Ids of the dedup window.
    pub(super) ids: Duration,
    /// About how many of these ids at most.
    pub(super) max_ids: u64,
}

impl RetentionLimits {
    pub(super) fn of(config: &Config, dead_letter: &DeadLetterConfig, dedup: DedupLimits) -> Self {
        Self {
            records: config.retention,
            dead_letters: dead_letter.retention,
            ids: dedup.window,
            max_ids: dedup.max_ids as u64,
        }
    }
}

/// Deletes from a journal what is too old.
pub(super) struct Retention {
    limits: RetentionLimits,
    clock: Clock,
    /// The clock for the age of records.
    age: Clock,
    /// How many ids the dedup window has on disk.
    ids: u64,
}

impl Retention {
    /// # Errors
    /// What SQLite reports.
    pub(super) fn new(connection: &Connection, limits: RetentionLimits, clock: clock::Read) -> Result<Self> {
        let age = Clock::continuing(clock.clone(), queries::last_received(connection)?);
        let ids = connection.query_row("SELECT coalesce(sum(length(ids)), 0) / 17 FROM seen", [], |row| row.get(0))?;
        Ok(Self { limits, clock: Clock::new(clock), age, ids })
    }

    /// The time of day of this machine.
    pub(super) fn machine_time(&self) -> SystemTime {
        self.clock.machine_time()
    }

    /// This many ids were added to the dedup window.
    pub(super) fn ids_added(&mut self, ids: usize) {
        self.ids += ids as u64;
    }

    /// Deletes what is older than its retention: records without a backlog, dead letters among them, and ids of the
    /// dedup window, of which it also deletes the oldest where there are too many.
    ///
    /// # Errors
    /// What SQLite reports.
    pub(super) fn apply(&mut self, connection: &Connection) -> Result<()> {
        let begun = Instant::now();
        let (now, for_records) = (self.clock.now(), self.age.now());
        let kinds = [(Kind::Notifications, self.limits.records), (Kind::DeadLetters, self.limits.dead_letters)];
        for (kind, retention) in kinds {
            let cutoff = Cutoff::new(for_records, retention);
            while delete_records(connection, kind, cutoff)? == AT_ONCE && begun.elapsed() < MAX_TIME {}
        }
        let old = last_old_ids(connection, Cutoff::new(now, self.limits.ids))?;
        if let Some(last) = old.max(self.last_excess_ids(connection)?) {
            let gone = "SELECT coalesce(sum(length(ids)), 0) / 17 FROM seen WHERE seq <= ?1";
            let gone: u64 = connection.prepare_cached(gone)?.query_row([last], |row| row.get(0))?;
            connection.prepare_cached("DELETE FROM seen WHERE seq <= ?1")?.execute([last])?;
            self.ids = self.ids.saturating_sub(gone);
        }
        Ok(())
    }

    /// The last row of ids to delete because there are too many: only once they are an eighth too many.
    fn last_excess_ids(&self, connection: &Connection) -> Result<Option<i64>> {
        let most = self.limits.max_ids;
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
            excess -= ids;
            last = Some(row.get(0)?);
        }
        Ok(last)
    }
}

/// Between which times a record is young, in Unix milliseconds.
#[derive(Clone, Copy)]
struct Cutoff {
    /// A record received before this is too old.
    before: i64,
    /// A record received at this time or later was received while the clock was wrong.
    future: i64,
}

impl Cutoff {
    fn new(now: SystemTime, retention: Duration) -> Self {
        let before = millis(now.checked_sub(retention).unwrap_or(SystemTime::UNIX_EPOCH));
        Self { before, future: millis(now.checked_add(FUTURE).unwrap_or(now)) }
    }
}

/// The last row of ids that are too old: in the order of their arrival, before the first that is young.
fn last_old_ids(connection: &Connection, cutoff: Cutoff) -> Result<Option<i64>> {
    let last = "SELECT max(seq) FROM seen WHERE at < ?1 AND seq < coalesce(
                    (SELECT seq FROM seen WHERE at >= ?1 AND at < ?2 ORDER BY seq LIMIT 1), 9223372036854775807)";
    connection.prepare_cached(last)?.query_row([cutoff.before, cutoff.future], |row| row.get(0))
}

/// Deletes some records that are too old; returns how many.
fn delete_records(connection: &Connection, kind: Kind, cutoff: Cutoff) -> Result<usize> {
    let of = kind.condition();
    let delete = format!(
        "DELETE FROM record WHERE seq IN (SELECT seq FROM record WHERE {of} AND received < ?1 LIMIT {AT_ONCE})
             AND seq < coalesce((SELECT seq FROM record WHERE {of} AND received >= ?1 AND received < ?2
                                 ORDER BY received LIMIT 1), 9223372036854775807)
         RETURNING seq"
    );
    let transaction = connection.unchecked_transaction()?;
    let mut delete = connection.prepare_cached(&delete)?;
    let times = [cutoff.before, cutoff.future];
    let gone = delete.query_map(times, |row| row.get(0))?.collect::<Result<Vec<i64>>>()?;
    if let Some(last) = gone.iter().max() {
        let delete = format!(
            "DELETE FROM record WHERE seq IN (SELECT seq FROM record WHERE {of} AND received >= ?1 AND seq < ?2
                                              LIMIT {AT_ONCE})"
        );
        connection.prepare_cached(&delete)?.execute([cutoff.future, *last])?;
        if kind == Kind::Notifications {
            let trimmed = "INSERT INTO meta VALUES ('trimmed', ?1) ON CONFLICT DO UPDATE SET value = max(value, ?1)";
            connection.prepare_cached(trimmed)?.execute([*last])?;
        }
    }
    transaction.commit()?;
    Ok(gone.len())
}
