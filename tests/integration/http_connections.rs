//! What a client may do with a connection: how slow, how silent, how large a head.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::harness::{Bridge, LOOPBACK, Nats, eventually, post};

const REQUEST: &[u8] = b"POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
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
fn ask(stream: &mut TcpStream) {
    stream.write_all(REQUEST).unwrap();
    let mut answer = [0; 1024];
    let length = stream.read(&mut answer).unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 404 "), "{}", String::from_utf8_lossy(&answer[..length]));
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
    ask(&mut stream);
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
fn an_idle_connection_may_wait_longer_than_a_slow_head() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, TIMES);
    let (silent, mut kept) = (open(bridge.http), open(bridge.http));
    let opened = Instant::now();
    ask(&mut kept);
    std::thread::sleep(Duration::from_millis(1800));
    ask(&mut kept);
    let idle = Instant::now();
    closed(silent, opened, IDLE);
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
fn one_address_cannot_take_all_connections() {
    let nats = Nats::start();
    let limit = "auth.allow_anonymous = true\nhttp.limits.connections_per_address = 2\n";
    let bridge = Bridge::start_at([own_address(), LOOPBACK], &nats, limit);
    let mut both = [open(bridge.http), open(bridge.http)];
    both.iter_mut().for_each(ask);
    let opened = Instant::now();
    closed(open(bridge.http), opened, 0.0..1.0);
    let [mut kept, gone] = both;
    drop(gone);
    ask(&mut kept);
    eventually("there is a place again", Duration::from_secs(5), || post(bridge.http, "", b"").0 != 0);
}

/// An address of this machine that is not loopback, which is exempt.
fn own_address() -> IpAddr {
    let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap();
    let lines = table.lines().zip(table.lines().skip(1));
    let local = lines.filter(|(_, next)| next.contains("/32 host LOCAL"));
    let mut addresses = local.filter_map(|(line, _)| line.split_whitespace().last()?.parse::<IpAddr>().ok());
    addresses.find(|address| !address.is_loopback()).expect("this machine has no address but loopback")
}
