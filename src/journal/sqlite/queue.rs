//! What waits for the writer. Nothing of it grows without a limit, also while the disk hangs:
//!
//! - appends are refused beyond a count and a number of bytes, and all of them while the disk hangs;
//! - acks are never refused: a lost one would repeat a record. [`Load::is_congested`] stops the forwarder, which is what
//!   leads to acks, while many wait or the disk hangs;
//! - ids for the dedup window are gathered in one list, which forgets its oldest;
//! - everything else has a caller that waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::super::{AppendResult, JournalRefusal};
use crate::message::{Broker, Brokers, Message};

/// The most appends that wait, and the bytes of their bodies: twice the bytes that are in flight by default.
const MAX_APPENDS: usize = 16_384;
const MAX_BYTES: usize = 128 * 1024 * 1024;
/// From this many acks on nothing more is forwarded.
const MAX_ACKS: usize = 65_536;
/// The most bytes of ids that wait: 17 for each.
const MAX_ID_BYTES: usize = 250_000 * 17;

/// Runs in the writer's thread. Returns the error after which the disk cannot be trusted, if there was one.
pub(super) type Job = Box<dyn FnOnce(&mut rusqlite::Connection) -> Option<rusqlite::Error> + Send>;

/// What the writer is to do.
pub(super) enum Command {
    /// Store a message.
    Append(Append),
    /// A broker has acked a record.
    Ack(Ack),
    /// Write the ids that wait in [`Load`].
    Ids,
    /// Answer when everything before this is on disk.
    Sync(oneshot::Sender<()>),
    /// Run an edit between two transactions.
    Edit(Job),
    /// The same for one that may take long; the disk does not count as hanging meanwhile.
    LongEdit(Job),
    /// End.
    Stop,
}

/// A message to store.
pub(super) struct Append {
    pub(super) message: Box<Message>,
    /// The brokers that are to ack it.
    pub(super) backlog: Brokers,
    /// Those of them that may have stored it already.
    pub(super) maybe_stored: Brokers,
    /// The sequence number of the dead letter that this replays.
    pub(super) replay_of: Option<i64>,
    pub(super) done: oneshot::Sender<AppendResult>,
    pub(super) permit: AppendPermit,
}

/// A broker has acked a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ack {
    pub(super) seq: i64,
    pub(super) broker: Broker,
    /// The size of its body.
    pub(super) bytes: usize,
}

/// Ids for the dedup window that are not written yet.
#[derive(Debug, Default)]
pub(super) struct PendingIds {
    /// 17 bytes each: the id, and the brokers that have it.
    pub(super) ids: Vec<u8>,
    /// When the stream was created that has them, if that is new.
    pub(super) stream: Option<i64>,
}

impl PendingIds {
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.stream.is_none()
    }

    pub(super) fn add(&mut self, later: Self) {
        self.ids.extend(later.ids);
        self.stream = later.stream.or(self.stream);
        if self.ids.len() > MAX_ID_BYTES {
            self.ids.drain(..self.ids.len() - MAX_ID_BYTES);
            // the dropped ids may contain the marker that the stream was recreated. Without a creation time on disk the next
            // start treats the stream as new and discards its ids
            self.stream = None;
        }
    }
}

/// How much waits for the writer, and whether the disk hangs.
#[derive(Debug, Default)]
pub(super) struct Load {
    appends: AtomicUsize,
    bytes: AtomicUsize,
    acks: AtomicUsize,
    ids: Mutex<PendingIds>,
    stalled: AtomicBool,
}

impl Load {
    /// A permit to append a body of this size.
    ///
    /// # Errors
    /// The disk hangs, or too much waits already.
    pub(super) fn admit(self: &Arc<Self>, bytes: usize) -> Result<AppendPermit, JournalRefusal> {
        if self.stalled.load(Ordering::Relaxed) {
            return Err(JournalRefusal::Stalled);
        }
        let appends = self.appends.fetch_add(1, Ordering::Relaxed);
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let permit = AppendPermit { load: self.clone(), bytes };
        // the largest body fits into an empty queue, whatever its size
        let fits = appends == 0 || appends < MAX_APPENDS && before.saturating_add(bytes) <= MAX_BYTES;
        if fits { Ok(permit) } else { Err(JournalRefusal::QueueFull) }
    }

    /// Adds ids; whether the writer must be told.
    pub(super) fn add_ids(&self, later: PendingIds) -> bool {
        let mut ids = self.ids.lock();
        let was_empty = ids.is_empty();
        ids.add(later);
        was_empty && !ids.is_empty()
    }

    pub(super) fn take_ids(&self) -> PendingIds {
        std::mem::take(&mut *self.ids.lock())
    }

    pub(super) fn ack_added(&self) {
        self.acks.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn acks_written(&self, count: usize) {
        self.acks.fetch_sub(count, Ordering::Relaxed);
    }

    /// How many appends and acks are not on disk yet.
    pub(super) fn length(&self) -> usize {
        self.appends.load(Ordering::Relaxed) + self.acks.load(Ordering::Relaxed)
    }

    pub(super) fn set_stalled(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::Relaxed);
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// Whether what the forwarder publishes now could not be recorded as acked.
    pub(super) fn is_congested(&self) -> bool {
        self.is_stalled() || self.acks.load(Ordering::Relaxed) >= MAX_ACKS
    }
}

/// The part of the queue's limits that one append takes, until it is answered.
#[derive(Debug)]
pub(super) struct AppendPermit {
    load: Arc<Load>,
    bytes: usize,
}

impl Drop for AppendPermit {
    fn drop(&mut self) {
        self.load.appends.fetch_sub(1, Ordering::Relaxed);
        self.load.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_beyond_the_limits_are_refused_until_others_are_answered() {
        let load = Arc::new(Load::default());
        let large = load.admit(MAX_BYTES * 2).unwrap();
        assert_eq!(load.admit(1).unwrap_err(), JournalRefusal::QueueFull, "the bytes are taken");
        drop(large);
        let permits: Vec<_> = (0..MAX_APPENDS).map(|_| load.admit(1).unwrap()).collect();
        assert_eq!(load.length(), MAX_APPENDS);
        assert_eq!(load.admit(1).unwrap_err(), JournalRefusal::QueueFull, "the count is taken");
        drop(permits);
        load.admit(MAX_BYTES).unwrap();
        assert_eq!(load.length(), 0);
    }

    #[test]
    fn a_disk_that_hangs_refuses_appends_and_stops_the_forwarder_but_takes_acks() {
        let load = Arc::new(Load::default());
        load.set_stalled(true);
        assert_eq!(load.admit(1).unwrap_err(), JournalRefusal::Stalled);
        assert!(load.is_congested());
        load.set_stalled(false);
        (0..MAX_ACKS).for_each(|_| load.ack_added());
        assert!(load.is_congested() && load.admit(1).is_ok());
        load.acks_written(1);
        assert!(!load.is_congested());
    }

    #[test]
    fn too_many_ids_forget_the_oldest_and_the_stream_they_are_in() {
        let load = Load::default();
        assert!(load.add_ids(PendingIds { ids: vec![1; 17], stream: Some(7) }));
        assert!(!load.add_ids(PendingIds { ids: vec![2; 17], stream: None }), "the writer knows already");
        load.add_ids(PendingIds { ids: vec![3; MAX_ID_BYTES - 17], stream: None });
        let PendingIds { ids, stream } = load.take_ids();
        assert_eq!((ids.len(), ids[0], stream), (MAX_ID_BYTES, 2, None));
        assert!(load.take_ids().is_empty());
    }
}
