//! The open journal, as other parts of the bridge use it.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::super::record_edit::{EditBatch, EditPlan, EditScope};
use super::super::{
    AppendResult, ChangeError, Config, DeadLetterConfig, DedupLimits, Files, JournalRefusal, Lane, LaneBatch,
    OpenError, Preflight, ReadError, Record, Recovered, Usage,
};
use super::queue::{Ack, Append, Command, Job, Load, PendingIds};
use super::{JournalReader, damage, edit, preflight, totals};
use crate::message::{Broker, Brokers, Message};
use crate::telemetry::Dated;

/// The most bytes that [`Journal::scrub`] writes again while notifications wait for it: about a second.
const SCRUBBED: u64 = 64 * 1024 * 1024;
/// How long it waits for a reader of the WAL.
const LOG_EMPTY_WITHIN: Duration = Duration::from_secs(10);
/// How often a forwarder that waits for the queue to shrink checks it.
const CONGESTED: Duration = Duration::from_millis(50);

/// An open journal. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    pub(super) name: Arc<str>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) load: Arc<Load>,
    pub(super) reader: JournalReader,
    pub(super) state: watch::Receiver<Dated<JournalRefusal>>,
    pub(super) appended: watch::Receiver<i64>,
    pub(super) usage: Arc<Usage>,
    pub(super) failed: CancellationToken,
    pub(super) writer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Journal {
    /// Opens or creates the journal in `config.directory`, and locks it for this process. Blocks: a large backlog takes
    /// seconds.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        config: &Config,
        dead_letter: &DeadLetterConfig,
        dedup: DedupLimits,
    ) -> Result<(Self, Recovered), OpenError> {
        super::open(config, dead_letter, dedup)
    }

    /// Inspects the journal in the folder, or the folder in which it would be created, as a bridge does that starts with
    /// it. Changes nothing, takes no lock, and blocks: it counts the backlog.
    ///
    /// # Errors
    /// [`OpenError`]: a bridge would not start with it.
    pub fn preflight(config: &Config) -> Result<Preflight, OpenError> {
        preflight::preflight(config)
    }

    /// The files of the journal in this folder.
    ///
    /// # Errors
    /// There is no journal, or the folder cannot be read.
    pub fn files(directory: &Path) -> std::io::Result<Files> {
        totals::files(directory)
    }

    /// Its name, which never changes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads it.
    pub fn reader(&self) -> &JournalReader {
        &self.reader
    }

    /// Reads it by a thread of its own; `directory` is its folder.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_reader(&self, directory: &Path) -> Result<JournalReader, OpenError> {
        Ok(JournalReader::open(directory)?.rescued_by(self.commands.clone()))
    }

    /// Whether the journal accepts records now; a change is sent as it happens.
    pub fn state(&self) -> watch::Receiver<Dated<JournalRefusal>> {
        self.state.clone()
    }

    /// The sequence number of the last record appended.
    pub fn appended(&self) -> watch::Receiver<i64> {
        self.appended.clone()
    }

    /// Bytes on disk and in use, and the capacity; refreshed once a second.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// How many appends and acks wait to be on disk.
    pub fn queue_length(&self) -> usize {
        self.load.length()
    }

    /// Waits until the journal has failed for good: a sync failed, the database is corrupt, or its file was removed. Then
    /// nothing is acknowledged any more; the process must restart.
    pub async fn wait_until_failed(&self) {
        self.failed.cancelled().await;
    }

    /// Stores a message for these brokers, of which some may have stored it already. Returns its sequence number once it
    /// is on disk.
    pub fn append(
        &self,
        message: Message,
        backlog: Brokers,
        maybe_stored: Brokers,
    ) -> impl Future<Output = AppendResult> + use<> {
        self.enqueue(message, backlog, maybe_stored, None)
    }

    /// As [`Self::append`], for a replay of a dead letter that is in the journal: the same transaction counts the replay
    /// in the dead letter.
    pub fn replay(
        &self,
        message: Message,
        backlog: Brokers,
        dead_letter: i64,
    ) -> impl Future<Output = AppendResult> + use<> {
        self.enqueue(message, backlog, Brokers::NONE, Some(dead_letter))
    }

    fn enqueue(
        &self,
        message: Message,
        backlog: Brokers,
        maybe_stored: Brokers,
        replay_of: Option<i64>,
    ) -> impl Future<Output = AppendResult> + use<> {
        let queued = self.load.admit(message.body.len()).map(|permit| {
            let (done, result) = oneshot::channel();
            let message = Box::new(message);
            self.send(Command::Append(Append { message, backlog, maybe_stored, replay_of, done, permit }));
            result
        });
        async { queued?.await.unwrap_or(Err(JournalRefusal::Broken)) }
    }

    /// A broker has acked a record with a body of this size. If a crash loses this before [`Self::synced`], the record is
    /// forwarded again.
    pub fn ack(&self, seq: i64, broker: Broker, bytes: usize) {
        self.load.ack_added();
        self.send(Command::Ack(Ack { seq, broker, bytes }));
    }

    /// Adds ids to the dedup window on disk: 17 bytes each, see [`super::super::push_id`]. `stream` is the creation time
    /// of the stream that has everything stored from now on, if it is new. A crash may lose the last of this.
    pub fn append_dedup_ids(&self, ids: Vec<u8>, stream: Option<i64>) {
        if self.load.add_ids(PendingIds { ids, stream }) {
            self.send(Command::Ids);
        }
    }

    /// Waits until everything before is on disk. False means it never will be: the writer has ended.
    pub async fn synced(&self) -> bool {
        let (done, synced) = oneshot::channel();
        self.send(Command::Sync(done));
        synced.await.is_ok()
    }

    /// The first records of a lane, see [`LaneBatch`]. Waits while the writer is congested: acks of these
    /// records could not be recorded.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn batch(&self, broker: Broker, lane: Lane, max_bytes: usize) -> Result<LaneBatch, ReadError> {
        while self.load.is_congested() {
            sleep(CONGESTED).await;
        }
        self.reader.batch(broker, lane, max_bytes).await
    }

    /// The record with this sequence number. `None` means it is not there.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn record(&self, seq: i64) -> Result<Option<Record>, ReadError> {
        self.reader.record(seq).await
    }

    /// Applies a plan to the first records of a scope, in one short transaction.
    ///
    /// # Errors
    /// [`ChangeError`]: nothing was changed.
    pub async fn edit_batch<R: Ord + Send + 'static>(
        &self,
        scope: EditScope,
        plan: Arc<EditPlan<R>>,
    ) -> Result<EditBatch<R>, ChangeError> {
        self.run(Command::Edit, move |db| damage::rescuing(db, |db| edit::edit_batch(db, &scope, &*plan))).await
    }

    /// When the first record in the backlog of each of these lanes was received. A lane without a backlog is left out.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn oldest_of(&self, broker: Broker, lanes: &[Lane]) -> Result<Vec<(Lane, SystemTime)>, ChangeError> {
        let mut oldest = Vec::with_capacity(lanes.len());
        for lanes in lanes.chunks(500) {
            let lanes = lanes.to_vec();
            oldest.extend(self.run(Command::Edit, move |db| edit::oldest_of(db, broker, &lanes)).await?);
        }
        Ok(oldest)
    }

    /// Removes every piece of what was deleted from the journal's files. False means that pieces may be left: the
    /// database is too large for notifications to wait meanwhile (`at_rest` means none do), there is no space for a
    /// copy of it, or a reader prevents it.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn scrub(&self, at_rest: bool) -> Result<bool, ChangeError> {
        let max_bytes = if at_rest { u64::MAX } else { SCRUBBED };
        let rewritten = match self.run(Command::LongEdit, move |db| edit::rewrite(db, max_bytes)).await {
            // the records are deleted all the same; there may be no space for a copy of the others
            Err(ChangeError::Sqlite(_)) => false,
            rewritten => rewritten?,
        };
        let end = Instant::now() + LOG_EMPTY_WITHIN;
        loop {
            let empty = self.run(Command::LongEdit, |db| edit::truncate_wal(db)).await?;
            if empty || Instant::now() > end {
                return Ok(empty && rewritten);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Runs a job in the writer's thread, between two transactions. A fault after which the disk cannot be trusted
    /// ends the writer.
    async fn run<T: Send + 'static>(
        &self,
        command: fn(Job) -> Command,
        job: impl FnOnce(&mut rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ChangeError> {
        let (done, result) = oneshot::channel();
        self.send(command(Box::new(move |connection| match job(connection) {
            Ok(value) => {
                let _ = done.send(Ok(value));
                None
            }
            Err(error) => {
                let _ = done.send(Err(error.to_string()));
                Some(error)
            }
        })));
        result.await.map_err(|_| ChangeError::Closed)?.map_err(ChangeError::Sqlite)
    }

    /// Writes what waits, and releases the folder. Blocks until then, but not for a disk that hangs.
    pub fn close(&self) {
        self.send(Command::Stop);
        let Some(writer) = self.writer.lock().take() else { return };
        while !writer.is_finished() {
            if self.load.is_stalled() {
                error!(waiting = self.load.length(), "journal not closed: its disk hangs");
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        // a writer that panicked has nothing left to write
        let _ = writer.join();
    }

    fn send(&self, command: Command) {
        // without a writer the caller's channel ends, which tells it
        let _ = self.commands.send(command);
    }
}
