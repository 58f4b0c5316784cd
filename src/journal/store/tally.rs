//! What there is in a journal, counted without holding anyone up.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, Result};

use super::directory;
use super::schema::SHIFT;
use crate::message::{Broker, Brokers};

/// So many records are looked at in one transaction.
const AT_ONCE: i64 = 20_000;

/// Some records together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub records: u64,
    /// The bytes of their bodies.
    pub bytes: u64,
    /// When the first of them came, Unix milliseconds.
    pub since: Option<i64>,
}

/// All records, by what they wait for.
#[derive(Debug, Default)]
pub struct Tally {
    /// What is owed to each broker, by its place.
    pub owed: [Sum; Broker::ALL.len()],
    /// The same by instances; none: of what could not be read.
    pub instances: [HashMap<Option<u64>, Sum>; Broker::ALL.len()],
    /// Notifications that are kept for their own sake.
    pub kept: Sum,
    /// Dead letters that are.
    pub dead_letters: Sum,
}

impl Sum {
    fn add(&mut self, bytes: u64, received: i64) {
        self.records += 1;
        self.bytes += bytes;
        self.since = Some(self.since.map_or(received, |since| since.min(received)));
    }
}

impl Tally {
    /// Adds the first records after a number. After which to go on; none: that was all.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn add(&mut self, db: &Connection, after: i64) -> Result<Option<i64>> {
        let mut select = db.prepare_cached(
            "SELECT seq, owed, received, instance, reason IS NOT NULL, length(body) FROM record
                 WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        )?;
        let mut rows = select.query([after, AT_ONCE])?;
        let (mut last, mut looked) = (after, 0);
        while let Some(row) = rows.next()? {
            (last, looked) = (row.get(0)?, looked + 1);
            let owed = Brokers::from_bits(row.get::<_, u8>(1)? >> SHIFT);
            let (received, dead, bytes): (i64, bool, u64) = (row.get(2)?, row.get(4)?, row.get(5)?);
            let instance = row.get::<_, Option<i64>>(3)?.map(i64::cast_unsigned);
            for broker in owed.each() {
                self.owed[broker as usize].add(bytes, received);
                self.instances[broker as usize].entry(instance).or_default().add(bytes, received);
            }
            if owed.is_empty() {
                let sum = if dead { &mut self.dead_letters } else { &mut self.kept };
                sum.add(bytes, received);
            }
        }
        Ok((looked == AT_ONCE).then_some(last))
    }
}

/// The bytes of a journal's files, and whether a process has it open for writing.
///
/// # Errors
/// The folder cannot be read.
pub fn files(path: &Path) -> std::io::Result<(u64, bool)> {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let database = directory::database(path);
    let bytes = size(&database) + size(&database.with_extension("db-wal"));
    let lock = std::fs::File::open(path.join("lock"))?;
    Ok((bytes, lock.try_lock_shared().is_err()))
}

/// The version of a journal.
///
/// # Errors
/// What SQLite says.
pub fn version(db: &Connection) -> Result<usize> {
    super::schema::version(db)
}
