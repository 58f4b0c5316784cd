//! Reading, in a thread of its own. Each transaction ends before the caller waits for anything: while one is open, the
//! log can only grow.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, TrySendError};
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::super::counts::{Backwards, Counts, Matching, Page, PageLimit, RecordId, Resume, SeqRange, Totals};
use super::super::{EventFilter, Lane, LaneBatch, OpenError, ReadError, Record, RecordFilter};
use super::queue::{self, Command};
use super::{damage, directory, edit, find, queries, readable, schema, totals};
use crate::message::Broker;

/// The most queries that wait: also a disk that hangs takes no more memory.
const MAX_WAITING: usize = 4096;

/// A query, and where its result goes.
type Job = Box<dyn FnOnce(&Connection) + Send>;

/// Reads a journal, also while another process writes it. Cheap to clone; the clones share one thread.
#[derive(Debug, Clone)]
pub struct JournalReader {
    jobs: mpsc::SyncSender<Job>,
    /// The writer, if this process has it: it moves what is sound away from damage.
    writer: Option<mpsc::Sender<Command>>,
    /// When it last could not, and why.
    not_rescued: Arc<Mutex<Option<(Instant, ReadError)>>>,
}

impl JournalReader {
    /// Opens the journal in this folder to read.
    ///
    /// # Errors
    /// [`OpenError`]: there is none, or one of another version.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let path = directory::database(directory);
        let unusable = |source| OpenError::of(path.clone(), source);
        match path.try_exists() {
            Ok(true) => {}
            Ok(false) => return Err(OpenError::NoJournal { path: directory.into() }),
            Err(source) => return Err(OpenError::Directory { path: directory.into(), source }),
        }
        let connection = readable(&path).map_err(unusable)?;
        let found = schema::version(&connection).map_err(unusable)?;
        if found != schema::VERSION {
            return Err(OpenError::OtherVersion { path, found, known: schema::VERSION });
        }
        let (jobs, received) = mpsc::sync_channel::<Job>(MAX_WAITING);
        let read = move || received.into_iter().for_each(|job| job(&connection));
        let thread = std::thread::Builder::new().name("journal-read".into()).spawn(read);
        thread.map_err(|source| OpenError::Directory { path: directory.into(), source })?;
        Ok(Self { jobs, writer: None, not_rescued: Arc::default() })
    }

    /// From now on this writer moves what is sound away from damage, where a query meets some.
    pub(super) fn rescued_by(self, writer: mpsc::Sender<Command>) -> Self {
        Self { writer: Some(writer), ..self }
    }

    /// The name of the journal.
    ///
    /// # Errors
    /// [`ReadError`], as all of these.
    pub async fn name(&self) -> Result<String, ReadError> {
        self.read(find::name).await
    }

    /// The version of its schema.
    pub async fn version(&self) -> Result<usize, ReadError> {
        self.read(schema::version).await
    }

    /// The first and the last sequence number. `None` means the journal is empty.
    pub async fn range(&self) -> Result<Option<SeqRange>, ReadError> {
        self.read(queries::range).await
    }

    /// The record with this sequence number. `None` means it is not there.
    pub async fn record(&self, seq: i64) -> Result<Option<Record>, ReadError> {
        self.read(move |db| queries::by_number(db, seq)).await
    }

    /// The first records of a lane; see [`LaneBatch`].
    pub async fn batch(&self, broker: Broker, lane: Lane, max_bytes: usize) -> Result<LaneBatch, ReadError> {
        self.read(move |db| queries::batch(db, broker, lane, max_bytes)).await
    }

    /// The records after this sequence number that match.
    pub async fn page(&self, filter: &EventFilter, after: i64, limit: PageLimit) -> Result<Page, ReadError> {
        let filter = filter.clone();
        self.read(move |db| queries::page(db, &filter, after, limit)).await
    }

    /// The records after one sequence number, up to and including another one, that match.
    pub async fn matching(&self, filter: &RecordFilter, after: i64, until: i64) -> Result<Matching, ReadError> {
        let filter = filter.clone();
        self.read(move |db| edit::matching(db, &filter, after, until)).await
    }

    /// Identities of records after this sequence number, in ascending order, some at a time; none after the last.
    pub async fn ids_after(&self, after: i64) -> Result<Vec<RecordId>, ReadError> {
        self.read(move |db| queries::ids_after(db, after)).await
    }

    /// Whether a broker has not acked all records of a lane.
    pub async fn has_backlog(&self, broker: Broker, lane: Lane) -> Result<bool, ReadError> {
        self.read(move |db| queries::has_backlog(db, broker, lane)).await
    }

    /// Whether every broker has acked everything.
    pub async fn is_drained(&self) -> Result<bool, ReadError> {
        self.read(queries::is_drained).await
    }

    /// The sequence numbers of the records that are known to be unreadable.
    pub async fn unreadable(&self) -> Result<Vec<i64>, ReadError> {
        self.read(damage::unreadable).await
    }

    /// How many dead letters are for the journal alone.
    pub async fn count_dead_letters(&self) -> Result<u64, ReadError> {
        self.read(queries::count_dead_letters).await
    }

    /// A quick count, by indexes alone.
    pub async fn counts(&self) -> Result<Counts, ReadError> {
        self.read(|db| find::counts(db, SystemTime::now())).await
    }

    /// Counts every record, in many short transactions: nothing that is written waits for it.
    pub async fn totals(&self) -> Result<Totals, ReadError> {
        let (mut totals, mut after) = (Totals::default(), Some(0));
        while let Some(from) = after {
            (totals, after) = self
                .read(move |db| {
                    let next = totals::add_page(&mut totals, db, from)?;
                    Ok((totals, next))
                })
                .await?;
        }
        Ok(totals)
    }

    /// The sequence number before the first record received at this time or later.
    pub(in crate::journal) async fn before(&self, at: SystemTime) -> Result<i64, ReadError> {
        self.read(move |db| find::before(db, at)).await
    }

    /// Reads backwards; see [`find::back`].
    pub(in crate::journal) async fn backwards(
        &self,
        filter: &EventFilter,
        before: i64,
        wanted: usize,
        limit: usize,
    ) -> Result<Backwards, ReadError> {
        let filter = filter.clone();
        self.read(move |db| find::back(db, &filter, before, wanted, limit)).await
    }

    /// Whether a reader can go on after this sequence number without a gap.
    pub(in crate::journal) async fn resume(&self, seq: i64) -> Result<Resume, ReadError> {
        self.read(move |db| find::resume(db, seq)).await
    }

    /// Runs a query as one short transaction; where it meets damage, once more after the writer has moved away from it what
    /// is sound.
    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Clone + Send + 'static,
    ) -> Result<T, ReadError> {
        let mut result = self.try_read(query.clone()).await?;
        if let (Err(error), Some(writer)) = (&result, &self.writer)
            && damage::is_damage(error)
        {
            self.rescue_once(writer).await?;
            result = self.try_read(query).await?;
        }
        result.map_err(|error| ReadError::Sqlite(error.to_string()))
    }

    async fn try_read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<rusqlite::Result<T>, ReadError> {
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // a caller that gave up does not want the result
            let _ = done.send(query(connection));
        });
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => ReadError::Busy,
            TrySendError::Disconnected(_) => ReadError::Closed,
        })?;
        result.await.map_err(|_| ReadError::Closed)
    }

    /// As [`Self::rescue`]; what failed is not tried again soon: many lanes may read the same damage.
    async fn rescue_once(&self, writer: &mpsc::Sender<Command>) -> Result<(), ReadError> {
        if let Some((at, error)) = &*self.not_rescued.lock()
            && at.elapsed() < damage::RESCUE_INTERVAL
        {
            return Err(error.clone());
        }
        let rescued = self.rescue(writer).await;
        *self.not_rescued.lock() = rescued.as_ref().err().map(|error| (Instant::now(), error.clone()));
        rescued
    }

    /// Lets the writer move what is sound, unless it did so since this reader met the damage.
    async fn rescue(&self, writer: &mpsc::Sender<Command>) -> Result<(), ReadError> {
        let failed = |error: rusqlite::Error| ReadError::Sqlite(error.to_string());
        let before = self.try_read(damage::schema_cookie).await?.map_err(failed)?;
        let (done, result) = oneshot::channel();
        let job: queue::Job = Box::new(move |db| {
            let rescued =
                damage::schema_cookie(db).and_then(|now| if now == before { damage::rescue(db) } else { Ok(()) });
            match rescued {
                Ok(()) => {
                    let _ = done.send(Ok(()));
                    None
                }
                Err(error) => {
                    let _ = done.send(Err(ReadError::Sqlite(error.to_string())));
                    Some(error)
                }
            }
        });
        writer.send(Command::LongEdit(job)).map_err(|_| ReadError::Closed)?;
        result.await.map_err(|_| ReadError::Closed)?
    }
}
