//! A journal whose volume goes with the pod: a stop forwards its backlog, or tells what is left.

use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Bridge, Nats, command, eventually, free_port, text};

const JOURNAL: &str = r#"{"stored":"journal"}"#;

/// Long enough for a broker to come back before it ends.
const GRACE: Duration = Duration::from_secs(120);

/// Short enough to wait for.
const SHORT: &str = "shutdown.grace = \"4s\"\nhttp.answer_within = \"3s\"\n";

fn ephemeral(folder: &Path) -> String {
    format!("journal = {{ directory = {:?}, ephemeral = true }}\n", folder.join("data"))
}

fn of(instance: usize, number: usize) -> Vec<u8> {
    format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":{instance}}},"number":{number}}}"#)
        .into_bytes()
}

/// Sends SIGTERM, and waits until the bridge says that it stops.
fn stop(bridge: &Bridge) -> Instant {
    bridge.signal("-TERM");
    let begun = Instant::now();
    eventually("it stops", Duration::from_secs(2), || bridge.get("/readyz").1.contains("\"stopping\":true"));
    begun
}

fn logged(bridge: &Bridge, event: &str) -> Vec<Value> {
    let lines = bridge.log();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == event).collect()
}

/// Fails unless the stop says that it stored all.
fn assert_all_forwarded(bridge: &mut Bridge) {
    assert_eq!(bridge.exit_code(), Some(0));
    assert!(bridge.log().contains("stopped; no records pending in journal"), "{}", bridge.log());
    assert_eq!(logged(bridge, "backlog_left"), [] as [Value; 0]);
}

#[test]
fn a_stop_forwards_the_backlog_of_an_ephemeral_journal() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let grace = format!("shutdown.grace = \"{}s\"\n", GRACE.as_secs());
    let mut bridge = Bridge::start(&nats, &(ephemeral(folder.path()) + &grace));
    nats.kill();
    for number in 0..20 {
        assert_eq!(bridge.post(&of(1 + number % 4, number)), (200, JOURNAL.into()));
    }
    stop(&bridge);
    nats.start_again();
    assert_all_forwarded(&mut bridge);
    assert_eq!(nats.read().len(), 20);
}

#[cfg(feature = "kafka")]
#[test]
fn a_stop_forwards_to_kafka_once_it_accepts_the_records() {
    let (folder, kafka) = (tempfile::tempdir().unwrap(), crate::harness::Kafka::shared());
    let grace = format!("shutdown.grace = \"{}s\"\n", GRACE.as_secs());
    let config = format!("{}{grace}{}", ephemeral(folder.path()), kafka.config("ephemeral"));
    let mut bridge = Bridge::with(&config, true).ready();
    let connected = || bridge.metric("broker_connected{broker=\"kafka\"}") == 1.0;
    eventually("connected", Duration::from_secs(20), connected);
    kafka.delete("ephemeral.incoming");
    for number in 0..20 {
        assert_eq!(bridge.post(&of(1 + number % 4, number)), (200, JOURNAL.into()));
    }
    stop(&bridge);
    kafka.create("ephemeral.incoming", 3, &[]);
    assert_all_forwarded(&mut bridge);
    assert_eq!(kafka.read(&["ephemeral.incoming"]).len(), 20);
}

#[test]
fn what_a_stop_cannot_forward_is_logged_and_the_exit_code_is_3() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let mut bridge = Bridge::start(&nats, &(ephemeral(folder.path()) + SHORT + "publish.timeout = \"1s\"\n"));
    nats.kill();
    for (instance, number) in [(1, 1), (1, 2), (2, 3)] {
        assert_eq!(bridge.post(&of(instance, number)), (200, JOURNAL.into()));
    }
    let begun = stop(&bridge);
    assert_eq!(bridge.exit_code(), Some(3));
    println!("exit {:?} after the signal, with a grace of 4 s", begun.elapsed());
    let left = logged(&bridge, "backlog_left");
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!((&left[0]["level"], &left[0]["broker"]), (&"ERROR".into(), &"nats".into()), "{left:?}");
    assert_eq!((&left[0]["records"], &left[0]["lanes"]), (&3.into(), &2.into()), "{left:?}");
    // the volume may still be there: a container starts again in its pod
    nats.start_again();
    bridge.start_again();
    eventually("forwarded", Duration::from_secs(15), || nats.read().len() == 3);
}

#[cfg(feature = "kafka")]
#[test]
fn what_is_left_is_logged_for_each_broker() {
    let folder = tempfile::tempdir().unwrap();
    let [kafka, nats] = [(); 2].map(|()| free_port());
    let brokers = format!(
        "kafka.bootstrap_servers = [\"127.0.0.1:{kafka}\"]\nnats.servers = [\"nats://127.0.0.1:{nats}\"]\n{SHORT}"
    );
    let mut bridge = Bridge::with(&format!("{}{brokers}publish.timeout = \"1s\"\n", ephemeral(folder.path())), false);
    eventually("ready", Duration::from_secs(10), || bridge.get("/readyz").0 == 200);
    for number in 0..5 {
        assert_eq!(bridge.post(&text(number)), (200, JOURNAL.into()));
    }
    stop(&bridge);
    assert_eq!(bridge.exit_code(), Some(3));
    let left = logged(&bridge, "backlog_left");
    let left: Vec<_> = left.iter().map(|line| (line["broker"].as_str().unwrap(), line["records"].as_u64())).collect();
    assert_eq!(left, [("kafka", Some(5)), ("nats", Some(5))]);
}

/// What `journal export` writes of a bridge that has stored this body in its journal.
fn export_of_another(body: &[u8]) -> tempfile::NamedTempFile {
    let folder = tempfile::tempdir().unwrap();
    let bridge = Bridge::with(&ephemeral(folder.path()), false).ready();
    assert_eq!(bridge.post(body), (200, JOURNAL.into()));
    let exported = command("journal export", bridge.config.path()).stdout;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), exported).unwrap();
    file
}

#[test]
fn a_stopping_bridge_appends_nothing_to_an_ephemeral_journal() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let times = "shutdown = { grace = \"8s\", delay = \"6s\" }\nhttp.answer_within = \"5s\"\n";
    let journal_first = "publish.timeout = \"0s\"\n";
    let mut bridge = Bridge::start(&nats, &(ephemeral(folder.path()) + times + journal_first));
    assert_eq!(bridge.post(&text(1)), (200, JOURNAL.into()));
    eventually("forwarded", Duration::from_secs(5), || {
        bridge.metric("journal_forwarded_total{broker=\"nats\"}") == 1.0
    });
    let exported = export_of_another(&text(4));
    stop(&bridge);
    let import = command(&format!("journal import {}", exported.path().display()), bridge.config.path());
    let said = String::from_utf8(import.stderr).unwrap();
    assert!(import.status.code() == Some(1) && said.contains("stopping"), "{said}");
    assert_eq!(bridge.post(&text(2)), (200, r#"{"stored":"broker"}"#.into()));
    nats.kill();
    // GREEN-API repeats it, and the next pod stores it
    assert_eq!(bridge.post(&text(3)).0, 503);
    assert_eq!(bridge.exit_code(), Some(0));
    let log = bridge.log();
    assert!(log.contains("journal refused the record") && log.contains("\"reason\":\"stopping\""), "{log}");
}

#[test]
fn a_second_signal_ends_the_forwarding_at_once() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let grace = format!("shutdown.grace = \"{}s\"\n", GRACE.as_secs());
    let mut bridge = Bridge::start(&nats, &(ephemeral(folder.path()) + &grace));
    nats.kill();
    assert_eq!(bridge.post(&text(1)), (200, JOURNAL.into()));
    let begun = stop(&bridge);
    eventually("no more are accepted", Duration::from_secs(6), || TcpStream::connect(bridge.http).is_err());
    bridge.signal("-INT");
    assert_eq!(bridge.exit_code(), Some(3));
    assert!(begun.elapsed() < GRACE, "after {:?}", begun.elapsed());
    assert_eq!(bridge.log().matches("a second signal").count(), 1);
}

#[test]
fn an_ephemeral_journal_without_a_broker_tells_how_many_records_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let mut bridge = Bridge::with(&ephemeral(folder.path()), false).ready();
    for number in 0..2 {
        assert_eq!(bridge.post(&text(number)), (200, JOURNAL.into()));
    }
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));
    let left = logged(&bridge, "journal_only_left");
    assert_eq!(left.iter().map(|line| line["records"].as_u64()).collect::<Vec<_>>(), [Some(2)]);
}

#[test]
fn check_notes_that_a_journal_is_ephemeral() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("bridge.toml");
    for (text, noted) in [(ephemeral(folder.path()), true), (String::from("[journal]\n"), false)] {
        std::fs::write(&config, text).unwrap();
        let checked = command("check --offline", &config);
        let found = String::from_utf8(checked.stdout).unwrap();
        assert_eq!(checked.status.code(), Some(0), "{found}");
        assert_eq!(found.contains("! ephemeral") && found.contains("shutdown.grace = 25s"), noted, "{found}");
    }
}
