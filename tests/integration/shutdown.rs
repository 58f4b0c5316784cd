//! Stopping: in order, inside the grace, and never with a 200 that is not true.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{Bridge, Connection, Nats, eventually, text};

/// Long enough to see each step, short enough to wait for.
const STEPS: &str =
    "shutdown.delay = \"2s\"\nshutdown.grace = \"9s\"\nhttp.answer_within = \"8s\"\npublish.timeout = \"7s\"\n";

/// The default of `shutdown.grace`.
const GRACE: Duration = Duration::from_secs(25);

/// A notification on a connection that stays open.
fn request(number: usize) -> Vec<u8> {
    let body = String::from_utf8(text(number)).unwrap();
    format!("POST /green-api/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into()
}

/// Readiness says that it stops; liveness does not, lest it be killed for it.
fn assert_stopping(bridge: &Bridge) {
    let (status, ready) = bridge.get("/readyz");
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    assert_eq!((status, &ready["ready"], &ready["stopping"]), (503, &false.into(), &true.into()));
    assert_eq!(bridge.get("/livez").0, 200);
}

fn stop(bridge: &Bridge, signal: &str) -> Instant {
    bridge.signal(signal);
    let begun = Instant::now();
    eventually("it stops", Duration::from_secs(2), || bridge.get("/readyz").1.contains("\"stopping\":true"));
    begun
}

fn refuses_connections(bridge: &Bridge) -> bool {
    TcpStream::connect(bridge.http).is_err()
}

#[test]
fn a_request_that_waits_to_be_accepted_is_answered() {
    let nats = Nats::start();
    let mut bridge = Bridge::start(&nats, "shutdown.delay = \"0s\"\n");
    // stopped, it accepts nothing, and the kernel does
    bridge.signal("-STOP");
    let mut waiting: Vec<_> = (0..60).map(|number| bridge.begin(&text(number))).collect();
    bridge.signal("-TERM");
    bridge.signal("-CONT");
    for (number, connection) in waiting.iter_mut().enumerate() {
        let answer = connection.answer();
        assert!(answer.status == 200 && answer.is_last(), "{number}: {answer:?}");
    }
    assert_eq!(bridge.exit_code(), Some(0));
    assert_eq!(nats.read().len(), 60);
}

#[test]
fn the_shutdown_steps_come_in_order() {
    let nats = Nats::start();
    let mut bridge = Bridge::start(&nats, STEPS);
    let (mut open, mut later) = (Connection::open(bridge.http), Connection::open(bridge.http));
    open.send(request(0));
    assert!(!open.answer().is_last());
    stop(&bridge, "-TERM");
    // the delay: still served, old connections and new ones, each for the last time
    assert_stopping(&bridge);
    for connection in [&mut open, &mut Connection::open(bridge.http)] {
        connection.send(request(1));
        let answer = connection.answer();
        assert_eq!(answer.status, 200);
        assert!(answer.is_last() && connection.is_closed(), "{answer:?}");
    }
    eventually("no more are accepted", Duration::from_secs(6), || refuses_connections(&bridge));
    // what is open may still send
    nats.signal("-STOP");
    later.send(request(2));
    bridge.wait_for_in_flight(1);
    assert_stopping(&bridge);
    nats.signal("-CONT");
    let answer = later.answer();
    assert!(answer.status == 200 && answer.is_last(), "{answer:?}");
    assert_eq!(bridge.exit_code(), Some(0));
    assert_eq!(nats.read().len(), 3);
}

#[test]
fn unstored_requests_get_a_503_within_the_grace_and_exit_code_3() {
    let nats = Nats::start();
    let times = "shutdown.grace = \"4s\"\nhttp.answer_within = \"3s\"\npublish.timeout = \"2s\"\n";
    let mut bridge = Bridge::start(&nats, times);
    nats.signal("-STOP");
    let mut begun = bridge.begin(&text(1));
    bridge.wait_for_in_flight(1);
    let asked = stop(&bridge, "-TERM");
    assert_eq!(begun.answer().status, 503);
    assert!(asked.elapsed() < Duration::from_secs(4), "after {:?}", asked.elapsed());
    assert_stopping(&bridge);
    assert_eq!(bridge.exit_code(), Some(3));
    assert!(asked.elapsed() < Duration::from_secs(8), "twice the grace: {:?}", asked.elapsed());
    let left: Vec<_> =
        bridge.log().lines().filter(|line| line.contains("shutdown.grace exceeded")).map(String::from).collect();
    assert!(left.len() == 1 && left[0].contains("\"left\":1"), "{left:?}");
}

#[test]
fn with_too_little_grace_left_requests_are_refused() {
    let nats = Nats::start();
    let times =
        "shutdown.grace = \"3s\"\nshutdown.delay = \"2900ms\"\nhttp.answer_within = \"2s\"\npublish.timeout = \"1s\"\n";
    let bridge = Bridge::start(&nats, times);
    stop(&bridge, "-TERM");
    // one open connection after the other, each with a notification of its own, until there are no more
    let mut answers = Vec::new();
    while !refuses_connections(&bridge) {
        answers.push(bridge.post(&text(answers.len())).0);
        std::thread::sleep(Duration::from_millis(20));
    }
    let last = answers.iter().rposition(|status| *status != 0).unwrap();
    assert_eq!((answers[0], answers[last]), (200, 503), "{answers:?}");
}

#[test]
fn a_second_signal_ends_at_once() {
    let nats = Nats::start();
    let mut bridge = Bridge::start(&nats, "");
    nats.signal("-STOP");
    let _begun = bridge.begin(&text(1));
    bridge.wait_for_in_flight(1);
    let asked = stop(&bridge, "-TERM");
    bridge.signal("-INT");
    assert_eq!(bridge.exit_code(), Some(3));
    assert!(asked.elapsed() < GRACE / 2, "after {:?}", asked.elapsed());
    assert_eq!(bridge.log().matches("a second signal").count(), 1);
}

#[test]
fn either_signal_stops_an_idle_bridge_at_once() {
    let nats = Nats::start();
    for signal in ["-INT", "-TERM"] {
        let mut bridge = Bridge::start(&nats, "");
        let asked = Instant::now();
        bridge.signal(signal);
        assert_eq!(bridge.exit_code(), Some(0), "{signal}");
        assert!(asked.elapsed() < GRACE / 2, "{signal}: after {:?}", asked.elapsed());
    }
}

/// What stays open lingers for a part of what the delay leaves of the grace, not of all of it.
#[test]
fn a_long_delay_leaves_time_to_finish() {
    let nats = Nats::start();
    let times =
        "http.answer_within = \"3s\"\npublish.timeout = \"2s\"\nshutdown = { grace = \"4s\", delay = \"3400ms\" }\n";
    let bridge = Bridge::start(&nats, times);
    let mut open = Connection::open(bridge.http);
    open.send(request(1));
    assert_eq!(open.answer().status, 200);
    assert_eq!(bridge.terminate(), Some(0));
}
