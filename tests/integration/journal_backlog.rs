//! A backlog, and a configuration that does not fit it any more.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::harness::stream::Config as Stream;
use crate::harness::{Bridge, Nats, body, command, eventually, numbers, text};

const JOURNAL: &str = r#"{"stored":"journal"}"#;

fn of(instance: usize, number: usize) -> Vec<u8> {
    format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":{instance}}},"from":"7999000{number}@c.us","number":{number}}}"#)
        .into_bytes()
}

fn connected(folder: &Path, nats: &Nats) -> Bridge {
    let bridge = Bridge::start(nats, &format!("journal.directory = {:?}\n", folder.join("data")));
    eventually("connected", Duration::from_secs(10), || bridge.metric("broker_connected{broker=\"nats\"}") == 1.0);
    bridge
}

fn stop(bridge: &mut Bridge) {
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));
}

/// Runs a command to its end: its exit code, and all that it says.
fn said(words: &str, config: &Path) -> (Option<i32>, String) {
    let out = command(words, config);
    (out.status.code(), String::from_utf8([out.stdout, out.stderr].concat()).unwrap())
}

#[test]
fn a_changed_key_is_refused_until_the_backlog_has_it_too() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let mut bridge = connected(folder.path(), &nats);
    nats.kill();
    for number in 0..60 {
        assert_eq!(bridge.post(&of(1 + number % 3, number)), (200, JOURNAL.into()));
    }
    stop(&mut bridge);
    nats.start_again();
    let path = bridge.config.path().to_owned();
    let configured = fs::read_to_string(&path).unwrap();
    for key in ["none", "chat"] {
        fs::write(&path, format!("route.key = {key:?}\n{configured}")).unwrap();
        let (code, refusal) = said("run", &path);
        assert_eq!(code, Some(2), "{refusal}");
        assert!(refusal.contains("route.key") && refusal.contains("journal reroute --from nats"), "{refusal}");
        let (code, checked) = said("check", &path);
        assert_eq!(code, Some(1), "{checked}");
        assert!(checked.contains("route.key") && checked.contains("journal reroute --from nats"), "{checked}");
    }
    let (code, rerouted) = said("journal reroute --from nats --yes", &path);
    assert!(code == Some(0) && rerouted.contains("60 records rerouted"), "{rerouted}");
    bridge.start_again();
    for number in 60..90 {
        assert_eq!(bridge.post(&of(1 + number % 3, number)).0, 200);
    }
    eventually("drained", Duration::from_secs(10), || bridge.metric("journal_records{broker=\"nats\"}") == 0.0);
    assert_eq!(numbers(nats.read().iter().map(body)).values().map(Vec::len).collect::<Vec<_>>(), [30; 3]);
}

#[test]
fn destinations_that_no_route_has_any_more_are_reported() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let mut bridge = connected(folder.path(), &nats);
    nats.kill();
    assert_eq!(bridge.post(&text(1)), (200, JOURNAL.into()));
    stop(&mut bridge);
    nats.start_again();
    let path = bridge.config.path().to_owned();
    assert!(!said("check", &path).1.contains("stored for other destinations"));
    let configured = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("nats.subject = \"other.{{class}}\"\n{configured}")).unwrap();
    assert_eq!(said("provision", &path).0, Some(0));
    let (_, checked) = said("check", &path);
    let found = "for greenapi.incoming.7.incomingCall, now other.incoming): it waits until they accept it";
    assert!(checked.contains(found) && checked.contains("journal reroute --from nats"), "{checked}");
    bridge.start_again();
    assert!(bridge.log().contains("journal backlog has other destinations"), "{}", bridge.log());
}

#[test]
fn check_says_that_a_backlog_goes_to_another_stream() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let mut bridge = connected(folder.path(), &nats);
    assert_eq!(bridge.post(&text(1)), (200, r#"{"stored":"broker"}"#.into()));
    nats.kill();
    assert_eq!(bridge.post(&text(2)), (200, JOURNAL.into()));
    stop(&mut bridge);
    nats.start_again();
    let path = bridge.config.path();
    let (_, before) = said("check", path);
    assert!(before.contains("GREENAPI, on file") && !before.contains("another stream"), "{before}");
    nats.put_stream(Stream { subjects: vec!["earlier.>".into()], ..Nats::safe_stream() });
    nats.put_stream(Stream { name: "LATER".into(), ..Nats::safe_stream() });
    fs::write(path, format!("nats.stream = \"LATER\"\n{}", fs::read_to_string(path).unwrap())).unwrap();
    let (_, after) = said("check", path);
    assert!(after.contains("LATER is another stream than the journal knows"), "{after}");
}

/// The JSON that a command prints, and its exit code.
fn json(words: &str, config: &Path) -> (Option<i32>, serde_json::Value) {
    let out = command(words, config);
    (out.status.code(), serde_json::from_slice(&out.stdout).unwrap())
}

#[test]
fn commands_that_change_something_print_json_where_asked() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let mut bridge = connected(folder.path(), &nats);
    let path = bridge.config.path().to_owned();
    let (code, provisioned) = json("provision --dry-run --json", &path);
    assert_eq!((code, &provisioned["dry_run"]), (Some(0), &true.into()));
    assert_eq!(provisioned["brokers"]["nats"]["provisioned"][0]["name"], "stream GREENAPI");
    nats.kill();
    (0..3).for_each(|number| assert_eq!(bridge.post(&text(number)), (200, JOURNAL.into())));
    stop(&mut bridge);
    assert_eq!(json("provision --json", &path).0, Some(1));
    let file = folder.path().join("export.jsonl");
    fs::write(&file, command("journal export", &path).stdout).unwrap();
    let expected = serde_json::json!({"dropped": 3, "dry_run": true});
    assert_eq!(json("journal drop --broker nats --dry-run --json", &path), (Some(0), expected));
    let expected = serde_json::json!({"dropped": 3, "dry_run": false});
    assert_eq!(json("journal drop --broker nats --yes --json", &path), (Some(0), expected));
    let (code, imported) = json(&format!("journal import --json {}", file.display()), &path);
    assert_eq!(code, Some(0));
    assert_eq!(imported["imported"].as_u64().unwrap() + imported["skipped"].as_u64().unwrap(), 3);
}
