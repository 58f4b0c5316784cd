//! What is known of one lane.

use std::time::SystemTime;

use tokio::sync::oneshot;

use crate::journal::Record;

/// How many records of one lane are handed to the forwarder in memory, and their bytes; a larger record is handed over
/// alone. They are sent before the disk has them as acked, so they must not be more than the first records that are
/// read after a crash.
const PREFETCHED: usize = 16;
const PREFETCHED_BYTES_OF_LANE: usize = 48 * 1024;
/// The bytes of all prefetched records, of all lanes of a broker.
const PREFETCHED_BYTES: usize = 8 * 1024 * 1024;

/// Whether a forwarder works on the lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing can be forwarded: no record is appended, or a direct ack is awaited.
    Idle,
    /// It waits for a lease.
    Queued,
    /// It is leased.
    Leased,
}

/// How the backlog moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// Nothing was acked since the backlog or its last fault began.
    Blocked,
    /// The broker acked the last record that was sent.
    Draining,
}

/// Which records the broker may have although no ack came to this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MaybeSent {
    /// None.
    Nothing,
    /// The first one.
    FirstRecord,
    /// Any of the first ones: an earlier process may have sent them.
    Recovered,
}

/// One lane.
#[derive(Debug)]
pub(super) struct LaneState {
    pub(super) phase: Phase,
    pub(super) flow: Flow,
    pub(super) maybe_sent: MaybeSent,
    /// Records that are appended, or about to be, and not acked.
    pub(super) backlog: u64,
    /// Those about to be appended.
    pub(super) appending: u64,
    /// Those whose direct publish has neither an ack nor a fault yet: nothing may be sent before.
    pub(super) direct_acks: u64,
    /// Acked records that may still be read from the disk.
    pub(super) acked: Vec<i64>,
    pub(super) prefetched: Vec<Record>,
    /// The last record that was appended.
    pub(super) last_seq: i64,
    /// The last record that was read from the disk, and the last that must be.
    pub(super) read_to: i64,
    pub(super) must_read_to: i64,
    /// How many records were acked in all.
    pub(super) acked_total: u64,
    /// When the first record of the backlog was received.
    pub(super) since: SystemTime,
    /// Newcomers that wait, each until this many records are acked in all.
    pub(super) waiting: Vec<(u64, oneshot::Sender<()>)>,
}

impl LaneState {
    pub(super) fn new(now: SystemTime) -> Self {
        Self {
            phase: Phase::Idle,
            flow: Flow::Blocked,
            maybe_sent: MaybeSent::Nothing,
            backlog: 0,
            appending: 0,
            direct_acks: 0,
            acked: Vec::new(),
            prefetched: Vec::new(),
            last_seq: 0,
            read_to: 0,
            must_read_to: 0,
            acked_total: 0,
            since: now,
            waiting: Vec::new(),
        }
    }

    /// How many records the disk has.
    pub(super) fn appended(&self) -> u64 {
        self.backlog.saturating_sub(self.appending)
    }

    /// Whether nothing is known of it that must be remembered.
    pub(super) fn is_removable(&self) -> bool {
        self.backlog == 0 && self.appending == 0 && self.phase == Phase::Idle
    }

    /// Queues the lane if it can be forwarded and is not worked on. Whether it did.
    pub(super) fn queue(&mut self) -> bool {
        let ready = self.phase == Phase::Idle && self.appended() > 0 && self.direct_acks == 0;
        if ready {
            self.phase = Phase::Queued;
        }
        ready
    }

    /// A record was appended. If all records before it are in memory, it is prefetched as `record` makes it.
    pub(super) fn append(&mut self, seq: i64, record: Option<impl FnOnce() -> Record>, all_bytes: &mut usize) {
        self.appending = self.appending.saturating_sub(1);
        self.last_seq = self.last_seq.max(seq);
        // a lease that read the disk meanwhile has it already
        if seq <= self.read_to {
            return;
        }
        let fits =
            self.read_to >= self.must_read_to && self.prefetched.len() < PREFETCHED && *all_bytes < PREFETCHED_BYTES;
        let record = record.filter(|_| fits).map(|record| record());
        let size = |record: &Record| record.message.body.len();
        let of_lane = self.prefetched.iter().map(size).sum::<usize>();
        let fits = |record: &Record| self.prefetched.is_empty() || of_lane + size(record) <= PREFETCHED_BYTES_OF_LANE;
        match record.filter(fits) {
            Some(record) => {
                *all_bytes += size(&record);
                self.prefetched.push(record);
            }
            None => self.must_read_to = self.must_read_to.max(seq),
        }
    }

    /// Takes the prefetched records out.
    pub(super) fn take_prefetched(&mut self, all_bytes: &mut usize) -> Vec<Record> {
        let records = std::mem::take(&mut self.prefetched);
        *all_bytes -= records.iter().map(|record| record.message.body.len()).sum::<usize>();
        records
    }

    /// The broker acks nothing now. What a lease has in memory comes before what is prefetched, so all is read again.
    pub(super) fn block(&mut self, all_bytes: &mut usize) {
        (self.read_to, self.must_read_to) = (0, self.must_read_to.max(self.last_seq));
        self.take_prefetched(all_bytes);
        self.close_gate();
    }

    /// Lets no new message wait until the next ack.
    pub(super) fn close_gate(&mut self) {
        self.flow = Flow::Blocked;
        self.wake();
    }

    /// A record was acked. Until the disk has it as acked, it may still be read.
    pub(super) fn ack(&mut self, seq: i64) {
        self.acked.push(seq);
        self.backlog = self.backlog.saturating_sub(1);
        self.acked_total += 1;
        self.flow = Flow::Draining;
        self.wake();
    }

    /// Wakes the waiters whose wait is over.
    pub(super) fn wake(&mut self) {
        let all = self.backlog == 0 || self.flow == Flow::Blocked;
        let acked = self.acked_total;
        for (_, waiter) in self.waiting.extract_if(.., |(until, _)| all || *until <= acked) {
            // a new message whose time is over is in the backlog already
            let _ = waiter.send(());
        }
    }
}
