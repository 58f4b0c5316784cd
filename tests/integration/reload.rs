//! Changed files are applied while the bridge serves: no request fails and no connection is closed by it.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Bridge, Connection, LOOPBACK, Nats, eventually, exchange, free_port, text};

/// A reload is in use after two reads of the file, a second apart.
const SOON: Duration = Duration::from_secs(30);
const STAYS: &str = "token-that-stays-valid";

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// Replaces a file as certbot does it: a new one takes its name.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

fn tokens_file(path: &Path) -> String {
    format!("auth.tokens_file = {path:?}\n")
}

/// A notification on a connection that stays open.
fn keep_alive(token: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /green-api/webhook/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn status(connection: &mut Connection, token: &str, body: &[u8]) -> u16 {
    connection.send(keep_alive(token, body));
    connection.answer().status
}

/// The lines of an event, and of one thing.
fn logged(bridge: &Bridge, event: &str, what: &str) -> Vec<Value> {
    let lines = bridge.log();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == event && (what.is_empty() || line["what"] == what)).collect()
}

fn readyz(bridge: &Bridge) -> Value {
    let (status, text) = bridge.get("/readyz");
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn reloads(bridge: &Bridge, what: &str, result: &str) -> f64 {
    bridge.metric(&format!("reloads_total{{result=\"{result}\",what=\"{what}\"}}"))
}

/// Posts on one open connection until `over`, with the token that stays; counts in `sent`.
fn sender(bridge: &Bridge, number: usize, sent: &AtomicUsize, over: &AtomicBool) {
    let mut connection = Connection::open(bridge.http);
    while !over.load(Relaxed) {
        let body = text(number * 1_000_000 + sent.load(Relaxed));
        assert_eq!(status(&mut connection, STAYS, &body), 200);
        sent.fetch_add(1, Relaxed);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn twenty_changes_of_the_tokens_take_effect_and_fail_no_request_and_drop_no_connection() {
    let (nats, tokens) = (Nats::start(), file(&format!("{STAYS}\n")));
    let bridge = Bridge::start(&nats, &tokens_file(tokens.path()));
    let (over, sent) = (AtomicBool::new(false), [const { AtomicUsize::new(0) }; 3]);
    std::thread::scope(|scope| {
        for (number, sent) in (1..).zip(&sent) {
            let (bridge, over) = (&bridge, &over);
            scope.spawn(move || sender(bridge, number, sent, over));
        }
        let _end = EndsSenders(&over);
        // open before the first change, and all through
        let mut connection = Connection::open(bridge.http);
        let mut change = |to: &str, expected: u16, other: &str| {
            replace(tokens.path(), to);
            bridge.signal("-HUP");
            eventually(&format!("{expected} for {other}"), SOON, || {
                status(&mut connection, other, &text(1)) == expected
            });
            let before = sent.each_ref().map(|sent| sent.load(Relaxed));
            let has_sent = || sent.iter().zip(before).all(|(sent, before)| sent.load(Relaxed) > before + 1);
            eventually("each sender has sent since", SOON, has_sent);
        };
        for number in 0..10 {
            let other = format!("another-token-number-{number}");
            change(&format!("{STAYS}\n{other}\n"), 200, &other);
            change(&format!("{STAYS}\n"), 401, &other);
        }
    });
    assert_eq!((reloads(&bridge, "tokens", "loaded"), reloads(&bridge, "tokens", "failed")), (20.0, 0.0));
    let log = bridge.log();
    assert!(!log.contains("token-number") && !log.contains(STAYS), "{log}");
    assert_eq!(logged(&bridge, "reloaded", "tokens")[0]["detail"], "tokens: 2, bound to instances: 0");
}

/// Ends the senders also when a check fails: the test would wait for them for ever.
struct EndsSenders<'f>(&'f AtomicBool);

impl Drop for EndsSenders<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn a_changed_file_is_applied_without_a_signal() {
    let (nats, tokens) = (Nats::start(), file(&format!("{STAYS}\n")));
    let bridge = Bridge::start(&nats, &tokens_file(tokens.path()));
    let mut connection = Connection::open(bridge.http);
    assert_eq!(status(&mut connection, "the-second-token", &text(1)), 401);
    replace(tokens.path(), &format!("{STAYS}\nthe-second-token\n"));
    eventually("it is accepted", SOON, || status(&mut connection, "the-second-token", &text(1)) == 200);
    assert!(readyz(&bridge)["reload"].is_null());
}

#[test]
fn a_bad_tokens_file_keeps_the_old_tokens_and_is_logged_once_counted_and_shown() {
    let (nats, tokens) = (Nats::start(), file(&format!("{STAYS}\n")));
    let bridge = Bridge::start(&nats, &tokens_file(tokens.path()));
    let mut connection = Connection::open(bridge.http);
    replace(tokens.path(), &format!("{STAYS}\nthis is no token-of-a-file\n"));
    eventually("it is shown", SOON, || !readyz(&bridge)["reload"].is_null());
    let shown = readyz(&bridge)["reload"].clone();
    assert_eq!(shown["tokens"]["state"], "failed");
    assert_eq!(shown.as_object().unwrap().len(), 1, "{shown}");
    assert_eq!(status(&mut connection, STAYS, &text(1)), 200);
    assert!(bridge.get("/").1.contains("reload of tokens"), "the status page has it too");
    // several polls later
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(reloads(&bridge, "tokens", "failed"), 1.0);
    let lasts = |what: &str| bridge.metric(&format!("reload_failed{{what=\"{what}\"}}"));
    assert_eq!((lasts("tokens"), lasts("configuration")), (1.0, 0.0));
    let failures = logged(&bridge, "reload_failed", "tokens");
    assert_eq!(failures.len(), 1, "{failures:?}");
    let problem = failures[0]["problem"].as_str().unwrap();
    let begin = format!("auth.tokens_file = {}: line 2 ", tokens.path().display());
    assert!(problem.starts_with(&begin) && !problem.contains("of-a-file"), "{problem}");
    replace(tokens.path(), &format!("{STAYS}\nthe-second-token\n"));
    eventually("the next is accepted", SOON, || status(&mut connection, "the-second-token", &text(2)) == 200);
    eventually("no failure is left", SOON, || readyz(&bridge)["reload"].is_null());
    assert_eq!(lasts("tokens"), 0.0);
    assert!(!bridge.get("/").1.contains("reload of tokens"));
}

#[test]
fn instances_get_and_lose_their_series_with_their_tokens() {
    let (nats, tokens) = (Nats::start(), file(&format!("{STAYS}\n7 token-of-instance-7\n")));
    let bridge = Bridge::start(&nats, &tokens_file(tokens.path()));
    let has = |instance: u64| {
        let series = format!("instance_last_notification_timestamp_seconds{{instance=\"{instance}\"}}");
        bridge.get("/metrics").1.contains(&series)
    };
    assert!(has(7) && !has(8));
    replace(tokens.path(), &format!("{STAYS}\n8 token-of-instance-8\n"));
    bridge.signal("-HUP");
    eventually("the new one has a series", SOON, || has(8));
    assert!(!has(7));
}

#[test]
fn admin_tokens_are_reloaded() {
    let (nats, tokens) = (Nats::start(), file("first-token-of-operators\n"));
    let config = format!("admin.tokens_file = {:?}\n", tokens.path());
    let bridge = Bridge::start(&nats, &config);
    let get = |token: &str| {
        let head = format!(
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        exchange(bridge.admin, head.as_bytes()).0
    };
    assert_eq!((get("first-token-of-operators"), get("second-token-of-operators")), (200, 401));
    replace(tokens.path(), "second-token-of-operators\n");
    eventually("the new one is accepted", SOON, || get("second-token-of-operators") == 200);
    assert_eq!(get("first-token-of-operators"), 401);
}

#[test]
fn the_allow_list_follows_the_configuration_on_an_open_connection() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let config = bridge.config.path();
    let without = std::fs::read_to_string(config).unwrap();
    let mut connection = Connection::open(bridge.http);
    let mut becomes = |list: &str, expected: u16| {
        replace(config, &format!("{without}{list}"));
        bridge.signal("-HUP");
        eventually(&format!("{expected} with {list:?}"), SOON, || {
            status(&mut connection, "none", &text(1)) == expected
        });
    };
    becomes("auth.allow_from = [\"10.0.0.0/8\"]\n", 403);
    becomes("auth.allow_from = [\"10.0.0.0/8\", \"127.0.0.0/8\"]\n", 200);
    becomes("auth.allow_from = [\"192.0.2.1\"]\n", 403);
    becomes("", 200);
    assert_eq!(reloads(&bridge, "allow_list", "loaded"), 4.0);
    assert!(logged(&bridge, "restart_needed", "").is_empty(), "nothing else has changed");
}

#[test]
fn a_bad_configuration_keeps_everything_and_is_logged_once_counted_and_shown() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let config = bridge.config.path();
    let good = std::fs::read_to_string(config).unwrap();
    // the allow list would be a good one
    replace(config, &format!("auth.allow_from = [\"10.0.0.0/8\"]\n{good}http.lisen = \"x\"\nnats.strem = \"x\"\n"));
    eventually("it is shown", SOON, || readyz(&bridge)["reload"]["configuration"]["state"] == "failed");
    std::thread::sleep(Duration::from_secs(3));
    let failures = logged(&bridge, "reload_failed", "configuration");
    assert_eq!(failures.len(), 1, "{failures:?}");
    let problem = failures[0]["problem"].as_str().unwrap();
    for error in ["http.lisen = \"x\": unknown key", "nats.strem = \"x\": unknown key"] {
        assert!(problem.contains(error), "{error} in {problem}");
    }
    assert_eq!(bridge.post(&text(1)).0, 200);
    assert_eq!(reloads(&bridge, "configuration", "failed"), 1.0);
    replace(config, &good);
    eventually("no failure is left", SOON, || readyz(&bridge)["reload"].is_null());
}

#[test]
fn keys_that_need_a_restart_are_named_once_and_without_their_values() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "publish.timeout = \"5s\"\n");
    let config = bridge.config.path();
    let text = std::fs::read_to_string(config).unwrap().replace("\"5s\"", "\"6s\"");
    replace(config, &format!("{text}log.level = \"debug\"\n[nats.provision]\n"));
    eventually("it is said", SOON, || !logged(&bridge, "restart_needed", "").is_empty());
    std::thread::sleep(Duration::from_secs(3));
    let said = logged(&bridge, "restart_needed", "");
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0]["keys"], "log.level, nats.provision, publish.timeout");
    assert!(!said[0].to_string().contains("6s"), "{}", said[0]);
    assert_eq!(bridge.post(b"{}").0, 200, "it serves as before");
    let waiting = serde_json::json!(["log.level", "nats.provision", "publish.timeout"]);
    assert_eq!(readyz(&bridge)["reload"]["needs_restart"], waiting);
    let row = "restart needed for</th><td class=\"bad\">✗ log.level, nats.provision, publish.timeout<";
    assert!(bridge.get("/").1.contains(row), "{}", bridge.get("/").1);
    replace(config, &text.replace("\"6s\"", "\"5s\""));
    eventually("none waits any more", SOON, || readyz(&bridge)["reload"].is_null());
}

#[test]
fn a_storm_of_signals_does_not_fill_the_log() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let begun = std::time::Instant::now();
    for _ in 0..60 {
        bridge.signal("-HUP");
    }
    eventually("it is said", SOON, || !logged(&bridge, "reload_unchanged", "").is_empty());
    let (said, seconds) = (logged(&bridge, "reload_unchanged", "").len(), begun.elapsed().as_secs_f64());
    assert!(said as f64 <= seconds + 2.0, "{said} lines in {seconds} s");
}

#[test]
fn a_tokens_file_that_every_user_can_read_gets_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let (nats, tokens) = (Nats::start(), file(&format!("{STAYS}\n")));
    for (mode, warned) in [(0o640, false), (0o644, true)] {
        std::fs::set_permissions(tokens.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let bridge = Bridge::start(&nats, &tokens_file(tokens.path()));
        let log = bridge.log();
        let has =
            log.contains("tokens file is open to every user") && log.contains("every user of this machine can read");
        assert_eq!(has, warned, "{mode:o}: {log}");
        let checked = crate::harness::command("check --offline", bridge.config.path());
        let found = String::from_utf8(checked.stdout).unwrap();
        let line = "! tokens        auth.tokens_file: every user of this machine can read or change it (mode 644)";
        assert_eq!((checked.status.code(), found.contains(line)), (Some(0), warned), "{mode:o}: {found}");
    }
}

#[test]
fn a_signal_without_a_change_says_so() {
    let nats = Nats::start();
    let bridge = Bridge::start_at([LOOPBACK; 2], &nats, &format!("probes.listen = \"127.0.0.1:{}\"\n", free_port()));
    bridge.signal("-HUP");
    eventually("it is said", SOON, || logged(&bridge, "reload_unchanged", "").len() == 1);
    assert_eq!(bridge.post(&text(1)).0, 200);
}
