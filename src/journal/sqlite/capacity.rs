//! How much more fits: by the journal's own limit, and by what its file system has left.
//!
//! A record counts once the file system has allocated what it takes in the WAL and in the database: a disk that others
//! fill later cannot prevent the checkpoint, so the backlog can always be deleted as it is acked. A file system that
//! cannot allocate, or a record larger than the WAL, needs the reserve for that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::super::{Config, JournalRefusal, OpenError, Usage};
use super::directory::{Directory, RESERVE};
use super::fault::{is_full, only_final};

/// See [`super::super::config::WAL_BYTES`].
pub(super) const WAL_BYTES: u64 = super::super::config::WAL_BYTES as u64;
/// The most a record takes beside its body: a page that is not full, its columns, its share of indexes.
const OVERHEAD: u64 = 8 * 1024;
/// Hysteresis: once the journal was full, it accepts again when this much fits. With less, the next larger body would
/// be refused at once.
const REOPEN: u64 = 256 * 1024;
/// The database is allocated in steps of this many bytes, and at least one ahead: ids and indexes grow it too.
const STEP: u64 = 1024 * 1024;
/// What a start writes beside the WAL: its index, and some pages of the database.
const START: u64 = 128 * 1024;
/// How long the writer waits for a reader that prevents a restart of the WAL: all appends wait meanwhile.
const WAIT_FOR_READERS: Duration = Duration::from_millis(20);

/// The limits of a journal.
pub(super) struct Capacity {
    pub(super) directory: Directory,
    pub(super) max_bytes: u64,
    pub(super) min_free: u64,
    /// The part of `max_bytes` that is for the WAL.
    pub(super) wal_share: u64,
    /// The bytes of the database that are allocated, as far as is known.
    allocated: u64,
}

/// The bytes on disk at one moment.
struct DiskUsage {
    database_bytes: u64,
    /// The part of `database_bytes` in empty pages.
    freelist_bytes: u64,
    wal_bytes: u64,
    /// The free bytes of the file system, without the reserve.
    free: u64,
}

/// The bytes of a journal.
pub(super) struct Used {
    /// On disk, the WAL included.
    pub(super) on_disk: u64,
    /// Of the database, without its empty pages.
    pub(super) in_use: u64,
}

impl DiskUsage {
    fn used(&self) -> Used {
        let in_use = self.database_bytes.saturating_sub(self.freelist_bytes);
        Used { on_disk: self.database_bytes + self.wal_bytes, in_use }
    }
}

impl Usage {
    pub(super) fn of(config: &Config) -> Self {
        let (bytes, used) = (AtomicU64::new(0), AtomicU64::new(0));
        let (capacity, wal_share) = (config.max_bytes as u64, config.wal_share() as u64);
        Self { bytes, used, unreadable: Mutex::default(), capacity, wal_share }
    }

    pub(super) fn set(&self, bytes: u64, used: u64, unreadable: Vec<i64>) {
        *self.unreadable.lock() = unreadable;
        self.bytes.store(bytes, Ordering::Relaxed);
        self.used.store(used, Ordering::Relaxed);
    }
}

impl Capacity {
    pub(super) fn of(config: &Config, directory: Directory) -> Self {
        let bytes = |size: usize| size as u64;
        let (max_bytes, min_free) = (bytes(config.max_bytes), bytes(config.min_free));
        Self { directory, max_bytes, min_free, wal_share: bytes(config.wal_share()), allocated: 0 }
    }

    /// Whether a larger record would fit into a journal that does not exist yet, with this much free disk.
    pub(super) fn empty_accepts(&self, free: u64) -> Result<(), JournalRefusal> {
        self.fits(&DiskUsage { database_bytes: 0, freelist_bytes: 0, wal_bytes: 0, free }, REOPEN)
    }

    /// The bytes in use, and whether a larger record fits with this much free disk. Changes nothing.
    pub(super) fn inspect(
        &self,
        connection: &Connection,
        free: u64,
        with_wal: bool,
    ) -> (u64, Result<(), JournalRefusal>) {
        let mut usage = DiskUsage { free, ..self.usage(connection) };
        if !with_wal {
            usage.wal_bytes = 0;
        }
        (usage.used().in_use, self.fits(&usage, REOPEN))
    }

    /// How many of these records fit, from the first on, and why no more. The sizes are those of their bodies.
    ///
    /// # Errors
    /// Only those after which the disk cannot be trusted.
    pub(super) fn how_many_fit(
        &mut self,
        connection: &Connection,
        bodies: &[usize],
    ) -> rusqlite::Result<(usize, Result<(), JournalRefusal>)> {
        let mut usage = self.usage(connection);
        let (mut fit, mut why) = self.prefix(&usage, bodies);
        if why.is_err() {
            // what is in the WAL is on disk twice
            self.restart_wal(connection)?;
            usage = self.usage(connection);
            (fit, why) = self.prefix(&usage, bodies);
        }
        let all: u64 = bodies[..fit].iter().map(|bytes| wanted(*bytes)).sum();
        let grows = all.saturating_sub(usage.freelist_bytes);
        if fit > 0 && !self.allocate_database(usage.database_bytes + grows) {
            return Ok((0, Err(JournalRefusal::NoSpace)));
        }
        Ok((fit, why))
    }

    /// Allocates the database up to these bytes, and somewhat more; whether the file system had them.
    fn allocate_database(&mut self, bytes: u64) -> bool {
        if bytes > self.allocated {
            let ahead = (bytes + STEP).next_multiple_of(STEP);
            // the last blocks of a full disk may suffice without the step ahead
            let allocated = [ahead, bytes].into_iter().find(|bytes| self.directory.allocate_database(*bytes));
            self.allocated = allocated.unwrap_or(0);
        }
        bytes <= self.allocated
    }

    fn prefix(&self, usage: &DiskUsage, bodies: &[usize]) -> (usize, Result<(), JournalRefusal>) {
        let mut all = 0;
        for (index, bytes) in bodies.iter().enumerate() {
            all += wanted(*bytes);
            if let Err(refusal) = self.fits(usage, all) {
                return (index, Err(refusal));
            }
        }
        (bodies.len(), Ok(()))
    }

    fn usage(&self, connection: &Connection) -> DiskUsage {
        let page_size = number(connection, "page_size");
        DiskUsage {
            database_bytes: number(connection, "page_count") * page_size,
            freelist_bytes: number(connection, "freelist_count") * page_size,
            wal_bytes: self.directory.wal_bytes(),
            // the reserve comes first: a start on a full disk must be able to forward what was answered 200
            free: self.directory.free().saturating_sub(self.directory.missing_reserve()),
        }
    }

    fn fits(&self, usage: &DiskUsage, wanted: u64) -> Result<(), JournalRefusal> {
        let grows = wanted.saturating_sub(usage.freelist_bytes);
        // the WAL has a part of its own, so that what was forwarded can always be deleted
        let max_database_bytes = self.max_bytes.saturating_sub(self.wal_share);
        let full = if usage.database_bytes > max_database_bytes {
            // the limit was lowered since: the file never shrinks, but its empty pages can be used again
            grows > 0 || usage.database_bytes - usage.freelist_bytes + wanted > max_database_bytes
        } else {
            usage.database_bytes + grows > max_database_bytes
        };
        if full {
            return Err(JournalRefusal::Full);
        }
        // without a reader it would have been emptied
        if usage.database_bytes + grows + usage.wal_bytes + wanted
            > self.max_bytes.max(usage.database_bytes + self.wal_share)
        {
            return Err(JournalRefusal::LogHeld);
        }
        if usage.free < self.min_free.saturating_add(grows + wanted) { Err(JournalRefusal::NoSpace) } else { Ok(()) }
    }

    /// The bytes of the journal, and whether another record fits: the smallest, or after a refusal also a larger one.
    ///
    /// # Errors
    /// As [`Self::how_many_fit`].
    pub(super) fn check(
        &mut self,
        connection: &Connection,
        was_up: bool,
    ) -> rusqlite::Result<(Used, Result<(), JournalRefusal>)> {
        self.restart_wal_if_long(connection)?;
        self.ensure_allocated(connection);
        self.directory.ensure_reserve(self.min_free);
        let usage = self.usage(connection);
        Ok((usage.used(), self.fits(&usage, if was_up { OVERHEAD } else { REOPEN })))
    }

    /// Why the journal cannot be opened.
    pub(super) fn unusable(&self, source: rusqlite::Error) -> OpenError {
        let (path, free) = (self.directory.database(), self.directory.free());
        if free < WAL_BYTES {
            OpenError::Full { path, missing: WAL_BYTES + RESERVE - free }
        } else {
            OpenError::of(path, source)
        }
    }

    /// Makes sure that a start can checkpoint the WAL, if need be with the reserve. `database_bytes` is the size of the
    /// database after the checkpoint; `None` means that it cannot be read.
    ///
    /// # Errors
    /// Also the reserve would not suffice: it stays for the next try.
    pub(super) fn prepare_start(&self, database_bytes: Option<u64>) -> Result<(), OpenError> {
        let (needed, free) = (self.needed_to_start(database_bytes), self.directory.free());
        let with_reserve = free + RESERVE - self.directory.missing_reserve();
        if with_reserve < needed {
            return Err(OpenError::Full { path: self.directory.database(), missing: needed - with_reserve });
        }
        if free < needed + WAL_BYTES.saturating_sub(self.directory.wal_bytes()) {
            self.directory.release_reserve();
        }
        Ok(())
    }

    /// The bytes on disk that a start takes before anything can be deleted.
    fn needed_to_start(&self, database_bytes: Option<u64>) -> u64 {
        // at worst every page of the WAL is a new one
        let largest = || self.directory.database_bytes() + self.directory.wal_bytes();
        database_bytes.unwrap_or_else(largest).saturating_sub(self.directory.database_blocks()) + START
    }

    /// Checkpoints the WAL without waiting for readers; on a full disk with the reserve.
    ///
    /// # Errors
    /// As [`Self::how_many_fit`].
    pub(super) fn checkpoint(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let passive = || connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        let done = match passive() {
            Err(error) if is_full(&error) && self.directory.release_reserve() => passive(),
            done => done,
        };
        only_final(done)?;
        self.forget_allocated();
        self.restart_wal_if_long(connection)?;
        self.ensure_allocated(connection);
        Ok(())
    }

    /// A checkpoint may have given back what was allocated: it truncates the database to its last page.
    pub(super) fn forget_allocated(&mut self) {
        self.allocated = 0;
    }

    /// Allocates again what a checkpoint gave back, and the WAL.
    fn ensure_allocated(&mut self, connection: &Connection) {
        let database_bytes = number(connection, "page_count") * number(connection, "page_size");
        if database_bytes > self.allocated {
            self.allocate_database(database_bytes);
            self.directory.allocate_wal(WAL_BYTES);
        }
    }

    /// Restarts the WAL if it is twice as long as it should be. Readers that follow each other prevent an ordinary
    /// restart, though each ends soon.
    fn restart_wal_if_long(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.directory.wal_bytes() > 2 * WAL_BYTES { self.restart_wal(connection) } else { Ok(()) }
    }

    /// Checkpoints and restarts the WAL, unless a reader prevents that for longer than a moment. The file is not
    /// truncated to nothing: on a full disk, deletions need it.
    ///
    /// # Errors
    /// As [`Self::how_many_fit`].
    fn restart_wal(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.forget_allocated();
        let busy = with_short_wait(connection, |connection| {
            connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get::<_, bool>(0))
        });
        if let Ok(false) = busy {
            // a transaction at the WAL's beginning truncates it to its size limit
            let touched = connection.execute("REPLACE INTO meta VALUES ('log', 0)", []);
            return only_final(touched.map(|_| ()));
        }
        only_final(busy.map(|_| ()))
    }

    /// Checkpoints the WAL and truncates it, as far as readers permit.
    ///
    /// # Errors
    /// What SQLite reports.
    pub(super) fn truncate_wal(connection: &Connection) -> rusqlite::Result<()> {
        with_short_wait(connection, |connection| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        })
    }
}

/// What a record with a body of this many bytes takes at most.
fn wanted(bytes: usize) -> u64 {
    bytes as u64 + OVERHEAD
}

/// Does something that waits for readers, but not for long.
fn with_short_wait<T>(connection: &Connection, act: impl FnOnce(&Connection) -> T) -> T {
    // it cannot fail: it only sets a number
    let _ = connection.busy_timeout(WAIT_FOR_READERS);
    let done = act(connection);
    let _ = connection.busy_timeout(super::BUSY);
    done
}

fn number(connection: &Connection, pragma: &str) -> u64 {
    let number = connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    number.map_or(0, i64::unsigned_abs)
}
