//! `dead-letter` with a real nats-server.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream::{self, Context};
use greenapi_bridge::message::Id;
use serde_json::Value;

use crate::dead_letter_parts::sized;
use crate::harness::{Bridge, Nats, body, command, eventually, nats_servers, text};
use crate::nats_server::{denying, file};

pub fn out(answer: &Output) -> String {
    String::from_utf8(answer.stdout.clone()).unwrap()
}

pub fn said(answer: &Output) -> String {
    String::from_utf8(answer.stderr.clone()).unwrap()
}

/// The command's exit code, and what it printed.
pub fn run(words: &str, config: &Path) -> (Option<i32>, String) {
    let answer = command(&format!("dead-letter {words}"), config);
    (answer.status.code(), out(&answer))
}

/// A line of `list --json` each.
pub fn listed(words: &str, config: &Path) -> Vec<Value> {
    let answer = command(format!("dead-letter list --json {words}").trim_end(), config);
    assert!(answer.status.success(), "{}", said(&answer));
    out(&answer).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn id(body: &[u8]) -> String {
    Id::of(body).to_string()
}

fn with_stream<T>(nats: &Nats, act: impl AsyncFnOnce(Context) -> T) -> T {
    let server = format!("nats://127.0.0.1:{}", nats.port);
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(async { act(jetstream::new(async_nats::connect(server).await.unwrap())).await })
}

/// Publishes notifications as dead letters, as a version that could not parse them would have done.
pub fn bury(nats: &Nats, bodies: &[Vec<u8>]) {
    with_stream(nats, async |context| {
        for body in bodies {
            let mut headers = HeaderMap::new();
            let (id, dedupe_id) = (id(body), format!("dl-{}", id(body)));
            for (name, value) in [
                ("ce-id", id.as_str()),
                ("ce-recordedtime", "2026-01-01T00:00:00.000Z"),
                ("ce-instance", "7"),
                ("bridge-reason", "no_type"),
                ("bridge-detail", "of another time"),
                ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
                ("Nats-Msg-Id", dedupe_id.as_str()),
            ] {
                headers.insert(name, value);
            }
            let stored = context.publish_with_headers("greenapi.dead-letter", headers, body.clone().into()).await;
            stored.unwrap().await.unwrap();
        }
    });
}

pub fn live(nats: &Nats) -> Vec<Value> {
    let all = nats.read().into_iter();
    all.filter(|message| message["subject"] != "greenapi.dead-letter").collect()
}

const BROKEN: &[u8] = b"{\"text\":\"a secret\"";
const NO_TYPE: &[u8] = br#"{"instanceData":{"idInstance":1101000009}}"#;

#[test]
fn list_shows_the_headers_of_each_and_no_part_of_its_body() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let large = sized(1_500_000);
    for dead in [BROKEN, NO_TYPE, &large] {
        assert_eq!(bridge.post(dead), (200, "{\"stored\":\"dead_letter\"}".into()));
    }
    assert_eq!(bridge.post(&text(1)).0, 200);
    let config = bridge.config.path();
    let all = listed("", config);
    assert_eq!(all.len(), 3, "one each, however many parts");
    let of = |key: &str| all.iter().map(|line| line[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("reason"), ["not_json", "no_type", "too_large"]);
    assert_eq!(of("id"), [id(BROKEN), id(NO_TYPE), id(&large)]);
    assert_eq!(of("size"), [BROKEN.len(), NO_TYPE.len(), 1_500_000]);
    assert_eq!(of("instance"), [Value::Null, "1101000009".into(), "7".into()]);
    assert_eq!(of("type"), [Value::Null, Value::Null, "incomingCall".into()]);
    assert_eq!(of("parts"), [1, 1, 3]);
    assert_eq!(of("replayed"), [0, 0, 0]);
    let (code, human) = run("list", config);
    assert_eq!(code, Some(0));
    assert!(human.lines().count() == 4 && human.contains("3/3") && !human.contains("secret"), "{human}");
    for (words, wanted) in [
        ("--reason not_json --reason too_large", vec!["not_json", "too_large"]),
        ("--instance 1101000009", vec!["no_type"]),
        ("--since 1h", vec!["not_json", "no_type", "too_large"]),
        ("--since 2100-01-01T00:00:00Z", vec![]),
        ("--limit 2", vec!["not_json", "no_type"]),
        ("--broker nats --limit 1", vec!["not_json"]),
    ] {
        let found: Vec<_> = listed(words, config).into_iter().map(|line| line["reason"].clone()).collect();
        assert_eq!(found, wanted, "{words}");
    }
    assert_eq!(run("list --broker kafka", config).0, Some(2));
    assert_eq!(run("list --reason bad_luck", config).0, Some(2));
}

#[test]
fn show_prints_the_received_bytes_or_names_missing_parts() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let large = sized(1_500_000);
    for dead in [BROKEN, &large] {
        assert_eq!(bridge.post(dead).1, "{\"stored\":\"dead_letter\"}");
    }
    let config = bridge.config.path();
    let show = |words: &str| command(&format!("dead-letter show {words}"), config);
    assert_eq!(show(&id(BROKEN)).stdout, BROKEN);
    assert_eq!(show(&id(&large)).stdout, large, "three parts in their order");
    let with_headers = show(&format!("--headers {}", id(BROKEN))).stdout;
    let text = String::from_utf8(with_headers).unwrap();
    let (headers, shown) = text.split_once("\n\n").unwrap();
    // which of them comes last is not said
    let headers = format!("{headers}\n");
    assert!(
        headers.contains("bridge-reason: not_json\n") && headers.contains(&format!("ce-id: {}", id(BROKEN))),
        "{text}"
    );
    assert_eq!(shown.as_bytes(), BROKEN);
    let parts = nats.read();
    let second = parts.iter().find(|message| message["headers"]["bridge-part"] == "2/3").unwrap();
    let sequence = second["seq"].as_u64().unwrap();
    with_stream(&nats, async |context| {
        context.get_stream("GREENAPI").await.unwrap().delete_message(sequence).await.unwrap()
    });
    let answer = show(&id(&large));
    assert_eq!((answer.status.code(), answer.stdout.len()), (Some(1), 0));
    assert!(said(&answer).contains("1 of 3 parts are not there: 2\n"), "{}", said(&answer));
    assert_eq!(listed("--reason too_large", config)[0]["missing"], serde_json::json!([2]));
    let (code, told) = run("replay --reason too_large", config);
    assert!(code == Some(1) && told.contains("1 of 3 parts are not there: 2\n"), "{told}");
    let unknown = show(&id(b"x"));
    assert!(unknown.status.code() == Some(1) && said(&unknown).contains("there is no dead letter"));
    assert_eq!(show("123").status.code(), Some(2));
}

#[test]
fn a_replay_uses_the_current_routes_once_and_is_recorded() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    bury(&nats, &[text(1), text(2)]);
    assert_eq!(bridge.post(BROKEN).0, 200);
    let config = bridge.config.path();
    let (code, told) = run("replay --all --dry-run", config);
    assert_eq!(code, Some(1), "one stays");
    assert!(told.contains(&format!("{}  would go to: greenapi.incoming.7.incomingCall\n", id(&text(1)))), "{told}");
    assert_eq!(live(&nats).len(), 0);
    // one, out of order
    let (code, told) = run(&format!("replay {}", id(&text(2))), config);
    assert_eq!((code, told.as_str()), (Some(0), "nats: 1 replayed, 0 already replayed, 0 not replayable, 0 failed\n"));
    let (code, told) = run("replay --all", config);
    assert_eq!(code, Some(1));
    assert!(told.contains(&format!("{}  not replayable: still not a notification: not JSON", id(BROKEN))), "{told}");
    assert!(told.ends_with("nats: 1 replayed, 1 already replayed, 1 not replayable, 0 failed\n"), "{told}");
    let (code, told) = run("replay --all --json", config);
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, &told[0]["outcome"], told.len()), (Some(1), &"not_replayable".into(), 2), "{told:?}");
    assert_eq!((&told[1]["broker"], &told[1]["already_replayed"]), (&"nats".into(), &2.into()), "{told:?}");
    let (_, told) = run("replay --all", config);
    assert!(told.ends_with("nats: 0 replayed, 2 already replayed, 1 not replayable, 0 failed\n"), "{told}");
    let stored = live(&nats);
    assert_eq!(stored.iter().map(body).collect::<Vec<_>>(), [text(2), text(1)]);
    for message in &stored {
        let headers = &message["headers"];
        assert_eq!(headers["ce-id"], headers["Nats-Msg-Id"]);
        assert_eq!((&headers["ce-class"], &headers["bridge-reason"]), (&"incoming".into(), &Value::Null));
        assert_eq!(headers["traceparent"], "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    }
    let counts: Vec<_> = listed("", config).into_iter().map(|line| line["replayed"].clone()).collect();
    assert_eq!(counts, [1, 1, 0]);
    // inside the window of the stream, which has those ids
    let (code, told) = run("replay --reason no_type --again", config);
    assert_eq!((code, told.as_str()), (Some(0), "nats: 2 replayed, 0 already replayed, 0 not replayable, 0 failed\n"));
    assert_eq!(live(&nats).len(), 4);
    assert_eq!(live(&nats)[2]["headers"]["Nats-Msg-Id"], format!("again-1-{}", id(&text(1))));
    assert_eq!(listed("", config)[0]["replayed"], 2);
}

#[test]
fn an_encoded_body_names_its_encoding_and_is_replayed_only_if_it_is_a_notification() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00";
    for (headers, body) in [
        ("Content-Encoding: gzip\r\n", &gzip[..]),
        ("Content-Encoding: identity\r\nContent-Encoding: br\r\n", &text(1)),
    ] {
        assert_eq!(bridge.post_with(headers, body), (200, "{\"stored\":\"dead_letter\"}".into()));
    }
    let stored = nats.read();
    assert_eq!(stored.iter().map(body).collect::<Vec<_>>(), [gzip.to_vec(), text(1)], "as they were sent");
    let all = |header| stored.iter().map(|message| message["headers"][header].as_str()).collect::<Vec<_>>();
    assert_eq!(all("bridge-reason"), [Some("encoded"); 2]);
    let details = ["gzip", "identity, br"].map(|encoding| format!("it was sent with Content-Encoding: {encoding}"));
    assert_eq!(all("bridge-detail"), details.each_ref().map(|detail| Some(detail.as_str())));
    assert_eq!(all("content-type"), [Some("application/octet-stream"); 2]);
    assert_eq!(all("ce-instance"), [None, Some("7")]);
    let (code, told) = run("replay --reason encoded", bridge.config.path());
    assert_eq!(code, Some(1));
    assert!(told.contains(&format!("{}  not replayable: still not a notification: not JSON", id(gzip))), "{told}");
    assert!(told.ends_with("nats: 1 replayed, 0 already replayed, 1 not replayable, 0 failed\n"), "{told}");
    assert_eq!(live(&nats).iter().map(body).collect::<Vec<_>>(), [text(1)]);
}

#[test]
fn a_body_still_too_large_stays_and_is_replayed_once_it_fits() {
    let settings = |most: usize| file(&format!("max_payload: {most}"));
    let small = settings(65_536);
    let mut nats = Nats::start_with(&["-c".to_owned(), small.path().display().to_string()]);
    let bridge = Bridge::start(&nats, "");
    let large = sized(300_000);
    assert_eq!(bridge.post(&large).1, "{\"stored\":\"dead_letter\"}");
    let config = bridge.config.path();
    let before = nats.read().len();
    let (code, told) = run("replay --all", config);
    assert!(code == Some(1) && told.contains("not replayable: nats refuses it: too_large"), "{told}");
    assert_eq!(nats.read().len(), before, "not stored there again");
    nats.kill();
    std::fs::write(small.path(), "max_payload: 1048576\n").unwrap();
    nats.start_again();
    let (code, told) = run("replay --all", config);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(live(&nats).iter().map(body).collect::<Vec<_>>(), [large]);
}

#[test]
fn a_killed_and_repeated_replay_stores_nothing_twice() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let bodies: Vec<_> = (0..1500).map(text).collect();
    bury(&nats, &bodies);
    let config = bridge.config.path();
    let mut cut_off = 0;
    for wait in [300, 500, 400, 600, 350] {
        let before = live(&nats).len();
        let mut replay = Command::new(env!("CARGO_BIN_EXE_greenapi-bridge"));
        replay.args(["dead-letter", "replay", "--all", "--config"]).arg(config).stdout(Stdio::null());
        let mut child = replay.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
        let now = live(&nats).len();
        cut_off += usize::from(now > before && now < bodies.len());
    }
    assert!(cut_off > 0, "none was cut off midway");
    let (code, told) = run("replay --all", config);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(live(&nats).iter().map(body).collect::<Vec<_>>(), bodies, "each once, in their order");
}

#[test]
fn a_server_that_is_down_or_denies_is_reported_in_time_with_the_remedy() {
    let (nats, login, _secret) = denying("$JS.API.CONSUMER.>");
    let bridge = Bridge::start(&nats, &login);
    let config = bridge.config.path();
    let begun = Instant::now();
    let answer = command("dead-letter list", config);
    assert_eq!(answer.status.code(), Some(1));
    assert!(said(&answer).contains("$JS.API.CONSUMER.CREATE.GREENAPI"), "{}", said(&answer));
    drop(nats);
    eventually("down", Duration::from_secs(10), || bridge.get("/readyz").0 == 503);
    for words in ["list", "show 00000000000000000000000000000007", "replay --all"] {
        let answer = command(&format!("dead-letter {words}"), config);
        assert_eq!(answer.status.code(), Some(1), "{words}");
        assert!(
            said(&answer).contains("connection refused; start it, or correct nats.servers"),
            "{words}: {}",
            said(&answer)
        );
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn listing_needs_only_the_permission_to_read_dead_letters() {
    let allowed =
        r#""$JS.API.CONSUMER.CREATE.GREENAPI.*.greenapi.dead-letter", "$JS.API.CONSUMER.MSG.NEXT.GREENAPI.*""#;
    let reader = format!(
        "{{ user: r, password: p, permissions: {{ publish: {{ allow: [{allowed}] }}, subscribe: {{ allow: [\"_INBOX.>\"] }} }} }}"
    );
    let server = file(&format!("authorization: {{ users: [ {{ user: u, password: p }}, {reader} ] }}"));
    let nats = Nats::start_with(&["-c".to_owned(), server.path().display().to_string()]);
    let password = file("p");
    let login =
        |user: &str| format!("nats.user = \"{user}\"\nnats.password_file = \"{}\"\n", password.path().display());
    let bridge = Bridge::start(&nats, &login("u"));
    assert_eq!(bridge.post(BROKEN).0, 200);
    let config = file(&format!("{}{}", nats_servers(&[nats.port]), login("r")));
    assert_eq!(listed("", config.path()).len(), 1);
    assert_eq!(command(&format!("dead-letter show {}", id(BROKEN)), config.path()).stdout, BROKEN);
}

#[test]
fn a_replay_needs_a_selection_that_exists() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let config = bridge.config.path();
    let none = command("dead-letter replay", config);
    assert_eq!(none.status.code(), Some(2), "{}", said(&none));
    let unknown = command(&format!("dead-letter replay {}", id(b"x")), config);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(said(&unknown).contains("there is no dead letter"), "{}", said(&unknown));
    assert_eq!(
        run("replay --all", config),
        (Some(0), "nats: 0 replayed, 0 already replayed, 0 not replayable, 0 failed\n".into())
    );
}
