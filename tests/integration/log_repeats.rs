//! Repeats in the log: the first line at once, the others as a count.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Bridge, Nats, eventually, text};

/// The lines whose message begins so.
fn lines(bridge: &Bridge, message: &str) -> Vec<Value> {
    let log = bridge.log();
    let events = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["message"].as_str().unwrap().starts_with(message)).collect()
}

#[test]
fn of_200_refused_requests_the_first_is_logged_and_the_others_are_counted() {
    let (nats, mut tokens) = (Nats::start(), tempfile::NamedTempFile::new().unwrap());
    tokens.write_all(b"the-right-secret\n").unwrap();
    let mut bridge = Bridge::start(&nats, &format!("auth.tokens_file = {:?}\n", tokens.path()));
    for number in 0..200 {
        let header = format!("Authorization: Bearer wrong-{number}\r\n");
        assert_eq!(bridge.post_with(&header, &text(number)).0, 401);
    }
    let refused = lines(&bridge, "request refused");
    assert_eq!(refused.len(), 1, "{}", bridge.log());
    assert_eq!(refused[0]["reason"], "unauthorized");
    assert_eq!(bridge.metric("refused_total{reason=\"unauthorized\"}"), 200.0);
    // another reason is news
    assert_eq!(bridge.post_with("", &text(1)).0, 401);
    assert_eq!(lines(&bridge, "request refused").len(), 2, "{}", bridge.log());
    // the last count comes at the end
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));
    let counted = lines(&bridge, "request refused: 199 more in the last minute");
    assert_eq!(counted.len(), 1, "{}", bridge.log());
    let fields = ["level", "client_address", "reason", "more"].map(|field| counted[0][field].clone());
    assert_eq!(fields, [Value::from("WARN"), "127.0.0.1".into(), "unauthorized".into(), 199.into()]);
}

#[test]
fn of_300_notifications_not_stored_the_log_has_few_lines() {
    let mut nats = Nats::start();
    let mut bridge = Bridge::start(&nats, "publish.timeout = \"50ms\"\n");
    nats.kill();
    eventually("down", Duration::from_secs(5), || bridge.get("/readyz").0 == 503);
    for number in 0..300 {
        let instance = number % 100;
        let body =
            format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":{instance}}},"number":{number}}}"#);
        assert_eq!(bridge.post(body.as_bytes()).0, 503);
    }
    assert_eq!(bridge.metric("http_requests_total{status=\"503\"}"), 300.0);
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));
    let more: u64 = lines(&bridge, "not stored: ").iter().map(|line| line["more"].as_u64().unwrap()).sum();
    let first = lines(&bridge, "not stored").len() - lines(&bridge, "not stored: ").len();
    assert_eq!(first as u64 + more, 300, "{}", bridge.log());
    assert!(bridge.log().lines().count() < 20, "{}", bridge.log());
}
