//! The journal: what a broker does not take in time is kept, and reaches it in order.

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
fn without_any_broker_it_keeps_what_comes_also_over_a_crash() {
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
fn what_comes_while_the_broker_is_down_reaches_it_in_order_when_it_is_back() {
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
fn a_report_that_comes_after_the_record_was_kept_clears_it() {
    let (folder, nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let bridge = start(&nats, folder.path(), "publish.timeout = \"500ms\"\n");
    // sees every publish, also those the stream drops as duplicates
    let published = nats.subscribe("greenapi.>", 3);
    nats.signal("-STOP");
    let begun = Instant::now();
    assert_eq!(bridge.post(&text(1)), (200, JOURNAL.into()));
    assert!(begun.elapsed() >= Duration::from_millis(500));
    let begun = Instant::now();
    assert_eq!(bridge.post(&text(2)), (200, JOURNAL.into()), "behind the first");
    assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
    nats.signal("-CONT");
    eventually("the late report", Duration::from_secs(5), || bridge.log().contains("late report"));
    forwarded(&bridge, 1);
    assert_eq!(bridge.post(&text(3)), (200, BROKER.into()));
    assert_eq!(published().iter().map(body).collect::<Vec<_>>(), [text(1), text(2), text(3)]);
}

#[test]
fn the_journal_first_answers_from_the_disk_and_forwards_at_once() {
    let (folder, nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let bridge = start(&nats, folder.path(), "publish.timeout = \"0s\"\n");
    for number in 0..50 {
        assert_eq!(bridge.post(&text(number)), (200, JOURNAL.into()));
    }
    forwarded(&bridge, 50);
    assert_eq!(bodies(&nats), (0..50).map(text).collect::<Vec<_>>());
}

#[test]
fn a_broker_that_is_owed_records_cannot_be_dropped() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let mut bridge = start(&nats, folder.path(), "");
    nats.kill();
    assert_eq!(bridge.post(&text(1)), (200, JOURNAL.into()));
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));
    assert!(bridge.log().contains("stopped; in the journal stay 1 record for nats"), "{}", bridge.log());
    let with_nats = std::fs::read(bridge.config.path()).unwrap();
    let config = in_folder(folder.path(), &format!("http.listen = \"{}\"\n", bridge.http));
    std::fs::write(bridge.config.path(), config).unwrap();
    let refused = crate::harness::command("run", bridge.config.path());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    let checked = crate::harness::command("check --offline", bridge.config.path());
    let found = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(1), "{found}");
    for part in
        ["nats is not used any more, and the journal owes it 1 record", "use it until they are forwarded (`greenapi-"]
    {
        assert!(said.contains(part) && found.contains(part), "{said} {found}");
        assert!(!said.contains("1 records") && !found.contains("1 records"), "{said} {found}");
    }
    std::fs::write(bridge.config.path(), with_nats).unwrap();
    bridge.start_again();
    eventually("it says what it owes", Duration::from_secs(5), || bridge.log().contains("owed from before"));
    assert!(!bridge.log().contains("nothing is owed any more"), "{}", bridge.log());
    nats.start_again();
    eventually("and that it owes no more", Duration::from_secs(15), || {
        bridge.log().contains("nothing is owed any more")
    });
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));
    assert!(bridge.log().contains("stopped; nothing is left"), "{}", bridge.log());
}

#[test]
fn two_bridges_cannot_write_one_journal() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = Bridge::with(&in_folder(folder.path(), ""), false).ready();
    let other = in_folder(folder.path(), "http.listen = \"127.0.0.1:0\"\n");
    std::fs::write(folder.path().join("other.toml"), other).unwrap();
    let refused = crate::harness::command("run", &folder.path().join("other.toml"));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("is written by another process"), "{said}");
    assert_eq!(bridge.post(&text(1)).0, 200);
}
