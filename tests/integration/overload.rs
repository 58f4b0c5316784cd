//! Overload: what is over the limits waits in a bounded line, for a bounded time.

use std::time::{Duration, Instant};

use crate::dead_letter_parts::sized;
use crate::harness::{Bridge, Connection, Nats, body, text};

/// Those in line give up after 3 s; those in flight after 5 s.
const TIMES: &str = "http.answer_within = \"6s\"\npublish.timeout = \"5s\"\n";
const TWO: &str = "http.limits.in_flight = 2\nhttp.limits.waiting = 2\n";
const BYTES: usize = 64 * 1024;

/// Two in flight and two in line, none of which can be stored for now.
fn full(nats: &Nats, bridge: &Bridge) -> [Vec<Connection>; 2] {
    nats.signal("-STOP");
    let in_flight = (0..2).map(|number| bridge.begin(&text(number))).collect();
    bridge.wait_for_in_flight(2);
    let in_line = (2..4).map(|number| bridge.begin(&text(number))).collect();
    bridge.wait_for_in_flight(4);
    [in_flight, in_line]
}

fn statuses(connections: &mut [Connection]) -> Vec<u16> {
    connections.iter_mut().map(|connection| connection.answer().status).collect()
}

#[test]
fn a_full_wait_queue_refuses_at_once_and_waiting_ends() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, &format!("{TIMES}{TWO}"));
    let begun = Instant::now();
    let [mut in_flight, mut in_line] = full(&nats, &bridge);
    let refused = bridge.begin(&text(4)).answer();
    assert_eq!((refused.status, refused.body.as_str()), (503, r#"{"error":"not_stored"}"#));
    assert_eq!(refused.header("retry-after"), Some("60"));
    assert!(in_line.iter().chain(&in_flight).all(|connection| !connection.has_answered()), "not at once");
    assert_eq!(statuses(&mut in_line), [503, 503]);
    assert!(begun.elapsed() >= Duration::from_secs(3), "after {:?}", begun.elapsed());
    assert!(in_flight.iter().all(|connection| !connection.has_answered()), "they have longer than the line");
    assert_eq!(bridge.log().matches("overloaded").count(), 1, "the repeats are counted");
    nats.signal("-CONT");
    assert_eq!(statuses(&mut in_flight), [200, 200]);
    assert_eq!(nats.read().len(), 2, "those refused were never begun");
}

#[test]
fn waiting_requests_are_served_once_there_is_room() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, &format!("{TIMES}{TWO}"));
    let [mut in_flight, mut in_line] = full(&nats, &bridge);
    nats.signal("-CONT");
    assert_eq!(statuses(&mut in_flight), [200, 200]);
    assert_eq!(statuses(&mut in_line), [200, 200]);
    assert_eq!(nats.read().len(), 4);
}

/// A body that does not say its size, without its end.
fn chunked(body: &[u8]) -> Vec<u8> {
    let head = "POST /green-api/webhook/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    [format!("{head}{:x}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat()
}

/// A bridge whose pool is as large as its largest body, with a quarter of it taken by a body in flight.
fn pool(nats: &Nats) -> (Bridge, Connection) {
    let limits = format!("http.max_body = \"{BYTES}B\"\nhttp.limits.in_flight_bytes = \"{BYTES}B\"\n");
    let bridge = Bridge::start(nats, &format!("{TIMES}{limits}"));
    nats.signal("-STOP");
    let quarter = bridge.begin(&sized(BYTES / 4));
    bridge.wait_for_in_flight(1);
    (bridge, quarter)
}

#[test]
fn a_body_larger_than_the_free_memory_waits() {
    let nats = Nats::start();
    let (bridge, mut quarter) = pool(&nats);
    let mut fits = bridge.begin(&sized(BYTES / 4 - 1));
    bridge.wait_for_in_flight(2);
    let asked = Instant::now();
    assert_eq!(bridge.post(&sized(BYTES)).0, 503);
    assert!(asked.elapsed() >= Duration::from_secs(3), "after {:?}", asked.elapsed());
    assert!(!quarter.has_answered() && !fits.has_answered());
    nats.signal("-CONT");
    assert_eq!((quarter.answer().status, fits.answer().status), (200, 200));
    assert_eq!(bridge.post(&sized(BYTES)), (200, r#"{"stored":"broker"}"#.into()), "all room is given back");
    assert_eq!(nats.read().len(), 3);
}

#[test]
fn a_body_that_outgrows_the_free_memory_is_refused_and_leaks_none() {
    let nats = Nats::start();
    let (bridge, mut quarter) = pool(&nats);
    for more in 1..4 {
        let mut outgrows = Connection::open(bridge.http);
        outgrows.send(chunked(&sized(BYTES * 3 / 4 + more)));
        assert_eq!(outgrows.answer().status, 503);
    }
    assert!(!quarter.has_answered(), "refused at once");
    nats.signal("-CONT");
    assert_eq!(quarter.answer().status, 200);
    assert_eq!(bridge.post(&sized(BYTES)).0, 200);
    let mut whole = Connection::open(bridge.http);
    whole.send(chunked(&sized(BYTES - 1)));
    whole.send("0\r\n\r\n");
    assert_eq!(whole.answer().status, 200);
    let stored: Vec<_> = nats.read().iter().map(|message| body(message).len()).collect();
    assert_eq!(stored, [BYTES / 4, BYTES, BYTES - 1]);
}
