//! What programs read of the bridge: `/readyz`, and what commands print as JSON.

use std::time::Duration;

use serde_json::Value;

use super::{file, journal_in, no_nats, printed};
use crate::harness::{
    Bridge, Kafka, Nats, assert_snapshot, command, eventually, id_of, is_time, nats_servers, stream, text,
    without_variable,
};

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// `/readyz` as it is, once it has this in it.
fn ready(what: &str, bridge: &Bridge, has: &str) -> String {
    eventually(has, Duration::from_secs(20), || bridge.get("/readyz").1.contains(has));
    let (status, said) = bridge.get("/readyz");
    format!("{what}\n  {status} {}\n\n", without_variable(parsed(&said), &["since"]))
}

fn padded(number: usize) -> Vec<u8> {
    let mut body = text(number);
    body.resize(60_000, b' ');
    body
}

#[test]
fn readyz() {
    let (mut nats, kafka) = (Nats::start(), Kafka::shared());
    let mut shown = String::new();
    let folder = tempfile::tempdir().unwrap();
    let journal = journal_in(folder.path());
    let server = nats_servers(&[nats.port]);
    let bridge = Bridge::with(&server, false);
    shown += &ready("NATS without a stream", &bridge, "no_stream");
    nats.put_stream(stream::Config { storage: stream::StorageType::Memory, ..Nats::safe_stream() });
    shown += &ready("NATS with a stream in memory", &bridge, "unsafe_stream");
    nats.replace_stream(Nats::safe_stream());
    shown += &ready("NATS", &bridge, "\"ready\":true");
    drop(bridge);
    let all = Bridge::with(&format!("{journal}{server}{}", kafka.config("readyz")), true);
    eventually("both are up", Duration::from_secs(20), || all.get("/readyz").1.matches("\"up\"").count() == 3);
    shown += &ready("NATS, Kafka and a journal", &all, "up");
    drop(all);
    let none = Bridge::with(&kafka.config("readyz.nowhere"), false);
    shown += &ready("Kafka without any topic", &none, "no_topic");
    drop(none);
    let missing = "route.classes.state.topic = \"readyz.nowhere\"\n";
    let all = Bridge::with(&format!("{journal}{missing}{server}{}", kafka.config("readyz")), false);
    let one_missing = || all.get("/readyz").1;
    eventually("two are up", Duration::from_secs(20), || {
        let said = one_missing();
        said.contains("no_topic") && said.matches("\"up\"").count() == 3
    });
    shown += &ready("Kafka without one of its topics", &all, "no_topic");
    nats.kill();
    shown += &ready("NATS has gone, with a journal", &all, "disconnected");
    drop(all);
    shown += &ready("no NATS, without a journal", &Bridge::with(&server, false), "disconnected");
    let limits = "journal.max_bytes = \"18MiB\"\nhttp.max_body = \"64KiB\"\n";
    let folder = tempfile::tempdir().unwrap();
    let full = Bridge::with(&format!("{}{limits}", journal_in(folder.path())), false).ready();
    assert!((0..100).any(|number| full.post(&padded(number)).0 == 503));
    shown += &ready("a journal alone that is full", &full, "full");
    let folder = tempfile::tempdir().unwrap();
    let times =
        "shutdown.grace = \"3s\"\nshutdown.delay = \"2900ms\"\nhttp.answer_within = \"2s\"\npublish.timeout = \"1s\"\n";
    let alone = Bridge::with(&format!("{}{times}", journal_in(folder.path())), false);
    shown += &ready("a journal alone", &alone, "\"ready\":true");
    alone.signal("-TERM");
    shown += &ready("it stops", &alone, "\"stopping\":true");
    assert_snapshot("readyz.txt", &shown);
}

fn check(words: &str, config: &str) -> String {
    let config = file(config);
    let output = command(words, config.path());
    let said = parsed(&String::from_utf8(output.stdout).unwrap());
    format!("{:#}", without_variable(said, &["found", "remedy"]))
}

#[test]
fn check_json() {
    let (nats, kafka) = (Nats::start(), Kafka::shared());
    let folder = tempfile::tempdir().unwrap();
    let tokens = file("token-for-everyone\n");
    let tokens = format!("auth.tokens_file = {:?}\n", tokens.path());
    let routes = "[route.classes.state]\nbrokers = [\"nats\"]\n";
    let brokers =
        format!("{}{}{}{}", journal_in(folder.path()), nats_servers(&[nats.port]), kafka.config("asked"), routes);
    let config = format!("{tokens}{brokers}");
    let provision = file(&config);
    assert!(command("provision", provision.path()).status.success());
    // a broker may not know yet of what it has just made
    eventually("all is well", Duration::from_secs(20), || command("check", provision.path()).status.success());
    let mut shown = format!("# NATS, Kafka and a journal, provisioned\n{}\n", check("check --json", &config));
    let missing = format!("{}{}", nats_servers(&[Nats::start().port]), kafka.config("missing"));
    shown += &format!("\n# no NATS, and Kafka without topics\n{}\n", check("check --json", &missing));
    shown += &format!("\n# offline\n{}\n", check("check --offline --json", &nats_servers(&[1])));
    assert_snapshot("check.txt", &shown);
}

/// Bodies in a journal: of two instances, with a trace, and some that are dead letters.
fn bodies() -> Vec<Vec<u8>> {
    let of = |kind: &str, rest: &str| {
        format!(r#"{{"typeWebhook":"{kind}","instanceData":{{"idInstance":1101000001,"typeInstance":"whatsapp"}},"timestamp":1767225600{rest}}}"#)
            .into_bytes()
    };
    vec![
        of("incomingMessageReceived", r#","senderData":{"chatId":"79990000001@c.us"}"#),
        of("stateInstanceChanged", r#", "n": 1.10"#),
        [text(1), b"\n".to_vec()].concat(),
        b"no notification".to_vec(),
        br#"{"instanceData":{"idInstance":7}}"#.to_vec(),
    ]
}

fn post_all(bridge: &Bridge) {
    let trace = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\ntracestate: vendor=1\r\n";
    for (number, body) in bodies().iter().enumerate() {
        let trace = if number == 0 { trace } else { "" };
        assert_eq!(bridge.post_with(trace, body).0, 200);
    }
}

/// Lines of JSON as they are but for ids and times, a member in each line.
fn lines(printed: &str) -> String {
    let mut shown = String::new();
    for line in printed.lines() {
        let mut line = line.to_owned();
        for id in bodies().iter().map(|body| id_of(body)) {
            line = line.replace(&id, "<id>");
        }
        let times: Vec<_> = line.split('"').filter(|text| is_time(text)).map(str::to_owned).collect();
        for time in times {
            line = line.replace(&time, "<time>");
        }
        shown += &format!("{}\n\n", line.replace(",\"", ",\n  \""));
    }
    shown
}

const VARIABLE: [&str; 6] = ["directory", "journal", "since", "oldest_age_seconds", "used_bytes", "received"];

fn status(path: &str) -> String {
    let mut said = without_variable(parsed(&printed(&["journal", "status", "--json", "--config", path])), &VARIABLE);
    // of its file on disk
    said["bytes"] = "<number>".into();
    format!("{said:#}\n")
}

#[test]
fn journal_json() {
    let folder = tempfile::tempdir().unwrap();
    let mut alone = Bridge::with(&journal_in(folder.path()), false).ready();
    post_all(&alone);
    let path = alone.config.path().to_str().unwrap().to_owned();
    let mut statuses = format!("# without any broker, beside a bridge\n{}\n", status(&path));
    alone.signal("-TERM");
    assert_eq!(alone.exit_code(), Some(0));
    let print =
        |words: &str, path: &str| printed(&[&words.split(' ').collect::<Vec<_>>()[..], &["--config", path]].concat());
    let mut exported = format!("# without any broker\n\n{}", lines(&print("journal export", &path)));
    let tail = lines(&print("tail --no-follow --json", &path));
    let mut letters = format!("# in the journal\n\n{}", lines(&print("dead-letter list --json", &path)));
    let folder = tempfile::tempdir().unwrap();
    let unreached = format!(
        "{}{}kafka.bootstrap_servers = [\"127.0.0.1:{}\"]\n",
        journal_in(folder.path()),
        no_nats(),
        crate::harness::free_port()
    );
    let mut owing = Bridge::with(&unreached, false).ready();
    post_all(&owing);
    owing.signal("-TERM");
    assert_eq!(owing.exit_code(), Some(0));
    let path = owing.config.path().to_str().unwrap();
    statuses += &format!("# owed to NATS and Kafka, at rest\n{}", status(path));
    exported += &format!("# owed to NATS and Kafka\n\n{}", lines(&print("journal export", path)));
    assert_snapshot("journal_status.txt", &statuses);
    assert_snapshot("journal_export.txt", &exported);
    assert_snapshot("tail.txt", &tail);
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    post_all(&bridge);
    letters +=
        &format!("# on NATS\n\n{}", lines(&print("dead-letter list --json", bridge.config.path().to_str().unwrap())));
    assert_snapshot("dead_letter_list.txt", &letters);
}

#[test]
fn send_json() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = Bridge::with(&journal_in(folder.path()), false).ready();
    let (url, ledger) = (format!("http://{}/green-api/webhook/", bridge.http), folder.path().join("ledger"));
    let words = ["send", "--url", &url, "--count", "3", "--json", "--ledger", ledger.to_str().unwrap()];
    let said = parsed(&printed(&words));
    let said = without_variable(said, &["max", "p50", "p90", "p99", "per_second", "seconds"]);
    let written = std::fs::read_to_string(ledger).unwrap();
    let lines = written.lines().map(|line| {
        let fields: Vec<_> = line.split('\t').collect();
        let [instance, number, id, status, stored, at] = fields[..] else { panic!("{line:?}") };
        assert!(id.len() == 32 && at.len() == 13 && at.parse::<u64>().is_ok(), "{line:?}");
        format!("{instance} {number} <id> {status} {stored} <milliseconds>\n")
    });
    let lines: String = lines.collect();
    assert_snapshot("send.txt", &format!("# --json\n{said:#}\n\n# --ledger, with tabs\n{lines}"));
}
