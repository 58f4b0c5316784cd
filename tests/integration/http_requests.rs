//! What senders other than GREEN-API's may do on the wire, and what stands between them and the bridge.

use std::time::Duration;

use crate::harness::{Answer, Bridge, Connection, Nats, body, text};

/// A notification, on a connection that stays open.
fn request(body: &[u8], headers: &str) -> Vec<u8> {
    head("POST /green-api/webhook/ HTTP/1.1", &format!("Host: x\r\nContent-Length: {}\r\n{headers}", body.len()), body)
}

fn head(line: &str, headers: &str, rest: &[u8]) -> Vec<u8> {
    [format!("{line}\r\n{headers}\r\n").as_bytes(), rest].concat()
}

fn chunked(body: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
}

/// The first answer to these bytes, on a connection of their own.
fn first_answer(bridge: &Bridge, bytes: &[u8]) -> (Answer, Connection) {
    let mut connection = Connection::open(bridge.http);
    connection.send(bytes);
    (connection.answer(), connection)
}

/// What the request line and headers given are answered, with a notification as the body.
fn status(bridge: &Bridge, line: &str, headers: &str, number: usize) -> u16 {
    let body = text(number);
    first_answer(bridge, &head(line, &format!("{headers}Content-Length: {}\r\n", body.len()), &body)).0.status
}

#[test]
fn a_connection_answers_many_requests_in_order_also_pipelined() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let mut connection = Connection::open(bridge.http);
    for number in 0..20 {
        connection.send(request(&text(number), ""));
        let answer = connection.answer();
        assert!(answer.status == 200 && !answer.is_last(), "{answer:?}");
    }
    // the answers differ, so that their order shows
    connection.send([request(b"no notification", ""), request(&text(0), ""), request(&text(20), "")].concat());
    let answers = [connection.answer().body, connection.answer().body, connection.answer().body];
    assert_eq!(answers, ["dead_letter", "duplicate", "broker"].map(|stored| format!(r#"{{"stored":"{stored}"}}"#)));
    let mut expected: Vec<_> = (0..21).map(text).collect();
    expected.insert(20, b"no notification".to_vec());
    assert_eq!(nats.read().iter().map(body).collect::<Vec<_>>(), expected);
}

#[test]
fn chunked_framing_wins_over_content_length_and_closes_the_connection() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    for (number, framing) in
        ["Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"]
            .iter()
            .enumerate()
    {
        let both = head("POST /green-api/webhook/ HTTP/1.1", &format!("Host: x\r\n{framing}"), &chunked(&text(number)));
        // what follows might have been smuggled in, so it is not looked at
        let (answer, mut connection) = first_answer(&bridge, &[both, request(&text(9), "")].concat());
        assert_eq!(answer.status, 200);
        assert!(answer.is_last() && connection.is_closed(), "{answer:?}");
    }
    assert_eq!(nats.read().iter().map(body).collect::<Vec<_>>(), [text(0), text(1)]);
}

#[test]
fn malformed_framing_is_a_400_and_stores_nothing() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let line = "POST /green-api/webhook/ HTTP/1.1";
    let length = text(1).len();
    for headers in [
        "Host: x\r\nContent-Length: 1\r\n".to_owned(),
        format!("Host: x\r\nContent-Length: {length}, {length}\r\n"),
        "Host: x\r\nContent-Length: -1\r\n".to_owned(),
        "Host: x\r\nTransfer-Encoding: gzip\r\n".to_owned(),
        "Host: x\r\nTransfer-Encoding: chunked, gzip\r\n".to_owned(),
        "Host : x\r\n".to_owned(),
        "Host: x\r\nX-Folded: a\r\n b\r\n".to_owned(),
        "Host: x\r\nHost: x\r\n".to_owned(),
        String::new(),
    ] {
        assert_eq!(status(&bridge, line, &headers, 1), 400, "{headers:?}");
    }
    assert_eq!(status(&bridge, "POST /green-api/webhook/ HTTP/1.0", "Transfer-Encoding: chunked\r\n", 1), 400);
    let broken = head(line, "Host: x\r\nTransfer-Encoding: chunked\r\n", b"zz\r\nno size\r\n");
    assert_eq!(first_answer(&bridge, &broken).0.status, 400);
    assert_eq!(nats.read().len(), 0);
}

#[test]
fn a_100_continue_is_sent_only_where_the_body_is_wanted() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let asking = |path: &str| {
        let length = text(1).len();
        let headers = format!("Host: x\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n");
        first_answer(&bridge, &head(&format!("POST {path} HTTP/1.1"), &headers, b""))
    };
    assert_eq!(asking("/other").0.status, 404);
    let (answer, mut connection) = asking("/green-api/webhook");
    assert_eq!(answer.status, 100);
    connection.send(text(1));
    assert_eq!(connection.answer().status, 200);
    assert_eq!(nats.read().len(), 1);
}

#[test]
fn a_body_that_arrives_byte_by_byte_is_stored() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let mut connection = Connection::open(bridge.http);
    for byte in request(&text(1), "") {
        connection.send([byte]);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(connection.answer().status, 200);
    assert_eq!(nats.read().iter().map(body).collect::<Vec<_>>(), [text(1)]);
}

#[test]
fn only_the_configured_path_and_its_equivalent_forms_are_served() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    for (number, target) in [
        "/green-api/webhook",
        "/green-api/webhook/",
        "/green-api/webhook?a=/other",
        "http://x/green-api/webhook/",
        "http://other:1/green-api/webhook/?b",
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(status(&bridge, &format!("POST {target} HTTP/1.1"), "Host: x\r\n", number), 200, "{target}");
    }
    for target in [
        "/%67reen-api/webhook",
        "/green-api%2Fwebhook",
        "/Green-API/webhook",
        "/green-api/./webhook",
        "/other/../green-api/webhook",
        "//green-api/webhook",
        "/green-api/webhook/x",
        "/green-api/webhook//",
        "/",
        "http://x",
    ] {
        assert_eq!(status(&bridge, &format!("POST {target} HTTP/1.1"), "Host: x\r\n", 9), 404, "{target}");
    }
    assert_eq!(nats.read().len(), 5);
}

#[test]
fn http_1_0_is_served_and_closed_unless_it_asks_to_stay() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let line = "POST /green-api/webhook HTTP/1.0";
    assert_eq!(status(&bridge, line, "", 1), 400, "a Host is needed here too");
    let with = |headers: &str, number: usize| {
        let body = text(number);
        let headers = format!("Host: x\r\n{headers}Content-Length: {}\r\n", body.len());
        first_answer(&bridge, &head(line, &headers, &body))
    };
    let (answer, mut connection) = with("", 1);
    assert!(answer.status == 200 && connection.is_closed(), "{answer:?}");
    let (answer, mut connection) = with("Connection: keep-alive\r\n", 2);
    assert_eq!((answer.status, answer.header("connection")), (200, Some("keep-alive")));
    connection.send(request(&text(3), ""));
    assert_eq!(connection.answer().status, 200);
    assert_eq!(nats.read().len(), 3);
}
