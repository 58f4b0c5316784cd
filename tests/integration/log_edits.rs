//! Journal edits leave a line in the log of the process that makes them, and are counted.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Bridge, Nats, command, eventually, exchange};

const CHAT: &str = "79990000001@c.us";

fn of(instance: u64, number: usize) -> Vec<u8> {
    format!(
        r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":{instance}}},"from":"{CHAT}","number":{number}}}"#
    )
    .into_bytes()
}

/// What a command logs.
fn run(words: &str, config: &Path) -> String {
    let out = command(words, config);
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(0), "{words}: {said}");
    said
}

/// The fields of each line about an edit, as text: without time, level and target.
fn edits(log: &str) -> Vec<String> {
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let edits = events.filter(|event| event["message"] == "journal edited");
    let fields = edits.map(|mut event| {
        assert_eq!((&event["level"], &event["event"]), (&"INFO".into(), &"journal_edited".into()));
        let fields = event.as_object_mut().unwrap();
        ["timestamp", "level", "target", "message", "event"].iter().for_each(|name| drop(fields.remove(*name)));
        event.to_string()
    });
    fields.collect()
}

#[test]
fn each_journal_edit_is_logged_once_where_it_is_made_and_names_no_person() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let data = format!("journal.directory = {:?}\n", folder.path().join("data"));
    let mut bridge = Bridge::start(&nats, &data);
    let config = bridge.config.path().to_owned();
    eventually("connected", Duration::from_secs(10), || bridge.metric("broker_connected{broker=\"nats\"}") == 1.0);
    nats.kill();
    (0..3).for_each(|number| assert_eq!(bridge.post(&of(1, number)).0, 200));
    (0..600).for_each(|number| assert_eq!(bridge.post(&of(2, number)).0, 200));
    let file = folder.path().join("some.jsonl");
    run(&format!("journal export --instance 2 --output {}", file.display()), &config);
    // the command would not ask for this one: it changes nothing
    let reroute = r#"{"change":{"reroute":{"from":"nats"}}}"#;
    let head =
        "POST /journal/reroute HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json";
    let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{reroute}", reroute.len());
    assert_eq!(exchange(bridge.admin, request.as_bytes()).0, 200);
    // a running bridge logs what it does; the command that asks it logs nothing
    for words in [
        "journal erase --instance 2 --yes".into(),
        format!("journal import {}", file.display()),
        "journal drop --broker nats --instance 2 --yes".into(),
        format!("journal erase --chat {CHAT} --yes"),
    ] {
        assert_eq!(edits(&run(&words, &config)), [""; 0], "{words}");
    }
    eventually("all are logged", Duration::from_secs(10), || edits(&bridge.log()).len() == 5);
    for (edit, records) in [("reroute", 0.0), ("erase", 603.0), ("import", 600.0), ("drop", 600.0), ("replay", 0.0)] {
        assert_eq!(bridge.metric(&format!("journal_edits_total{{edit=\"{edit}\"}}")), records, "{edit}");
    }
    let mut logged = edits(&bridge.log());
    logged.sort();
    assert_eq!(
        logged,
        [
            r#"{"added":600,"edit":"import","selected_by":"file","skipped":0}"#,
            r#"{"broker":"nats","dropped":600,"edit":"drop","instance":"2","selected_by":"broker"}"#,
            r#"{"broker":"nats","edit":"reroute","rerouted":0,"selected_by":"broker","unchanged":603}"#,
            r#"{"edit":"erase","erased":3,"selected_by":"chat"}"#,
            r#"{"edit":"erase","erased":600,"instance":"2","selected_by":"instance"}"#,
        ]
    );
    // at rest the command logs it
    assert_eq!(bridge.post(&of(3, 0)).0, 200);
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));
    let erased = run(&format!("journal erase --chat {CHAT} --yes"), &config);
    assert_eq!(edits(&erased), [r#"{"edit":"erase","erased":1,"selected_by":"chat"}"#]);
    assert!(!(bridge.log() + &erased).contains("7999"), "{} {erased}", bridge.log());
}

#[test]
fn a_replay_of_the_journals_dead_letters_is_logged_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = format!("journal.directory = {:?}\n", folder.path().join("data"));
    let bridge = Bridge::with(&data, false).ready();
    for number in 0..40 {
        assert_eq!(bridge.post(format!("broken {number}").as_bytes()).0, 200);
    }
    // they are no notifications now either, so the command fails
    let _ = command("dead-letter replay --all", bridge.config.path());
    eventually("it is logged", Duration::from_secs(10), || !edits(&bridge.log()).is_empty());
    let expected = r#"{"already_replayed":0,"edit":"replay","not_replayable":40,"replayed":0,"selected_by":"seq"}"#;
    assert_eq!(edits(&bridge.log()), [expected]);
}
