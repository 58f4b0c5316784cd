//! The one writer: it makes everything that waits one transaction with one sync.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::super::record::millis;
use super::super::{AppendResult, JournalRefusal, JournalState, Usage};
use super::batch::{WriteBatch, Written, refuse};
use super::capacity::{Capacity, WAL_BYTES};
use super::damage::{self, is_damage};
use super::fault::{is_failed_sync, is_final, refusal};
use super::gather::Next;
use super::queue::{Append, Command, Load};
use super::retention::Retention;
use super::watchdog::WriterActivity;
use crate::completion_queue::CompletionQueue;
use crate::telemetry::TimedAvailability;

/// How often it does its housekeeping.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// Numbers are reserved in blocks, so that not every transaction has to.
const BLOCK: i64 = 1 << 20;

/// The state of the writer.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) capacity: Capacity,
    pub(super) retention: Retention,
    /// How often it does its housekeeping.
    pub(super) tick: Duration,
    pub(super) commands: Receiver<Command>,
    pub(super) load: Arc<Load>,
    pub(super) activity: Arc<WriterActivity>,
    /// The watchdog ends when this is dropped.
    pub(super) _watched: mpsc::Sender<()>,
    pub(super) state: watch::Sender<TimedAvailability<JournalRefusal>>,
    /// Answers appends with the sequence numbers of their records.
    pub(super) appended_to: CompletionQueue<(oneshot::Sender<AppendResult>, i64)>,
    pub(super) appended: watch::Sender<i64>,
    pub(super) usage: Arc<Usage>,
    pub(super) failed: CancellationToken,
    /// The next sequence number, and the end of those reserved.
    pub(super) next: i64,
    pub(super) reserved: i64,
    /// Whether transactions are synced now.
    pub(super) synced: bool,
    /// About how many bytes of the WAL are not in the database yet.
    pub(super) logged: u64,
    /// When it last moved sound records away from damage.
    pub(super) rescued: Option<Instant>,
}

impl Writer {
    /// Writes until the last handle is dropped, or until an error after which the disk cannot be trusted.
    pub(super) fn run(mut self) {
        let mut batch = WriteBatch::default();
        let mut last_tick = Instant::now();
        loop {
            let due = self.tick.saturating_sub(last_tick.elapsed()).min(batch.acks_can_wait().unwrap_or(self.tick));
            self.activity.mark_idle();
            let command = self.commands.recv_timeout(due);
            self.activity.mark_busy();
            let next = match command {
                Ok(command) => self.gather(&mut batch, command),
                Err(RecvTimeoutError::Timeout) => Ok(Next::Continue),
                Err(RecvTimeoutError::Disconnected) => Ok(Next::Stop),
            };
            let next = match next.and_then(|next| self.write(&mut batch, next == Next::Stop).map(|()| next)) {
                Ok(next) => next,
                Err(error) => return self.give_up(&error),
            };
            if last_tick.elapsed() >= self.tick {
                last_tick = Instant::now();
                if self.capacity.directory.is_removed() {
                    return self.give_up(&"its database or its write-ahead log was removed from its folder");
                }
                if let Err(error) = self.housekeep() {
                    return self.give_up(&error);
                }
            }
            if next == Next::Stop {
                self.activity.mark_busy();
                // the next start would read what is left in the WAL once more
                let _ = Capacity::truncate_wal(&self.connection);
                return;
            }
        }
    }

    /// Writes what was gathered; `all` includes the acks that could wait for more. What must not be lost stays in the
    /// batch if it cannot be written now.
    ///
    /// # Errors
    /// Only those after which the disk cannot be trusted.
    pub(super) fn write(&mut self, batch: &mut WriteBatch, all: bool) -> rusqlite::Result<()> {
        batch.acks_deferred = !all && batch.acks_can_wait().is_some();
        loop {
            let (appends, acks) = (batch.appends.len(), batch.all_acks());
            self.activity.mark_busy();
            self.write_once(batch)?;
            // on a full disk appends may prevent deletions: those are tried without them too
            if batch.due_acks().is_empty() || appends == 0 && batch.all_acks() == acks {
                return Ok(());
            }
        }
    }

    /// One transaction of it.
    ///
    /// # Errors
    /// As [`Self::write`].
    fn write_once(&mut self, batch: &mut WriteBatch) -> rusqlite::Result<()> {
        let mut appends = std::mem::take(&mut batch.appends);
        let bytes = std::mem::take(&mut batch.bytes);
        if !appends.is_empty() {
            batch.last_appends = appends.len();
        }
        let all_fit = self.refuse_what_does_not_fit(&mut appends)?;
        if appends.is_empty() && batch.due_acks().is_empty() && batch.ids.is_empty() {
            batch.answer_synced();
            return Ok(());
        }
        let committed = match self.commit(&appends, batch) {
            Err(error) if is_damage(&error) => self.rescue().and_then(|()| self.commit(&appends, batch)),
            committed => committed,
        };
        match committed {
            Ok((first, written)) => {
                if self.next > first {
                    batch.appended_at = Some(Instant::now());
                    // before any append is answered: its caller finds the journal up
                    if all_fit {
                        self.set(JournalState::Up);
                    }
                    self.appended.send_replace(self.next - 1);
                }
                for (seq, Append { done, permit, .. }) in (first..).zip(appends) {
                    drop(permit);
                    self.appended_to.push((done, seq));
                }
                // about what the transaction adds to the WAL
                let rows = u64::try_from(self.next - first).unwrap_or(0) + written.acks as u64;
                self.logged += (bytes + written.deleted + batch.ids.ids.len()) as u64 + (rows / 4 + 4) * 4096;
                batch.written(written);
                self.load.acks_written(written.acks);
                batch.answer_synced();
                self.checkpoint()
            }
            Err(error) if is_final(&error) => {
                refuse(appends, JournalRefusal::Broken);
                Err(error)
            }
            Err(error) => self.not_written(&error, appends),
        }
    }

    /// A transaction failed so that it can be tried again.
    ///
    /// # Errors
    /// As [`Self::write`].
    fn not_written(&mut self, error: &rusqlite::Error, appends: Vec<Append>) -> rusqlite::Result<()> {
        let refusal = refusal(error, &self.capacity.directory);
        self.refuse_records(refusal, Some(error));
        let only_acks = appends.is_empty();
        refuse(appends, refusal);
        if refusal == JournalRefusal::NoSpace {
            // the WAL cannot grow; once it is checkpointed, the next transaction restarts it
            self.capacity.checkpoint(&self.connection)?;
            if only_acks {
                // a large record, which the WAL has no room to delete
                self.capacity.directory.release_reserve();
            }
        }
        Ok(())
    }

    /// See [`damage::rescue`]; the disk does not count as hanging meanwhile. What it cannot mend is not tried again soon.
    fn rescue(&mut self) -> rusqlite::Result<()> {
        if self.rescued.is_some_and(|at| at.elapsed() < damage::RESCUE_INTERVAL) {
            return Err(damage::damage_met());
        }
        self.rescued = Some(Instant::now());
        self.activity.mark_idle();
        let rescued = damage::rescue(&mut self.connection);
        self.activity.mark_busy();
        self.capacity.forget_allocated();
        rescued
    }

    /// Refuses the appends that do not fit; whether all did.
    ///
    /// # Errors
    /// As [`Self::write`].
    fn refuse_what_does_not_fit(&mut self, appends: &mut Vec<Append>) -> rusqlite::Result<bool> {
        if appends.is_empty() {
            return Ok(true);
        }
        let bodies: Vec<_> = appends.iter().map(|append| append.message.body.len()).collect();
        let (fit, why) = self.capacity.how_many_fit(&self.connection, &bodies)?;
        if let Err(refusal) = why {
            // before any append is refused: its caller finds the journal down
            self.refuse_records(refusal, None);
            refuse(appends.split_off(fit), refusal);
        }
        Ok(why.is_ok())
    }

    /// One transaction; returns the sequence number of its first record, and what it did.
    fn commit(&mut self, appends: &[Append], batch: &WriteBatch) -> rusqlite::Result<(i64, Written)> {
        self.sync(!appends.is_empty() || !batch.due_acks().is_empty())?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let first = self.next;
        let end = first + i64::try_from(appends.len()).unwrap_or(i64::MAX);
        let reserved = if end > self.reserved { end + BLOCK } else { self.reserved };
        if reserved > self.reserved {
            transaction.execute("REPLACE INTO meta VALUES ('reserved', ?1)", [reserved])?;
        }
        let written = batch.write_rows(&transaction, appends, first, millis(self.retention.machine_time()))?;
        transaction.commit()?;
        self.retention.ids_added(appends.len() + batch.ids.ids.len() / 17);
        (self.next, self.reserved) = (end, reserved);
        Ok((first, written))
    }

    /// Whether the next transaction is on disk before it counts. Ids alone need not be: a crash of the machine may lose
    /// those of the last moments, and a sync would slow down everything else on the disk.
    pub(super) fn sync(&mut self, synced: bool) -> rusqlite::Result<()> {
        if self.synced != synced {
            self.connection.pragma_update(None, "synchronous", if synced { "full" } else { "normal" })?;
            self.synced = synced;
        }
        Ok(())
    }

    /// Checkpoints the WAL once it is long enough; the next transaction then restarts it. SQLite would checkpoint by
    /// itself, but not report a failed sync of the database, after which the WAL must not be overwritten.
    ///
    /// # Errors
    /// As [`Self::write`].
    fn checkpoint(&mut self) -> rusqlite::Result<()> {
        if self.logged <= WAL_BYTES {
            return Ok(());
        }
        self.logged = 0;
        // if not now, it is tried again when the WAL is longer
        self.capacity.checkpoint(&self.connection)
    }

    /// Deletes what is too old, and updates usage and state.
    ///
    /// # Errors
    /// As [`Self::write`].
    fn housekeep(&mut self) -> rusqlite::Result<()> {
        self.activity.mark_busy();
        if let Err(error) = self.retention.apply(&self.connection) {
            self.retention_failed(&error)?;
        }
        let up = self.state.borrow().is_up();
        let (used, room) = self.capacity.check(&self.connection, up)?;
        self.usage.set(
            used.on_disk,
            used.in_use,
            damage::unreadable(&self.connection).unwrap_or_else(|_| self.usage.unreadable()),
        );
        match room {
            Ok(()) if !up && self.can_write()? => {
                info!(event = "journal_accepts", "journal accepts records");
                self.set(JournalState::Up);
            }
            Err(refusal) if up => self.refuse_records(refusal, None),
            _ => {}
        }
        Ok(())
    }

    /// What is too old stays: that is no reason to end, but for a failed sync.
    ///
    /// # Errors
    /// As [`Self::write`].
    fn retention_failed(&mut self, error: &rusqlite::Error) -> rusqlite::Result<()> {
        let rescued = if is_damage(error) { self.rescue() } else { Ok(()) };
        match rescued {
            Ok(()) if is_damage(error) => {}
            Ok(()) => warn!(%error, "journal retention failed"),
            Err(error) if is_failed_sync(&error) => return Err(error),
            // once a minute: see rescue
            Err(error) if self.rescued.is_some_and(|at| at.elapsed() < self.tick) => {
                warn!(%error, "journal retention failed: its disk is damaged");
            }
            Err(_) => {}
        }
        if is_failed_sync(error) { Err(damage::damage_met()) } else { Ok(()) }
    }

    /// # Errors
    /// As [`Self::write`].
    fn can_write(&self) -> rusqlite::Result<bool> {
        let now = millis(self.retention.machine_time());
        match self.connection.execute("REPLACE INTO meta VALUES ('written', ?1)", [now]) {
            Err(error) if is_final(&error) => Err(error),
            written => Ok(written.is_ok()),
        }
    }

    /// Says so once for each reason.
    fn refuse_records(&self, refusal: JournalRefusal, error: Option<&rusqlite::Error>) {
        if self.state.borrow().reason() != Some(refusal) {
            let (reason, error) = (refusal.as_str(), error.map(tracing::field::display));
            warn!(event = "journal_refuses", reason, error, "journal refuses records");
        }
        self.set(JournalState::down(refusal));
    }

    fn give_up(self, error: &dyn std::fmt::Display) {
        error!(event = "journal_failed", %error, "journal failed: records are no longer acknowledged");
        self.set(JournalState::down(JournalRefusal::Broken));
        self.failed.cancel();
    }

    fn set(&self, state: JournalState) {
        if state.is_up() {
            // at once: the watchdog would notice it only at its next check, and appends were refused until then
            self.load.set_stalled(false);
        }
        self.state.send_if_modified(|before| before.set(state));
    }
}
