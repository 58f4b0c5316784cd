//! Counting a journal, in transactions so short that nothing waits for them.

use std::path::Path;
use std::time::SystemTime;

use rusqlite::{Connection, Result};

use super::super::counts::{Files, Sum, Totals};
use super::super::record::time;
use super::directory;
use super::schema::SHIFT;
use crate::message::Brokers;

/// How many records one transaction counts.
const AT_ONCE: i64 = 20_000;

/// Adds the first records after a number. The next call begins after the number returned; `None` means that was all.
pub(super) fn add_page(totals: &mut Totals, db: &Connection, after: i64) -> Result<Option<i64>> {
    let mut select = db.prepare_cached(
        "SELECT seq, owed, received, instance, reason IS NOT NULL, length(body) FROM record
             WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )?;
    let mut rows = select.query([after, AT_ONCE])?;
    let (mut last, mut counted) = (after, 0);
    while let Some(row) = rows.next()? {
        last = row.get(0)?;
        counted += 1;
        let backlog = Brokers::from_bits(row.get::<_, u8>(1)? >> SHIFT);
        let received = time(row.get(2)?);
        let (dead, bytes): (bool, u64) = (row.get(4)?, row.get(5)?);
        let instance = row.get::<_, Option<i64>>(3)?.map(i64::cast_unsigned);
        for broker in backlog.each() {
            totals.backlog[broker].add(bytes, received);
            totals.by_instance[broker].entry(instance).or_default().add(bytes, received);
        }
        if backlog.is_empty() {
            let sum = if dead { &mut totals.dead_letters } else { &mut totals.journal_only };
            sum.add(bytes, received);
        }
    }
    Ok((counted == AT_ONCE).then_some(last))
}

/// See [`super::super::Journal::files`].
pub(in crate::journal) fn files(directory: &Path) -> std::io::Result<Files> {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let database = directory::database(directory);
    let bytes = size(&database) + size(&database.with_extension("db-wal"));
    let lock = std::fs::File::open(directory.join("lock"))?;
    Ok(Files { bytes, in_use: lock.try_lock_shared().is_err() })
}

impl Sum {
    fn add(&mut self, bytes: u64, received: SystemTime) {
        self.records += 1;
        self.bytes += bytes;
        self.oldest = Some(self.oldest.map_or(received, |oldest| oldest.min(received)));
    }
}
