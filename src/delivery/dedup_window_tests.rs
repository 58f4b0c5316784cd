use proptest::prelude::*;

use super::*;

const KAFKA: Brokers = Brokers::NONE.with(Broker::Kafka);
const BOTH: Brokers = KAFKA.with(Broker::Nats);

/// The brokers that `begin` finds missing, or the name of another state.
fn begin(window: &mut DedupWindow, id: u128, required: Brokers, now: Instant) -> Result<Brokers, &'static str> {
    match window.begin(Id::from(id), required, now) {
        DedupState::Stored => Err("stored"),
        DedupState::InFlight(_) => Err("in flight"),
        DedupState::Missing(missing) => Ok(missing),
        DedupState::Unverified => Err("unverified"),
    }
}

#[test]
fn message_that_was_not_stored_begins_again() {
    let (mut window, now) = (DedupWindow::new(Duration::from_secs(60), 10), Instant::now());
    assert_eq!(begin(&mut window, 1, KAFKA, now), Ok(KAFKA));
    assert_eq!(begin(&mut window, 1, KAFKA, now), Err("in flight"));
    window.finish(Id::from(1), Brokers::NONE, Outcome::NotStored, now);
    assert_eq!(begin(&mut window, 1, KAFKA, now), Ok(KAFKA));
    window.finish(Id::from(1), KAFKA, Outcome::Stored, now);
    assert_eq!(begin(&mut window, 1, KAFKA, now), Err("stored"));
}

#[test]
fn broker_that_has_a_message_does_not_get_it_again_while_the_other_lacks_it() {
    let (mut window, start) = (DedupWindow::new(Duration::from_secs(60), 10), Instant::now());
    assert_eq!(begin(&mut window, 1, BOTH, start), Ok(BOTH));
    window.finish(Id::from(1), KAFKA, Outcome::NotStored, start);
    for minute in 1..20 {
        let now = start + Duration::from_secs(minute * 59);
        assert_eq!(begin(&mut window, 1, BOTH, now), Ok(BOTH.without(KAFKA)), "after {minute}");
        window.finish(Id::from(1), Brokers::NONE, Outcome::NotStored, now);
    }
}

#[test]
fn broker_that_lost_its_messages_gets_them_again() {
    let (mut window, now, id) = (DedupWindow::new(Duration::from_secs(60), 10), Instant::now(), Id::from(1));
    window.begin(id, BOTH, now);
    window.finish(id, BOTH, Outcome::Stored, now);
    window.forget(Broker::Nats);
    assert_eq!(begin(&mut window, 1, BOTH, now), Ok(BOTH.without(KAFKA)));
    window.finish(id, BOTH.without(KAFKA), Outcome::Stored, now);
    assert_eq!(begin(&mut window, 1, BOTH, now), Err("stored"));
}

#[test]
fn stored_in_an_unverified_stream_is_no_duplicate_until_the_stream_is_verified() {
    let (mut window, now, id) = (DedupWindow::new(Duration::from_secs(60), 10), Instant::now(), Id::from(1));
    window.begin(id, BOTH, now);
    window.finish(id, BOTH, Outcome::Stored, now);
    window.set_unverified(BOTH.without(KAFKA));
    assert_eq!(begin(&mut window, 1, KAFKA, now), Err("unverified"));
    assert_eq!(begin(&mut window, 1, BOTH, now), Err("in flight"), "the first of them waits for all");
    assert_eq!(begin(&mut window, 2, BOTH, now), Ok(BOTH), "what is not in the window waits for nothing");
    window.finish(id, Brokers::NONE, Outcome::Duplicate, now);
    window.set_unverified(Brokers::NONE);
    assert_eq!(begin(&mut window, 1, BOTH, now), Err("stored"));
}

#[test]
fn request_that_waits_gets_the_outcome_when_it_is_late_and_a_later_one_when_it_ends() {
    let (mut window, now, id) = (DedupWindow::new(Duration::from_secs(60), 10), Instant::now(), Id::from(1));
    let DedupState::Missing(KAFKA) = window.begin(id, KAFKA, now) else { panic!("it is new") };
    let mut wait = || match window.begin(id, KAFKA, now) {
        DedupState::InFlight(outcome) => outcome,
        _ => panic!("it is in flight"),
    };
    let (mut first, mut second) = (wait(), wait());
    assert!(first.try_recv().is_err(), "nothing is known yet");
    window.notify(id, Outcome::NotStored);
    assert_eq!((first.try_recv(), second.try_recv()), (Ok(Outcome::NotStored), Ok(Outcome::NotStored)));
    let DedupState::InFlight(mut third) = window.begin(id, KAFKA, now) else { panic!("it still is") };
    window.finish(id, KAFKA, Outcome::Stored, now);
    assert_eq!(third.try_recv(), Ok(Outcome::Stored));
    assert!(matches!(window.begin(id, KAFKA, now), DedupState::Stored));
}

#[test]
fn ring_entry_has_24_bytes() {
    assert_eq!(size_of::<Entry>(), 24);
}

proptest! {
    /// Against the plainest model there is: a list of ids, when they were stored and by which brokers.
    #[test]
    fn window_remembers_what_a_list_would(
        steps in prop::collection::vec((0_u128..12, 0_usize..4, 1_usize..4, 0_u64..20), 1..200),
        window in 1_u64..60, most in 0_usize..8, high: bool,
    ) {
        let sets = [Brokers::NONE, KAFKA, BOTH.without(KAFKA), BOTH];
        let mut dedup = DedupWindow::new(Duration::from_secs(window), most);
        // None: the empty entry of one that was renewed
        let mut model: Vec<(Option<u128>, u64, Brokers)> = Vec::new();
        let (start, mut clock) = (Instant::now(), 0);
        for (id, stored, wanted, pause) in steps {
            // ids that differ in one half only meet in one bucket of the index
            let id = if high { id << 64 } else { id };
            clock += pause;
            let now = start + Duration::from_secs(clock);
            model.retain(|(_, at, _)| clock - at < window);
            let mut forgotten = 0;
            let mut add = |model: &mut Vec<_>, stored| {
                model.push((Some(id), clock, stored));
                if model.len() > most {
                    forgotten += usize::from(model.remove(0).0.is_some());
                }
            };
            let known = model.iter_mut().find(|(other, ..)| *other == Some(id));
            let missing = sets[wanted].without(known.as_ref().map_or(Brokers::NONE, |known| known.2));
            let expected = if missing.is_empty() { Err("stored") } else { Ok(missing) };
            if let Some(known) = known.filter(|_| !missing.is_empty()) {
                known.0 = None;
                let stored = known.2;
                add(&mut model, stored);
            }
            prop_assert_eq!(begin(&mut dedup, id, sets[wanted], now), expected);
            if missing.is_empty() {
                continue;
            }
            // only what was asked for can have been stored
            let stored = missing.without(BOTH.without(sets[stored]));
            let evicted = dedup.finish(Id::from(id), stored, Outcome::Stored, now);
            match model.iter_mut().find(|(other, ..)| *other == Some(id)) {
                _ if stored.is_empty() => {}
                Some(known) => known.2 = known.2.and(stored),
                None => add(&mut model, stored),
            }
            prop_assert_eq!(evicted, forgotten);
        }
    }
}

proptest! {
    /// Against a list of ids, when they were stored and by which brokers, from which a new process recovers.
    #[test]
    fn restart_does_not_change_how_long_an_id_is_known(
        stored in prop::collection::vec((0_u128..6, 1_usize..4, 0_u64..30), 0..60),
        window in 1_u64..120, most in 0_usize..80, later in 0_u64..130, ahead in 0_u64..50,
    ) {
        let sets = [Brokers::NONE, KAFKA, BOTH.without(KAFKA), BOTH];
        let begun = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let (mut at, mut entries) = (0, Vec::new());
        // newest last: an id, the brokers that have it, and when; 0 is a marker that these brokers lost what they had
        let mut model: Vec<(u128, Brokers, u64)> = Vec::new();
        for (id, by, pause) in stored {
            at += pause;
            entries.push((begun + Duration::from_secs(at), if id == 0 { Id::NONE } else { Id::from(id) }, sets[by]));
        }
        // the clock may have gone back since: then they are as if stored now
        let restart = at.saturating_sub(ahead);
        for (when, id, by) in &entries {
            let when = when.duration_since(begun).unwrap().as_secs().min(restart);
            if *id == Id::NONE {
                model.iter_mut().for_each(|entry| entry.1 = entry.1.without(*by));
            } else if restart - when < window {
                let position = model.iter().position(|(other, ..)| Id::from(*other) == *id);
                let had = position.map_or(Brokers::NONE, |position| model.remove(position).1);
                model.push((id.as_u128(), had.and(*by), when));
            }
        }
        let renewed = entries.len() > most;
        let (mut dedup, now) = (DedupWindow::new(Duration::from_secs(window), most), Instant::now());
        dedup.recover(entries, now, begun + Duration::from_secs(restart));
        dedup.forget_old(now + Duration::from_secs(later));
        let first = model.len().saturating_sub(most);
        for (position, (id, by, when)) in model.iter().enumerate() {
            let known = position >= first && restart + later - when < window;
            let found = dedup.entry(Id::from(*id)).map_or(Brokers::NONE, |entry| entry.stored);
            // empty entries of renewed ids count too, until they are at the front
            let expected = if known { *by } else { Brokers::NONE };
            if renewed {
                prop_assert!(found.without(expected).is_empty(), "{id}: {found:?}, not {expected:?}");
            } else {
                prop_assert_eq!(found, expected, "{}", id);
            }
        }
    }
}

#[test]
fn recovered_id_is_known_on_a_machine_that_runs_for_less_than_the_window() {
    let (day, clock) = (Duration::from_secs(24 * 3600), SystemTime::now());
    // no machine has run for so long
    let mut dedup = DedupWindow::new(day * 365 * 130, 10);
    dedup.recover(vec![(clock - day, Id::from(1), KAFKA)], Instant::now(), clock);
    assert_eq!(begin(&mut dedup, 1, KAFKA, Instant::now()), Err("stored"));
}
