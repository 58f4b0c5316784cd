//! The journal in SQLite: the most tested store there is, and one that people can open with `sqlite3`.
//!
//! In: appends, acks, ids and edits, queued for one writer thread, which makes all that wait one synced transaction. Out:
//! the number of each appended record, the first records of a lane, and pages for readers, also in other processes.
//!
//! `handle` is what others call, `writer` the loop, `schema` the tables, `rows` one record. A reader thread serves the
//! forwarders, a third notices a disk that hangs. Only this module uses `rusqlite`.

mod batch;
mod capacity;
mod clock;
mod damage;
mod directory;
mod edit;
mod fault;
mod find;
mod gather;
mod handle;
mod leaves;
mod preflight;
mod queries;
mod queue;
mod reader;
mod retention;
mod rows;
mod schema;
mod totals;
mod watchdog;
mod writer;

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::record::millis;
use super::{Config, DeadLetterConfig, DedupLimits, JournalRefusal, JournalState, OpenError, Recovered, Risk, Usage};
use crate::completion_queue::CompletionQueue;
use crate::telemetry::TimedAvailability;
use capacity::Capacity;
use clock::Clock;
use directory::Directory;
pub use handle::Journal;
use queue::Load;
pub use reader::JournalReader;
use retention::{Retention, RetentionLimits};
use watchdog::WriterActivity;
use writer::Writer;

/// Opens the journal in its folder, or creates one, for this process alone.
fn open(
    config: &Config,
    dead_letter: &DeadLetterConfig,
    dedup: DedupLimits,
) -> Result<(Journal, Recovered), OpenError> {
    open_by(Clock::of_machine(), writer::TICK, config, dead_letter, dedup)
}

/// The same with another clock, and housekeeping every `tick`.
fn open_by(
    clock: clock::Read,
    tick: Duration,
    config: &Config,
    dead_letter: &DeadLetterConfig,
    dedup: DedupLimits,
) -> Result<(Journal, Recovered), OpenError> {
    let (mut connection, mut capacity) = prepare(config)?;
    let limits = RetentionLimits::of(config, dead_letter, dedup);
    let start = damage::with_rescue(&mut connection, |db| Start::read(db, limits, clock.clone(), dedup));
    let Start { retention, recovered, name, next } = start.map_err(|source| capacity.unusable(source))?;
    let ((commands, received), (watched, ended)) = (mpsc::channel(), mpsc::channel());
    let (appended, last) = watch::channel(next - 1);
    let (usage, failed) = (Arc::new(Usage::of(config)), CancellationToken::new());
    let (used, accepts) = capacity.check(&connection, true).map_err(|source| capacity.unusable(source))?;
    usage.set(used.on_disk, used.in_use, recovered.unreadable.clone());
    let (state, states) = watch::channel(TimedAvailability::new(first_state(accepts), SystemTime::now()));
    let (load, activity) = (Arc::new(Load::default()), Arc::new(WriterActivity::new()));
    let writer = Writer {
        connection,
        capacity,
        retention,
        tick,
        commands: received,
        load: load.clone(),
        activity: activity.clone(),
        _watched: watched,
        state: state.clone(),
        // a caller that gave up finds the record through the dedup window
        appended_to: CompletionQueue::new(|(done, seq)| done.send(Ok(seq)).unwrap_or_default()),
        appended,
        usage: usage.clone(),
        failed: failed.clone(),
        next,
        reserved: next,
        synced: true,
        logged: 0,
        rescued: None,
    };
    let started = start_threads(writer, activity, load.clone(), state, ended);
    let writer = started.map_err(|source| OpenError::Directory { path: config.directory.clone(), source })?;
    let (name, reader, writer) = (
        name.into(),
        JournalReader::open(&config.directory)?.rescued_by(commands.clone()),
        Mutex::new(Some(writer)).into(),
    );
    Ok((Journal { name, commands, load, reader, state: states, appended: last, usage, failed, writer }, recovered))
}

fn first_state(accepts: Result<(), JournalRefusal>) -> JournalState {
    let Err(refusal) = accepts else { return JournalState::Up };
    warn!(event = "journal_refuses", reason = refusal.as_str(), "journal refuses records");
    JournalState::down(refusal)
}

/// What the start reads.
struct Start {
    retention: Retention,
    recovered: Recovered,
    /// The name of the journal.
    name: String,
    /// The number of the next record.
    next: i64,
}

impl Start {
    fn read(
        connection: &Connection,
        limits: RetentionLimits,
        clock: clock::Read,
        dedup: DedupLimits,
    ) -> rusqlite::Result<Self> {
        let retention = Retention::new(connection, limits, clock)?;
        let since = millis(retention.machine_time().checked_sub(dedup.window).unwrap_or(SystemTime::UNIX_EPOCH));
        let recovered = queries::recover(connection, since, dedup.max_ids)?;
        let (name, next) = queries::name_and_next(connection)?;
        Ok(Self { retention, recovered, name, next })
    }
}

fn warn_of_risks(directory: &Path) {
    for Risk { problem, remedy } in directory::risks(directory) {
        warn!(directory = %directory.display(), problem, remedy, "risk in the journal's directory");
    }
}

/// Starts the writer's thread, and the one that watches it.
fn start_threads(
    writer: Writer,
    activity: Arc<WriterActivity>,
    load: Arc<Load>,
    state: watch::Sender<TimedAvailability<JournalRefusal>>,
    ended: mpsc::Receiver<()>,
) -> std::io::Result<JoinHandle<()>> {
    let thread = |name: &str| std::thread::Builder::new().name(name.into());
    thread("journal-watch").spawn(move || watchdog::watch(&activity, &load, &state, &ended))?;
    thread("journal-write").spawn(move || writer.run())
}

/// A connection to a journal of this version, with nothing in its WAL. This process is its only writer from now on.
fn prepare(config: &Config) -> Result<(Connection, Capacity), OpenError> {
    let mut capacity = Capacity::of(config, Directory::lock(&config.directory)?);
    warn_of_risks(&config.directory);
    let path = capacity.directory.database();
    capacity.prepare_start(final_pages(&path))?;
    let mut connection = opened(&path).map_err(|source| capacity.unusable(source))?;
    // before any setting: the database of another program stays as it is
    version(&capacity, &connection)?;
    let prepared = make_durable(&connection)
        .and_then(|()| schema::migrate(&mut connection))
        // after a failed sync the WAL may be complete in the page cache only: checkpoint it before anything is appended
        .and_then(|()| Capacity::truncate_wal(&connection));
    prepared.map_err(|source| capacity.unusable(source))?;
    capacity.directory.allocate_wal(capacity::WAL_BYTES);
    Ok((connection, capacity))
}

/// The bytes of the database once its WAL is checkpointed. Changes nothing and writes no file, so that it works on a full
/// disk. `None` means that it cannot be read, or not now.
fn final_pages(path: &Path) -> Option<u64> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | ALONE).ok()?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).ok()?;
    // a reader that has it open prevents that
    connection.busy_timeout(Duration::ZERO).ok()?;
    // the index of the WAL stays in memory
    connection.pragma_update(None, "locking_mode", "exclusive").ok()?;
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, u64>(0)).ok();
    Some(number("page_count")? * number("page_size")?)
}

/// The version of the schema, which this program can use; 0 means there is none yet.
fn version(capacity: &Capacity, connection: &Connection) -> Result<usize, OpenError> {
    let (path, unusable) = (capacity.directory.database(), |source| capacity.unusable(source));
    let found = schema::version(connection).map_err(unusable)?;
    if found == 0 && schema::has_tables(connection).map_err(unusable)? {
        return Err(OpenError::Foreign { path });
    }
    if found > schema::VERSION {
        return Err(OpenError::OtherVersion { path, found, known: schema::VERSION });
    }
    Ok(found)
}

/// How long a connection waits for another process that repairs the WAL.
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
    connection.pragma_update(None, "journal_size_limit", i64::try_from(capacity::WAL_BYTES).unwrap_or(i64::MAX))?;
    // the writer does that, and learns whether it was synced
    connection.pragma_update(None, "wal_autocheckpoint", 0)
}

/// A connection to read while another one writes.
///
/// # Errors
/// What SQLite reports, also that there is no database.
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
