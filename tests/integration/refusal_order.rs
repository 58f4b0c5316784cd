//! The order of the checks, which decides the answer: path, method, token, and only then the body.

use std::io::Write;

use crate::harness::{Answer, Bridge, Connection, Nats, text};

const GOOD: &str = "Authorization: Bearer good-enough-token\r\n";

/// The answer to a head that promises a body; the body is never sent.
fn asked(bridge: &Bridge, line: &str, headers: &str) -> Answer {
    let mut connection = Connection::open(bridge.http);
    connection.send(format!("{line} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"));
    connection.answer()
}

#[test]
fn the_first_reason_to_refuse_is_the_answer() {
    let nats = Nats::start();
    let mut tokens = tempfile::NamedTempFile::new().unwrap();
    tokens.write_all(b"good-enough-token\n").unwrap();
    let tokens_file = format!("auth.tokens_file = \"{}\"\n", tokens.path().display());
    let bridge = Bridge::start(&nats, &tokens_file);
    let (here, there) = ("POST /green-api/webhook", "POST /other");
    let (small, large) = ("Content-Length: 5\r\n", "Content-Length: 99999999\r\n");
    for (line, headers, status) in [
        (here, format!("Host: y\r\n{large}"), 400),
        (there, format!("{GOOD}{GOOD}{large}"), 400),
        ("PUT /other", large.to_owned(), 404),
        (there, format!("{GOOD}{large}"), 404),
        ("PUT /green-api/webhook", large.to_owned(), 405),
        ("GET /green-api/webhook", GOOD.to_owned(), 405),
        (here, large.to_owned(), 401),
        (here, format!("{small}Expect: 100-continue\r\n"), 401),
        (here, format!("Authorization: Bearer good-enough-toke\r\n{small}"), 401),
        (here, format!("Authorization: good-enough-token\r\n{small}"), 401),
        (here, format!("{GOOD}{large}"), 413),
        (here, format!("{GOOD}{small}Expect: 100-continue\r\n"), 100),
    ] {
        assert_eq!(asked(&bridge, line, &headers).status, status, "{line} {headers:?}");
    }
    assert_eq!(asked(&bridge, here, small).header("www-authenticate"), Some("Bearer"));
    assert_eq!(asked(&bridge, "PUT /green-api/webhook", small).header("allow"), Some("POST"));
    assert_eq!(nats.read().len(), 0);
}

#[test]
fn a_refused_address_learns_nothing_else() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "auth.allow_from = [\"green-api\", \"10.0.0.0/8\"]\n");
    for (line, headers) in [("PUT /other", "Host: y\r\n"), ("POST /green-api/webhook", "Content-Length: 99999999\r\n")]
    {
        let answer = asked(&bridge, line, headers);
        assert_eq!((answer.status, answer.body.as_str()), (403, r#"{"error":"forbidden"}"#));
    }
    assert_eq!(bridge.post(&text(1)).0, 403);
    assert_eq!(nats.read().len(), 0);
}
