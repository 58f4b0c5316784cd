//! How much room there is: in the journal's own limit, and on its file system.

use rusqlite::Connection;

use super::directory::Directory;

/// The log is brought into the database when it is about this long; then it is written from its beginning again.
pub(super) const LOG: u64 = 4 * 1024 * 1024;
/// What a record takes beside its body: columns, indexes, its share of pages.
const BESIDE: u64 = 1024;

/// The limits of a journal.
pub(super) struct Room {
    pub(super) directory: Directory,
    pub(super) max_bytes: u64,
    pub(super) min_free: u64,
}

/// Why there is no room, as a bounded tag.
type NoRoom = &'static str;

impl Room {
    /// Whether records of so many bytes have room.
    pub(super) fn for_more(&self, connection: &Connection, bytes: usize, records: usize) -> Result<(), NoRoom> {
        let wanted = bytes as u64 + records as u64 * BESIDE;
        self.fits(connection, wanted).or_else(|_| {
            // what is in the log takes room twice
            let _ = self.empty_log(connection);
            self.fits(connection, wanted)
        })
    }

    fn fits(&self, connection: &Connection, wanted: u64) -> Result<(), NoRoom> {
        let [pages, free, size] = ["page_count", "freelist_count", "page_size"].map(|name| number(connection, name));
        let grows = wanted.saturating_sub(free * size);
        // the log has room of its own, so that what is forwarded can always be deleted
        let log = (self.directory.log_bytes() + wanted).max(LOG);
        if pages * size + grows + log > self.max_bytes {
            return Err("full");
        }
        if self.directory.free() < self.min_free + grows + wanted { Err("no_space") } else { Ok(()) }
    }

    /// The bytes on disk, and whether another record of ordinary size has room.
    pub(super) fn look(&self, connection: &Connection) -> (u64, Result<(), NoRoom>) {
        let bytes = number(connection, "page_count") * number(connection, "page_size") + self.directory.log_bytes();
        (bytes, self.fits(connection, BESIDE))
    }

    /// Brings the log into the database and cuts it off.
    pub(super) fn empty_log(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }
}

fn number(connection: &Connection, pragma: &str) -> u64 {
    let number = connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    number.map_or(0, i64::unsigned_abs)
}
