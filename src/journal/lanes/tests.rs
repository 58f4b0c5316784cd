use std::time::UNIX_EPOCH;

use bytes::Bytes;
use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::message::{Brokers, Event, Id, Message};

const LANES: [Lane; 2] = [Lane(1), Lane(2)];

/// One record, from the moment it is about to be kept.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct One {
    lane: usize,
    /// Its number, once it is on disk.
    seq: Option<i64>,
    /// Whether that is known.
    kept: bool,
    /// Whether its report is outstanding.
    held: bool,
    taken: bool,
    /// Whether the disk has it as taken.
    settled: bool,
    refused: bool,
    /// How many had come when it was known to be kept.
    since: usize,
}

/// A turn as its forwarder sees it: the numbers left to send, if they are in memory.
struct Work {
    turn: Turn,
    left: Option<VecDeque<i64>>,
}

/// Whoever uses the lanes, and the plainest idea of what they know.
struct Model {
    lanes: Lanes,
    all: Vec<One>,
    next: i64,
    work: [Option<Work>; 2],
    waiting: Vec<(usize, oneshot::Receiver<()>)>,
}

fn record(seq: i64) -> Record {
    // every third is large, so that room for them runs out
    let body = Bytes::from(vec![0; if seq % 3 == 0 { 40_000 } else { 10 }]);
    let event = Event::unparsed(Id::of(&seq.to_be_bytes()), UNIX_EPOCH);
    let message = Message {
        to: Default::default(),
        event,
        body,
        dead_letter: None,
        open: false,
        structured: false,
        replay: None,
    };
    Record { seq, message, owed: Brokers::NONE, unknown: Brokers::NONE }
}

impl Model {
    fn new() -> Self {
        Self { lanes: Lanes::new(Vec::new()), all: Vec::new(), next: 1, work: [None, None], waiting: Vec::new() }
    }

    fn owed(&self, lane: usize) -> usize {
        self.all.iter().filter(|one| one.lane == lane && !one.taken && !one.refused).count()
    }

    /// One of those that can, chosen by `choice`.
    fn pick(&self, choice: usize, can: impl Fn(&One) -> bool) -> Option<usize> {
        let able: Vec<_> = (0..self.all.len()).filter(|at| can(&self.all[*at])).collect();
        (!able.is_empty()).then(|| able[choice % able.len()])
    }

    fn step(&mut self, act: u8, choice: usize) {
        let lane = choice % 2;
        match act {
            0..=3 => self.enter(lane, act == 0),
            4..=6 => {
                if let Some(at) = self.pick(choice, |one| one.seq.is_none() && !one.refused) {
                    self.all[at].seq = Some(self.next);
                    self.next += 1;
                }
            }
            7..=9 => self.keep(choice),
            10 => {
                if let Some(at) = self.pick(choice, |one| one.seq.is_none() && !one.refused) {
                    self.lanes.refused(LANES[self.all[at].lane], self.all[at].held);
                    (self.all[at].refused, self.all[at].held) = (true, false);
                }
            }
            11 | 12 => {
                if let Some(at) = self.pick(choice, |one| one.kept && one.held) {
                    let taken = act == 11;
                    // it is on disk as taken before its report counts
                    (self.all[at].held, self.all[at].taken, self.all[at].settled) = (false, taken, taken);
                    self.lanes.reported(LANES[self.all[at].lane], self.all[at].seq.unwrap(), taken);
                }
            }
            13 => {
                if let Gate::Wait(told) = self.lanes.gate(LANES[lane]) {
                    self.waiting.push((lane, told));
                }
            }
            14 | 15 => self.begin(),
            16..=19 => self.work(lane, true),
            _ => self.work(lane, false),
        }
        self.check();
    }

    fn enter(&mut self, lane: usize, held: bool) {
        self.lanes.enter(LANES[lane], held, UNIX_EPOCH);
        self.all.push(One { lane, held, ..One::default() });
    }

    fn keep(&mut self, choice: usize) {
        let Some(at) = self.pick(choice, |one| one.seq.is_some() && !one.kept) else { return };
        (self.all[at].kept, self.all[at].since) = (true, self.all.len());
        let One { lane, seq, held, .. } = self.all[at];
        let seq = seq.unwrap();
        self.lanes.kept(LANES[lane], seq, (!held).then_some(move || record(seq)));
    }

    fn begin(&mut self) {
        let Some(turn) = self.lanes.next().now_or_never() else { return };
        let lane = LANES.iter().position(|lane| *lane == turn.lane).unwrap();
        assert!(self.work[lane].is_none(), "two turns at one lane");
        let handed = (!turn.handed.is_empty()).then(|| turn.handed.iter().map(|record| record.seq).collect());
        self.work[lane] = Some(Work { turn, left: handed });
    }

    /// Goes on with a turn: reads, or sends one, which is taken or not.
    fn work(&mut self, lane: usize, takes: bool) {
        let Some(mut work) = self.work[lane].take() else { return };
        let Some(left) = &mut work.left else {
            let on_disk = self.all.iter().filter(|one| one.lane == lane && !one.settled).filter_map(|one| one.seq);
            let mut seqs: Vec<_> = on_disk.collect();
            seqs.sort_unstable();
            seqs.truncate(3);
            match seqs.last() {
                Some(last) => self.lanes.read(LANES[lane], *last),
                None => self.lanes.emptied(LANES[lane], work.turn.kept),
            }
            work.left = Some(seqs.into());
            self.work[lane] = Some(work);
            return;
        };
        let Some(seq) = left.pop_front() else { return self.end(lane) };
        let at = self.all.iter().position(|one| one.seq == Some(seq)).unwrap();
        match self.lanes.claim(LANES[lane], seq) {
            Claim::Taken => assert!(self.all[at].taken),
            Claim::Held => {
                self.lanes.stuck(LANES[lane], false);
                return self.end(lane);
            }
            Claim::Send => {
                let one = self.all[at];
                assert!(!one.taken && !one.held, "{one:?} is sent");
                let mut before = self.all.iter().filter(|other| other.lane == lane && other.kept && other.since <= at);
                assert!(before.all(|other| other.taken), "{one:?} overtakes");
                if !takes {
                    self.lanes.stuck(LANES[lane], false);
                    return self.end(lane);
                }
                self.all[at].taken = true;
                self.lanes.took(LANES[lane], seq, None);
            }
        }
        self.work[lane] = Some(work);
    }

    fn end(&mut self, lane: usize) {
        let gone = self.lanes.taken(LANES[lane]);
        for one in self.all.iter_mut().filter(|one| one.taken && one.seq.is_some_and(|seq| gone.contains(&seq))) {
            one.settled = true;
        }
        self.lanes.end(LANES[lane], true, &gone);
    }

    fn check(&mut self) {
        assert_eq!(self.lanes.owed().0, (self.owed(0) + self.owed(1)) as u64);
        for (lane, name) in LANES.into_iter().enumerate() {
            assert_eq!(matches!(self.lanes.gate(name), Gate::Open), self.owed(lane) == 0, "{lane}");
        }
        let owed = [self.owed(0), self.owed(1)];
        for (lane, told) in &mut self.waiting {
            assert!(owed[*lane] > 0 || told.try_recv().is_ok(), "nothing is owed, and it still waits");
        }
        self.waiting.retain(|(lane, _)| owed[*lane] > 0);
    }

    /// All goes well from now on.
    fn finish(&mut self) {
        for _ in 0..self.all.len() {
            [4, 7, 12].into_iter().for_each(|act| self.step(act, 0));
        }
        for round in 0.. {
            assert!(round < 100 * (self.all.len() + 1), "it does not come to an end: {:?}", self.all);
            self.begin();
            (0..2).for_each(|lane| self.work(lane, true));
            self.check();
            if self.owed(0) + self.owed(1) == 0 && self.work.iter().all(Option::is_none) {
                break;
            }
        }
        assert!(self.lanes.idle(), "a lane is kept that owes nothing");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_record_is_forgotten_sent_twice_or_out_of_order(steps in prop::collection::vec((0_u8..22, 0_usize..8), 1..120)) {
        let mut model = Model::new();
        for (act, choice) in steps {
            model.step(act, choice);
        }
        model.finish();
    }
}

#[test]
fn who_waits_is_told_after_eight_of_many_and_the_next_one_after_sixteen() {
    let lanes = Lanes::new(Vec::new());
    for seq in 1..=30 {
        lanes.enter(LANES[0], false, UNIX_EPOCH);
        lanes.kept(LANES[0], seq, Some(|| record(seq)));
    }
    assert!(matches!(lanes.gate(LANES[0]), Gate::Shut), "nothing was taken yet");
    lanes.took(LANES[0], 1, None);
    let waits = || match lanes.gate(LANES[0]) {
        Gate::Wait(told) => told,
        other => panic!("{other:?}"),
    };
    let (mut first, mut second) = (waits(), waits());
    let told: Vec<_> = (2..=17)
        .map(|seq| {
            lanes.took(LANES[0], seq, None);
            (first.try_recv().is_ok(), second.try_recv().is_ok())
        })
        .collect();
    let places = [told.iter().position(|told| told.0), told.iter().position(|told| told.1)];
    assert_eq!(places, [Some(7), Some(15)]);
}
