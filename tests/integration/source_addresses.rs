//! The source address of a sender behind a reverse proxy, as a request header names it.

use std::io::Write;

use serde_json::Value;

use crate::harness::{Bridge, Nats, text};

const REFUSED: (u16, &str) = (403, r#"{"error":"forbidden"}"#);
const MALFORMED: (u16, &str) = (400, r#"{"error":"bad_request"}"#);

/// Senders from 192.0.2.0/24 and 2001:db8::/32 are allowed; the tests themselves send from 127.0.0.1.
const ALLOWED: &str = "auth.allow_from = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n";

fn behind(proxy: &str) -> String {
    format!("{ALLOWED}[http.proxy]\n{proxy}\n")
}

fn refused(bridge: &Bridge, reason: &str) -> f64 {
    bridge.metric(&format!("refused_total{{reason=\"{reason}\"}}"))
}

/// Sends a notification of its own with each of these headers, and compares the answers.
fn assert_answers(bridge: &Bridge, cases: &[(&str, (u16, &str))]) {
    for (number, (headers, expected)) in cases.iter().enumerate() {
        let (status, body) = bridge.post_with(headers, &text(number));
        assert_eq!((status, body.as_str()), *expected, "{headers:?}");
    }
}

const STORED: (u16, &str) = (200, r#"{"stored":"broker"}"#);

#[test]
fn x_forwarded_for_names_the_sender_and_only_the_proxys_element_counts() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, &behind("header = \"x-forwarded-for\""));
    assert_answers(
        &bridge,
        &[
            ("X-Forwarded-For: 192.0.2.7\r\n", STORED),
            ("x-forwarded-for: 2001:db8::7\r\n", STORED),
            ("X-Forwarded-For: ::ffff:192.0.2.7\r\n", STORED),
            ("X-Forwarded-For: 198.51.100.1, 192.0.2.7\r\n", STORED),
            ("X-Forwarded-For: rubbish,,\"\r\nX-Forwarded-For: 192.0.2.7\r\n", STORED),
            ("X-Forwarded-For: 198.51.100.1\r\n", REFUSED),
            ("X-Forwarded-For: 127.0.0.1\r\n", REFUSED),
            // a spoofed element stands to the left of what the proxy adds
            ("X-Forwarded-For: 192.0.2.7, 198.51.100.1\r\n", REFUSED),
            ("X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For: 198.51.100.1\r\n", REFUSED),
            ("X-Forwarded-For: 198.51.100.1\r\nForwarded: for=192.0.2.7\r\nX-Real-IP: 192.0.2.7\r\n", REFUSED),
        ],
    );
    assert_eq!(refused(&bridge, "forbidden"), 5.0);
    assert_eq!(nats.read().len(), 5);
}

#[test]
fn forwarded_names_the_sender_by_its_parameter_for() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, &behind("header = \"forwarded\""));
    assert_answers(
        &bridge,
        &[
            ("Forwarded: for=192.0.2.7;proto=https\r\n", STORED),
            ("forwarded: proto=https;For=\"[2001:db8::7]\"\r\n", STORED),
            ("Forwarded: for=\"[::ffff:192.0.2.7]\"\r\n", STORED),
            ("Forwarded: for=unknown, for=192.0.2.7\r\n", STORED),
            ("Forwarded: for=192.0.2.7, for=198.51.100.1\r\n", REFUSED),
            ("Forwarded: for=\"a, for=192.0.2.7\", for=198.51.100.1\r\n", REFUSED),
            ("Forwarded: for=192.0.2.7, for=\"a\r\n", MALFORMED),
            ("Forwarded: for=unknown\r\n", MALFORMED),
            ("Forwarded: for=_hidden\r\n", MALFORMED),
            ("Forwarded: for=\"192.0.2.7:80\"\r\n", MALFORMED),
            ("Forwarded: for=192.0.2.7;for=192.0.2.7\r\n", MALFORMED),
            ("X-Forwarded-For: 192.0.2.7\r\n", MALFORMED),
        ],
    );
    assert_eq!(refused(&bridge, "forwarded_header"), 6.0);
    assert_eq!(nats.read().len(), 4);
}

#[test]
fn a_missing_or_malformed_header_is_a_400_before_everything_else_and_is_counted() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, &behind("header = \"x-forwarded-for\""));
    let headers = [
        "",
        "X-Forwarded-For: \r\n",
        "X-Forwarded-For: rubbish\r\n",
        "X-Forwarded-For: 192.0.2.7:443\r\n",
        "X-Forwarded-For: [2001:db8::7]\r\n",
        "X-Forwarded-For: 2001:db8::7%eth0\r\n",
        "X-Forwarded-For: unknown\r\n",
        "X-Forwarded-For: 192.0.2.7,\r\n",
        "X-Forwarded-For: 192.0.2.7, \u{e9}\r\n",
    ];
    assert_answers(&bridge, &headers.map(|headers| (headers, MALFORMED)));
    assert_eq!(refused(&bridge, "forwarded_header"), 9.0);
    // before path, method and token
    let request = "PUT /other HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(crate::harness::exchange(bridge.http, request.as_bytes()).0, 400);
    assert_eq!((refused(&bridge, "forwarded_header"), refused(&bridge, "not_found")), (10.0, 0.0));
    assert_eq!(nats.read().len(), 0);
}

#[test]
fn trusted_hops_says_which_element_is_the_senders() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, &behind("header = \"x-forwarded-for\"\ntrusted_hops = 2"));
    assert_answers(
        &bridge,
        &[
            ("X-Forwarded-For: 192.0.2.7, 10.0.0.1\r\n", STORED),
            ("X-Forwarded-For: 198.51.100.1, 192.0.2.7, 10.0.0.1\r\n", STORED),
            ("X-Forwarded-For: 192.0.2.7, 198.51.100.1, 10.0.0.1\r\n", REFUSED),
            ("X-Forwarded-For: 192.0.2.7\r\n", MALFORMED),
            ("X-Forwarded-For: 192.0.2.7, rubbish\r\n", MALFORMED),
        ],
    );
    assert_eq!(nats.read().len(), 2);
}

#[test]
fn without_the_section_no_header_is_believed() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, ALLOWED);
    assert_answers(
        &bridge,
        &[
            ("X-Forwarded-For: 192.0.2.7\r\n", REFUSED),
            ("Forwarded: for=192.0.2.7\r\n", REFUSED),
            ("X-Real-IP: 192.0.2.7\r\n", REFUSED),
            ("", REFUSED),
        ],
    );
    drop(bridge);
    let bridge = Bridge::start(&nats, "auth.allow_from = [\"127.0.0.1\"]\n");
    assert_answers(&bridge, &[("X-Forwarded-For: rubbish\r\nForwarded: \"\r\n", STORED)]);
}

#[test]
fn the_log_and_the_count_of_moved_senders_go_by_the_named_address() {
    let (nats, mut tokens) = (Nats::start(), tempfile::NamedTempFile::new().unwrap());
    tokens.write_all(b"token-for-everyone\n").unwrap();
    let tokens = format!("auth.tokens_file = {:?}\n", tokens.path());
    let bridge = Bridge::start(&nats, &format!("{tokens}{}", behind("header = \"x-forwarded-for\"")));
    let valid = "Authorization: Bearer token-for-everyone\r\n";
    for (headers, status) in [
        (format!("{valid}X-Forwarded-For: 192.0.2.7\r\n"), 200),
        (format!("{valid}X-Forwarded-For: 198.51.100.1\r\n"), 403),
        ("X-Forwarded-For: 198.51.100.2\r\n".into(), 403),
        (format!("{valid}X-Forwarded-For: a-private-thing\r\n"), 400),
        (valid.into(), 400),
    ] {
        assert_eq!(bridge.post_with(&headers, &text(1)).0, status, "{headers:?}");
    }
    let counted = ["moved", "forbidden", "forwarded_header"].map(|reason| refused(&bridge, reason));
    assert_eq!(counted, [1.0, 1.0, 2.0]);
    let log = bridge.log();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let refusals: Vec<_> = lines.filter(|line| line["event"] == "request_refused").collect();
    let seen: Vec<_> =
        refusals.iter().map(|line| ["client_address", "reason"].map(|field| line[field].clone())).collect();
    let expected = [
        ["198.51.100.1", "moved"],
        ["198.51.100.2", "forbidden"],
        ["127.0.0.1", "forwarded_header"],
        ["127.0.0.1", "forwarded_header"],
    ];
    assert_eq!(seen, expected.map(|line| line.map(Value::from)), "{log}");
    assert!(refusals[2]["detail"].as_str().unwrap().contains("no bare address"), "{log}");
    assert!(refusals[3]["detail"].as_str().unwrap().contains("is missing"), "{log}");
    assert!(!log.contains("a-private-thing") && !log.contains("token-for-everyone"), "{log}");
}
