//! The journal against a plain list, over clean ends, crashes and clocks that go wrong.

mod step;

use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use futures_util::future::join_all;
use proptest::prelude::*;
use step::{HOUR, NOT_BELIEVED, OF_DEAD, RETENTION, Row, START, Step, WINDOW, open, step};

use super::*;
use crate::journal::{EventFilter, Lane, LaneBatch, PageLimit, Record, push_id};
use crate::message::{Broker, Brokers, DeadLetter, Event, Id, Message, PerBroker, Reason};

struct Model {
    folder: tempfile::TempDir,
    journal: Journal,
    runtime: tokio::runtime::Runtime,
    clock: Arc<Mutex<(u64, i64)>>,
    rows: Vec<Row>,
    /// The last sequence number returned.
    last_seq: i64,
    seen: Vec<(u64, i64, Id, Brokers)>,
    bodies: u128,
    /// Since when the clock is ahead.
    ahead: Option<u64>,
    /// When the clock last went forward: it may not be trusted yet.
    forward: u64,
    /// Whether a clock that was ahead at a start may have made the journal forget ids.
    forgets: bool,
}

impl Model {
    fn new() -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::default());
        let (journal, _) = open(folder.path(), &clock);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self {
            folder,
            journal,
            runtime,
            clock,
            rows: vec![],
            last_seq: 0,
            seen: vec![],
            bodies: 0,
            ahead: None,
            forward: 0,
            forgets: false,
        }
    }

    fn passed(&self) -> u64 {
        self.clock.lock().unwrap().0
    }

    fn wrong(&self) -> i64 {
        self.clock.lock().unwrap().1
    }

    fn append(&mut self, rows: Vec<(u8, usize, bool)>) {
        let day = UNIX_EPOCH + Duration::from_secs((START + self.passed()).saturating_add_signed(self.wrong()));
        let mut appends = Vec::new();
        let mut added = Vec::new();
        for (backlog, size, dead) in rows {
            self.bodies += 1;
            let mut body = self.bodies.to_be_bytes().to_vec();
            body.resize(16 + size, backlog);
            let backlog: Brokers = Broker::ALL.into_iter().filter(|broker| backlog & 1 << *broker as u8 != 0).collect();
            let event = Event { instance: Some(size as u64 % 3), ..Event::unparsed(Id::of(&body), day) };
            let dead_letter = dead.then(|| DeadLetter::new(Reason::NotJson, String::new()));
            let (to, bytes) = (PerBroker::from_fn(|broker| Some(broker.as_str().into())), body.clone().into());
            let message = match dead_letter {
                None => Message::notification(to, event, bytes),
                Some(dead) => Message::dead_letter(to, event, bytes, dead),
            };
            let by = if backlog.is_empty() { Brokers::JOURNAL } else { backlog };
            self.seen.push((self.passed(), self.wrong(), Id::of(&body), by));
            appends.push(self.journal.append(message, by, Brokers::NONE));
            added.push((backlog, body, dead));
        }
        let results = self.runtime.block_on(join_all(appends));
        for (result, (backlog, body, dead)) in results.into_iter().zip(added) {
            let seq = result.unwrap();
            assert!(seq > self.last_seq, "{seq} was used before, or is out of order");
            self.last_seq = seq;
            self.rows.push(Row { seq, backlog, body, dead, came: self.passed(), wrong: self.wrong() });
        }
    }

    fn ack(&mut self, which: &prop::sample::Index, broker: Broker) {
        let pending: Vec<_> = self.rows.iter_mut().filter(|row| row.backlog.has(broker)).collect();
        if pending.is_empty() {
            return;
        }
        let at = which.index(pending.len());
        let row = pending.into_iter().nth(at).unwrap();
        row.backlog = row.backlog.without(Brokers::NONE.with(broker));
        let (seq, gone) = (row.seq, row.backlog.is_empty());
        self.journal.ack(seq, broker, row.body.len());
        if gone {
            self.rows.retain(|row| row.seq != seq);
        }
    }

    /// Time passes. A clock that is ahead is set right within the hour, as far as these tests go.
    fn pass(&mut self, seconds: u64) {
        if self.ahead.is_some_and(|since| self.passed() + seconds >= since + HOUR) {
            self.set(0);
        }
        self.clock.lock().unwrap().0 += seconds;
    }

    fn set(&mut self, wrong: i64) {
        // everything that is due by the clock before is done by it
        self.housekeep();
        let before = self.wrong();
        self.clock.lock().unwrap().1 = wrong;
        if wrong > before {
            self.forward = self.passed();
        }
        self.ahead = (wrong > 0).then(|| if before > 0 { self.ahead } else { None }.unwrap_or(self.passed()));
    }

    /// Waits until the journal has done its housekeeping.
    fn housekeep(&self) {
        for _ in 0..3 {
            self.runtime.block_on(self.journal.synced());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn reopen(&mut self, clean: bool) {
        // the last record received by a clock that is ahead does not show that it is
        if self.wrong() > 0 && self.rows.last().is_some_and(|last| last.wrong > 0) {
            self.set(0);
        }
        self.forgets |= self.wrong() > 0;
        self.housekeep();
        // if the last record is old, nothing is deleted by age for an hour
        self.forward = self.passed().max(1);
        if clean {
            self.journal.close();
            let (journal, recovered) = open(self.folder.path(), &self.clock);
            self.journal = journal;
            self.check_recovered(recovered);
        } else {
            // a process that is killed leaves its files as they are
            let copy = tempfile::tempdir().unwrap();
            for file in ["journal.db", "journal.db-wal"] {
                std::fs::copy(self.folder.path().join(file), copy.path().join(file)).unwrap();
            }
            let (journal, recovered) = open(copy.path(), &self.clock);
            self.journal.close();
            (self.folder, self.journal) = (copy, journal);
            self.check_recovered(recovered);
        }
    }

    fn check_recovered(&mut self, recovered: Recovered) {
        for broker in Broker::ALL {
            let backlog: u64 = recovered.backlog[broker].iter().map(|backlog| backlog.records).sum();
            let expected = self.rows.iter().filter(|row| row.backlog.has(broker)).count();
            assert_eq!(backlog, expected as u64, "{broker:?}");
        }
        // ids remembered inside the window while the clock was right
        if self.wrong() == 0 && !self.forgets {
            let now = self.passed();
            let young = |(at, wrong, ..): &&(u64, i64, Id, Brokers)| *wrong == 0 && at + WINDOW > now;
            let expected: Vec<_> = self.seen.iter().filter(young).map(|(_, _, id, by)| (*id, *by)).collect();
            let day = |passed: u64| UNIX_EPOCH + Duration::from_secs(START + passed);
            let inside = |at: SystemTime| at <= day(now) && at + Duration::from_secs(WINDOW) > day(now);
            let found = recovered.ids.into_iter().filter(|(at, ..)| inside(*at));
            assert_eq!(found.map(|(_, id, by)| (id, by)).collect::<Vec<_>>(), expected);
        }
    }

    /// All records of the journal, in order.
    fn stored(&self) -> Vec<Record> {
        let mut found = Vec::new();
        for dead_letters in [false, true] {
            let filter = EventFilter { dead_letters, ..EventFilter::default() };
            let limit = PageLimit { records: usize::MAX >> 1, bytes: usize::MAX };
            let page = self.runtime.block_on(self.journal.reader.page(&filter, 0, limit)).unwrap();
            found.extend(page.records);
        }
        found.sort_by_key(|record| record.seq);
        found
    }

    /// Compares everything, in order; what is too old by any clock may be gone.
    fn check(&mut self) {
        self.housekeep();
        let found = self.stored();
        let now = self.passed();
        let right = self.wrong() == 0 && (self.forward == 0 || now.saturating_sub(self.forward) >= NOT_BELIEVED);
        let retention = |row: &Row| if row.dead { OF_DEAD } else { RETENTION };
        let young = |row: &Row| now - row.came < retention(row);
        let guarded = |row: &Row| {
            let before = |other: &Row| {
                other.seq < row.seq
                    && other.dead == row.dead
                    && other.backlog.is_empty()
                    && other.wrong == 0
                    && young(other)
            };
            // a record of a clock that was ahead is deleted with a later one of a clock that was behind
            let after = |other: &Row| other.seq > row.seq && other.dead == row.dead && other.wrong < 0;
            match row.wrong {
                0 => true,
                1.. => !self.rows.iter().any(after),
                _ => self.rows.iter().any(before),
            }
        };
        let must = |row: &Row| !row.backlog.is_empty() || young(row) && guarded(row);
        let may = |row: &Row| !right || must(row) || row.wrong > 0 || now - row.came <= retention(row) + NOT_BELIEVED;
        let mut found = found.into_iter().peekable();
        let mut gone = Vec::new();
        for row in &self.rows {
            match found.next_if(|record| record.seq == row.seq) {
                Some(record) => {
                    assert!(record.message.body[..] == row.body[..], "{} is altered", row.seq);
                    assert_eq!((record.backlog, record.message.is_dead_letter()), (row.backlog, row.dead));
                    assert!(may(row), "{} came {} s ago and is still there", row.seq, now - row.came);
                }
                None => {
                    assert!(!must(row), "{} came {} s ago and is lost", row.seq, now - row.came);
                    gone.push(row.seq);
                }
            }
        }
        assert_eq!(found.next().map(|record| record.seq), None, "nothing appended it");
        self.rows.retain(|row| !gone.contains(&row.seq));
        self.check_lanes();
    }

    /// Each lane of a broker has its backlog, in order.
    fn check_lanes(&self) {
        for broker in Broker::ALL {
            let pending = || self.rows.iter().filter(|row| row.backlog.has(broker));
            let lanes: std::collections::BTreeMap<_, Vec<i64>> =
                pending().fold(Default::default(), |mut lanes, row| {
                    lanes.entry(row.body.len() as u64 % 3).or_insert_with(Vec::new).push(row.seq);
                    lanes
                });
            // 16 bytes of a body are its number
            let instance = |length: u64| (length + 3 - 16 % 3) % 3;
            for (length, expected) in lanes {
                let event = Event { instance: Some(instance(length)), ..Event::unparsed(Id::NONE, UNIX_EPOCH) };
                let to = PerBroker::from_fn(|broker| Some(broker.as_str().into()));
                let message = Message::notification(to, event, bytes::Bytes::new());
                let read = self.journal.batch(broker, Lane::of(&message, broker), usize::MAX);
                let LaneBatch::Records(records) = self.runtime.block_on(read).unwrap() else { panic!("too large") };
                assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), expected);
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append(rows) => self.append(rows),
            Step::Ack(which, broker) => self.ack(&which, broker),
            Step::Remember(ids) => {
                let mut bytes = Vec::new();
                for id in ids {
                    push_id(&mut bytes, Id::from(id), Brokers::NONE.with(Broker::Nats));
                    self.seen.push((self.passed(), self.wrong(), Id::from(id), Brokers::NONE.with(Broker::Nats)));
                }
                self.journal.append_dedup_ids(bytes, None);
                self.runtime.block_on(self.journal.synced());
            }
            Step::Pass(seconds) => self.pass(seconds),
            Step::Set(wrong) => self.set(wrong),
            Step::Reopen { clean } => self.reopen(clean),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_journal_contains_what_a_list_would_after_crashes_and_clock_jumps(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut model = Model::new();
        for step in steps {
            model.step(step);
            model.check();
        }
        model.reopen(true);
        model.check();
        model.journal.close();
    }
}
