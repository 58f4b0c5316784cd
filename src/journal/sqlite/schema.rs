//! The tables, and the migration from earlier versions.
//!
//! Invariants between any two transactions:
//! - `owed` has the brokers whose backlog a record is in. A record with `owed = 0` is for the journal alone, and stays
//!   until it is too old; the transaction with the last ack of any other record deletes it;
//! - `seq` ascends in the order of arrival and is never used twice, also after its record is deleted: numbers are
//!   reserved in `meta` before they are used;
//! - the transaction that adds records adds their ids to `seen`, the dedup window.

use rusqlite::{Connection, Result};

/// The columns `owed` and `unknown` have the bits of brokers shifted by this: the value then has one byte whichever bits
/// are set, and an ack changes the row without moving it.
pub(super) const SHIFT: u8 = 1;

/// The statements of each migration; the version of a journal is how many it has had.
const MIGRATIONS: [&str; 3] = [
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
    // `unknown`: the brokers that may have stored it; and records for the journal alone are found by their age
    "ALTER TABLE record ADD COLUMN unknown INTEGER NOT NULL DEFAULT 0;
     CREATE INDEX kept ON record(reason, received) WHERE owed = 0;",
    // records whose part of the disk was damaged, with what can still be read of them
    "CREATE TABLE unreadable (seq INTEGER PRIMARY KEY, rest TEXT, body BLOB);",
];

/// The version that this program writes.
pub(super) const VERSION: usize = MIGRATIONS.len();

/// The version of a journal; 0 means there is none yet.
pub(super) fn version(connection: &Connection) -> Result<usize> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Whether the database has tables.
pub(super) fn has_tables(connection: &Connection) -> Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master)", [], |row| row.get(0))
}

/// Migrates the tables to this version, all or nothing.
pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    migrate_to(VERSION, connection)
}

pub(super) fn migrate_to(version_wanted: usize, connection: &mut Connection) -> Result<()> {
    let transaction = connection.transaction()?;
    let from = version(&transaction)?;
    if from >= version_wanted {
        return Ok(());
    }
    for migration in MIGRATIONS.iter().take(version_wanted).skip(from) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", version_wanted)?;
    transaction.commit()
}
