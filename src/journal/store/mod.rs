//! The journal in SQLite: the most tested store there is, and one that people can open with `sqlite3`.
//!
//! One thread writes, another reads for the forwarders; other processes may read beside them.

mod batch;
mod clock;
mod directory;
mod fault;
pub mod find;
mod gather;
mod look;
pub mod queries;
mod reader;
mod room;
mod rows;
mod schema;
pub mod steps;
pub mod tally;
mod tidy;
mod writer;

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::record::millis;
use super::{Config, DeadLetterConfig, Journal, OpenError, Recovered, Usage};
use crate::observe::BrokerState;
use crate::relay::Relay;
use clock::Clock;
use directory::Directory;
pub use look::look_at;
pub use reader::{ReadError, Reader};
use room::Room;
use tidy::{Retention, Tidy};
use writer::Writer;

/// Opens the journal in its folder, or makes one, and takes it for this process alone. Ids are remembered for `window`,
/// of which the last `most` are recovered.
///
/// # Errors
/// [`OpenError`].
pub(super) fn open(
    config: &Config,
    dead_letter: &DeadLetterConfig,
    (window, most): (Duration, usize),
) -> Result<(Journal, Recovered), OpenError> {
    open_by(Clock::of_machine(), writer::TICK, config, dead_letter, (window, most))
}

/// The same by another clock, looking after itself so often.
fn open_by(
    clock: clock::Read,
    tick: Duration,
    config: &Config,
    dead_letter: &DeadLetterConfig,
    (window, most): (Duration, usize),
) -> Result<(Journal, Recovered), OpenError> {
    let directory = Directory::take(&config.directory)?;
    directory.use_reserve();
    let room = Room::of(config, directory);
    let connection = prepared(&room)?;
    let unusable = |source| room.unusable(source);
    let (records, dead_letters) = (config.retention, dead_letter.retention);
    let retention = Retention { records, dead_letters, seen: window, ids: most as u64 };
    let tidy = Tidy::new(&connection, retention, clock).map_err(unusable)?;
    let since = millis(tidy.day().checked_sub(window).unwrap_or(SystemTime::UNIX_EPOCH));
    let recovered = queries::recover(&connection, since, most).map_err(unusable)?;
    let (name, next) = queries::name_and_next(&connection).map_err(unusable)?;
    let (commands, received) = mpsc::channel();
    let (appended, last) = watch::channel(next - 1);
    let (usage, broken) = (Arc::new(Usage::of(config)), CancellationToken::new());
    let (taken, fits) = room.look(&connection, true).map_err(unusable)?;
    usage.set(taken.on_disk, taken.used);
    let (state, up) = watch::channel(fits.map_or_else(BrokerState::down, |()| BrokerState::up()));
    let writer = Writer {
        connection,
        room,
        tidy,
        tick,
        commands: received,
        state,
        // who gave up waiting left it to be found as stored
        kept: Relay::new(|(waits, seq)| waits.send(Ok(seq)).unwrap_or_default()),
        appended,
        usage: usage.clone(),
        broken: broken.clone(),
        next,
        reserved: next,
        synced: true,
        logged: 0,
    };
    let thread = std::thread::Builder::new().name("journal-write".into()).spawn(move || writer.run());
    let thread = thread.map_err(|source| OpenError::Directory { path: config.directory.clone(), source })?;
    let reader = Reader::open(&config.directory)?;
    Ok((Journal::new(name, commands, reader, up, last, usage, broken, thread), recovered))
}

/// A connection to a journal of this version, with nothing in its log.
fn prepared(room: &Room) -> Result<Connection, OpenError> {
    let path = room.directory.database();
    let unusable = |source| room.unusable(source);
    let mut connection = opened(&path).map_err(unusable)?;
    // before anything is set: what is not ours stays as it is
    version(room, &connection)?;
    make_durable(&connection).map_err(unusable)?;
    schema::migrate(&mut connection).map_err(unusable)?;
    // after a sync that failed the log may be whole only in memory, and nothing may be written behind that
    Room::empty_log(&connection).map_err(unusable)?;
    room.directory.keep_log(room::LOG);
    Ok(connection)
}

/// The version of what is there, which this program can use; 0 where there is nothing yet.
fn version(room: &Room, connection: &Connection) -> Result<usize, OpenError> {
    let (path, unusable) = (room.directory.database(), |source| room.unusable(source));
    let found = schema::version(connection).map_err(unusable)?;
    if found == 0 && schema::has_tables(connection).map_err(unusable)? {
        return Err(OpenError::Foreign { path });
    }
    if found > schema::VERSION {
        return Err(OpenError::Newer { path, found, known: schema::VERSION });
    }
    Ok(found)
}

/// How long another process that sets the log right is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// Each connection belongs to one thread, so SQLite needs no locks of its own.
const ALONE: OpenFlags = OpenFlags::SQLITE_OPEN_NO_MUTEX;

fn opened(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | ALONE)?;
    connection.set_prepared_statement_cache_capacity(32);
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

fn make_durable(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    // each transaction is on disk before it is acknowledged
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.pragma_update(None, "journal_size_limit", i64::try_from(room::LOG).unwrap_or(i64::MAX))?;
    // the writer does that, and hears whether it was synced
    connection.pragma_update(None, "wal_autocheckpoint", 0)
}

/// For reading beside whoever writes.
///
/// # Errors
/// What SQLite says, also that there is none.
fn readable(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | ALONE)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
