use proptest::prelude::*;

use super::*;

const KAFKA: Brokers = Brokers::NONE.with(Broker::Kafka);
const BOTH: Brokers = KAFKA.with(Broker::Nats);

fn standing(seen: &mut Seen, id: u128, wanted: Brokers, now: Instant) -> Result<Brokers, &'static str> {
    match seen.begin(Id::from(id), wanted, now) {
        Standing::Stored => Err("stored"),
        Standing::UnderWay(_) => Err("under way"),
        Standing::New(_, missing) => Ok(missing),
    }
}

#[test]
fn a_failed_one_is_new_again() {
    let (mut seen, now) = (Seen::new(Duration::from_secs(60), 10), Instant::now());
    assert_eq!(standing(&mut seen, 1, KAFKA, now), Ok(KAFKA));
    assert_eq!(standing(&mut seen, 1, KAFKA, now), Err("under way"));
    seen.end(Id::from(1), Brokers::NONE, Outcome::NotStored, now);
    assert_eq!(standing(&mut seen, 1, KAFKA, now), Ok(KAFKA));
    seen.end(Id::from(1), KAFKA, Outcome::Stored, now);
    assert_eq!(standing(&mut seen, 1, KAFKA, now), Err("stored"));
}

#[test]
fn what_one_broker_lacks_is_not_stored_again_by_the_other_however_long_that_takes() {
    let (mut seen, start) = (Seen::new(Duration::from_secs(60), 10), Instant::now());
    assert_eq!(standing(&mut seen, 1, BOTH, start), Ok(BOTH));
    seen.end(Id::from(1), KAFKA, Outcome::NotStored, start);
    for minute in 1..20 {
        let now = start + Duration::from_secs(minute * 59);
        assert_eq!(standing(&mut seen, 1, BOTH, now), Ok(BOTH.without(KAFKA)), "after {minute}");
        seen.end(Id::from(1), Brokers::NONE, Outcome::NotStored, now);
    }
}

#[test]
fn what_a_broker_has_lost_is_new_to_it() {
    let (mut seen, now, id) = (Seen::new(Duration::from_secs(60), 10), Instant::now(), Id::from(1));
    seen.begin(id, BOTH, now);
    seen.end(id, BOTH, Outcome::Stored, now);
    seen.forget(Broker::Nats);
    assert_eq!(standing(&mut seen, 1, BOTH, now), Ok(BOTH.without(KAFKA)));
    seen.end(id, BOTH.without(KAFKA), Outcome::Stored, now);
    assert_eq!(standing(&mut seen, 1, BOTH, now), Err("stored"));
}

#[test]
fn whoever_waits_is_told_when_it_is_late_and_whoever_waits_then_when_it_ends() {
    let (mut seen, now, id) = (Seen::new(Duration::from_secs(60), 10), Instant::now(), Id::from(1));
    let Standing::New(mut first, _) = seen.begin(id, KAFKA, now) else { panic!("it is new") };
    let Standing::UnderWay(mut second) = seen.begin(id, KAFKA, now) else { panic!("it is under way") };
    assert!(first.try_recv().is_err(), "nothing is known yet");
    seen.tell(id, Outcome::NotStored);
    assert_eq!((first.try_recv(), second.try_recv()), (Ok(Outcome::NotStored), Ok(Outcome::NotStored)));
    let Standing::UnderWay(mut third) = seen.begin(id, KAFKA, now) else { panic!("it still is") };
    seen.end(id, KAFKA, Outcome::Stored, now);
    assert_eq!(third.try_recv(), Ok(Outcome::Stored));
    assert!(matches!(seen.begin(id, KAFKA, now), Standing::Stored));
}

#[test]
fn the_index_takes_no_more_than_promised() {
    assert_eq!(size_of::<Entry>(), 24);
}

proptest! {
    /// Against the plainest model there is: a list of what was stored where and when.
    #[test]
    fn it_remembers_what_a_list_would(
        steps in prop::collection::vec((0_u128..12, 0_usize..4, 1_usize..4, 0_u64..20), 1..200),
        window in 1_u64..60, most in 0_usize..8, high: bool,
    ) {
        let sets = [Brokers::NONE, KAFKA, BOTH.without(KAFKA), BOTH];
        let mut seen = Seen::new(Duration::from_secs(window), most);
        // none: the place of one that was renewed
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
            prop_assert_eq!(standing(&mut seen, id, sets[wanted], now), expected);
            if missing.is_empty() {
                continue;
            }
            // only what was asked for can have been stored
            let stored = missing.without(BOTH.without(sets[stored]));
            let evicted = seen.end(Id::from(id), stored, Outcome::Stored, now);
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
    /// Against a list of what was stored where and when, of which a process that begins is told.
    #[test]
    fn what_was_seen_before_a_restart_is_known_for_as_long_as_without_one(
        stored in prop::collection::vec((0_u128..6, 1_usize..4, 0_u64..30), 0..60),
        window in 1_u64..120, most in 0_usize..80, later in 0_u64..130, ahead in 0_u64..50,
    ) {
        let sets = [Brokers::NONE, KAFKA, BOTH.without(KAFKA), BOTH];
        let begun = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let (mut at, mut told) = (0, Vec::new());
        // newest last: an id, who has it, and when; 0 is a marker that they lost what they had
        let mut model: Vec<(u128, Brokers, u64)> = Vec::new();
        for (id, by, pause) in stored {
            at += pause;
            told.push((begun + Duration::from_secs(at), if id == 0 { Id::NONE } else { Id::from(id) }, sets[by]));
        }
        // the clock may have gone back since: then they are as if seen now
        let restart = at.saturating_sub(ahead);
        for (when, id, by) in &told {
            let when = when.duration_since(begun).unwrap().as_secs().min(restart);
            if *id == Id::NONE {
                model.iter_mut().for_each(|entry| entry.1 = entry.1.without(*by));
            } else if restart - when < window {
                let place = model.iter().position(|(other, ..)| Id::from(*other) == *id);
                let had = place.map_or(Brokers::NONE, |place| model.remove(place).1);
                model.push((id.as_u128(), had.and(*by), when));
            }
        }
        let renewed = told.len() > most;
        let (mut seen, now) = (Seen::new(Duration::from_secs(window), most), Instant::now());
        seen.recover(told, now, begun + Duration::from_secs(restart));
        seen.forget_old(now + Duration::from_secs(later));
        let first = model.len().saturating_sub(most);
        for (place, (id, by, when)) in model.iter().enumerate() {
            let known = place >= first && restart + later - when < window;
            let found = seen.entry(Id::from(*id)).map_or(Brokers::NONE, |entry| entry.stored);
            // the places of those that were renewed count too, until they are at the front
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
fn what_was_seen_is_known_also_where_the_machine_runs_for_less_than_the_window() {
    let (day, clock) = (Duration::from_secs(24 * 3600), SystemTime::now());
    // no machine has run for so long
    let mut seen = Seen::new(day * 365 * 130, 10);
    seen.recover(vec![(clock - day, Id::from(1), KAFKA)], Instant::now(), clock);
    assert_eq!(standing(&mut seen, 1, KAFKA, Instant::now()), Err("stored"));
}
