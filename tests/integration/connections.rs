//! What a client may do with a connection: how slow, how silent, how large a head.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::harness::{Bridge, Nats};

const REQUEST: &[u8] = b"POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
const TIMES: &str = "http.limits = { head = \"1s\", idle = \"5s\", write = \"1s\" }\n";

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
fn a_slow_head_is_cut_off_from_its_first_byte_on() {
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
    closed(stream, begun, 1.0..2.5);
}

#[test]
fn an_idle_connection_is_kept_longer_than_a_slow_head() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, TIMES);
    let (silent, mut kept) = (open(bridge.http), open(bridge.http));
    let opened = Instant::now();
    ask(&mut kept);
    std::thread::sleep(Duration::from_millis(1800));
    ask(&mut kept);
    let idle = Instant::now();
    closed(silent, opened, 4.5..6.5);
    closed(kept, idle, 4.5..6.5);
}

#[test]
fn a_client_that_reads_no_answers_is_let_go() {
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
