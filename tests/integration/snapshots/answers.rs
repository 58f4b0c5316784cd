//! The table of answers: every row a running bridge can be brought to.

use std::time::Duration;

use super::{file, journal_in, no_nats, without_date};
use crate::harness::{Bridge, Connection, Nats, assert_snapshot, eventually, text};

const TOKEN: &str = "Authorization: Bearer token-for-everyone\r\n";

/// What each situation was answered.
#[derive(Default)]
struct Table(String);

impl Table {
    fn row(&mut self, situation: &str, mut asked: Connection) {
        self.0 += &format!("{situation}\n{}\n", without_date(&asked.answer()));
    }
}

/// A notification with these header lines, on a connection that may stay open.
fn notification(headers: &str, body: &[u8]) -> Vec<u8> {
    raw(&format!("Host: x\r\nContent-Length: {}\r\n{headers}", body.len()), body)
}

fn raw(headers: &str, body: &[u8]) -> Vec<u8> {
    [format!("POST /green-api/webhook/ HTTP/1.1\r\n{headers}\r\n").as_bytes(), body].concat()
}

fn ask(bridge: &Bridge, request: impl AsRef<[u8]>) -> Connection {
    let mut connection = Connection::open(bridge.http);
    connection.send(request);
    connection
}

fn ask_with_token(bridge: &Bridge, body: &[u8]) -> Connection {
    ask(bridge, notification(TOKEN, body))
}

fn padded(number: usize, size: usize) -> Vec<u8> {
    let mut body = text(number);
    body.resize(size, b' ');
    body
}

fn tokens() -> tempfile::NamedTempFile {
    file("token-for-everyone\n7 token-for-seven-only\n8 token-for-eight-only\n")
}

#[test]
fn answers() {
    let (nats, tokens) = (Nats::start(), tokens());
    let admitted = format!("auth.tokens_file = {:?}\n", tokens.path());
    let limits = "http.max_body = \"2MiB\"\nhttp.limits.in_flight = 1\nhttp.limits.waiting = 1\n\
        publish.timeout = \"1s\"\nhttp.answer_within = \"3s\"\n";
    let bridge = Bridge::start(&nats, &format!("{admitted}{limits}"));
    let mut table = Table::default();
    stored(&mut table, &bridge);
    refused(&mut table, &bridge);
    malformed(&mut table, &bridge);
    not_stored(&mut table, &bridge, &nats);
    with_a_journal(&mut table);
    forbidden(&mut table, &admitted);
    stopping(&mut table, &nats);
    assert_snapshot("answers.txt", &table.0);
}

fn stored(table: &mut Table, bridge: &Bridge) {
    table.row("all brokers of the route acknowledged", ask_with_token(bridge, &text(1)));
    table.row("the same again", ask_with_token(bridge, &text(1)));
    let last = format!("{TOKEN}Connection: close\r\n");
    table.row("the same again, for the last time on its connection", ask(bridge, notification(&last, &text(1))));
    for (what, body) in super::headers::dead_letters() {
        table.row(&format!("dead letter: {what}"), ask_with_token(bridge, &body));
    }
    table.row("dead letter: too large for the broker", ask_with_token(bridge, &padded(2, 1_500_000)));
}

fn refused(table: &mut Table, bridge: &Bridge) {
    let with = |token: &str| ask(bridge, notification(&format!("Authorization: {token}\r\n"), &text(1)));
    table.row("no token", ask(bridge, notification("", &text(1))));
    table.row("a wrong token", with("Bearer wrong"));
    table.row("a token bound to another instance", with("Bearer token-for-eight-only"));
    let other = |line: &str| ask(bridge, format!("{line} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n{TOKEN}\r\n"));
    table.row("another path", other("POST /other"));
    table.row("another method", other("GET /green-api/webhook"));
    let large = format!("Host: x\r\n{TOKEN}Content-Length: 2097153\r\n");
    table.row("a body over http.max_body, by its length", ask(bridge, raw(&large, b"")));
    let chunked = format!("Host: x\r\n{TOKEN}Transfer-Encoding: chunked\r\n");
    let body = [b"200001\r\n".as_slice(), &vec![b' '; 2_097_153], b"\r\n"].concat();
    table.row("a body over http.max_body, by its chunks", ask(bridge, raw(&chunked, &body)));
}

fn malformed(table: &mut Table, bridge: &Bridge) {
    let heads = |head: &str| ask(bridge, raw(head, &text(1)));
    let framed = format!("Content-Length: {}\r\n{TOKEN}", text(1).len());
    table.row("no Host", heads(&framed));
    table.row("two Hosts", heads(&format!("Host: x\r\nHost: x\r\n{framed}")));
    table.row("two Authorizations", heads(&format!("Host: x\r\n{framed}{TOKEN}")));
    table.row("a malformed head", ask(bridge, "nonsense\r\n\r\n"));
    table.row("two lengths", heads(&format!("Host: x\r\nContent-Length: 1\r\n{framed}")));
    let chunked = format!("Host: x\r\n{TOKEN}Transfer-Encoding: chunked\r\n");
    table.row("a malformed chunk", ask(bridge, raw(&chunked, b"x\r\n\r\n")));
    let chunks = [format!("{:x}\r\n", text(1).len()).as_bytes(), &text(1), b"\r\n0\r\n\r\n"].concat();
    let both = ask(bridge, raw(&format!("{chunked}Content-Length: 3\r\n"), &chunks));
    table.row("Transfer-Encoding with Content-Length", both);
    let target = format!("POST /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(70_000));
    table.row("a target over 64 KiB", ask(bridge, target));
    table.row("a head over 128 KiB", heads(&format!("Host: x\r\nLarge: {}\r\n", "x".repeat(150_000))));
    table.row("more than 64 header fields", heads(&format!("Host: x\r\n{}", "A: b\r\n".repeat(65))));
}

fn not_stored(table: &mut Table, bridge: &Bridge, nats: &Nats) {
    nats.signal("-STOP");
    let in_flight = ask_with_token(bridge, &text(11));
    bridge.wait_for_in_flight(1);
    let waiting = ask_with_token(bridge, &text(12));
    bridge.wait_for_in_flight(2);
    table.row("too much at once", ask_with_token(bridge, &text(13)));
    table.row("not acknowledged in time", in_flight);
    drop(waiting);
    nats.signal("-CONT");
}

/// A journal that owes a broker, and one without any broker.
fn with_a_journal(table: &mut Table) {
    let folder = tempfile::tempdir().unwrap();
    let owing = Bridge::with(&format!("{}{}", journal_in(folder.path()), no_nats()), false).ready();
    table.row("in the journal, owed to a broker", ask(&owing, notification("", &text(1))));
    table.row("the same again, still owed", ask(&owing, notification("", &text(1))));
    table.row("a dead letter, owed to a broker", ask(&owing, notification("", b"not JSON")));
    let folder = tempfile::tempdir().unwrap();
    let limits = "journal.max_bytes = \"18MiB\"\nhttp.max_body = \"64KiB\"\nhttp.body_time = \"1s\"\n\
        http.limits.head = \"1s\"\n";
    let alone = Bridge::with(&format!("{}{limits}", journal_in(folder.path())), false).ready();
    let slow_body = ask(&alone, raw("Host: x\r\nContent-Length: 9\r\n", b"slow"));
    let mut slow_head = ask(&alone, "POST /green-api/webhook/ HTTP/1.1\r\nHost: ");
    table.row("in the journal, without any broker", ask(&alone, notification("", &text(1))));
    table.row("the same again, without any broker", ask(&alone, notification("", &text(1))));
    table.row("a dead letter, without any broker", ask(&alone, notification("", b"not JSON")));
    let full = (2..100).any(|number| alone.post(&padded(number, 60_000)).0 == 503);
    assert!(full, "the journal is never full");
    table.row("the journal is full", ask(&alone, notification("", &padded(101, 60_000))));
    table.row("a body that does not come in time", slow_body);
    assert!(slow_head.is_closed());
    table.0 += "a head that does not come in time\n  (closed without an answer)\n\n";
}

fn forbidden(table: &mut Table, admitted: &str) {
    let folder = tempfile::tempdir().unwrap();
    let from = format!("{}{admitted}auth.allow_from = [\"green-api\"]\n", journal_in(folder.path()));
    let bridge = Bridge::with(&from, false).ready();
    table.row("a source address that is not allowed", ask(&bridge, notification("", &text(1))));
    table.row("the same with a valid token", ask_with_token(&bridge, &text(1)));
    let folder = tempfile::tempdir().unwrap();
    let proxy = format!("{}[http.proxy]\nheader = \"forwarded\"\n", journal_in(folder.path()));
    let behind = Bridge::with(&proxy, false).ready();
    table.row("a header of http.proxy that is missing", ask(&behind, notification("", &text(1))));
}

fn stopping(table: &mut Table, nats: &Nats) {
    let times =
        "shutdown.grace = \"3s\"\nshutdown.delay = \"2900ms\"\nhttp.answer_within = \"2s\"\npublish.timeout = \"1s\"\n";
    let bridge = Bridge::start(nats, times);
    bridge.signal("-TERM");
    eventually("it stops", Duration::from_secs(2), || bridge.get("/readyz").1.contains("\"stopping\":true"));
    table.row("stored while it stops", ask(&bridge, notification("", &text(21))));
    for number in 22.. {
        let mut asked = ask(&bridge, notification("", &text(number)));
        let answer = asked.answer();
        if answer.status == 503 {
            table.0 += &format!("too little grace is left\n{}\n", without_date(&answer));
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
