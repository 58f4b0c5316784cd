//! The log of a whole story: JSON lines, one for each failure, and nothing of anybody's data or secrets.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Bridge, Nats, eventually, exchange, refusals};
use crate::nats_server::denying;

const TOKEN: &str = "Authorization: Bearer the-right-secret\r\n";
/// Everything a sender says that must not be found in the log.
const PRIVATE: [&str; 10] = [
    "right-secret",
    "wrong-secret",
    "Bearer",
    "uthorization",
    "asked-in-query",
    "79005550123",
    "Private Name",
    "private text",
    "weirdType",
    "\u{1b}",
];

/// A notification with a person in it.
fn message(kind: &str, number: u32) -> Vec<u8> {
    format!(
        r#"{{"typeWebhook":"{kind}","instanceData":{{"idInstance":7,"wid":"79005550123@c.us"}},"number":{number},
        "senderData":{{"chatId":"79005550123@c.us","senderName":"Private Name"}},
        "messageData":{{"textMessageData":{{"textMessage":"private text"}}}}}}"#
    )
    .into_bytes()
}

/// Every line is JSON.
fn events(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// What is said of one notification, in order.
fn said_of<'e>(events: &'e [Value], body: &[u8]) -> Vec<(&'e str, &'e str)> {
    let id = greenapi_bridge::message::Id::of(body).to_string();
    let own = events.iter().filter(|event| event["ce_id"] == id);
    own.map(|event| (event["level"].as_str().unwrap(), event["message"].as_str().unwrap())).collect()
}

/// Those of notifications and brokers: without tokens there is one more, at start.
fn warnings(events: &[Value]) -> usize {
    let open = |event: &&Value| event["message"] == "anonymous access";
    events.iter().filter(|event| event["level"] != "INFO" && !open(event)).count()
}

fn tokens() -> (tempfile::NamedTempFile, String) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"the-right-secret\n").unwrap();
    let config = format!("publish.timeout = \"1s\"\nauth.tokens_file = \"{}\"\n", file.path().display());
    (file, config)
}

#[test]
fn a_whole_run_is_logged_once_and_contains_no_secret() {
    let nats = Nats::start();
    let (_tokens, config) = tokens();
    let mut bridge = Bridge::start(&nats, &config);
    let post = |body: &[u8]| bridge.post_with(TOKEN, body).0;
    let weird = message(&format!("weirdType\\u001b[31m\\n{}", "weirdType ".repeat(20_000)), 1);
    let (stored, broken) = (message("incomingMessageReceived", 1), &weird[1..]);
    let (late, weird_late) = (message("incomingMessageReceived", 2), message("weirdType", 2));
    for body in [&stored, &stored, &weird, broken] {
        assert_eq!(post(body), 200);
    }
    assert_eq!(bridge.post_with("Authorization: Bearer wrong-secret\r\n", &stored).0, 401);
    let lost = format!("POST /private?asked-in-query HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{TOKEN}\r\n");
    assert_eq!(exchange(bridge.http, lost.as_bytes()).0, 404);
    nats.signal("-STOP");
    assert_eq!((post(&late), post(&weird_late)), (503, 503));
    eventually("the first is logged", Duration::from_secs(2), || warnings(&events(&bridge.log())) == 3);
    nats.signal("-CONT");
    eventually("both are stored", Duration::from_secs(5), || bridge.metric("in_flight") == 0.0);
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));

    let log = bridge.log();
    PRIVATE.iter().for_each(|word| assert!(!log.contains(word), "{word} in {log}"));
    let events = events(&log);
    assert!(said_of(&events, &stored).is_empty() && said_of(&events, &weird).is_empty(), "{log}");
    assert_eq!(said_of(&events, broken), [("INFO", "not a notification: goes to the dead letter")]);
    assert_eq!(said_of(&events, &late)[0], ("WARN", "not stored"));
    // what one of both says is a repeat of what the other says
    let told = |message: &str| events.iter().filter(|event| event["message"] == message).count();
    for message in ["not stored", "late ack: stored"] {
        assert_eq!((told(message), told(&format!("{message}: 1 more in the last minute"))), (1, 1), "{log}");
    }
    let reasons: Vec<_> =
        events.iter().filter(|event| event["message"] == "request refused").map(|event| &event["reason"]).collect();
    assert_eq!(reasons, ["unauthorized", "not_found"]);
    assert_eq!(warnings(&events), 4, "{log}");
    assert!(events.len() < 15 && log.len() < 4000, "nothing is said of what is as it should be: {log}");
}

#[test]
fn each_outage_and_each_return_of_a_broker_is_logged_once() {
    let mut nats = Nats::start();
    let bridge = Bridge::start(&nats, "publish.timeout = \"1s\"\n");
    nats.signal("-STOP");
    let lost = message("incomingCall", 0);
    assert_eq!(bridge.post(&lost).0, 503);
    nats.kill();
    eventually("down", Duration::from_secs(5), || bridge.get("/readyz").0 == 503);
    let bodies = [message("incomingCall", 1), message("incomingCall", 2)];
    bodies.iter().for_each(|body| assert_eq!(bridge.post(body).0, 503));
    nats.start_again();
    eventually("up", Duration::from_secs(10), || bridge.log().contains("outage ended"));
    let events = events(&bridge.log());
    let said = events.iter().filter_map(|event| event["message"].as_str());
    let of_broker: Vec<_> = said.filter(|said| said.starts_with("broker ")).collect();
    assert_eq!(of_broker, ["broker up", "broker down", "broker up"]);
    assert_eq!(said_of(&events, &bodies[0]), [("WARN", "not stored")]);
    assert!(said_of(&events, &bodies[1]).is_empty(), "a repeat: {}", bridge.log());
    assert_eq!(said_of(&events, &lost), [("WARN", "not stored"), ("INFO", "publish failed after the answer")]);
    assert_eq!(warnings(&events), 4, "{}", bridge.log());
    let told = |message: &str| events.iter().find(|event| event["message"] == message).unwrap();
    assert_eq!(told("notifications are answered 503 and GREEN-API repeats them")["reason"], "disconnected");
    let ended = told("outage ended");
    assert_eq!((&ended["not_stored"], &ended["to_journal"]), (&2.into(), &0.into()), "{ended}");
}

#[cfg(feature = "journal")]
#[test]
fn an_outage_with_a_journal_tells_that_nothing_is_lost_and_how_much_room_is_left() {
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let bridge = Bridge::start(&nats, &format!("journal.directory = {:?}\n", folder.path().join("data")));
    eventually("connected", Duration::from_secs(10), || bridge.metric("broker_connected{broker=\"nats\"}") == 1.0);
    nats.kill();
    eventually("down", Duration::from_secs(5), || bridge.log().contains("notifications go to the journal"));
    (0..3).for_each(|number| assert_eq!(bridge.post(&message("incomingCall", number)).0, 200));
    nats.start_again();
    eventually("it is over", Duration::from_secs(10), || bridge.log().contains("outage ended"));
    let events = events(&bridge.log());
    let told = |message: &str| events.iter().find(|event| event["message"] == message).unwrap();
    let begun = told("notifications go to the journal and are forwarded later");
    assert!(begun["level"] == "WARN" && begun["reason"] == "disconnected", "{begun}");
    assert!(begun["free_capacity_bytes"].as_u64().unwrap() > 1024 * 1024, "{begun}");
    let ended = told("outage ended");
    assert_eq!((&ended["not_stored"], &ended["to_journal"]), (&0.into(), &3.into()), "{ended}");
}

#[test]
fn a_missing_permission_is_logged_once_in_our_words() {
    // which name the subject, and so the type the sender chose
    let (nats, login, _secret) = denying("greenapi.other.>");
    let bridge = Bridge::start(&nats, &login);
    let weird = message("weirdType", 1);
    assert_eq!(bridge.post(&weird).0, 503);
    let events = events(&bridge.log());
    assert_eq!(said_of(&events, &weird), [("WARN", "not stored")]);
    assert_eq!(warnings(&events), 1, "{}", bridge.log());
    assert!(!bridge.log().contains("weirdType"), "{}", bridge.log());
}

#[test]
fn an_unread_log_blocks_nothing() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "log.level = \"debug\"\n").unread();
    // each is a line, and all together exceed the buffer of a pipe
    for _ in 0..1500 {
        assert_eq!(bridge.post(&message("incomingCall", 0)).0, 200);
    }
    assert_eq!(bridge.post(&message("incomingCall", 1)).0, 200);
    assert_eq!(bridge.get("/livez").0, 200);
    assert_eq!(bridge.terminate(), Some(0));
}

#[test]
fn an_endpoint_without_authentication_is_logged_once_at_start() {
    let nats = Nats::start();
    let (_tokens, closed) = tokens();
    for (config, told) in [("", 1), ("auth.allow_anonymous = true\n", 1), (&closed, 0)] {
        let bridge = Bridge::start(&nats, config);
        let events = events(&bridge.log());
        let problem = format!("anyone who reaches {} may send, also through a proxy on this machine", bridge.http);
        let open = events.iter().filter(|event| event["message"] == "anonymous access" && event["problem"] == problem);
        let is_warning = |event: &&Value| {
            event["level"] == "WARN" && event["remedy"].as_str().unwrap().starts_with("set auth.tokens_file")
        };
        assert_eq!(open.filter(is_warning).count(), told, "{config}");
    }
}

#[cfg(feature = "journal")]
#[test]
fn the_log_has_the_configured_level_and_format() {
    let folder = tempfile::tempdir().unwrap();
    let journal = |name: &str| format!("journal.directory = {:?}\n", folder.path().join(name));
    let text = Bridge::with(&format!("{}log.format = \"text\"\n", journal("text")), false).ready();
    let line = text.log().lines().find(|line| line.contains("serving")).unwrap().to_owned();
    assert!(line.contains(" INFO ") && !line.contains('{') && !line.contains('\u{1b}'), "{line}");
    let quiet = Bridge::with(&format!("{}log.level = \"error\"\n", journal("quiet")), false).ready();
    assert_eq!(quiet.log(), "");
    let debug = Bridge::with(&format!("{}log.level = \"debug\"\n", journal("debug")), false).ready();
    assert_eq!(debug.post(&message("incomingCall", 1)).0, 200);
    assert!(events(&debug.log()).iter().any(|event| event["level"] == "DEBUG"), "{}", debug.log());
}

#[cfg(feature = "journal")]
#[test]
fn options_are_stronger_than_the_environment_and_that_than_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("bridge.toml");
    std::fs::write(&config, "http.listen = \"127.0.0.1:0\"\njournal.directory = \"data\"\nlog.level = \"error\"\n")
        .unwrap();
    let run = |words: &[&str], variable: &str| {
        let mut program = std::process::Command::new("timeout");
        // otherwise it signals its whole group too, and the bridge gets a second signal
        program.args(["--foreground", "--signal", "TERM", "1", env!("CARGO_BIN_EXE_greenapi-bridge")]).args(words);
        program.arg("--config").arg(&config).env("RUST_LOG", variable);
        String::from_utf8(program.output().unwrap().stderr).unwrap()
    };
    assert_eq!(run(&[], ""), "", "the configuration");
    assert!(run(&[], "info").contains("serving"), "the environment");
    assert!(!run(&["-q"], "info").contains("serving"), "an option");
    assert!(run(&["run", "--log-level", "info"], "error").contains("serving"));
    assert!(run(&["-v"], "error").contains("serving"));
    for (words, variable, key) in
        [(&[][..], "verbose", "RUST_LOG"), (&["--log-level", "verbose"], "info", "--log-level")]
    {
        let said = run(words, variable);
        let said = refusals(said.as_bytes());
        assert!(said.contains(&format!("{key} = \"verbose\": `verbose` is no level")), "{said}");
    }
}

#[test]
fn the_log_says_what_is_wrong_with_the_token_of_a_refused_request() {
    let (nats, mut tokens) = (Nats::start(), tempfile::NamedTempFile::new().unwrap());
    tokens.write_all(b"the-right-secret\n8 bound-to-instance-eight\n").unwrap();
    let bridge = Bridge::start(&nats, &format!("auth.tokens_file = {:?}\n", tokens.path()));
    for (header, detail) in [
        ("", "no Authorization header"),
        ("Authorization: the-right-secret\r\n", "no scheme such as Bearer"),
        ("Authorization: Bearer the-wrong-secret\r\n", "not in auth.tokens_file"),
        ("Authorization: Bearer bound-to-instance-eight\r\n", "bound to another instance"),
    ] {
        assert_eq!(bridge.post_with(header, &message("incomingCall", 1)).0, 401);
        let log = bridge.log();
        let last = events(&log).pop().unwrap();
        assert!(last["detail"].as_str().unwrap().contains(detail), "{last}");
        assert!(!log.contains("secret") && !log.contains("bound-to-instance"), "{log}");
    }
}

#[test]
fn each_notification_has_one_debug_line_without_its_body() {
    let mut nats = Nats::start();
    let bridge = Bridge::start(&nats, "publish.timeout = \"1s\"\nlog.level = \"greenapi_bridge=debug,info\"\n");
    let [stored, lost] = [1, 2].map(|number| message("incomingCall", number));
    let broken = &stored[1..];
    for body in [&stored, &stored, broken] {
        assert_eq!(bridge.post(body).0, 200);
    }
    nats.kill();
    assert_eq!(bridge.post(&lost).0, 503);
    let events = events(&bridge.log());
    let lines: Vec<_> = events.iter().filter(|event| event["message"] == "notification").collect();
    let fields = |line: &&Value| {
        assert!(line["ms"].is_u64() && line["level"] == "DEBUG" && line["broker"] == "nats", "{line}");
        ["ce_id", "class", "type", "outcome"].map(|name| line[name].as_str().unwrap_or("-").to_owned())
    };
    let told: Vec<_> = lines.iter().map(fields).collect();
    let id = |body: &[u8]| greenapi_bridge::message::Id::of(body).to_string();
    let line = |body: &[u8], class: &str, kind: &str, outcome: &str| {
        [id(body), class.to_owned(), kind.to_owned(), outcome.to_owned()]
    };
    let call = |body: &[u8], outcome: &str| line(body, "incoming", "incomingCall", outcome);
    let expected = [
        call(&stored, "broker"),
        call(&stored, "duplicate"),
        line(broken, "unknown", "-", "dead_letter"),
        call(&lost, "not_stored"),
    ];
    assert_eq!(told, expected);
    assert!(lines.iter().all(|line| line["instance"] == "7" || line["class"] == "unknown"), "{lines:?}");
    PRIVATE.iter().for_each(|word| assert!(!bridge.log().contains(word), "{word} in {}", bridge.log()));
}
