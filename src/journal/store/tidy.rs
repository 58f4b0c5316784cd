//! What is deleted by age.

use std::time::{Duration, Instant, SystemTime};

use rusqlite::{Connection, params};

use super::super::record::millis;
use super::Retention;

/// The most records one transaction deletes: others wait meanwhile.
const AT_ONCE: usize = 500;
/// How long others wait for more of it at most; the rest is for the next time.
const AT_MOST: Duration = Duration::from_millis(200);

/// Deletes what is older than it is kept: records that are owed to nobody, dead letters among them, and seen ids.
pub(super) fn tidy(connection: &mut Connection, retention: &Retention, now: SystemTime) -> rusqlite::Result<()> {
    let begun = Instant::now();
    let before = |kept| millis(now.checked_sub(kept).unwrap_or(SystemTime::UNIX_EPOCH));
    let kept = [("IS NULL", before(retention.records)), ("IS NOT NULL", before(retention.dead_letters))];
    for (dead, before) in kept {
        let delete = format!(
            "DELETE FROM record WHERE seq IN (SELECT seq FROM record
                 WHERE owed = 0 AND reason {dead} AND received < ?1 LIMIT {AT_ONCE})"
        );
        while connection.prepare_cached(&delete)?.execute([before])? == AT_ONCE && begun.elapsed() < AT_MOST {}
    }
    let mut delete = connection.prepare_cached("DELETE FROM seen WHERE at < ?1")?;
    delete.execute(params![before(retention.seen)])?;
    Ok(())
}
