//! Outages under load: what the journal takes meanwhile, in which order it comes, and how soon all is as before.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use async_nats::jetstream::stream::SubjectTransform;

use crate::harness::stream::Config as Stream;
use crate::harness::{
    Bridge, Kafka, Nats, assert_complete_and_in_order, body, command, eventually, numbers, text, under_load_every,
};

const BROKER: &str = r#"{"stored":"broker"}"#;
const JOURNAL: &str = r#"{"stored":"journal"}"#;

fn pause(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

fn journal(folder: &tempfile::TempDir) -> String {
    format!("journal.directory = {:?}\n", folder.path().join("data"))
}

/// A notification of an instance.
fn of(instance: usize, number: usize) -> Vec<u8> {
    let class = if number.is_multiple_of(2) { "incomingCall" } else { "outgoingCall" };
    format!(r#"{{"typeWebhook":"{class}","instanceData":{{"idInstance":{instance}}},"number":{number}}}"#).into_bytes()
}

fn owed(bridge: &Bridge, broker: &str) -> f64 {
    bridge.metric(&format!("journal_records{{broker=\"{broker}\"}}"))
}

fn connected(bridge: &Bridge, broker: &str) {
    let metric = format!("broker_connected{{broker=\"{broker}\"}}");
    eventually("connected", Duration::from_secs(20), || bridge.metric(&metric) == 1.0);
}

/// How soon after its return a broker is published to directly again. Only said: it depends on how busy the machine is.
const AS_BEFORE_WITHIN: Duration = Duration::from_secs(5);

/// How often each of the senders sends: a backlog that grows as fast as a busy machine can drain it would never end.
const EVERY: Duration = Duration::from_millis(50);

/// Waits until nothing is answered from the journal any more, after the broker is back.
fn drained(bridge: &Bridge, broker: &str) {
    let back = Instant::now();
    let mut last = back;
    while last.elapsed() < Duration::from_millis(1500) {
        let [one, two] = [(), ()].map(|()| {
            let owed = owed(bridge, broker);
            pause(50);
            owed
        });
        if one > 0.0 || two > 0.0 {
            last = Instant::now();
        }
        assert!(back.elapsed() < Duration::from_secs(60), "never as before: {one} and {two} owed");
    }
    let took = last - back;
    let verdict = if took < AS_BEFORE_WITHIN { "as it should" } else { "LATER than it should on a quiet machine" };
    eprintln!("{broker}: as before {took:.1?} after its return, {verdict}");
}

#[test]
fn after_a_nats_outage_all_is_stored_once_in_order_and_soon_directly_again() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let bridge = Bridge::start(&nats, &journal(&folder));
    connected(&bridge, "nats");
    let answers = under_load_every(EVERY, &bridge, || {
        pause(500);
        nats.signal("-STOP");
        pause(4000);
        nats.signal("-CONT");
        drained(&bridge, "nats");
        nats.kill();
        pause(3000);
        nats.start_again();
        drained(&bridge, "nats");
    });
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert!(bridge.metric("journal_forwarded_total{broker=\"nats\"}") > 100.0);
    assert_complete_and_in_order(&answers, &nats.read(), false);
}

#[test]
fn after_a_kafka_outage_all_is_stored_in_order_and_soon_directly_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut kafka = Kafka::start();
    let bridge = Bridge::with(&format!("{}{}", journal(&folder), kafka.config("fallback")), true).ready();
    connected(&bridge, "kafka");
    let answers = under_load_every(EVERY, &bridge, || {
        pause(500);
        kafka.signal("-STOP");
        pause(4000);
        kafka.signal("-CONT");
        drained(&bridge, "kafka");
        kafka.kill();
        pause(2000);
        kafka.start_again();
        kafka.acknowledges("fallback.other");
        drained(&bridge, "kafka");
    });
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_complete_and_in_order(&answers, &kafka.read(&["fallback.incoming"]), true);
}

#[test]
fn a_missing_topic_blocks_only_its_own_lanes() {
    let (folder, kafka) = (tempfile::tempdir().unwrap(), Kafka::shared());
    let bridge = Bridge::with(&format!("{}{}", journal(&folder), kafka.config("held")), true).ready();
    connected(&bridge, "kafka");
    kafka.delete("held.outgoing");
    // more lanes than are in flight at once
    for instance in 1..=300 {
        assert_eq!(bridge.post(&of(instance, 1)), (200, JOURNAL.into()), "{instance}");
        if instance % 30 == 0 {
            assert_eq!(bridge.post(&of(instance, 0)), (200, BROKER.into()), "{instance}");
        }
    }
    eventually("all are counted", Duration::from_secs(3), || owed(&bridge, "kafka") == 300.0);
    kafka.create("held.outgoing", 3, &[]);
    eventually("drained", Duration::from_secs(15), || owed(&bridge, "kafka") == 0.0);
    assert_eq!(bridge.post(&of(1, 3)), (200, BROKER.into()));
    let stored = numbers(kafka.read(&["held.outgoing"]).iter().map(body));
    let expected = (1..=300).map(|instance| (instance, if instance == 1 { vec![1, 3] } else { vec![1] })).collect();
    assert_eq!(stored, expected);
    told_once(&bridge, "held.outgoing", "no_topic");
}

/// Each fault of a destination has one log entry where it begins, and one where it is over.
fn told_once(bridge: &Bridge, destination: &str, reason: &str) {
    let of_it = format!(r#""destination":"{destination}","reason":"{reason}""#);
    for (level, what) in [("WARN", "lane blocked"), ("INFO", "lane unblocked")] {
        eventually(what, Duration::from_secs(5), || bridge.log().contains(what));
        let log = bridge.log();
        let told: Vec<_> = log.lines().filter(|line| line.contains(what)).collect();
        assert!(told.len() == 1 && told[0].contains(level) && told[0].contains(&of_it), "{told:?}");
    }
}

#[test]
fn a_full_stream_gets_its_backlog_in_order_once_it_has_room() {
    let (folder, nats) = (tempfile::tempdir().unwrap(), Nats::start());
    nats.put_stream(crate::harness::stream::Config { max_messages: 3, ..Nats::safe_stream() });
    let bridge = Bridge::start_unprovisioned(&nats, &journal(&folder), false).ready();
    connected(&bridge, "nats");
    let answers: Vec<_> = (0..8).map(|number| bridge.post(&text(number)).1).collect();
    assert_eq!(answers, [[BROKER; 3].as_slice(), &[JOURNAL; 5]].concat());
    nats.put_stream(Nats::safe_stream());
    eventually("drained", Duration::from_secs(10), || {
        // the backlog metric is up to a second old
        bridge.metric("journal_forwarded_total{broker=\"nats\"}") == 5.0
    });
    assert_eq!(bridge.post(&text(8)), (200, BROKER.into()));
    assert_eq!(nats.read().iter().map(body).collect::<Vec<_>>(), (0..9).map(text).collect::<Vec<_>>());
    told_once(&bridge, "stream", "stream_full");
}

#[test]
fn a_record_the_broker_never_takes_becomes_a_dead_letter_and_its_lane_continues() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let bridge = Bridge::start(&nats, &journal(&folder));
    connected(&bridge, "nats");
    nats.kill();
    let large = format!(
        r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":7}},"text":"{}"}}"#,
        "x".repeat(1_200_000)
    );
    for one in [text(0), large.clone().into_bytes(), text(1)] {
        assert_eq!(bridge.post(&one), (200, JOURNAL.into()));
    }
    nats.start_again();
    // the backlog metric is up to a second old
    let forwarded = || bridge.metric("journal_forwarded_total{broker=\"nats\"}");
    eventually("drained", Duration::from_secs(15), || forwarded() == 3.0);
    let (dead, alive): (Vec<_>, Vec<_>) =
        nats.read().into_iter().partition(|message| message["subject"] == "greenapi.dead-letter");
    assert_eq!(alive.iter().map(body).collect::<Vec<_>>(), [text(0), text(1)]);
    assert_eq!(dead.iter().flat_map(body).collect::<Vec<_>>(), large.into_bytes());
}

#[test]
fn with_two_brokers_the_one_that_is_down_gets_records_later_and_the_other_once() {
    let (folder, kafka, mut nats) = (tempfile::tempdir().unwrap(), Kafka::shared(), Nats::start());
    let servers = crate::harness::nats_servers(&[nats.port]);
    let mut bridge = Bridge::with(&format!("{}{servers}{}", journal(&folder), kafka.config("pair")), true).ready();
    ["kafka", "nats"].iter().for_each(|broker| connected(&bridge, broker));
    assert_eq!(bridge.post(&text(0)), (200, BROKER.into()));
    nats.kill();
    for number in 1..6 {
        assert_eq!(bridge.post(&text(number)), (200, JOURNAL.into()));
    }
    bridge.kill_and_start_again();
    connected(&bridge, "kafka");
    for number in 6..10 {
        assert_eq!(bridge.post(&text(number)), (200, JOURNAL.into()));
    }
    nats.start_again();
    connected(&bridge, "nats");
    eventually("drained", Duration::from_secs(10), || owed(&bridge, "nats") == 0.0);
    assert_eq!(bridge.post(&text(10)), (200, BROKER.into()));
    let all: Vec<_> = (0..=10).map(text).collect();
    assert_eq!(nats.read().iter().map(body).collect::<Vec<_>>(), all);
    assert_eq!(kafka.read(&["pair.incoming"]).iter().map(body).collect::<Vec<_>>(), all);
}

#[test]
fn kills_while_forwarding_store_nothing_twice_past_a_short_window() {
    kills_while_forwarding(6, |_| {});
}

#[test]
fn nor_where_the_stream_stores_under_other_subjects() {
    kills_while_forwarding(3, |nats| {
        let moved = SubjectTransform { source: "greenapi.>".into(), destination: "moved.>".into() };
        let duplicate_window = Duration::from_secs(2);
        nats.put_stream(Stream { subject_transform: Some(moved), duplicate_window, ..Nats::safe_stream() });
    });
}

fn kills_while_forwarding(most_kills: usize, change: impl FnOnce(&Nats)) {
    const EACH: usize = 1000;
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let mut bridge = Bridge::start(&nats, &format!("{}dedupe.window = \"2s\"\n", journal(&folder)));
    change(&nats);
    connected(&bridge, "nats");
    nats.kill();
    std::thread::scope(|scope| {
        for instance in 1..=4 {
            let bridge = &bridge;
            scope.spawn(move || {
                for number in 0..EACH {
                    assert_eq!(bridge.post(&of(instance, number)), (200, JOURNAL.into()));
                }
            });
        }
    });
    nats.start_again();
    let mut kills = 0;
    for _ in 0..most_kills {
        let before = owed(&bridge, "nats");
        if before == 0.0 {
            break;
        }
        // in the midst of it
        eventually("it forwards", Duration::from_secs(10), || owed(&bridge, "nats") < before);
        kills += u32::from(owed(&bridge, "nats") > 0.0);
        // longer than the stream remembers, and no bridge to be forwarded by
        bridge.signal("-KILL");
        bridge.exit_code();
        pause(2500);
        bridge.start_again();
    }
    eventually("drained", Duration::from_secs(20), || owed(&bridge, "nats") == 0.0);
    assert!(kills >= most_kills as u32 / 2, "it had nothing left to forward after {kills} kills");
    let came = numbers(nats.read().iter().map(body));
    for instance in 1..=4 {
        assert_eq!(came[&instance], (0..EACH as u64).collect::<Vec<_>>(), "instance {instance}");
    }
}

#[test]
fn a_record_stored_by_another_bridge_does_not_count_as_forwarded() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let mut bridge = Bridge::start(&nats, &format!("{}dedupe.window = \"2s\"\n", journal(&folder)));
    connected(&bridge, "nats");
    nats.kill();
    for number in 0..5 {
        assert_eq!(bridge.post(&text(number)), (200, JOURNAL.into()));
    }
    bridge.signal("-KILL");
    bridge.exit_code();
    nats.start_again();
    let other = Bridge::start(&nats, "dedupe.window = \"2s\"\n");
    assert_eq!(other.post(&text(4)), (200, BROKER.into()), "its sender was not told of the first");
    pause(2500);
    bridge.start_again();
    eventually("drained", Duration::from_secs(10), || {
        bridge.log().contains("already stored: not sent again") && owed(&bridge, "nats") == 0.0
    });
    assert_eq!(nats.read().iter().map(body).collect::<Vec<_>>(), [4, 0, 1, 2, 3].map(text));
}

#[test]
fn a_dead_letter_stored_in_parts_is_found_past_a_short_window() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let mut bridge = Bridge::start(&nats, &format!("{}dedupe.window = \"2s\"\n", journal(&folder)));
    connected(&bridge, "nats");
    nats.kill();
    let too_large = |rest: &str| format!("{}{rest}", "x".repeat(1_200_000)).into_bytes();
    let no_json = too_large("");
    let of_instance =
        [br#"{"typeWebhook":"incomingCall","instanceData":{"idInstance":7},"text":""#, &too_large("\"}")[..]];
    let letters = [no_json, of_instance.concat()];
    for letter in &letters {
        assert_eq!(bridge.post(letter).0, 200);
    }
    assert_eq!(bridge.post(&text(0)), (200, JOURNAL.into()));
    bridge.signal("-KILL");
    bridge.exit_code();
    nats.start_again();
    // it was killed before it could write down that these were stored, as far as it can tell
    let other = Bridge::start(&nats, "dedupe.window = \"2s\"\n");
    for letter in &letters {
        assert_eq!(other.post(letter), (200, r#"{"stored":"dead_letter"}"#.into()));
    }
    pause(2500);
    bridge.start_again();
    eventually("drained", Duration::from_secs(10), || owed(&bridge, "nats") == 0.0);
    assert!(bridge.log().contains("already stored: not sent again"), "{}", bridge.log());
    let (dead, alive): (Vec<_>, Vec<_>) =
        nats.read().into_iter().partition(|message| message["subject"] == "greenapi.dead-letter");
    assert_eq!(alive.iter().map(body).collect::<Vec<_>>(), [text(0)]);
    assert_eq!(dead.iter().flat_map(body).collect::<Vec<_>>(), letters.concat());
}

#[test]
fn without_the_permission_for_lookups_forwarding_continues_and_check_says_so() {
    let (folder, mut config) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    let users = r#"authorization { users = [
        { user: reader, password: secret },
        { user: bridge, password: secret, permissions: { publish: { allow: [">"], deny: ["$JS.API.STREAM.MSG.GET.>"] } } }
    ] }
    no_auth_user: reader"#;
    std::io::Write::write_all(&mut config, users.as_bytes()).unwrap();
    let mut nats = Nats::start_with(&["-c".into(), config.path().display().to_string()]);
    let password = folder.path().join("password");
    std::fs::write(&password, "secret").unwrap();
    let login = format!("nats.user = \"bridge\"\nnats.password_file = {password:?}\ndedupe.window = \"2s\"\n");
    let mut bridge = Bridge::start(&nats, &format!("{}{login}", journal(&folder)));
    let said = String::from_utf8(command("check", bridge.config.path()).stdout).unwrap();
    assert!(said.contains("allow user bridge to publish to $JS.API.STREAM.MSG.GET.GREENAPI"), "{said}");
    connected(&bridge, "nats");
    nats.kill();
    for instance in 1..=20 {
        assert_eq!(bridge.post(&of(instance, 0)), (200, JOURNAL.into()));
    }
    bridge.signal("-KILL");
    bridge.exit_code();
    pause(2500);
    nats.start_again();
    bridge.start_again();
    eventually("drained", Duration::from_secs(15), || owed(&bridge, "nats") == 0.0);
    assert_eq!(nats.read().len(), 20);
}

const GRACE: Duration = Duration::from_secs(20);

#[test]
fn a_shutdown_is_in_time_while_the_broker_hangs_and_while_forwarding() {
    let (folder, nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let mut bridge = Bridge::start(&nats, &format!("{}shutdown.grace = \"{}s\"\n", journal(&folder), GRACE.as_secs()));
    connected(&bridge, "nats");
    nats.signal("-STOP");
    for number in 0..100 {
        assert_eq!(bridge.post(&text(number)), (200, JOURNAL.into()));
    }
    let begun = Instant::now();
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));
    assert!(begun.elapsed() < GRACE / 2, "{:?}", begun.elapsed());
    bridge.start_again();
    nats.signal("-CONT");
    connected(&bridge, "nats");
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));
    bridge.start_again();
    eventually("drained", Duration::from_secs(20), || owed(&bridge, "nats") == 0.0);
    assert_eq!(nats.read().iter().map(body).collect::<Vec<_>>(), (0..100).map(text).collect::<Vec<_>>());
}

#[test]
fn with_the_journal_first_a_shutdown_under_load_loses_nothing() {
    let (folder, nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let mut bridge = Bridge::start(&nats, &format!("{}publish.timeout = \"0s\"\n", journal(&folder)));
    connected(&bridge, "nats");
    let over = AtomicBool::new(false);
    let kept: Vec<_> = std::thread::scope(|scope| {
        let http = bridge.http;
        let senders: Vec<_> = (1..=4)
            .map(|instance| {
                let over = &over;
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    while !over.load(Relaxed) {
                        let one = of(instance, kept.len());
                        let answer = std::panic::catch_unwind(|| crate::harness::post(http, "", &one));
                        match answer {
                            Ok((200, _)) => kept.push(one),
                            _ => break,
                        }
                    }
                    kept
                })
            })
            .collect();
        pause(1000);
        bridge.signal("-TERM");
        assert_eq!(bridge.exit_code(), Some(0));
        over.store(true, Relaxed);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    assert!(kept.len() > 50, "{}", kept.len());
    bridge.start_again();
    connected(&bridge, "nats");
    eventually("drained", Duration::from_secs(20), || owed(&bridge, "nats") == 0.0);
    let came = numbers(nats.read().iter().map(body));
    for (instance, sent) in numbers(kept.into_iter()) {
        assert!(came[&instance].starts_with(&sent), "instance {instance}");
        assert!(came[&instance].len() <= sent.len() + 1, "the one that was not answered may be there");
    }
}
