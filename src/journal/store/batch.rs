//! What one transaction does.

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::super::record::seen_as;
use super::super::{Kept, Refused};
use super::rows::{insert, replayed, settle};
use crate::message::{Broker, Brokers, Message};

/// The most that one transaction takes: who comes later waits for the next one.
const MOST: usize = 2048;
/// The same in bytes of bodies.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// The most bytes of bodies that one transaction deletes: all of them are overwritten, in the log first.
const MOST_GONE: usize = 4 * 1024 * 1024;
/// While records come all the time, so many that are settled are written at once, and fewer after so long: together
/// they change fewer pages than one by one.
const MANY: usize = 128;
const DEFERRED: Duration = Duration::from_millis(10);

/// One record to be, and the dead letter it comes out of, if one is kept.
pub(super) type Append = (Box<Message>, Brokers, Brokers, Option<i64>, oneshot::Sender<Kept>);

/// What one transaction does.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) appends: Vec<Append>,
    pub(super) bytes: usize,
    /// How many records came together the last time.
    pub(super) last: usize,
    /// Records, the broker that has each, and the bytes of its body.
    pub(super) settled: Vec<(i64, Broker, usize)>,
    /// Since when the first of these waits.
    since: Option<Instant>,
    /// Whether they wait beyond the next transaction.
    pub(super) deferred: bool,
    /// When a record was last kept.
    pub(super) kept: Option<Instant>,
    pub(super) seen: Vec<u8>,
    /// When the stream was made that has them, if that is news.
    pub(super) stream: Option<i64>,
    /// Told once it is on disk.
    pub(super) told: Vec<oneshot::Sender<()>>,
}

impl Batch {
    pub(super) fn settle(&mut self, seq: i64, broker: Broker, bytes: usize) {
        self.since.get_or_insert_with(Instant::now);
        self.settled.push((seq, broker, bytes));
    }

    pub(super) fn saw(&mut self, ids: Vec<u8>, stream: Option<i64>) {
        self.seen.extend(ids);
        self.stream = stream.or(self.stream);
    }

    pub(super) fn has_news(&self) -> bool {
        !self.seen.is_empty() || self.stream.is_some()
    }

    pub(super) fn is_full(&self) -> bool {
        self.appends.len() + self.settled.len() >= MOST || self.bytes >= MOST_BYTES
    }

    /// Whether there are few records yet: those who were answered together send the next ones together.
    pub(super) fn expects_more(&self) -> bool {
        self.appends.len() * 2 < self.last
    }

    /// Forgets the first ids where there are more bytes of them than `most`.
    pub(super) fn forget_beyond(&mut self, most: usize) {
        if self.seen.len() > most {
            self.seen.drain(..self.seen.len() - most);
            // that all before was lost may be among them: the stream is not written down, and taken for another then
            self.stream = None;
        }
    }

    /// How long what is settled can wait for more of it, if it can.
    pub(super) fn defers(&self) -> Option<Duration> {
        let wait = DEFERRED.checked_sub(self.since?.elapsed())?;
        (self.settled.len() < MANY && self.kept?.elapsed() < DEFERRED).then_some(wait)
    }

    /// What is settled by the next transaction.
    pub(super) fn settled(&self) -> &[(i64, Broker, usize)] {
        if self.deferred { &[] } else { &self.settled }
    }

    /// Tells who waits, if all is on disk.
    pub(super) fn tell(&mut self) {
        if self.settled.is_empty() {
            self.since = None;
            for told in self.told.drain(..) {
                let _ = told.send(());
            }
        }
    }

    /// Writes its rows, the records numbered from `first` on; returns how many were settled, and how many bytes of
    /// bodies are gone with them. `now` is in Unix milliseconds.
    pub(super) fn rows(
        &self,
        transaction: &Connection,
        appends: &[Append],
        first: i64,
        now: i64,
    ) -> rusqlite::Result<(usize, usize)> {
        let mut ids = self.seen.clone();
        for (seq, (message, owed, unknown, of, _)) in (first..).zip(appends) {
            insert(transaction, seq, message, *owed, *unknown)?;
            of.iter().try_for_each(|letter| replayed(transaction, *letter))?;
            seen_as(&mut ids, message.event.id, *owed);
        }
        let (mut settled, mut gone) = (0, 0);
        for (seq, broker, bytes) in self.settled() {
            gone += if settle(transaction, *seq, *broker)? { *bytes } else { 0 };
            settled += 1;
            if gone >= MOST_GONE {
                break;
            }
        }
        if !ids.is_empty() {
            let mut add = transaction.prepare_cached("INSERT INTO seen (at, ids) VALUES (?1, ?2)")?;
            add.execute(params![now, ids])?;
        }
        if let Some(created) = self.stream {
            transaction.execute("REPLACE INTO meta VALUES ('stream', ?1)", [created])?;
        }
        Ok((settled, gone))
    }
}

pub(super) fn refuse(appends: &mut Vec<Append>, why: Refused) {
    for (.., done) in appends.drain(..) {
        let _ = done.send(Err(why));
    }
}
