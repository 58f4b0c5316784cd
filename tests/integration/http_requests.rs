//! What the table of raw requests cannot say: the order at the broker, other configurations, and clients that are slow
//! to notice or gone.

use std::time::Duration;

use crate::harness::{Bridge, Connection, Nats, body, eventually, text};

/// A notification, on a connection that stays open.
fn request(body: &[u8]) -> Vec<u8> {
    let head = format!("POST /green-api/webhook/ HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[test]
fn pipelined_requests_are_stored_in_their_order() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let mut connection = Connection::open(bridge.http);
    connection.send((0..20).flat_map(|number| request(&text(number))).collect::<Vec<_>>());
    for _ in 0..20 {
        let answer = connection.answer();
        assert!(answer.status == 200 && !answer.is_last(), "{answer:?}");
    }
    assert_eq!(nats.read().iter().map(body).collect::<Vec<_>>(), (0..20).map(text).collect::<Vec<_>>());
}

#[test]
fn a_refused_address_learns_nothing_else() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "auth.allow_from = [\"green-api\", \"10.0.0.0/8\"]\n");
    for head in [
        "PUT /other HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        "POST /green-api/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
    ] {
        let mut connection = Connection::open(bridge.http);
        connection.send(head);
        let answer = connection.answer();
        assert_eq!((answer.status, answer.body.as_str()), (403, r#"{"error":"forbidden"}"#));
    }
    assert_eq!(bridge.post(&text(1)).0, 403);
    assert_eq!(nats.read().len(), 0);
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

/// A half-closed client and one that is gone look the same until something is written to them.
#[test]
fn clients_that_are_gone_cancel_nothing_and_leave_no_connection_behind() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "http.answer_within = \"3s\"\npublish.timeout = \"2s\"\n");
    nats.signal("-STOP");
    let closes = bridge.begin(&text(1));
    let mut resets = Connection::open(bridge.http);
    let length = text(2).len();
    resets.send(format!(
        "POST /green-api/webhook HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    ));
    // a connection that is closed with something unread is reset
    eventually("told to go on", Duration::from_secs(5), || resets.has_answered());
    resets.send(text(2));
    bridge.wait_for_in_flight(2);
    drop((closes, resets));
    eventually("both are gone", Duration::from_secs(10), || bridge.metric("connections") == 0.0);
    nats.signal("-CONT");
    eventually("both are stored", Duration::from_secs(10), || nats.read().len() == 2);
}
