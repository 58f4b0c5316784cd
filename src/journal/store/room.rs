//! How much room there is: in the journal's own limit, and on its file system.

use std::time::Duration;

use rusqlite::Connection;

use super::super::{Config, OpenError};
use super::directory::Directory;
use super::fault::only_final;

/// See there.
pub(super) const LOG: u64 = super::super::config::LOG as u64;
/// What a record takes beside its body at most: a page that is not full, its columns, its share of indexes.
const BESIDE: u64 = 8 * 1024;
/// What must have room again once there was none: a larger body would be refused at once where only the least has.
const AGAIN: u64 = 256 * 1024;
/// How long a reader may keep the log from being written from its beginning again: everybody waits meanwhile.
const READERS: Duration = Duration::from_millis(20);

/// The limits of a journal.
pub(super) struct Room {
    pub(super) directory: Directory,
    pub(super) max_bytes: u64,
    pub(super) min_free: u64,
    /// What the database leaves to the log.
    pub(super) for_log: u64,
}

/// Why there is no room, as a bounded tag.
pub(super) type NoRoom = &'static str;

/// How it stands at one moment, in bytes.
struct Now {
    /// Of the database.
    pages: u64,
    /// Those of them that nothing is in.
    spare: u64,
    log: u64,
    /// What the file system has left beside the reserve.
    left: u64,
}

/// The bytes of a journal.
pub(super) struct Taken {
    /// On disk, the log included.
    pub(super) on_disk: u64,
    /// Of the database, those that something is in.
    pub(super) used: u64,
}

impl Now {
    fn taken(&self) -> Taken {
        Taken { on_disk: self.pages + self.log, used: self.pages.saturating_sub(self.spare) }
    }
}

impl Room {
    pub(super) fn of(config: &Config, directory: Directory) -> Self {
        let [max_bytes, min_free, for_log] =
            [config.max_bytes, config.min_free, config.for_log()].map(|bytes| bytes as u64);
        Self { directory, max_bytes, min_free, for_log }
    }

    /// Whether one that is not there yet would have room for a larger record, with so many bytes left.
    pub(super) fn of_nothing(&self, left: u64) -> Result<(), NoRoom> {
        self.fits(&Now { pages: 0, spare: 0, log: 0, left }, AGAIN)
    }

    /// The bytes something is in, and whether a larger record has room with so many bytes left, for who only reads it.
    pub(super) fn seen(&self, connection: &Connection, left: u64, with_log: bool) -> (u64, Result<(), NoRoom>) {
        let now = Now { left, ..self.now(connection) };
        let now = if with_log { now } else { Now { log: 0, ..now } };
        (now.taken().used, self.fits(&now, AGAIN))
    }

    /// How many of these records have room, from the first on, and why no more. The sizes are those of their bodies.
    ///
    /// # Errors
    /// Only those after which nothing can be believed any more.
    pub(super) fn for_more(
        &self,
        connection: &Connection,
        bodies: &[usize],
    ) -> rusqlite::Result<(usize, Result<(), NoRoom>)> {
        let (fit, why) = self.prefix(&self.now(connection), bodies);
        if why.is_ok() {
            return Ok((fit, why));
        }
        // what is in the log takes room twice
        self.begin_log_again(connection)?;
        Ok(self.prefix(&self.now(connection), bodies))
    }

    fn prefix(&self, now: &Now, bodies: &[usize]) -> (usize, Result<(), NoRoom>) {
        let mut wanted = 0;
        for (place, bytes) in bodies.iter().enumerate() {
            wanted += *bytes as u64 + BESIDE;
            if let Err(reason) = self.fits(now, wanted) {
                return (place, Err(reason));
            }
        }
        (bodies.len(), Ok(()))
    }

    fn now(&self, connection: &Connection) -> Now {
        let [pages, spare, size] = ["page_count", "freelist_count", "page_size"].map(|name| number(connection, name));
        let (log, left) = (self.directory.log_bytes(), self.directory.free());
        // the reserve comes first: what is answered 200 is to be forwarded also from a start on a full disk
        let left = left.saturating_sub(self.directory.lacks_reserve());
        Now { pages: pages * size, spare: spare * size, log, left }
    }

    fn fits(&self, now: &Now, wanted: u64) -> Result<(), NoRoom> {
        let grows = wanted.saturating_sub(now.spare);
        // the log has room of its own, so that what is forwarded can always be deleted
        let grown = now.pages + grows;
        if grows > 0 && grown + self.for_log > self.max_bytes || grown + now.log + wanted > self.max_bytes {
            return Err("full");
        }
        if now.left < self.min_free.saturating_add(grows + wanted) { Err("no_space") } else { Ok(()) }
    }

    /// The bytes of it, and whether another record has room: the least, or once there was none also a larger.
    ///
    /// # Errors
    /// As [`Self::for_more`].
    pub(super) fn look(
        &self,
        connection: &Connection,
        was_room: bool,
    ) -> rusqlite::Result<(Taken, Result<(), NoRoom>)> {
        self.cut_log(connection)?;
        self.directory.keep_reserve(self.min_free);
        let now = self.now(connection);
        Ok((now.taken(), self.fits(&now, if was_room { BESIDE } else { AGAIN })))
    }

    /// Why the journal cannot be opened.
    pub(super) fn unusable(&self, source: rusqlite::Error) -> OpenError {
        let (path, left) = (self.directory.database(), self.directory.free());
        if left < LOG { OpenError::Full { path, source } } else { OpenError::of(path, source) }
    }

    /// Brings the log into the database, waiting for nobody.
    ///
    /// # Errors
    /// As [`Self::for_more`].
    pub(super) fn shorten_log(&self, connection: &Connection) -> rusqlite::Result<()> {
        only_final(connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())))?;
        self.cut_log(connection)
    }

    /// Readers that follow each other keep the log from its beginning, though each is over in a moment.
    fn cut_log(&self, connection: &Connection) -> rusqlite::Result<()> {
        if self.directory.log_bytes() > 2 * LOG { self.begin_log_again(connection) } else { Ok(()) }
    }

    /// Brings the log into the database and has it written from its beginning again, if no reader keeps it from that
    /// for longer than a moment. The file is not cut off to nothing: where the disk is full, what is deleted goes there.
    ///
    /// # Errors
    /// As [`Self::for_more`].
    fn begin_log_again(&self, connection: &Connection) -> rusqlite::Result<()> {
        let kept = patiently(connection, |connection| {
            connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get::<_, bool>(0))
        });
        if let Ok(false) = kept {
            // a transaction at its beginning cuts off what is longer than it should be
            let touched = connection.execute("REPLACE INTO meta VALUES ('log', 0)", []);
            return only_final(touched.map(|_| ()));
        }
        only_final(kept.map(|_| ()))
    }

    /// Brings the log into the database and cuts it off, as far as no reader keeps it from that.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn empty_log(connection: &Connection) -> rusqlite::Result<()> {
        patiently(connection, |connection| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())))
    }
}

/// Does something for which readers are waited for, but not for long.
fn patiently<T>(connection: &Connection, act: impl FnOnce(&Connection) -> T) -> T {
    // it cannot fail: it only sets a number
    let _ = connection.busy_timeout(READERS);
    let done = act(connection);
    let _ = connection.busy_timeout(super::BUSY);
    done
}

fn number(connection: &Connection, pragma: &str) -> u64 {
    let number = connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    number.map_or(0, i64::unsigned_abs)
}
