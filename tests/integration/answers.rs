//! The table of answers, over the wire.

use std::io::Write;

use crate::harness::{Bridge, Connection, Nats, exchange};

const BODY: &[u8] = br#"{"typeWebhook":"incomingCall","instanceData":{"idInstance":7}}"#;

#[test]
fn only_a_known_token_for_this_instance_is_admitted() {
    let nats = Nats::start();
    let mut tokens = tempfile::NamedTempFile::new().unwrap();
    tokens.write_all(b"secret-for-everyone\n7 secret-for-seven\n8 secret-for-eight\n").unwrap();
    let bridge = Bridge::start(&nats, &format!("auth.tokens_file = \"{}\"\n", tokens.path().display()));
    let with = |token: &str| bridge.post_with(&format!("Authorization: Bearer {token}\r\n"), BODY).0;
    assert_eq!(bridge.post(BODY), (401, "{\"error\":\"unauthorized\"}".into()));
    assert_eq!(with("wrong"), 401);
    assert_eq!(with("secret-for-eight"), 401);
    assert_eq!(nats.read().len(), 0);
    assert_eq!(with("secret-for-seven"), 200);
    assert_eq!(with("secret-for-everyone"), 200);
    let twice = "Authorization: Bearer secret-for-everyone\r\nAuthorization: Bearer secret-for-everyone\r\n";
    assert_eq!(bridge.post_with(twice, BODY).0, 400);
}

#[test]
fn every_other_request_is_refused_as_the_status_table_says() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "http.max_body = \"1KiB\"\nhttp.body_time = \"1s\"\n");
    let raw = |request: &str| exchange(bridge.http, request.as_bytes()).0;
    assert_eq!(raw("POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), 404);
    assert_eq!(raw("GET /green-api/webhook HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), 405);
    assert_eq!(raw("POST /green-api/webhook HTTP/1.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), 400);
    assert_eq!(raw("nonsense\r\n\r\n"), 400);
    assert_eq!(raw("POST /green-api/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 1025\r\n\r\n"), 413);
    assert_eq!(raw("POST /green-api/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nslow"), 408);
    let chunked = format!(
        "POST /green-api/webhook?secret HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        BODY.len(),
        String::from_utf8_lossy(BODY)
    );
    assert_eq!(raw(&chunked), 200);
    assert_eq!(nats.read().len(), 1);
}

/// Many clients read no answer before all of their body is sent.
#[test]
fn unread_body_still_gets_413() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "http.limits.connections = 4\n");
    let large = vec![b' '; 40 * 1024 * 1024];
    for (path, status) in [("/green-api/webhook", 413), ("/other", 404)] {
        // more often than there are places: each is given back
        for _ in 0..6 {
            let mut connection = Connection::open(bridge.http);
            connection.send(format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", large.len()));
            connection.send(&large);
            assert_eq!(connection.answer().status, status);
            assert!(connection.is_closed());
        }
    }
}
