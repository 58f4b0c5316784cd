//! What a client may do with a connection: how slow, how silent, how large a head.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::harness::{Bridge, Connection, LOOPBACK, Nats, eventually, post};

/// A request with a valid token: where no tokens are configured, any will do.
const REQUEST: &[u8] = b"POST /green-api/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
/// One that shows no token.
const STRANGE: &[u8] = b"POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
const TIMES: &str = "http.limits = { head = \"1s\", idle = \"5s\", write = \"1s\" }\n";
/// When a connection with a slow head is closed: before it would be idle for too long.
const HEAD: Range<f32> = 1.0..5.0;
/// When an idle connection is closed.
const IDLE: Range<f32> = 4.5..10.0;

fn open(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends a whole request and reads its answer; the connection stays open.
fn ask(stream: &mut TcpStream, request: &[u8]) {
    stream.write_all(request).unwrap();
    let mut answer = [0; 1024];
    let length = stream.read(&mut answer).unwrap();
    let status: &[u8] = if request == STRANGE { b"HTTP/1.1 404 " } else { b"HTTP/1.1 200 " };
    assert!(answer[..length].starts_with(status), "{}", String::from_utf8_lossy(&answer[..length]));
}

/// The connection is closed, without a word, so long after `since`.
fn closed(mut stream: TcpStream, since: Instant, seconds: Range<f32>) {
    let mut rest = Vec::new();
    if let Err(error) = stream.read_to_end(&mut rest) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    assert_eq!(rest, b"");
    assert!(seconds.contains(&since.elapsed().as_secs_f32()), "{:?}", since.elapsed());
}

#[test]
fn a_slow_request_head_is_closed_counted_from_its_first_byte() {
    let (nats, dribble) = (Nats::start(), Duration::from_millis(200));
    let bridge = Bridge::start(&nats, TIMES);
    let mut stream = open(bridge.http);
    ask(&mut stream, REQUEST);
    std::thread::sleep(Duration::from_millis(1500));
    let begun = Instant::now();
    // a byte now and then does not buy time
    let cut = REQUEST.iter().find(|byte| {
        std::thread::sleep(dribble);
        stream.write_all(&[**byte]).is_err()
    });
    assert!(cut.is_some(), "the head was taken");
    closed(stream, begun, HEAD);
}

#[test]
fn an_idle_connection_may_wait_longer_than_a_slow_head_once_it_has_shown_a_token() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, TIMES);
    let (silent, mut strange, mut kept) = (open(bridge.http), open(bridge.http), open(bridge.http));
    ask(&mut strange, STRANGE);
    let opened = Instant::now();
    ask(&mut kept, REQUEST);
    std::thread::sleep(Duration::from_millis(1800));
    ask(&mut kept, REQUEST);
    let idle = Instant::now();
    closed(silent, opened, 0.0..IDLE.start);
    closed(strange, opened, 0.0..IDLE.start);
    closed(kept, idle, IDLE);
}

#[test]
fn a_client_that_reads_no_answers_is_disconnected() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, TIMES);
    let mut stream = open(bridge.admin);
    let ask = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    let failed = loop {
        if let Err(error) = stream.write_all(ask.as_bytes()) {
            break error.kind();
        }
    };
    assert!(matches!(failed, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{failed}");
    assert_eq!(bridge.get("/livez").0, 200);
}

#[test]
fn an_address_over_its_limit_evicts_only_its_own_connections() {
    let nats = Nats::start();
    let limit = "auth.allow_anonymous = true\nhttp.limits.connections_per_address = 2\n";
    let bridge = Bridge::start_at([own_address(), LOOPBACK], &nats, limit);
    let [mut first, mut second, mut third] = [(); 3].map(|()| open(bridge.http));
    ask(&mut first, STRANGE);
    ask(&mut second, STRANGE);
    ask(&mut third, STRANGE);
    assert_eq!(first.read(&mut [0]).unwrap(), 0, "the oldest makes room");
    assert_eq!(bridge.metric("refused_total{reason=\"too_many_connections_per_address\"}"), 1.0);
    // from its first token on the address is known
    ask(&mut second, REQUEST);
    let mut more: Vec<_> = (0..9).map(|_| open(bridge.http)).collect();
    more.iter_mut().for_each(|stream| ask(stream, STRANGE));
    more.iter_mut().chain([&mut second, &mut third]).for_each(|stream| ask(stream, REQUEST));
    assert_eq!(bridge.metric("refused_total{reason=\"too_many_connections_per_address\"}"), 1.0);
}

#[test]
fn a_full_listener_evicts_unauthenticated_connections_only() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "http.limits.connections = 20\n");
    let mut known: Vec<_> = (0..5).map(|_| open(bridge.http)).collect();
    known.iter_mut().for_each(|stream| ask(stream, REQUEST));
    let silent: Vec<_> = (0..60).map(|_| open(bridge.http)).collect();
    eventually("strangers made room", Duration::from_secs(10), || {
        bridge.metric("refused_total{reason=\"too_many_connections\"}") >= 45.0
    });
    assert_eq!(post(bridge.http, "", b"").0, 200, "a new connection found no room");
    known.iter_mut().for_each(|stream| ask(stream, REQUEST));
    assert!(bridge.metric("connections") <= 20.0);
    drop(silent);
}

#[test]
fn a_connection_is_closed_after_its_last_request() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "http.limits.requests_per_connection = 3\n");
    let mut connection = Connection::open(bridge.http);
    for number in 1..=3 {
        connection.send(REQUEST);
        let answer = connection.answer();
        assert_eq!((answer.status, answer.is_last()), (200, number == 3), "{number}");
    }
    assert!(connection.is_closed());
}

/// An address of this machine that is not loopback, which is exempt.
fn own_address() -> IpAddr {
    let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap();
    let lines = table.lines().zip(table.lines().skip(1));
    let local = lines.filter(|(_, next)| next.contains("/32 host LOCAL"));
    let mut addresses = local.filter_map(|(line, _)| line.split_whitespace().last()?.parse::<IpAddr>().ok());
    addresses.find(|address| !address.is_loopback()).expect("this machine has no address but loopback")
}
