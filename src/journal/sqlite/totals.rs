//! Counting a journal, in transactions so short that nothing waits for them.

use std::ops::ControlFlow::{Break, Continue};
use std::path::Path;
use std::time::SystemTime;

use rusqlite::{Connection, Result};

use super::super::counts::{Files, Sum, Totals};
use super::super::record::time;
use super::schema::SHIFT;
use super::{damage, directory};
use crate::message::Brokers;

/// How many records one transaction counts.
const AT_ONCE: i64 = 20_000;

/// Adds the first records after a number. The next call begins after the number returned; `None` means that was all.
pub(super) fn add_page(totals: &mut Totals, db: &Connection, after: i64) -> Result<Option<i64>> {
    let sql = "SELECT seq, owed, received, instance, reason IS NOT NULL, length(body) FROM record
             WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq";
    if after <= 0 {
        totals.unreadable.extend(damage::unreadable(db)?);
    }
    let (mut last, mut counted) = (after, 0);
    let unreadable = damage::visit(db, sql, (after.saturating_add(1), i64::MAX), &[], |row| {
        let backlog = Brokers::from_bits(row.get::<_, u8>(1)? >> SHIFT);
        let received = time(row.get(2)?);
        let (dead, bytes): (bool, u64) = (row.get(4)?, row.get(5)?);
        let instance = row.get::<_, Option<i64>>(3)?.map(i64::cast_unsigned);
        last = row.get(0)?;
        counted += 1;
        for broker in backlog.each() {
            totals.backlog[broker].add(bytes, received);
            totals.by_instance[broker].entry(instance).or_default().add(bytes, received);
        }
        if backlog.is_empty() {
            let sum = if dead { &mut totals.dead_letters } else { &mut totals.journal_only };
            sum.add(bytes, received);
        }
        Ok(if counted < AT_ONCE { Continue(()) } else { Break(()) })
    })?;
    totals.unreadable.extend(unreadable);
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
