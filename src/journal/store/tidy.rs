//! What is deleted by age.
//!
//! Clocks go wrong, and records bear the time of when they came. One that bears too early a time is kept for as long as
//! the first of those that came before it; one that bears a time to come goes with the first that came after it. Only
//! what came before any right time, or between a clock that was ahead and one that was behind, can go early.

use std::time::{Duration, Instant, SystemTime};

use rusqlite::{Connection, params};

use super::super::record::millis;
use super::Retention;

/// The most records one transaction deletes: others wait meanwhile.
const AT_ONCE: usize = 500;
/// How long others wait for more of it at most; the rest is for the next time.
const AT_MOST: Duration = Duration::from_millis(200);
/// What bears a time so far ahead came while the clock was wrong.
const TO_COME: Duration = Duration::from_secs(24 * 3600);

/// Deletes what is older than it is kept: records that are owed to nobody, dead letters among them, and seen ids.
pub(super) fn tidy(
    connection: &mut Connection,
    retention: &Retention,
    now: SystemTime,
    of_records: SystemTime,
) -> rusqlite::Result<()> {
    let begun = Instant::now();
    let before = |now: SystemTime, kept| millis(now.checked_sub(kept).unwrap_or(SystemTime::UNIX_EPOCH));
    // what came while the clock was wrong is told by the clock that tells what is too old
    let to_come = |now: SystemTime| millis(now.checked_add(TO_COME).unwrap_or(now));
    let kept = [("IS NULL", retention.records), ("IS NOT NULL", retention.dead_letters)];
    let kept = kept.map(|(dead, kept)| (dead, before(of_records, kept)));
    for (dead, before) in kept {
        while records(connection, dead, before, to_come(of_records))? == AT_ONCE && begun.elapsed() < AT_MOST {}
    }
    // in the order they came, up to the last that is too old before the first that is young
    let mut delete = connection.prepare_cached(
        "DELETE FROM seen WHERE seq <= (
             SELECT max(seq) FROM seen WHERE at < ?1 AND seq < coalesce(
                 (SELECT seq FROM seen WHERE at >= ?1 AND at < ?2 ORDER BY seq LIMIT 1), 9223372036854775807))",
    )?;
    delete.execute(params![before(now, retention.seen), to_come(now)])?;
    Ok(())
}

/// Deletes some records that came before this time; returns how many.
fn records(connection: &Connection, dead: &str, before: i64, to_come: i64) -> rusqlite::Result<usize> {
    let of = format!("owed = 0 AND reason {dead}");
    let delete = format!(
        "DELETE FROM record WHERE seq IN (SELECT seq FROM record WHERE {of} AND received < ?1 LIMIT {AT_ONCE})
             AND seq < coalesce((SELECT seq FROM record WHERE {of} AND received >= ?1 AND received < ?2
                                 ORDER BY received LIMIT 1), 9223372036854775807)
         RETURNING seq"
    );
    let mut delete = connection.prepare_cached(&delete)?;
    let gone = delete.query_map([before, to_come], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    if let Some(last) = gone.iter().max() {
        let delete = format!(
            "DELETE FROM record WHERE seq IN (SELECT seq FROM record WHERE {of} AND received >= ?1 AND seq < ?2
                                              LIMIT {AT_ONCE})"
        );
        connection.prepare_cached(&delete)?.execute([to_come, *last])?;
    }
    Ok(gone.len())
}
