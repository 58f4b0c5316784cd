//! The one writer: it takes all that waits, and makes it one transaction with one sync.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::super::record::millis;
use super::super::{Command, Kept, Refused, Usage};
use super::batch::{Append, Batch, refuse};
use super::fault::{is_final, only_final, reason};
use super::room::{self, Room};
use super::tidy::Tidy;
use crate::observe::BrokerState;
use crate::relay::Relay;

/// How often it looks after itself.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// The most bytes of ids that wait while nothing can be written; older ones are forgotten.
const MOST_SEEN: usize = 250_000 * 17;
/// Numbers are reserved in blocks, so that not each transaction has to.
const BLOCK: i64 = 1 << 20;

/// What the writer is made of.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) room: Room,
    pub(super) tidy: Tidy,
    /// How often it looks after itself.
    pub(super) tick: Duration,
    pub(super) commands: Receiver<Command>,
    pub(super) state: watch::Sender<BrokerState>,
    /// Tells who waits for a record the number it has.
    pub(super) kept: Relay<(oneshot::Sender<Kept>, i64)>,
    pub(super) appended: watch::Sender<i64>,
    pub(super) usage: Arc<Usage>,
    pub(super) broken: CancellationToken,
    /// The next number, and the end of those reserved.
    pub(super) next: i64,
    pub(super) reserved: i64,
    /// Whether a transaction is synced now.
    pub(super) synced: bool,
    /// About how many bytes the log has that are not in the database.
    pub(super) logged: u64,
}

impl Writer {
    /// Writes until nobody can give commands any more, or until nothing it writes can be believed.
    pub(super) fn run(mut self) {
        let mut batch = Batch::default();
        let mut looked = Instant::now();
        loop {
            let due = self.tick.saturating_sub(looked.elapsed()).min(batch.defers().unwrap_or(self.tick));
            let over = match self.commands.recv_timeout(due) {
                Ok(command) => self.take(&mut batch, command),
                Err(RecvTimeoutError::Timeout) => Ok(false),
                Err(RecvTimeoutError::Disconnected) => Ok(true),
            };
            let over = match over.and_then(|over| self.write(&mut batch, over).map(|()| over)) {
                Ok(over) => over,
                Err(error) => return self.give_up(&error),
            };
            if looked.elapsed() >= self.tick {
                looked = Instant::now();
                if self.room.directory.is_gone() {
                    return self.give_up(&"its file was taken out of its folder");
                }
                if let Err(error) = self.look_after() {
                    return self.give_up(&error);
                }
            }
            if over {
                // what is left in the log would be read again; in the database it is at its place
                let _ = Room::empty_log(&self.connection);
                return;
            }
        }
    }

    /// Writes what was gathered, also what could wait for more if it is to be `all`. What must not get lost stays in
    /// the batch if it cannot be written now.
    ///
    /// # Errors
    /// Only those after which nothing can be believed any more.
    pub(super) fn write(&mut self, batch: &mut Batch, all: bool) -> rusqlite::Result<()> {
        batch.deferred = !all && batch.defers().is_some();
        loop {
            let (appends, owing) = (batch.appends.len(), batch.settled.len());
            self.write_some(batch)?;
            // on a full disk records may be in the way of what is deleted: that is tried without them too
            if batch.settled().is_empty() || appends == 0 && batch.settled.len() == owing {
                return Ok(());
            }
        }
    }

    /// One transaction of it.
    ///
    /// # Errors
    /// As [`Self::write`].
    fn write_some(&mut self, batch: &mut Batch) -> rusqlite::Result<()> {
        let mut appends = std::mem::take(&mut batch.appends);
        let bytes = std::mem::take(&mut batch.bytes);
        batch.last = if appends.is_empty() { batch.last } else { appends.len() };
        let room = self.make_room(&mut appends)?;
        if appends.is_empty() && batch.settled().is_empty() && !batch.has_news() {
            batch.tell();
            return Ok(());
        }
        match self.commit(&appends, batch) {
            Ok((first, settled, gone)) => {
                if self.next > first {
                    batch.kept = Some(Instant::now());
                    // before anybody is answered: who is, finds it ready
                    room.then(|| self.set(BrokerState::up()));
                    self.appended.send_replace(self.next - 1);
                }
                (first..).zip(appends.drain(..)).for_each(|(seq, (.., done))| self.kept.tell((done, seq)));
                // about what it adds to the log
                let rows = u64::try_from(self.next - first).unwrap_or(0) + settled as u64;
                self.logged += (bytes + gone + batch.seen.len()) as u64 + (rows / 4 + 4) * 4096;
                batch.settled.drain(..settled);
                batch.seen.clear();
                batch.stream = None;
                batch.tell();
                self.shorten_log(room::LOG)
            }
            Err(error) if is_final(&error) => {
                refuse(&mut appends, Refused { reason: "broken" });
                Err(error)
            }
            Err(error) => {
                let reason = reason(&error, &self.room.directory);
                if self.state.borrow().reason != reason {
                    warn!(%error, reason, "the journal cannot be written; notifications that need it are refused");
                }
                self.set(BrokerState::down(reason));
                refuse(&mut appends, Refused { reason });
                if reason == "no_space" {
                    // the log cannot grow; what it has goes into the database, and it begins anew
                    self.room.shorten_log(&self.connection)?;
                }
                batch.forget_beyond(MOST_SEEN);
                Ok(())
            }
        }
    }

    /// Refuses what has no room; whether all had.
    ///
    /// # Errors
    /// As [`Self::write`].
    fn make_room(&mut self, appends: &mut Vec<Append>) -> rusqlite::Result<bool> {
        if appends.is_empty() {
            return Ok(true);
        }
        let bodies: Vec<_> = appends.iter().map(|(message, ..)| message.body.len()).collect();
        let (fit, why) = self.room.for_more(&self.connection, &bodies)?;
        if let Err(reason) = why {
            // before anybody is refused: who is, finds it so
            self.set(BrokerState::down(reason));
            refuse(&mut appends.split_off(fit), Refused { reason });
        }
        Ok(why.is_ok())
    }

    /// One transaction; returns the number of the first record, how many were settled, and how many bytes of bodies
    /// are gone with them.
    fn commit(&mut self, appends: &[Append], batch: &Batch) -> rusqlite::Result<(i64, usize, usize)> {
        self.sync(!appends.is_empty() || !batch.settled().is_empty())?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let first = self.next;
        let end = first + i64::try_from(appends.len()).unwrap_or(i64::MAX);
        let reserved = if end > self.reserved { end + BLOCK } else { self.reserved };
        if reserved > self.reserved {
            transaction.execute("REPLACE INTO meta VALUES ('reserved', ?1)", [reserved])?;
        }
        let (settled, gone) = batch.rows(&transaction, appends, first, millis(self.tidy.day()))?;
        transaction.commit()?;
        self.tidy.saw(appends.len() + batch.seen.len() / 17);
        (self.next, self.reserved) = (end, reserved);
        Ok((first, settled, gone))
    }

    /// Whether the next transaction is on disk before it counts. Ids alone need not be: those of the last moments may
    /// get lost with the machine, and a sync would cost those that share the disk.
    pub(super) fn sync(&mut self, synced: bool) -> rusqlite::Result<()> {
        if self.synced != synced {
            self.connection.pragma_update(None, "synchronous", if synced { "full" } else { "normal" })?;
            self.synced = synced;
        }
        Ok(())
    }

    /// Brings the log into the database if it is about this long; what comes next is written from its beginning again.
    /// SQLite would do so by itself, but not say if the disk failed to sync what the log is then cut off for.
    ///
    /// # Errors
    /// As [`Self::write`].
    fn shorten_log(&mut self, length: u64) -> rusqlite::Result<()> {
        if self.logged <= length {
            return Ok(());
        }
        self.logged = 0;
        // if not now, it is tried again when the log is longer
        self.room.shorten_log(&self.connection)
    }

    /// Deletes what is too old, and says how it stands.
    ///
    /// # Errors
    /// As [`Self::write`].
    fn look_after(&mut self) -> rusqlite::Result<()> {
        if let Err(error) = self.tidy.tidy(&self.connection) {
            warn!(%error, "what is too old in the journal cannot be deleted now");
            only_final(Err(error))?;
        }
        let up = self.state.borrow().up;
        let (taken, room) = self.room.look(&self.connection, up)?;
        self.usage.set(taken.on_disk, taken.used);
        match room {
            Ok(()) if !up && self.can_write()? => {
                info!("the journal can be written again");
                self.set(BrokerState::up());
            }
            Err(reason) if up => {
                warn!(reason, "the journal has no room; notifications that need it are refused");
                self.set(BrokerState::down(reason));
            }
            _ => {}
        }
        Ok(())
    }

    /// # Errors
    /// As [`Self::write`].
    fn can_write(&self) -> rusqlite::Result<bool> {
        match self.connection.execute("REPLACE INTO meta VALUES ('written', ?1)", [millis(self.tidy.day())]) {
            Err(error) if is_final(&error) => Err(error),
            written => Ok(written.is_ok()),
        }
    }

    fn give_up(self, error: &dyn std::fmt::Display) {
        error!(%error, "the disk did not keep what the journal wrote; nothing is acknowledged any more");
        self.set(BrokerState::down("broken"));
        self.broken.cancel();
    }

    fn set(&self, state: BrokerState) {
        self.state.send_if_modified(|before| {
            let differs = *before != state;
            if differs {
                *before = state;
            }
            differs
        });
    }
}
