use std::time::UNIX_EPOCH;

use bytes::Bytes;
use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::message::{Brokers, Event, Id, Message};

const LANES: [Lane; 2] = [Lane(1), Lane(2)];

/// One record, from the moment it is about to be appended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct One {
    lane: usize,
    /// Its sequence number, once it is on disk.
    seq: Option<i64>,
    /// Whether the lanes know that it is on disk.
    appended: bool,
    /// Whether its direct ack is awaited.
    awaited: bool,
    acked: bool,
    /// Whether the disk has it as acked.
    synced: bool,
    refused: bool,
    /// How many records had come when the lanes knew that it is on disk.
    since: usize,
}

impl One {
    fn direct(&self) -> DirectAck {
        if self.awaited { DirectAck::Awaited } else { DirectAck::NotAwaited }
    }
}

/// A lease as its forwarder sees it: the records left to send, if they are in memory.
struct Work {
    lease: LaneLease,
    left: Option<VecDeque<i64>>,
}

/// The callers of the lanes, and the plainest idea of what the lanes know.
struct Model {
    lanes: Lanes,
    all: Vec<One>,
    next: i64,
    work: [Option<Work>; 2],
    waiting: Vec<(usize, oneshot::Receiver<()>)>,
}

fn record(seq: i64) -> Record {
    // every third is large, so that the memory for them runs out
    let body = Bytes::from(vec![0; if seq % 3 == 0 { 40_000 } else { 10 }]);
    let event = Event::unparsed(Id::of(&seq.to_be_bytes()), UNIX_EPOCH);
    let message = Message::notification(Default::default(), event, body);
    Record { seq, message, backlog: Brokers::NONE, maybe_stored: Brokers::NONE }
}

impl Model {
    fn new() -> Self {
        Self { lanes: Lanes::new(Vec::new()), all: Vec::new(), next: 1, work: [None, None], waiting: Vec::new() }
    }

    fn backlog(&self, lane: usize) -> usize {
        self.all.iter().filter(|one| one.lane == lane && !one.acked && !one.refused).count()
    }

    /// One of the records that can, chosen by `choice`.
    fn pick(&self, choice: usize, can: impl Fn(&One) -> bool) -> Option<usize> {
        let able: Vec<_> = (0..self.all.len()).filter(|at| can(&self.all[*at])).collect();
        (!able.is_empty()).then(|| able[choice % able.len()])
    }

    fn step(&mut self, act: u8, choice: usize) {
        let lane = choice % 2;
        match act {
            0..=3 => self.begin_append(lane, act == 0),
            4..=6 => {
                if let Some(at) = self.pick(choice, |one| one.seq.is_none() && !one.refused) {
                    self.all[at].seq = Some(self.next);
                    self.next += 1;
                }
            }
            7..=9 => self.append(choice),
            10 => {
                if let Some(at) = self.pick(choice, |one| one.seq.is_none() && !one.refused) {
                    self.lanes.cancel_append(LANES[self.all[at].lane], self.all[at].direct());
                    (self.all[at].refused, self.all[at].awaited) = (true, false);
                }
            }
            11 | 12 => {
                if let Some(at) = self.pick(choice, |one| one.appended && one.awaited) {
                    let (acked, lane) = (act == 11, LANES[self.all[at].lane]);
                    // the disk has it as acked before its ack counts
                    (self.all[at].awaited, self.all[at].acked, self.all[at].synced) = (false, acked, acked);
                    match acked {
                        true => self.lanes.direct_ack(lane, self.all[at].seq.unwrap()),
                        false => self.lanes.direct_fault(lane),
                    }
                }
            }
            13 => {
                if let Gate::Wait(acked) = self.lanes.gate(LANES[lane]) {
                    self.waiting.push((lane, acked));
                }
            }
            14 | 15 => self.begin(),
            16..=19 => self.work(lane, true),
            _ => self.work(lane, false),
        }
        self.check();
    }

    fn begin_append(&mut self, lane: usize, awaited: bool) {
        let one = One { lane, awaited, ..One::default() };
        self.lanes.begin_append(LANES[lane], one.direct(), UNIX_EPOCH);
        self.all.push(one);
    }

    fn append(&mut self, choice: usize) {
        let Some(at) = self.pick(choice, |one| one.seq.is_some() && !one.appended) else { return };
        (self.all[at].appended, self.all[at].since) = (true, self.all.len());
        let One { lane, seq, awaited, .. } = self.all[at];
        let seq = seq.unwrap();
        self.lanes.finish_append(LANES[lane], seq, (!awaited).then_some(move || record(seq)));
    }

    fn begin(&mut self) {
        let Some(lease) = self.lanes.lease().now_or_never() else { return };
        let lane = LANES.iter().position(|lane| *lane == lease.lane).unwrap();
        assert!(self.work[lane].is_none(), "two leases of one lane");
        let records = &lease.prefetched;
        let left = (!records.is_empty()).then(|| records.iter().map(|record| record.seq).collect());
        self.work[lane] = Some(Work { lease, left });
    }

    /// Continues a lease: reads, or sends one record, which the broker acks or not.
    fn work(&mut self, lane: usize, acks: bool) {
        let Some(mut work) = self.work[lane].take() else { return };
        let Some(left) = &mut work.left else {
            let on_disk = self.all.iter().filter(|one| one.lane == lane && !one.synced).filter_map(|one| one.seq);
            let mut seqs: Vec<_> = on_disk.collect();
            seqs.sort_unstable();
            seqs.truncate(3);
            match seqs.last() {
                Some(last) => self.lanes.read_to(LANES[lane], *last),
                None => self.lanes.lost(LANES[lane], work.lease.appended),
            }
            work.left = Some(seqs.into());
            self.work[lane] = Some(work);
            return;
        };
        let Some(seq) = left.pop_front() else { return self.end(lane) };
        let at = self.all.iter().position(|one| one.seq == Some(seq)).unwrap();
        match self.lanes.claim(LANES[lane], seq) {
            Claim::AlreadyAcked => assert!(self.all[at].acked),
            Claim::AwaitingAck => {
                self.lanes.block(LANES[lane], MaybeSent::Nothing);
                return self.end(lane);
            }
            Claim::Send => {
                let one = self.all[at];
                assert!(!one.acked && !one.awaited, "{one:?} is sent");
                let mut before =
                    self.all.iter().filter(|other| other.lane == lane && other.appended && other.since <= at);
                assert!(before.all(|other| other.acked), "{one:?} overtakes");
                if !acks {
                    self.lanes.block(LANES[lane], MaybeSent::Nothing);
                    return self.end(lane);
                }
                self.all[at].acked = true;
                self.lanes.acked(LANES[lane], seq, None);
            }
        }
        self.work[lane] = Some(work);
    }

    fn end(&mut self, lane: usize) {
        let synced = self.lanes.acked_records(LANES[lane]);
        for one in self.all.iter_mut().filter(|one| one.acked && one.seq.is_some_and(|seq| synced.contains(&seq))) {
            one.synced = true;
        }
        self.lanes.release(LANES[lane], LeaseEnd::Through, &synced);
    }

    fn check(&mut self) {
        assert_eq!(self.lanes.backlog().records, (self.backlog(0) + self.backlog(1)) as u64);
        for (lane, name) in LANES.into_iter().enumerate() {
            assert_eq!(matches!(self.lanes.gate(name), Gate::Open), self.backlog(lane) == 0, "{lane}");
        }
        let backlog = [self.backlog(0), self.backlog(1)];
        for (lane, acked) in &mut self.waiting {
            assert!(backlog[*lane] > 0 || acked.try_recv().is_ok(), "there is no backlog, and it still waits");
        }
        self.waiting.retain(|(lane, _)| backlog[*lane] > 0);
    }

    /// From now on nothing fails.
    fn finish(&mut self) {
        for _ in 0..self.all.len() {
            [4, 7, 12].into_iter().for_each(|act| self.step(act, 0));
        }
        for round in 0.. {
            assert!(round < 100 * (self.all.len() + 1), "the backlog does not drain: {:?}", self.all);
            self.begin();
            (0..2).for_each(|lane| self.work(lane, true));
            self.check();
            if self.backlog(0) + self.backlog(1) == 0 && self.work.iter().all(Option::is_none) {
                break;
            }
        }
        assert!(self.lanes.is_empty(), "a lane without a backlog is remembered");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_record_is_sent_once_and_in_order(steps in prop::collection::vec((0_u8..22, 0_usize..8), 1..120)) {
        let mut model = Model::new();
        for (act, choice) in steps {
            model.step(act, choice);
        }
        model.finish();
    }
}

#[test]
fn new_message_waits_for_eight_acks_and_the_next_one_for_sixteen() {
    let lanes = Lanes::new(Vec::new());
    for seq in 1..=30 {
        lanes.begin_append(LANES[0], DirectAck::NotAwaited, UNIX_EPOCH);
        lanes.finish_append(LANES[0], seq, Some(|| record(seq)));
    }
    assert!(matches!(lanes.gate(LANES[0]), Gate::Shut), "no ack yet");
    lanes.acked(LANES[0], 1, None);
    let waits = || match lanes.gate(LANES[0]) {
        Gate::Wait(acked) => acked,
        other => panic!("{other:?}"),
    };
    let (mut first, mut second) = (waits(), waits());
    let woken: Vec<_> = (2..=17)
        .map(|seq| {
            lanes.acked(LANES[0], seq, None);
            (first.try_recv().is_ok(), second.try_recv().is_ok())
        })
        .collect();
    let acks = [woken.iter().position(|woken| woken.0), woken.iter().position(|woken| woken.1)];
    assert_eq!(acks, [Some(7), Some(15)]);
}
