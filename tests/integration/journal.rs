//! The journal stores what a broker does not acknowledge in time, and forwards it in order.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::{Bridge, Nats, body, eventually, text};

const BROKER: &str = r#"{"stored":"broker"}"#;
const JOURNAL: &str = r#"{"stored":"journal"}"#;
const DUPLICATE: &str = r#"{"stored":"duplicate"}"#;
const DEAD_LETTER: &str = r#"{"stored":"dead_letter"}"#;

fn in_folder(folder: &Path, extra: &str) -> String {
    format!("journal.directory = {:?}\n{extra}", folder.join("data"))
}

fn bodies(nats: &Nats) -> Vec<Vec<u8>> {
    nats.read().iter().map(body).collect()
}

/// A bridge with a journal that has found its broker.
fn start(nats: &Nats, folder: &Path, extra: &str) -> Bridge {
    let bridge = Bridge::start(nats, &in_folder(folder, extra));
    connected(&bridge);
    bridge
}

fn connected(bridge: &Bridge) {
    eventually("connected", Duration::from_secs(10), || bridge.metric("broker_connected{broker=\"nats\"}") == 1.0);
}

fn forwarded(bridge: &Bridge, count: usize) {
    let metric = "journal_forwarded_total{broker=\"nats\"}";
    eventually("all is forwarded", Duration::from_secs(10), || bridge.metric(metric) == count as f64);
}

#[test]
fn without_a_broker_records_are_journalled_and_survive_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let mut bridge = Bridge::with(&in_folder(folder.path(), ""), false).ready();
    assert_eq!(bridge.post(&text(1)), (200, JOURNAL.into()));
    assert_eq!(bridge.post(&text(1)), (200, DUPLICATE.into()));
    assert_eq!(bridge.post(b"no notification"), (200, DEAD_LETTER.into()));
    bridge.kill_and_start_again();
    assert_eq!(bridge.post(&text(1)), (200, DUPLICATE.into()));
    assert_eq!(bridge.post(b"no notification"), (200, DUPLICATE.into()));
    assert_eq!(bridge.post(&text(2)), (200, JOURNAL.into()));
    assert_eq!(bridge.terminate(), Some(0));
}

#[test]
fn records_of_an_outage_reach_the_broker_in_order() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let mut bridge = start(&nats, folder.path(), "");
    assert_eq!(bridge.post(&text(0)), (200, BROKER.into()));
    nats.kill();
    for number in 1..20 {
        assert_eq!(bridge.post(&text(number)), (200, JOURNAL.into()), "{number}");
    }
    assert_eq!(bridge.post(&text(3)), (200, DUPLICATE.into()));
    assert_eq!(bridge.get("/readyz").0, 200, "{:?}", bridge.get("/readyz"));
    bridge.kill_and_start_again();
    for number in 20..30 {
        assert_eq!(bridge.post(&text(number)), (200, JOURNAL.into()), "{number}");
    }
    assert_eq!(bridge.post(&text(3)), (200, DUPLICATE.into()));
    nats.start_again();
    connected(&bridge);
    forwarded(&bridge, 29);
    assert_eq!(bridge.post(&text(30)), (200, BROKER.into()));
    assert_eq!(bodies(&nats), (0..=30).map(text).collect::<Vec<_>>());
}

#[test]
fn a_late_ack_clears_a_journalled_record() {
    let (folder, nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let bridge = start(&nats, folder.path(), "publish.timeout = \"1500ms\"\n");
    // sees every publish, also those the stream drops as duplicates
    let published = nats.subscribe("greenapi.>", 3);
    nats.signal("-STOP");
    let begun = Instant::now();
    assert_eq!(bridge.post(&text(1)), (200, JOURNAL.into()));
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(1500), "{waited:?}");
    let begun = Instant::now();
    assert_eq!(bridge.post(&text(2)), (200, JOURNAL.into()), "behind the first");
    assert!(begun.elapsed() < waited / 2, "{:?} after {waited:?}", begun.elapsed());
    nats.signal("-CONT");
    eventually("the late ack", Duration::from_secs(5), || bridge.log().contains("late ack: stored"));
    forwarded(&bridge, 1);
    assert_eq!(bridge.post(&text(3)), (200, BROKER.into()));
    assert_eq!(published().iter().map(body).collect::<Vec<_>>(), [text(1), text(2), text(3)]);
}

#[test]
fn with_the_journal_first_answers_come_from_disk_and_records_are_forwarded_at_once() {
    let (folder, nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let bridge = start(&nats, folder.path(), "publish.timeout = \"0s\"\n");
    for number in 0..50 {
        assert_eq!(bridge.post(&text(number)), (200, JOURNAL.into()));
    }
    forwarded(&bridge, 50);
    assert_eq!(bodies(&nats), (0..50).map(text).collect::<Vec<_>>());
}

#[test]
fn a_broker_with_a_backlog_cannot_be_removed() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let mut bridge = start(&nats, folder.path(), "");
    nats.kill();
    assert_eq!(bridge.post(&text(1)), (200, JOURNAL.into()));
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));
    let log = bridge.log();
    assert!(log.contains("stopped; records pending in journal") && log.contains("1 record for nats"), "{log}");
    let with_nats = std::fs::read(bridge.config.path()).unwrap();
    let config = in_folder(folder.path(), &format!("http.listen = \"{}\"\n", bridge.http));
    std::fs::write(bridge.config.path(), config).unwrap();
    let refused = crate::harness::command("run", bridge.config.path());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    let checked = crate::harness::command("check --offline", bridge.config.path());
    let found = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(1), "{found}");
    for part in [
        "no route uses nats any more, but the journal has a backlog of 1 record for it",
        "route to nats again until its backlog is drained (`greenapi-",
    ] {
        assert!(said.contains(part) && found.contains(part), "{said} {found}");
        assert!(!said.contains("1 records") && !found.contains("1 records"), "{said} {found}");
    }
    std::fs::write(bridge.config.path(), with_nats).unwrap();
    bridge.start_again();
    eventually("it logs the backlog", Duration::from_secs(5), || bridge.log().contains("recovered journal backlog"));
    assert!(!bridge.log().contains("journal backlog drained"), "{}", bridge.log());
    nats.start_again();
    eventually("and that it is drained", Duration::from_secs(15), || bridge.log().contains("journal backlog drained"));
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));
    assert!(bridge.log().contains("stopped; no records pending in journal"), "{}", bridge.log());
}

#[test]
fn two_bridges_cannot_write_one_journal() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = Bridge::with(&in_folder(folder.path(), ""), false).ready();
    let other = in_folder(folder.path(), "http.listen = \"127.0.0.1:0\"\n");
    std::fs::write(folder.path().join("other.toml"), other).unwrap();
    let refused = crate::harness::command("run", &folder.path().join("other.toml"));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("is in use by another process"), "{said}");
    assert_eq!(bridge.post(&text(1)).0, 200);
}

/// The last program that closes a database removes its write-ahead log: while a bridge runs, none but it may be the last.
#[test]
fn a_look_into_the_journal_by_another_program_loses_nothing() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let mut bridge = start(&nats, folder.path(), "");
    nats.kill();
    for number in 0..20 {
        assert_eq!(bridge.post(&text(number)), (200, JOURNAL.into()));
    }
    let look = "import sqlite3, sys\nbase = sqlite3.connect(sys.argv[1])\n\
                print(base.execute('SELECT count(*) FROM record').fetchone()[0])\nbase.close()";
    let mut python = std::process::Command::new(std::env::var("BRIDGE_TEST_PYTHON").unwrap());
    let looked = python.args(["-c", look]).arg(folder.path().join("data/journal.db")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&looked.stdout), "20\n", "{}", String::from_utf8_lossy(&looked.stderr));
    assert!(folder.path().join("data/journal.db-wal").exists(), "it is in use");
    for number in 20..40 {
        assert_eq!(bridge.post(&text(number)), (200, JOURNAL.into()));
    }
    nats.start_again();
    bridge.kill_and_start_again();
    forwarded(&bridge, 40);
    assert_eq!(nats.read().iter().map(body).collect::<Vec<_>>(), (0..40).map(text).collect::<Vec<_>>());
}

#[test]
fn a_body_changed_on_disk_goes_to_the_dead_letter_under_its_own_id() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let mut bridge = start(&nats, folder.path(), "");
    nats.kill();
    for number in 0..3 {
        assert_eq!(bridge.post(&text(number)), (200, JOURNAL.into()));
    }
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));
    let database = rusqlite::Connection::open(folder.path().join("data/journal.db")).unwrap();
    let changed = String::from_utf8(text(1)).unwrap().replace("incomingCall", "incomingBall");
    database.execute("UPDATE record SET body = ?1 WHERE seq = 2", [changed.as_bytes()]).unwrap();
    drop(database);
    nats.start_again();
    bridge.start_again();
    forwarded(&bridge, 3);
    let messages = nats.read();
    let found: Vec<_> = messages.iter().map(crate::harness::body).collect();
    assert_eq!(found, [text(0), changed.clone().into_bytes(), text(2)]);
    let letter = &messages[1];
    assert_eq!(letter["subject"], "greenapi.dead-letter");
    assert_eq!(letter["headers"]["bridge-reason"], "altered");
    assert_eq!(letter["headers"]["ce-id"], greenapi_bridge::message::Id::of(changed.as_bytes()).to_string());
    let detail = letter["headers"]["bridge-detail"].as_str().unwrap();
    assert!(detail.contains(&greenapi_bridge::message::Id::of(&text(1)).to_string()), "{detail}");
    assert!(bridge.log().contains("record changed on disk"), "{}", bridge.log());
}
