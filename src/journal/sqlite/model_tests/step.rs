use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::super::*;
use crate::message::{Broker, Brokers};

pub(super) const HOUR: u64 = 3600;
pub(super) const YEARS: u64 = 10 * 365 * 24 * HOUR;
pub(super) const RETENTION: u64 = 10 * HOUR;
pub(super) const OF_DEAD: u64 = 30 * HOUR;
pub(super) const WINDOW: u64 = HOUR / 4;
/// Longer than a clock that jumps ahead is not trusted.
pub(super) const NOT_BELIEVED: u64 = 2 * HOUR;
pub(super) const START: u64 = 50 * 365 * 24 * HOUR;

/// Opens a journal with a clock: the seconds that passed, and how far ahead the clock is.
pub(super) fn open(folder: &Path, clock: &Arc<Mutex<(u64, i64)>>) -> (Journal, Recovered) {
    let clock = clock.clone();
    let read = move || {
        let (passed, wrong) = *clock.lock().unwrap();
        let day = (START + passed).saturating_add_signed(wrong);
        (UNIX_EPOCH + Duration::from_secs(day), Duration::from_secs(passed))
    };
    let retention = Duration::from_secs;
    let config = Config { directory: folder.into(), retention: retention(RETENTION), min_free: 0, ..Config::default() };
    let dead_letter = DeadLetterConfig { retention: retention(OF_DEAD) };
    let dedup = DedupLimits { window: Duration::from_secs(WINDOW), max_ids: 250_000 };
    open_by(Arc::new(read), Duration::from_millis(1), &config, &dead_letter, dedup).unwrap()
}

/// What happens to the journal.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// For each record: the bits of its brokers, the size of its body, whether it is a dead letter.
    Append(Vec<(u8, usize, bool)>),
    Ack(prop::sample::Index, Broker),
    Remember(Vec<u128>),
    /// This many seconds pass.
    Pass(u64),
    /// The clock is this many seconds ahead from now on.
    Set(i64),
    Reopen {
        clean: bool,
    },
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![0..10_usize, 400..5000_usize, 0..100_000_usize];
    let broker = prop::sample::select(Broker::ALL.to_vec());
    prop_oneof![
        4 => prop::collection::vec((0..4_u8, size, prop::bool::weighted(0.2)), 1..20).prop_map(Step::Append),
        4 => (any::<prop::sample::Index>(), broker).prop_map(|(which, broker)| Step::Ack(which, broker)),
        // id 0 is the marker that a broker lost everything
        1 => prop::collection::vec(0..5_u128, 1..4).prop_map(Step::Remember),
        3 => prop_oneof![1..WINDOW * 2, HOUR..6 * HOUR].prop_map(Step::Pass),
        1 => prop::sample::select(vec![0, 0, YEARS.cast_signed(), -YEARS.cast_signed()]).prop_map(Step::Set),
        1 => any::<bool>().prop_map(|clean| Step::Reopen { clean }),
    ]
}

/// A record that should be there.
pub(super) struct Row {
    pub(super) seq: i64,
    pub(super) backlog: Brokers,
    pub(super) body: Vec<u8>,
    pub(super) dead: bool,
    /// When it was appended, and how wrong the clock was.
    pub(super) came: u64,
    pub(super) wrong: i64,
}
