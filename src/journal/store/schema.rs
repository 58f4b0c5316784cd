//! The tables, and how those of earlier versions become these.
//!
//! Rules that hold between any two transactions:
//! - a record with `owed = 0` is kept for its own sake, until it is too old; one that is owed to brokers is deleted by
//!   the transaction that settles the last of them;
//! - `seq` ascends in the order of arrival and is never used twice, also not after its record is gone: numbers are
//!   reserved in `meta` before they are used;
//! - the ids of the records of a transaction are in `seen` by the same transaction.

use rusqlite::{Connection, Result};

/// How the bits of brokers stand in `owed` and `unknown`: one place up, so that they take one byte whichever are set,
/// and a record of which one broker is settled is changed in its place.
pub(super) const SHIFT: u8 = 1;

/// Each step's statements; the version of a journal is how many it has had.
const STEPS: [&str; 2] = [
    // `at` and `received` are Unix milliseconds; `ids` holds 17 bytes for each id: the id, and the brokers that have it
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
     CREATE TABLE record (
         seq INTEGER PRIMARY KEY,
         owed INTEGER NOT NULL,
         id BLOB NOT NULL,
         received INTEGER NOT NULL,
         instance INTEGER,
         class TEXT,
         reason TEXT,
         kafka INTEGER,
         nats INTEGER,
         rest TEXT NOT NULL,
         body BLOB NOT NULL);
     CREATE INDEX owed_kafka ON record(kafka, seq) WHERE owed & 2;
     CREATE INDEX owed_nats ON record(nats, seq) WHERE owed & 4;
     CREATE TABLE seen (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, ids BLOB NOT NULL);
     INSERT INTO meta VALUES ('name', lower(hex(randomblob(4))));",
    // which brokers may have it; and what is kept for its own sake is found by its age
    "ALTER TABLE record ADD COLUMN unknown INTEGER NOT NULL DEFAULT 0;
     CREATE INDEX kept ON record(reason, received) WHERE owed = 0;",
];

/// The version that this program writes.
pub(super) const VERSION: usize = STEPS.len();

/// The version of a journal; 0 where there is none yet.
pub(super) fn version(connection: &Connection) -> Result<usize> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Whether there is anything in it.
pub(super) fn has_tables(connection: &Connection) -> Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master)", [], |row| row.get(0))
}

/// Makes the tables of this version out of those there are, all or nothing.
pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    migrate_to(VERSION, connection)
}

pub(super) fn migrate_to(version_wanted: usize, connection: &mut Connection) -> Result<()> {
    let transaction = connection.transaction()?;
    let from = version(&transaction)?;
    if from >= version_wanted {
        return Ok(());
    }
    for step in STEPS.iter().take(version_wanted).skip(from) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", version_wanted)?;
    transaction.commit()
}
