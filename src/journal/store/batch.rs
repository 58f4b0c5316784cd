//! What one transaction does.

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::super::record::seen_as;
use super::super::{Kept, Refused};
use super::rows::{insert, settle};
use crate::message::{Broker, Brokers, Message};

/// The most bytes of bodies that one transaction deletes: all of them are overwritten, in the log first.
const MOST_GONE: usize = 4 * 1024 * 1024;

/// One record to be.
pub(super) type Append = (Box<Message>, Brokers, Brokers, oneshot::Sender<Kept>);

/// What one transaction does.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) appends: Vec<Append>,
    pub(super) bytes: usize,
    pub(super) settled: Vec<(i64, Broker)>,
    pub(super) seen: Vec<u8>,
    /// Told once it is on disk.
    pub(super) told: Vec<oneshot::Sender<()>>,
}

impl Batch {
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
        for (seq, (message, owed, unknown, _)) in (first..).zip(appends) {
            insert(transaction, seq, message, *owed, *unknown)?;
            seen_as(&mut ids, message.event.id, *owed);
        }
        let (mut settled, mut gone) = (0, 0);
        for (seq, broker) in &self.settled {
            gone += settle(transaction, *seq, *broker)?;
            settled += 1;
            if gone >= MOST_GONE {
                break;
            }
        }
        if !ids.is_empty() {
            let mut add = transaction.prepare_cached("INSERT INTO seen (at, ids) VALUES (?1, ?2)")?;
            add.execute(params![now, ids])?;
        }
        Ok((settled, gone))
    }
}

pub(super) fn refuse(appends: &mut Vec<Append>, why: Refused) {
    for (.., done) in appends.drain(..) {
        let _ = done.send(Err(why));
    }
}

pub(super) fn tell(told: &mut Vec<oneshot::Sender<()>>) {
    for tell in told.drain(..) {
        let _ = tell.send(());
    }
}
