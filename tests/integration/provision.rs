//! `provision` against a real server: it widens, and does nothing else.

use std::time::Duration;

use async_nats::jetstream::{self, stream};
use serde_json::{Value, json};

use crate::harness::{Bridge, Nats, command, text};

/// Asks JetStream in its own words, which no client version leaves out.
fn ask(nats: &Nats, subject: &str, payload: &Value) -> Value {
    let server = format!("nats://127.0.0.1:{}", nats.port);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let context = jetstream::new(async_nats::connect(server).await.unwrap());
        context.request(subject.to_owned(), payload).await.unwrap()
    })
}

fn made(nats: &Nats) -> Value {
    ask(nats, "STREAM.INFO.GREENAPI", &json!({}))["config"].clone()
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap()
}

#[test]
fn a_dry_run_says_what_would_be_done_and_changes_nothing() {
    let nats = Nats::start();
    let bridge = Bridge::start_unprovisioned(&nats, "", false);
    let said = |words: &str| String::from_utf8(command(words, bridge.config.path()).stdout).unwrap();
    let would = said("provision --dry-run");
    assert!(would.contains("stream GREENAPI would be created, with\n  + replicas: 1, chosen by"), "{would}");
    assert_eq!(made(&nats), Value::Null);
    assert!(said("provision").contains("stream GREENAPI created, with\n  + replicas: 1, chosen by"));
    assert_eq!(said("provision"), "stream GREENAPI is as needed\n");
}

#[test]
fn it_widens_a_stream_and_keeps_everything_else() {
    let nats = Nats::start();
    // inside a new subject, as one, and beside them; and a key this client does not know
    let subjects = json!(["greenapi.state.7.*", "greenapi.incoming.*.*", "mine.>"]);
    let (window, keep) = (nanos(Duration::from_secs(60)), nanos(Duration::from_secs(3600)));
    let config = json!({"name": "GREENAPI", "subjects": subjects, "retention": "limits", "storage": "file", "num_replicas": 1,
        "duplicate_window": window, "max_age": keep, "max_msgs": 1_000_000, "allow_batched": true});
    assert_eq!(ask(&nats, "STREAM.CREATE.GREENAPI", &config)["error"], Value::Null);
    let bridge = Bridge::start_unprovisioned(&nats, "", false);
    let before = made(&nats);
    assert!(command("provision --dry-run", bridge.config.path()).status.success());
    assert_eq!(made(&nats), before);
    let answer = command("provision", bridge.config.path());
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let mut wanted = before;
    let mut subjects = vec!["greenapi.incoming.*.*".to_owned(), "mine.>".into()];
    subjects.extend(["outgoing", "state", "device", "other"].map(|class| format!("greenapi.{class}.*.*")));
    subjects.push("greenapi.dead-letter".into());
    wanted["subjects"] = json!(subjects);
    wanted["duplicate_window"] = json!(nanos(Duration::from_secs(900)));
    assert_eq!(made(&nats), wanted);
}

#[test]
fn a_window_longer_than_messages_are_kept_is_refused_with_the_keys() {
    let nats = Nats::start();
    let bridge = Bridge::start_unprovisioned(&nats, "nats.provision.max_age = \"10m\"\n", false);
    let refused = |words: &str| {
        let answer = command(words, bridge.config.path());
        assert_eq!(answer.status.code(), Some(1));
        String::from_utf8(answer.stderr).unwrap()
    };
    let text = refused("provision");
    assert!(text.contains("dedupe.window = 15m: more than nats.provision.max_age = 10m"), "{text}");
    let short = json!({"name": "GREENAPI", "subjects": ["greenapi.>"], "retention": "limits", "storage": "file",
        "num_replicas": 1, "max_age": nanos(Duration::from_secs(300))});
    ask(&nats, "STREAM.CREATE.GREENAPI", &short);
    let text = refused("provision --dry-run");
    assert!(text.contains("dedupe.window = 15m: more than the stream's max_age = 5m"), "{text}");
}

#[test]
fn templates_with_any_number_of_words_are_provisioned() {
    for extra in [
        "nats.subject = \"greenapi.{class}\"\n",
        "route.classes.incoming.subject = \"greenapi.incoming.{instance}.{type}\"\n",
    ] {
        let nats = Nats::start();
        let bridge = Bridge::start(&nats, extra);
        assert_eq!(command("check", bridge.config.path()).status.code(), Some(0), "{extra}");
        assert_eq!(bridge.post(&text(1)).0, 200, "{extra}");
        assert_eq!(bridge.post(b"{").0, 200, "{extra}");
    }
}

#[test]
fn a_stream_with_a_subject_for_each_class_needs_no_more() {
    let nats = Nats::start();
    let classes = ["incoming", "outgoing", "state", "device"].map(|class| format!("greenapi.{class}.>"));
    let subjects = classes.into_iter().chain(["greenapi.dead-letter".into()]).collect();
    nats.put_stream(stream::Config { subjects, ..Nats::safe_stream() });
    let bridge = Bridge::start_unprovisioned(&nats, "", true);
    let held = made(&nats)["subjects"].as_array().unwrap().len();
    assert_eq!(held, 6, "only what was missing was added");
    assert_eq!(bridge.post(&text(1)).0, 200);
}
