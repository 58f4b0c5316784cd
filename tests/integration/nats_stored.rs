//! A 200 means stored: the messages in a real nats-server after the answers, read by a client in another language.

use std::collections::HashMap;
use std::time::Duration;

use crate::harness::{Bridge, Nats, assert_complete_and_in_order, body, command, eventually, stream, text, under_load};
use crate::payloads::{bodies, expected};

#[test]
fn every_body_comes_out_of_the_broker_byte_for_byte() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let files = bodies();
    let expected = expected(&files);
    for (file, expected) in files.iter().zip(&expected) {
        let (status, answer) = bridge.post(&std::fs::read(file).unwrap());
        assert_eq!(status, 200, "{}", file.display());
        let stored = format!("{{\"stored\":{}}}", expected["outcome"]);
        assert!(answer == stored || answer == "{\"stored\":\"duplicate\"}", "{answer} {}", file.display());
    }
    let received: HashMap<_, _> = nats
        .read()
        .into_iter()
        .map(|message| (message["headers"]["ce-id"].as_str().unwrap().to_owned(), message))
        .collect();
    for (file, expected) in files.iter().zip(&expected) {
        let message = &received[expected["id"].as_str().unwrap()];
        assert_eq!(body(message), std::fs::read(file).unwrap(), "{}", file.display());
        assert_eq!(message["subject"], expected["subject"], "{}", file.display());
        let mut headers = message["headers"].as_object().unwrap().clone();
        assert!(headers.remove("ce-recordedtime").is_some());
        assert_eq!(headers.remove("bridge-detail").is_some(), expected["outcome"] == "dead_letter");
        assert_eq!(&headers, expected["headers"].as_object().unwrap(), "{}", file.display());
    }
    assert_eq!(bridge.terminate(), Some(0));
}

#[test]
fn a_repeat_is_a_duplicate_and_is_stored_once() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    assert_eq!(bridge.post(&text(1)), (200, "{\"stored\":\"broker\"}".into()));
    assert_eq!(bridge.post(&text(1)), (200, "{\"stored\":\"duplicate\"}".into()));
    assert_eq!(nats.read().len(), 1);
}

#[test]
fn without_a_stream_nothing_is_answered_200_until_there_is_one() {
    let nats = Nats::start();
    let short = "publish.timeout = \"1s\"\n";
    let bridge = Bridge::start_unprovisioned(&nats, short, false);
    assert_eq!(bridge.post(&text(1)), (503, "{\"error\":\"not_stored\"}".into()));
    assert_eq!(command("check", bridge.config.path()).status.code(), Some(1));
    assert!(command("provision", bridge.config.path()).status.success());
    eventually("ready", Duration::from_secs(5), || bridge.get("/readyz").0 == 200);
    assert_eq!(command("check", bridge.config.path()).status.code(), Some(0));
    assert_eq!(bridge.post(&text(1)), (200, "{\"stored\":\"broker\"}".into()));
}

fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

const TIMEOUT: Duration = Duration::from_secs(2);

#[test]
fn a_broker_killed_or_stopped_under_load_loses_nothing_answered_200() {
    let mut nats = Nats::start();
    let bridge = Bridge::start(&nats, &format!("publish.timeout = \"{}s\"\n", TIMEOUT.as_secs()));
    let answers = under_load(&bridge, || {
        pause(500);
        nats.kill();
        pause(1500);
        nats.start_again();
        eventually("ready again", Duration::from_secs(10), || bridge.get("/readyz").0 == 200);
        nats.signal("-STOP");
        pause(3000);
        nats.signal("-CONT");
        pause(2000);
    });
    let slowest = answers.iter().map(|answer| answer.took).max().unwrap();
    assert!(slowest < 3 * TIMEOUT, "{slowest:?}");
    let answered = answers.iter().filter(|answer| answer.status == 200).count();
    assert!(answered > 100, "only {answered}");
    assert_complete_and_in_order(&answers, &nats.read(), false);
    assert_eq!(bridge.post(&text(usize::MAX)), (200, "{\"stored\":\"broker\"}".into()));
}

#[test]
fn plain_subscribers_see_every_message_too() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let subscriber = nats.subscribe("greenapi.>", 2);
    assert_eq!(bridge.post(&text(1)).0, 200);
    assert_eq!(bridge.post(b"broken").0, 200);
    let seen = subscriber();
    assert_eq!(seen[0]["subject"], "greenapi.incoming.7.incomingCall");
    assert_eq!(body(&seen[0]), text(1));
    assert_eq!((seen[1]["subject"].as_str(), body(&seen[1])), (Some("greenapi.dead-letter"), b"broken".to_vec()));
}

#[test]
fn a_full_stream_is_a_503_until_there_is_room() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "nats.provision.max_bytes = \"4KiB\"\npublish.timeout = \"1s\"\n");
    let answers: Vec<_> = (0..20).map(|number| bridge.post(&text(number)).0).collect();
    let stored = answers.iter().filter(|status| **status == 200).count();
    assert!((1..20).contains(&stored) && answers.iter().all(|status| [200, 503].contains(status)), "{answers:?}");
    assert_eq!(nats.read().len(), stored);
}

#[test]
fn on_sigterm_requests_in_flight_are_finished() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    nats.signal("-STOP");
    let http = bridge.http;
    let waiting = std::thread::spawn(move || crate::harness::post(http, "", &text(1)));
    pause(300);
    let stopped = std::thread::spawn(move || bridge.terminate());
    pause(300);
    nats.signal("-CONT");
    assert_eq!(waiting.join().unwrap().0, 200);
    assert_eq!(stopped.join().unwrap(), Some(0));
    assert_eq!(nats.read().len(), 1);
}

/// A destination that is not there harms nobody else's.
#[test]
fn a_stream_with_one_class_stores_that_class() {
    let nats = Nats::start();
    nats.put_stream(stream::Config { subjects: vec!["greenapi.incoming.>".into()], ..Nats::safe_stream() });
    let bridge = Bridge::start_unprovisioned(&nats, "publish.timeout = \"1s\"\n", false).ready();
    let state = br#"{"typeWebhook":"stateInstanceChanged","instanceData":{"idInstance":7}}"#;
    let not_stored = (503, "{\"error\":\"not_stored\"}".into());
    assert_eq!(bridge.post(state), not_stored);
    assert_eq!(bridge.post(b"{"), not_stored, "there is no place for dead letters");
    assert_eq!(bridge.post(&text(1)), (200, "{\"stored\":\"broker\"}".into()));
    let (status, ready) = bridge.get("/readyz");
    assert_eq!((status, ready.contains(r#"{"degraded":"no_subject","since":"#)), (200, true), "{ready}");
    let log = bridge.log();
    let missing = "does not have greenapi.outgoing.*.*, greenapi.state.*.*, greenapi.device.*.*, greenapi.other.*.*, greenapi.dead-letter;";
    assert!(log.contains(missing), "{log}");
    let failures = bridge.metric("publish_failures_total{broker=\"nats\",reason=\"no_responders\"}");
    assert!(failures >= 2.0, "{failures}");
}

#[test]
fn a_stream_without_our_subjects_is_down() {
    let nats = Nats::start();
    nats.put_stream(stream::Config { subjects: vec!["other.>".into()], ..Nats::safe_stream() });
    let bridge = Bridge::start_unprovisioned(&nats, "publish.timeout = \"1s\"\n", false);
    eventually("said", Duration::from_secs(5), || bridge.get("/readyz").1.contains("no_subject"));
    assert_eq!(bridge.post(&text(1)).0, 503);
    let partly = vec!["other.>".into(), "greenapi.*.7.*".into()];
    nats.put_stream(stream::Config { subjects: partly, ..Nats::safe_stream() });
    let bridge = bridge.ready();
    assert_eq!(bridge.post(&text(1)).0, 200);
    assert!(bridge.log().contains("does not have greenapi.incoming.*.* as a whole,"), "{}", bridge.log());
}
