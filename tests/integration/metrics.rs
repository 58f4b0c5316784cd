//! What is counted, after a story whose every event is known.

use std::io::Write;
use std::time::{Duration, SystemTime};

use crate::harness::{Bridge, Nats, exchange, stream, text};

const TOKEN: &str = "Authorization: Bearer token-for-seven-only\r\n";

fn now() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64()
}

#[test]
fn everything_is_counted_once_under_its_own_name() {
    let nats = Nats::start();
    let mut tokens = tempfile::NamedTempFile::new().unwrap();
    tokens.write_all(b"7 token-for-seven-only\n8 token-for-eight-only\n").unwrap();
    let tokens = format!("auth.tokens_file = \"{}\"\n", tokens.path().display());
    let bridge = Bridge::start(&nats, &format!("{tokens}dedupe.max_ids = 2\n"));
    let begun = now().floor();
    for body in [text(1), text(1), text(2), text(3), b"broken".to_vec()] {
        assert_eq!(bridge.post_with(TOKEN, &body).0, 200);
    }
    assert_eq!(bridge.post_with("Authorization: Bearer token-for-eight-only\r\n", &text(4)).0, 401);
    assert_eq!(bridge.post(&text(4)).0, 401);
    let head = format!("GET /green-api/webhook HTTP/1.1\r\nHost: x\r\n{TOKEN}Connection: close\r\n\r\n");
    assert_eq!(exchange(bridge.http, head.as_bytes()).0, 405);
    // what hyper answers itself
    assert_eq!(exchange(bridge.http, b"nonsense\r\n\r\n").0, 400);
    let large = format!("POST / HTTP/1.1\r\nHost: x\r\nLarge: {}\r\n\r\n", "x".repeat(200_000));
    assert_eq!(exchange(bridge.http, large.as_bytes()).0, 431);
    for (metric, value) in [
        ("notifications_total{class=\"incoming\",stored=\"broker\"}", 3.0),
        ("refused_total{reason=\"malformed_head\"}", 1.0),
        ("refused_total{reason=\"head_too_large\"}", 1.0),
        ("notifications_total{class=\"incoming\",stored=\"duplicate\"}", 1.0),
        ("notifications_total{class=\"unknown\",stored=\"dead_letter\"}", 1.0),
        ("notifications_total{class=\"device\",stored=\"broker\"}", 0.0),
        ("http_requests_total{status=\"200\"}", 5.0),
        ("http_requests_total{status=\"401\"}", 2.0),
        ("http_requests_total{status=\"405\"}", 1.0),
        ("http_request_duration_seconds_count", 8.0),
        ("refused_total{reason=\"unauthorized\"}", 1.0),
        ("refused_total{reason=\"wrong_instance\"}", 1.0),
        ("refused_total{reason=\"method_not_allowed\"}", 1.0),
        ("publish_duration_seconds_count{broker=\"nats\"}", 4.0),
        ("publish_unknown_total{broker=\"nats\"}", 0.0),
        ("dead_letters_total{reason=\"not_json\"}", 1.0),
        ("duplicates_total", 1.0),
        // four were stored, and there is room for two
        ("dedupe_evicted_total", 2.0),
        ("broker_connected{broker=\"nats\"}", 1.0),
        ("ready", 1.0),
        ("journal_up", 0.0),
        ("reload_failed{what=\"tokens\"}", 0.0),
        ("in_flight", 0.0),
        ("connections", 0.0),
        ("build_info{version=\"0.1.0\"}", 1.0),
        ("last_notification_timestamp_seconds{class=\"device\"}", 0.0),
        ("instance_last_notification_timestamp_seconds{instance=\"8\"}", 0.0),
    ] {
        assert_eq!(bridge.metric(metric), value, "{metric}");
    }
    for last in [
        "last_notification_timestamp_seconds{class=\"incoming\"}",
        "instance_last_notification_timestamp_seconds{instance=\"7\"}",
    ] {
        assert!((begun..=now()).contains(&bridge.metric(last)), "{last}");
    }
    assert!(bridge.get("/metrics").1.contains("\nprocess_resident_memory_bytes "));
}

#[test]
fn a_valid_token_from_a_refused_address_is_counted_apart() {
    let nats = Nats::start();
    let mut tokens = tempfile::NamedTempFile::new().unwrap();
    tokens.write_all(b"7 token-for-seven-only\n").unwrap();
    let tokens = format!("auth.tokens_file = \"{}\"\n", tokens.path().display());
    let bridge = Bridge::start(&nats, &format!("{tokens}auth.allow_from = [\"green-api\"]\n"));
    assert_eq!(bridge.post_with(TOKEN, &text(1)), (403, "{\"error\":\"forbidden\"}".into()));
    assert_eq!(bridge.post(&text(1)), (403, "{\"error\":\"forbidden\"}".into()));
    assert_eq!(bridge.metric("refused_total{reason=\"moved\"}"), 1.0);
    assert_eq!(bridge.metric("refused_total{reason=\"forbidden\"}"), 1.0);
}

#[test]
fn each_kind_of_failure_has_its_own_reason() {
    let mut nats = Nats::start();
    let bridge = Bridge::start(&nats, "publish.timeout = \"1s\"\n");
    let failed =
        |reason: &str| bridge.metric(&format!("publish_failures_total{{broker=\"nats\",reason=\"{reason}\"}}"));
    // asked and never answered, until the connection is lost
    nats.signal("-STOP");
    assert_eq!(bridge.post(&text(1)).0, 503);
    assert_eq!(bridge.metric("publish_unknown_total{broker=\"nats\"}"), 0.0, "its report is still outstanding");
    nats.kill();
    crate::harness::eventually("the loss is seen", Duration::from_secs(5), || failed("disconnected") == 1.0);
    assert_eq!(bridge.metric("publish_unknown_total{broker=\"nats\"}"), 1.0);
    assert_eq!((bridge.metric("broker_connected{broker=\"nats\"}"), bridge.metric("ready")), (0.0, 0.0));
    // not even sent
    assert_eq!(bridge.post(&text(2)).0, 503);
    assert_eq!((failed("disconnected"), bridge.metric("publish_unknown_total{broker=\"nats\"}")), (2.0, 1.0));
    nats.start_again();
    nats.put_stream(stream::Config { max_messages: 1, ..Nats::safe_stream() });
    crate::harness::eventually("ready again", Duration::from_secs(10), || bridge.get("/readyz").0 == 200);
    assert_eq!(bridge.post(&text(3)).0, 200);
    assert_eq!(bridge.post(&text(4)).0, 503);
    assert_eq!(failed("stream_full"), 1.0);
}
