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
/// How long a clock that goes ahead is not believed, and then some.
pub(super) const PATIENCE: u64 = 2 * HOUR;
pub(super) const START: u64 = 50 * 365 * 24 * HOUR;

/// A journal by a clock: the seconds that passed, and how far ahead it is.
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
    open_by(Arc::new(read), Duration::from_millis(1), &config, &dead_letter, (Duration::from_secs(WINDOW), 250_000))
        .unwrap()
}

/// What happens to a journal.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Whom it is owed to, how large, whether a dead letter.
    Append(Vec<(u8, usize, bool)>),
    Settle(prop::sample::Index, Broker),
    Seen(Vec<u128>),
    /// So many seconds pass.
    Pass(u64),
    /// The clock is so far ahead from now on.
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
        4 => (any::<prop::sample::Index>(), broker).prop_map(|(which, broker)| Step::Settle(which, broker)),
        // nothing is a marker: a broker lost what it had
        1 => prop::collection::vec(0..5_u128, 1..4).prop_map(Step::Seen),
        3 => prop_oneof![1..WINDOW * 2, HOUR..6 * HOUR].prop_map(Step::Pass),
        1 => prop::sample::select(vec![0, 0, YEARS.cast_signed(), -YEARS.cast_signed()]).prop_map(Step::Set),
        1 => any::<bool>().prop_map(|clean| Step::Reopen { clean }),
    ]
}

/// What should be there.
pub(super) struct Row {
    pub(super) seq: i64,
    pub(super) owed: Brokers,
    pub(super) body: Vec<u8>,
    pub(super) dead: bool,
    /// When it came, and how wrong the clock was.
    pub(super) came: u64,
    pub(super) wrong: i64,
}
