//! A backlog that drains: new messages of other lanes do not wait for it, and the metrics show its progress.

use std::time::{Duration, Instant};

use crate::harness::{Bridge, Nats, eventually};

const RECORDS: usize = 16_000;
const INSTANCES: usize = 160;
const BROKER: &str = r#"{"stored":"broker"}"#;
const JOURNAL: &str = r#"{"stored":"journal"}"#;

fn of(instance: usize, number: usize) -> Vec<u8> {
    format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":{instance}}},"number":{number}}}"#)
        .into_bytes()
}

/// Puts the backlog into the journal of a bridge whose broker is away.
fn fill(bridge: &Bridge) {
    std::thread::scope(|scope| {
        for sender in 0..8 {
            scope.spawn(move || {
                for number in (sender..RECORDS).step_by(8) {
                    assert_eq!(bridge.post(&of(1 + number % INSTANCES, number)), (200, JOURNAL.into()));
                }
            });
        }
    });
}

#[test]
fn other_lanes_publish_directly_while_backlog_drains_and_metrics_show_progress() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let journal = format!("journal.directory = {:?}\n", folder.path().join("data"));
    let bridge = Bridge::start(&nats, &journal);
    let number = |name: &str| bridge.metric(&format!("{name}{{broker=\"nats\"}}"));
    eventually("connected", Duration::from_secs(10), || number("broker_connected") == 1.0);
    nats.kill();
    eventually("away", Duration::from_secs(10), || number("broker_connected") == 0.0);
    let began = Instant::now();
    fill(&bridge);
    assert_eq!(number("journal_records"), RECORDS as f64);
    assert_eq!(number("journal_lanes"), INSTANCES as f64);
    let age = number("journal_oldest_age_seconds");
    assert!(age > 0.0 && age <= began.elapsed().as_secs_f64(), "{age}");
    eventually("it does not become less", Duration::from_secs(5), || number("forward_seconds_left").is_infinite());
    assert!(number("journal_oldest_age_seconds") > age);

    nats.start_again();
    let live = drains(&bridge, "nats");
    assert_eq!(number("journal_oldest_age_seconds"), 0.0);
    eventually("nothing is left", Duration::from_secs(3), || number("forward_seconds_left") == 0.0);
    assert_eq!(nats.read().len(), RECORDS + live);
}

#[cfg(feature = "kafka")]
#[test]
fn the_backlog_of_a_recreated_topic_drains_while_other_lanes_publish_directly() {
    let (folder, kafka) = (tempfile::tempdir().unwrap(), crate::harness::Kafka::shared());
    let journal = format!("journal.directory = {:?}\n", folder.path().join("data"));
    let bridge = Bridge::with(&format!("{journal}{}", kafka.config("drain")), true).ready();
    let connected = || bridge.metric("broker_connected{broker=\"kafka\"}") == 1.0;
    eventually("connected", Duration::from_secs(20), connected);
    kafka.delete("drain.incoming");
    fill(&bridge);
    assert_eq!(bridge.metric("journal_forwarded_total{broker=\"kafka\"}"), 0.0);
    kafka.create("drain.incoming", 3, &[]);
    let live = drains(&bridge, "kafka");
    assert_eq!(kafka.read(&["drain.incoming"]).len(), RECORDS + live);
}

/// Waits until the backlog is drained, and sends meanwhile what does not belong behind it; returns how many that were.
fn drains(bridge: &Bridge, broker: &str) -> usize {
    let number = |name: &str| bridge.metric(&format!("{name}{{broker=\"{broker}\"}}"));
    eventually("it drains", Duration::from_secs(10), || number("journal_forwarded_total") > 0.0);
    // a Kafka client learns about the recreated topic with its next metadata, within a second
    let (mut first, mut kept) = (0, 0);
    let mut goes_directly = || {
        first += 1;
        let directly = bridge.post(&of(20_000 + first, 0)) == (200, BROKER.into());
        kept += usize::from(!directly);
        directly
    };
    eventually("directly", Duration::from_secs(10), || (0..10).all(|_| goes_directly()));
    let (mut live, mut left) = (0, Vec::new());
    while number("journal_records") > 0.0 {
        for instance in 0..10 {
            assert_eq!(bridge.post(&of(10_000 + instance, live)), (200, BROKER.into()), "{live}");
        }
        live += 1;
        left.push(number("forward_seconds_left"));
    }
    // none took as long as a broker may take before the journal is asked: the answers say so
    assert!(live >= 2, "only {live} rounds before the backlog was drained");
    // the last may have been asked when it was over
    left.pop();
    assert!(left.iter().all(|left| *left > 0.0), "{left:?}");
    assert_eq!(number("journal_forwarded_total"), (RECORDS + kept) as f64);
    first + live * 10
}
