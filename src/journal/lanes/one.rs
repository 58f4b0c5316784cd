//! One lane.

use std::time::SystemTime;

use tokio::sync::oneshot;

use super::Record;

/// How many records of one lane are handed over in memory, and their bytes; one that is larger is handed over alone.
/// Sent and not on disk as such, they must not be more than the first that are read after a crash.
const HANDED: usize = 16;
const HANDED_OF_ONE: usize = 48 * 1024;
/// The bytes of all that are, of all lanes of a broker.
const HANDED_BYTES: usize = 8 * 1024 * 1024;

/// What is known of one lane.
#[derive(Debug)]
pub(super) struct At {
    /// Records that are kept, or about to be, and not taken.
    pub(super) owed: u64,
    /// Those about to be.
    pub(super) pending: u64,
    /// Those whose first report is still outstanding: nothing may be sent before it is here.
    pub(super) held: u64,
    /// Whether it has a turn, or one is due.
    pub(super) busy: bool,
    /// Whether the broker takes nothing of it now.
    pub(super) stuck: bool,
    pub(super) fresh: bool,
    pub(super) doubtful: bool,
    pub(super) taken: Vec<i64>,
    pub(super) handed: Vec<Record>,
    /// The last record that was kept.
    pub(super) top: i64,
    /// The last record that was read from the disk, and the last that must be.
    pub(super) read: i64,
    pub(super) to_read: i64,
    /// How many were taken in all.
    pub(super) count: u64,
    /// When the first of them came.
    pub(super) since: SystemTime,
    /// Who waits for the count to be so high.
    pub(super) waiting: Vec<(u64, oneshot::Sender<()>)>,
}

impl At {
    pub(super) fn new(now: SystemTime) -> Self {
        Self {
            owed: 0,
            pending: 0,
            held: 0,
            busy: false,
            stuck: true,
            fresh: false,
            doubtful: false,
            taken: Vec::new(),
            handed: Vec::new(),
            top: 0,
            read: 0,
            to_read: 0,
            count: 0,
            since: now,
            waiting: Vec::new(),
        }
    }

    pub(super) fn kept(&self) -> u64 {
        self.owed.saturating_sub(self.pending)
    }

    /// A record is kept. Where all before it are in memory, it is handed over as this makes it.
    pub(super) fn keep(&mut self, seq: i64, record: Option<impl FnOnce() -> Record>, bytes: &mut usize) {
        self.pending = self.pending.saturating_sub(1);
        self.top = self.top.max(seq);
        // one that was on disk when a turn read there has been read already
        if seq <= self.read {
            return;
        }
        let room = self.read >= self.to_read && self.handed.len() < HANDED && *bytes < HANDED_BYTES;
        let record = record.filter(|_| room).map(|record| record());
        let size = |record: &Record| record.message.body.len();
        let of_this = self.handed.iter().map(size).sum::<usize>();
        match record.filter(|record| self.handed.is_empty() || of_this + size(record) <= HANDED_OF_ONE) {
            Some(record) => {
                *bytes += size(&record);
                self.handed.push(record);
            }
            None => self.to_read = self.to_read.max(seq),
        }
    }

    /// Nothing is taken now. What the turn has in memory comes before what is handed over: all is read again.
    pub(super) fn stick(&mut self, bytes: &mut usize) {
        self.stuck = true;
        (self.read, self.to_read) = (0, self.to_read.max(self.top));
        *bytes -= self.handed.drain(..).map(|record| record.message.body.len()).sum::<usize>();
        self.wake();
    }

    /// Nothing goes past until something is taken.
    pub(super) fn shut(&mut self) {
        self.stuck = true;
        self.wake();
    }

    /// One less is owed: it was taken. Until that is on disk it may still be read.
    pub(super) fn take(&mut self, seq: i64) {
        self.taken.push(seq);
        self.owed = self.owed.saturating_sub(1);
        self.count += 1;
        self.stuck = false;
        self.wake();
    }

    /// Wakes those whose wait is over.
    pub(super) fn wake(&mut self) {
        let (open, stuck, count) = (self.owed == 0, self.stuck, self.count);
        for (_, waits) in self.waiting.extract_if(.., |(for_count, _)| open || stuck || *for_count <= count) {
            // who gave up went another way
            let _ = waits.send(());
        }
    }
}
