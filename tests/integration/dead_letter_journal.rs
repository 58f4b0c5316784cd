//! `dead-letter` with dead letters in the journal.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::dead_letter::{self, id, listed, live, out, run, said};
use crate::harness::{Bridge, Nats, body, command, eventually, nats_servers, text};

const BROKEN: &[u8] = b"{\"text\":\"a secret\"";

fn journal(folder: &tempfile::TempDir) -> String {
    format!("journal.directory = {:?}\n", folder.path().join("data"))
}

/// Imports notifications as dead letters, as a version that could not parse them would have journalled them.
fn bury(config: &Path, bodies: &[Vec<u8>]) {
    let line = |body: &Vec<u8>| {
        let record = json!({"to": [null, null], "key": "7", "json": true, "detail": "of another time"});
        let line = json!({
            "id": id(body), "source": "urn:greenapi:instance:7", "type": "com.green-api.unparsed", "specversion": "1.0",
            "recordedtime": humantime::format_rfc3339_millis(SystemTime::now()).to_string(), "partitionkey": "7",
            "instance": "7", "datacontenttype": "application/json", "bridgebacklog": "", "bridgeunknown": "",
            "bridgereason": "no_type", "bridgerecord": record.to_string(), "bridgeseq": 1, "data": 0,
        });
        // the body byte for byte
        line.to_string().replace("\"data\":0", &format!("\"data\":{}", String::from_utf8(body.clone()).unwrap()))
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bodies.iter().map(line).collect::<Vec<_>>().join("\n") + "\n").unwrap();
    let answer = command(&format!("journal import {}", file.path().display()), config);
    assert!(answer.status.success(), "{}", said(&answer));
}

/// The numbers of the notifications that the journal has, in order.
fn notifications(config: &Path) -> Vec<u64> {
    let answer = command("journal export", config);
    let lines: Vec<Value> = out(&answer).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines
        .iter()
        .filter(|line| line["bridgereason"].is_null())
        .map(|line| line["data"]["number"].as_u64().unwrap())
        .collect()
}

fn sum(replayed: u64, before: u64, stay: u64) -> String {
    format!("journal: {replayed} replayed, {before} already replayed, {stay} not replayable, 0 failed\n")
}

#[test]
fn dead_letters_in_the_journal_are_listed_shown_and_replayed_with_and_without_a_running_bridge() {
    let folder = tempfile::tempdir().unwrap();
    let mut bridge = Bridge::with(&journal(&folder), false).ready();
    let config = bridge.config.path().to_owned();
    assert_eq!(bridge.post(BROKEN), (200, r#"{"stored":"dead_letter"}"#.into()));
    let [one, two] = [text(1), text(2)];
    bury(&config, &[one.clone(), two]);
    let letters = listed("", &config);
    let told: Vec<_> =
        letters.iter().map(|letter| [&letter["reason"], &letter["instance"], &letter["replayed"]]).collect();
    assert_eq!(json!(told), json!([["not_json", null, 0], ["no_type", "7", 0], ["no_type", "7", 0]]));
    assert_eq!(run(&format!("show {}", id(BROKEN)), &config), (Some(0), String::from_utf8(BROKEN.into()).unwrap()));

    let (code, dry) = run("replay --all --dry-run", &config);
    assert!(code == Some(1) && dry.contains("would go to: the journal"), "{dry}");
    assert!(notifications(&config).is_empty(), "nothing is done by looking");
    let (code, said) = run("replay --all", &config);
    assert!(code == Some(1) && said.ends_with(&sum(2, 0, 1)), "{said}");
    assert!(
        said.contains(&format!("{}  not replayable: still not a notification", id(BROKEN))) && !said.contains("secret"),
        "{said}"
    );
    assert_eq!(notifications(&config), [1, 2]);
    assert!(run("replay --all", &config).1.ends_with(&sum(0, 2, 1)));
    bridge.kill_and_start_again();
    let bridge = bridge.ready();
    assert!(run("replay --all", &config).1.ends_with(&sum(0, 2, 1)), "known after a crash too");
    let replayed: Vec<_> = listed("", &config).iter().map(|letter| letter["replayed"].clone()).collect();
    assert_eq!(replayed, [0, 1, 1]);

    bridge.signal("-TERM");
    eventually("it has ended", Duration::from_secs(10), || {
        run(&format!("replay --again {}", id(&one)), &config) == (Some(0), sum(1, 0, 0))
    });
    assert_eq!(notifications(&config), [1, 2, 1]);
}

#[test]
fn a_replay_to_a_newly_configured_broker_comes_after_its_backlog() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let alone = Bridge::with(&journal(&folder), false).ready();
    bury(alone.config.path(), &[text(1), text(2)]);
    assert_eq!(alone.terminate(), Some(0));
    let bridge = Bridge::with(&format!("{}{}", journal(&folder), nats_servers(&[nats.port])), true).ready();
    let config = bridge.config.path().to_owned();
    let connected = || bridge.metric("broker_connected{broker=\"nats\"}");
    let forwarded = || bridge.metric("journal_forwarded_total{broker=\"nats\"}");
    eventually("connected", Duration::from_secs(10), || connected() == 1.0);
    let (code, said) = run("replay --all", &config);
    assert_eq!((code, said.ends_with(&sum(2, 0, 0))), (Some(0), true), "{said}");
    eventually("forwarded", Duration::from_secs(10), || forwarded() == 2.0);

    nats.kill();
    eventually("away", Duration::from_secs(10), || connected() == 0.0);
    assert_eq!(bridge.post(&text(3)).0, 200);
    let (code, said) = run(&format!("replay --journal --again {}", id(&text(1))), &config);
    assert_eq!((code, said), (Some(0), sum(1, 0, 0)));
    nats.start_again();
    eventually("forwarded", Duration::from_secs(20), || forwarded() == 4.0);
    assert_eq!(nats.read().iter().map(body).collect::<Vec<_>>(), [1, 2, 3, 1].map(text));
}

#[test]
fn a_replay_from_the_broker_does_not_overtake_the_backlog() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let mut bridge = Bridge::start(&nats, &journal(&folder));
    let config = bridge.config.path().to_owned();
    dead_letter::bury(&nats, &[text(1)]);
    nats.kill();
    assert_eq!(bridge.post(&text(2)), (200, r#"{"stored":"journal"}"#.into()));
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));
    nats.start_again();
    assert_eq!(run("replay --all --dry-run", &config).0, Some(0));
    let (code, said) = run("replay --all", &config);
    assert!(code == Some(1) && said.contains("the journal has a backlog for the same lane"), "{said}");
    assert!(live(&nats).is_empty());

    // one that is begun first waits
    std::thread::scope(|scope| {
        let replay = scope.spawn(|| run("replay --all", &config));
        std::thread::sleep(Duration::from_secs(2));
        bridge.start_again();
        assert_eq!(replay.join().unwrap().0, Some(0));
    });
    assert_eq!(live(&nats).iter().map(body).collect::<Vec<_>>(), [2, 1].map(text));
}

#[test]
fn a_bridge_killed_during_a_replay_replays_each_dead_letter_once() {
    const LETTERS: u64 = 3000;
    let folder = tempfile::tempdir().unwrap();
    let mut bridge = Bridge::with(&journal(&folder), false).ready();
    let config = bridge.config.path().to_owned();
    bury(&config, &(0..LETTERS as usize).map(text).collect::<Vec<_>>());
    let database = rusqlite::Connection::open(folder.path().join("data/journal.db")).unwrap();
    let replayed = || -> u64 {
        database.query_row("SELECT count(*) FROM record WHERE reason IS NULL", [], |row| row.get(0)).unwrap()
    };
    let (code, said) = std::thread::scope(|scope| {
        let replay = scope.spawn(|| run("replay --all", &config));
        eventually("it replays", Duration::from_secs(20), || replayed() > 0);
        bridge.kill_and_start_again();
        replay.join().unwrap()
    });
    let by_then = replayed();
    assert!(by_then < LETTERS && code == Some(1), "{by_then} by then: {said}");
    let (code, said) = run("replay --all", &config);
    assert!(code == Some(0) && said.ends_with(&sum(LETTERS - by_then, by_then, 0)), "{by_then} by then: {said}");
    assert_eq!(notifications(&config), (0..LETTERS).collect::<Vec<_>>());
}

#[cfg(feature = "kafka")]
#[test]
fn a_replay_goes_to_both_configured_brokers() {
    let (folder, nats, kafka) = (tempfile::tempdir().unwrap(), Nats::start(), crate::harness::Kafka::shared());
    let alone = Bridge::with(&journal(&folder), false).ready();
    bury(alone.config.path(), &[text(1), text(2)]);
    assert_eq!(alone.terminate(), Some(0));
    let both = format!("{}{}{}", journal(&folder), nats_servers(&[nats.port]), kafka.config("twofold"));
    let bridge = Bridge::with(&both, true).ready();
    // the dead letters of the brokers, which are empty, come first
    let (code, said) = run("replay --all", bridge.config.path());
    assert!(code == Some(0) && said.ends_with(&sum(2, 0, 0)), "{said}");
    eventually("it is forwarded", Duration::from_secs(20), || {
        ["kafka", "nats"]
            .iter()
            .all(|broker| bridge.metric(&format!("journal_forwarded_total{{broker=\"{broker}\"}}")) == 2.0)
    });
    assert_eq!(nats.read().iter().map(body).collect::<Vec<_>>(), [1, 2].map(text));
    assert_eq!(kafka.read(&["twofold.incoming"]).iter().map(body).collect::<Vec<_>>(), [1, 2].map(text));
}
