//! What the next transaction does.

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::super::JournalRefusal;
use super::super::record::push_id;
use super::queue::{Ack, Append, PendingIds};
use super::rows::{ack, count_replay, insert};

/// The most appends and acks of one transaction; the next transaction takes the others.
const MAX_COMMANDS: usize = 2048;
/// The same in bytes of bodies.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// The most bytes of bodies that one transaction deletes: it overwrites all of them, in the WAL first.
const MAX_DELETED: usize = 4 * 1024 * 1024;
/// While appends come all the time, acks wait until there are this many of them, or for this long: together they change
/// fewer pages than one by one.
const MANY_ACKS: usize = 128;
const DEFERRED: Duration = Duration::from_millis(10);

/// What the next transaction does.
#[derive(Default)]
pub(super) struct WriteBatch {
    pub(super) appends: Vec<Append>,
    /// The bytes of their bodies.
    pub(super) bytes: usize,
    /// How many appends the last transaction had.
    pub(super) last_appends: usize,
    acks: Vec<Ack>,
    /// When the first of these acks came.
    acks_since: Option<Instant>,
    /// Whether the acks wait beyond the next transaction.
    pub(super) acks_deferred: bool,
    /// When a transaction last had appends.
    pub(super) appended_at: Option<Instant>,
    /// Ids for the dedup window.
    pub(super) ids: PendingIds,
    /// Answered when everything is on disk.
    pub(super) synced: Vec<oneshot::Sender<()>>,
}

/// What one transaction did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Written {
    /// How many acks.
    pub(super) acks: usize,
    /// The bytes of the bodies it deleted with them.
    pub(super) deleted: usize,
}

impl WriteBatch {
    pub(super) fn add_append(&mut self, append: Append) {
        self.bytes += append.message.body.len();
        self.appends.push(append);
    }

    pub(super) fn add_ack(&mut self, ack: Ack) {
        self.acks_since.get_or_insert_with(Instant::now);
        self.acks.push(ack);
    }

    pub(super) fn is_full(&self) -> bool {
        self.appends.len() + self.acks.len() >= MAX_COMMANDS || self.bytes >= MAX_BYTES
    }

    /// Whether more appends are likely on their way: senders that were answered together send the next ones together.
    pub(super) fn expects_more(&self) -> bool {
        self.appends.len() * 2 < self.last_appends
    }

    /// How much longer the acks can wait for others. `None` means the next transaction writes them.
    pub(super) fn acks_can_wait(&self) -> Option<Duration> {
        let wait = DEFERRED.checked_sub(self.acks_since?.elapsed())?;
        (self.acks.len() < MANY_ACKS && self.appended_at?.elapsed() < DEFERRED).then_some(wait)
    }

    /// All acks, those that wait included.
    pub(super) fn all_acks(&self) -> usize {
        self.acks.len()
    }

    /// The acks that the next transaction writes.
    pub(super) fn due_acks(&self) -> &[Ack] {
        if self.acks_deferred { &[] } else { &self.acks }
    }

    /// A transaction wrote the ids and the first of the acks.
    pub(super) fn written(&mut self, written: Written) {
        self.acks.drain(..written.acks);
        self.ids = PendingIds::default();
    }

    /// Answers those that wait for everything to be on disk, if it is.
    pub(super) fn answer_synced(&mut self) {
        if self.acks.is_empty() {
            self.acks_since = None;
            for synced in self.synced.drain(..) {
                let _ = synced.send(());
            }
        }
    }

    /// Writes its rows, the records numbered from `first` on. `now` is in Unix milliseconds.
    pub(super) fn write_rows(
        &self,
        transaction: &Connection,
        appends: &[Append],
        first: i64,
        now: i64,
    ) -> rusqlite::Result<Written> {
        let mut ids = self.ids.ids.clone();
        for (seq, append) in (first..).zip(appends) {
            insert(transaction, seq, &append.message, append.backlog, append.maybe_stored)?;
            if let Some(dead_letter) = append.replay_of {
                count_replay(transaction, dead_letter)?;
            }
            push_id(&mut ids, append.message.event.id, append.backlog);
        }
        let mut written = Written::default();
        for Ack { seq, broker, bytes } in self.due_acks() {
            written.acks += 1;
            if ack(transaction, *seq, *broker)? {
                written.deleted += bytes;
            }
            if written.deleted >= MAX_DELETED {
                break;
            }
        }
        if !ids.is_empty() {
            let mut add = transaction.prepare_cached("INSERT INTO seen (at, ids) VALUES (?1, ?2)")?;
            add.execute(params![now, ids])?;
        }
        if let Some(created) = self.ids.stream {
            transaction.execute("REPLACE INTO meta VALUES ('stream', ?1)", [created])?;
        }
        Ok(written)
    }
}

/// Answers appends that are not stored.
pub(super) fn refuse(appends: Vec<Append>, refusal: JournalRefusal) {
    for Append { done, permit, .. } in appends {
        // before the caller learns of it: it may append again at once
        drop(permit);
        let _ = done.send(Err(refusal));
    }
}
