//! The proxies of docs/tls.md in front of a real bridge, each with the configuration that stands on that page.

mod proxy;
mod requests;
mod smuggling;

use std::sync::Mutex;
use std::time::Duration;

use crate::harness::{Act, Answer, Bridge, Certificates, Nats, ScriptedServer, body, eventually, text};
use crate::raw_requests::{
    self,
    row::{Row, Step},
};
use proxy::{Kind, Proxy};
use requests::{chunked, request};

const STORED: &str = r#"{"stored":"broker"}"#;

/// A server that takes 8 MiB in one message.
fn nats_for_large_bodies() -> Nats {
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), "max_payload: 8388608\n").unwrap();
    Nats::start_with(&["-c".to_owned(), config.path().display().to_string()])
}

/// Notifications with bytes that a proxy might change: each number makes others.
fn odd_bodies(number: usize) -> Vec<Vec<u8>> {
    let notification = |rest: &[u8]| {
        let start = format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":7}},"number":{number},"#);
        [start.as_bytes(), rest, b"}"].concat()
    };
    let mut large = notification(br#""kind":"large""#);
    large.resize(4 * 1024 * 1024, b' ');
    let every_byte = (0..=255).collect::<Vec<u8>>();
    vec![
        notification(br#""kind":"plain""#),
        notification("\"kind\":\"\u{1f600}\u{fffd}\u{7f}\u{2028}\"".as_bytes()),
        notification(b"\r\n\r\n\t \"kind\"\r\n:\r\n0\r\n\r\n"),
        large,
        // not JSON: the dead letter keeps it
        [every_byte.as_slice(), number.to_string().as_bytes()].concat(),
        [b"0\r\n\r\nPOST / HTTP/1.1\r\n\r\n", number.to_string().as_bytes()].concat(),
    ]
}

#[test]
fn bodies_pass_the_proxies_byte_for_byte_and_once() {
    let nats = nats_for_large_bodies();
    let bridge = Bridge::start(&nats, "");
    let mut sent = Vec::new();
    for (number, proxy) in Proxy::all(bridge.http).iter().enumerate() {
        for (way, sender) in [request_of as fn(&[u8]) -> Vec<u8>, small_chunks, large_chunks].iter().enumerate() {
            for body in odd_bodies(number * 10 + way) {
                let answer = proxy.ask(&sender(&body));
                assert_eq!(answer.status, 200, "{:?} {answer:?}", proxy.kind);
                sent.push(body);
            }
        }
    }
    let arrived: Vec<_> = nats.read().iter().map(body).collect();
    assert_eq!(arrived.len(), sent.len());
    assert!(arrived == sent, "another body than the one that was sent");
}

fn request_of(body: &[u8]) -> Vec<u8> {
    request("", body)
}

fn small_chunks(body: &[u8]) -> Vec<u8> {
    chunked("", body, if body.len() > 10_000 { 1000 } else { 7 })
}

fn large_chunks(body: &[u8]) -> Vec<u8> {
    chunked("", body, 1_000_000)
}

/// What a sender sees of an answer.
fn seen(answer: &Answer) -> (u16, String, Vec<Option<String>>) {
    let fields = ["content-type", "retry-after", "www-authenticate", "allow"];
    (answer.status, answer.body.clone(), fields.map(|name| answer.header(name).map(str::to_owned)).to_vec())
}

#[test]
fn answers_pass_the_proxies_unchanged() {
    let mut nats = Nats::start();
    let tokens = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(tokens.path(), "good-enough-token\n").unwrap();
    let settings = format!("auth.tokens_file = \"{}\"\nhttp.max_body = \"8KiB\"\n", tokens.path().display());
    let bridge = Bridge::start(&nats, &format!("{settings}publish.timeout = \"1s\"\nhttp.answer_within = \"2s\"\n"));
    let token = "Authorization: Bearer good-enough-token\r\n";
    let get = b"GET /green-api/webhook HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    let proxies = Proxy::all(bridge.http);
    let asked = |name: &str, request: &[u8], status: u16| {
        let mut direct = crate::harness::Connection::open(bridge.http);
        direct.send(request);
        let direct = seen(&direct.answer());
        assert_eq!(direct.0, status, "{name}");
        for proxy in &proxies {
            assert_eq!(seen(&proxy.ask(request)), direct, "{name} by {:?}", proxy.kind);
        }
    };
    bridge.post_with(token, &text(0));
    asked("duplicate", &request(token, &text(0)), 200);
    bridge.post_with(token, b"no notification");
    asked("no token", &request("", &text(1)), 401);
    asked("wrong token", &request("Authorization: Bearer good-enough-toke\r\n", &text(1)), 401);
    asked("no token, large", &request("", &[b' '; 100_000]), 401);
    asked("too large", &request(token, &[b' '; 9000]), 413);
    asked("too large in chunks", &chunked(token, &[b' '; 9000], 1000), 413);
    asked("another method", get, 405);
    nats.kill();
    let before = bridge.metric("http_requests_total{status=\"503\"}");
    asked("not stored", &request(token, &text(2)), 503);
    // one more would be a repeat
    let after = bridge.metric("http_requests_total{status=\"503\"}");
    assert_eq!(after - before, 1.0 + proxies.len() as f64);
}

#[test]
fn the_first_notification_is_stored_and_the_second_a_duplicate() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    for (number, proxy) in Proxy::all(bridge.http).iter().enumerate() {
        assert_eq!(proxy.post(&text(number)), (200, STORED.to_owned()), "{:?}", proxy.kind);
        assert_eq!(proxy.post(&text(number)), (200, r#"{"stored":"duplicate"}"#.to_owned()), "{:?}", proxy.kind);
    }
}

#[test]
fn a_proxy_repeats_no_request_that_it_has_sent() {
    for (act, status) in [(Act::Answer(503), 503), (Act::Answer(500), 500), (Act::Break, 502)] {
        // the first request opens the connection that the second one breaks
        let script = [Act::Answer(200), act].repeat(Kind::ALL.len());
        let server = ScriptedServer::start(&script);
        for proxy in Proxy::all(server.address) {
            let before = server.seen().len();
            let mut client = proxy.connect();
            client.send(request("", &text(1))).unwrap();
            assert_eq!(client.answer().status, 200);
            client.send(request("", &text(2))).unwrap();
            let answered = client.answer_or_end().map(|answer| answer.status);
            // HAProxy passes the end of a connection on as it is: to GREEN-API, too, that is no 200
            let expected = (proxy.kind, act) != (Kind::Haproxy, Act::Break);
            assert_eq!(answered, expected.then_some(status), "{:?} {act:?}", proxy.kind);
            assert_eq!(server.seen().len() - before, 2, "{:?} {act:?}", proxy.kind);
        }
    }
}

#[test]
fn connections_to_the_bridge_stay_open() {
    let server = ScriptedServer::start(&[]);
    for proxy in Proxy::all(server.address) {
        let before = server.seen().len();
        let mut client = proxy.connect();
        for number in 0..20 {
            client.send(request("", &text(number))).unwrap();
            let answer = client.answer();
            assert!(answer.status == 200 && !answer.is_last(), "{:?} {answer:?}", proxy.kind);
        }
        let seen = server.seen().split_off(before);
        let connections: std::collections::HashSet<_> = seen.iter().map(|request| request.connection).collect();
        assert_eq!((seen.len(), connections.len()), (20, 1), "{:?}", proxy.kind);
    }
}

#[test]
fn what_a_client_claims_of_its_address_is_replaced() {
    let server = ScriptedServer::start(&[]);
    for proxy in Proxy::all(server.address) {
        let claims = "X-Forwarded-For: 89.169.144.17\r\nx-forwarded-for: 10.0.0.1, 10.0.0.2\r\n";
        assert_eq!(proxy.ask(&request(claims, &text(1))).status, 200);
        let head = server.seen().pop().unwrap().head.to_ascii_lowercase();
        let said: Vec<_> = head.lines().filter(|line| line.starts_with("x-forwarded-for")).collect();
        assert_eq!(said, ["x-forwarded-for: 127.0.0.1"], "{:?} {head}", proxy.kind);
    }
}

#[test]
fn behind_a_proxy_senders_are_allowed_by_their_own_address() {
    let nats = Nats::start();
    let page = proxy::page();
    let (_, settings) = page.split_once("```toml\n[http.proxy]\n").unwrap();
    let settings = settings.split("```").next().unwrap();
    let (sender, other) = ([127, 0, 0, 5].into(), [127, 0, 0, 6].into());
    assert_eq!(settings.matches("\"green-api\"").count(), 1);
    let settings = settings.replace("\"green-api\"", &format!("\"{sender}\""));
    let bridge = Bridge::start(&nats, &format!("[http.proxy]\n{settings}"));
    for (number, proxy) in Proxy::all(bridge.http).iter().enumerate() {
        let asked = |from, headers: &str, number| {
            let mut client = proxy.connect_from(from);
            client.send(request(headers, &text(number))).unwrap();
            client.answer().status
        };
        assert_eq!(asked(sender, "", number), 200, "{:?}", proxy.kind);
        assert_eq!(asked(other, "", 99), 403, "{:?}", proxy.kind);
        let claims = format!("X-Forwarded-For: {sender}\r\nForwarded: for={sender}\r\n");
        assert_eq!(asked(other, &claims, 99), 403, "{:?}", proxy.kind);
    }
}

#[test]
fn haproxy_names_the_sender_by_the_proxy_protocol() {
    let nats = Nats::start();
    let (sender, other) = ([127, 0, 0, 5].into(), [127, 0, 0, 6].into());
    let settings = format!("auth.allow_from = [\"{sender}\"]\n[http.proxy]\nprotocol = \"proxy\"\n");
    let bridge = Bridge::start(&nats, &settings);
    for proxy in Proxy::haproxy_with_proxy_protocol(bridge.http) {
        for (number, (from, status)) in [(sender, 200), (other, 403), (sender, 200)].into_iter().enumerate() {
            let mut client = proxy.connect_from(from);
            client.send(request("", &text(number))).unwrap();
            assert_eq!(client.answer().status, status, "{from}");
        }
    }
    assert!(bridge.post(&text(9)).0 != 200, "without the preamble it is no sender");
    assert!(nats.read().len() <= 2);
}

#[cfg(feature = "tls")]
#[test]
fn bodies_pass_the_proxies_to_a_bridge_with_tls_byte_for_byte() {
    let (nats, certificates) = (nats_for_large_bodies(), Certificates::new());
    let bridge = Bridge::start(&nats, &certificates.section("http.tls"));
    let proxies = Proxy::all_to_tls(bridge.http, &certificates.at("ca"));
    let mut sent = Vec::new();
    for (number, proxy) in proxies.iter().enumerate() {
        for body in odd_bodies(number) {
            let answer = proxy.ask(&request_of(&body));
            assert_eq!(answer.status, 200, "{:?} {answer:?}", proxy.kind);
            sent.push(body);
        }
    }
    let arrived: Vec<_> = nats.read().iter().map(body).collect();
    assert!(arrived == sent, "another body than the one that was sent");
}

#[cfg(feature = "tls")]
#[test]
fn proxies_send_nothing_to_a_bridge_of_another_authority() {
    let (nats, certificates) = (Nats::start(), Certificates::new());
    let bridge = Bridge::start(&nats, &certificates.section("http.tls"));
    for proxy in Proxy::all_to_tls(bridge.http, &Certificates::new().at("ca")) {
        let status = proxy.ask(&request("", &text(1))).status;
        assert!([502, 503].contains(&status), "{:?}: {status}", proxy.kind);
    }
    assert_eq!(nats.read().len(), 0);
}

#[test]
fn only_the_path_of_the_webhook_reaches_the_bridge() {
    let server = ScriptedServer::start(&[]);
    for proxy in Proxy::all(server.address) {
        for path in ["/", "/metrics", "/green-api/webhook/x", "/green-api/webhookx"] {
            let asked = format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n");
            assert_eq!(proxy.ask(asked.as_bytes()).status, 404, "{:?} {path}", proxy.kind);
        }
        assert_eq!(server.seen().len(), 0, "{:?}", proxy.kind);
    }
}

/// What came of one row.
struct Smuggled {
    name: String,
    kind: Kind,
    both_framings: bool,
    visible: Vec<u8>,
    hidden: Vec<u8>,
    honest: Vec<u8>,
    answers: usize,
}

impl Smuggled {
    /// Whether Caddy has taken it for two requests, and answered both. Given a length and chunks it goes by the chunks,
    /// and does not close the connection, which RFC 9112 (6.1) asks for. So what follows the chunks is another request of
    /// the same sender, to Caddy as to the bridge: it is not hidden, and no other sender's request is touched.
    fn is_two(&self) -> bool {
        self.kind == Kind::Caddy && self.both_framings && self.answers == 2
    }
}

/// Sends every row, and after each an honest notification: what a row left on a connection to the bridge would spoil it.
fn smuggle(proxy: &mut Proxy, first: usize) -> Vec<Smuggled> {
    let rows = smuggling::rows();
    let sent = rows.iter().enumerate().map(|(number, row)| {
        let id = first + number * 10;
        let [visible, hidden, honest] = [id, id + 1, id + 2].map(text);
        let name = format!("{} by {:?}", row.name, proxy.kind);
        let mut client = proxy.connect();
        // a server may refuse before it has read all
        let _ = client.send(row.raw(&visible, &hidden));
        let answers = client.read_until_quiet(smuggling::QUIET).matches("HTTP/1.1 ").count();
        assert_eq!(proxy.post(&honest), (200, STORED.to_owned()), "after {name}");
        Smuggled { name, kind: proxy.kind, both_framings: row.both_framings(), visible, hidden, honest, answers }
    });
    let sent = sent.collect();
    assert!(proxy.runs(), "{:?}", proxy.kind);
    sent
}

#[test]
fn requests_that_hide_another_store_nothing_of_it() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let mut proxies = Proxy::all(bridge.http);
    let sent: Vec<_> = std::thread::scope(|scope| {
        let threads = proxies.iter_mut().enumerate();
        let threads: Vec<_> = threads.map(|(at, proxy)| scope.spawn(move || smuggle(proxy, at * 1000))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let arrived: Vec<_> = nats.read().iter().map(body).collect();
    let times = |body: &Vec<u8>| arrived.iter().filter(|other| *other == body).count();
    for row in &sent {
        assert!(times(&row.hidden) == 0 || row.is_two(), "the hidden notification of {} arrived", row.name);
        assert!(times(&row.visible) <= 1, "{} arrived {} times", row.name, times(&row.visible));
        assert_eq!(times(&row.honest), 1, "the honest one after {}", row.name);
    }
    eventually("the bridge lives", Duration::from_secs(5), || bridge.get("/livez").0 == 200);
}

/// The rows of `raw_requests` are for a bridge that nothing stands before: behind some of them it closes the connection. A
/// proxy may take what follows for another request of the same sender. Then it has answered that one too.
#[test]
fn a_raw_request_stores_nothing_hidden_that_its_proxy_has_not_answered() {
    let tokens = raw_requests::tokens();
    let settings = format!("auth.tokens_file = \"{}\"\n", tokens.path().display());
    let rows = raw_requests::smuggling_rows();
    let is_answered = |row: &&Row| !row.steps.iter().any(|step| matches!(step, Step::Close));
    let rows: Vec<_> = rows.iter().filter(is_answered).collect();
    assert!(rows.len() > 20, "{}", rows.len());
    for kind in Kind::ALL {
        let nats = Nats::start();
        let bridge = Bridge::start(&nats, &settings);
        let Some(mut proxy) = Proxy::of(kind, bridge.http, |block| block) else { continue };
        let (next, answers) = (Mutex::new(rows.iter()), Mutex::new(Vec::new()));
        let work = || {
            while let Some(row) = { next.lock().unwrap().next() } {
                let answered = send(&proxy, row);
                answers.lock().unwrap().push((row, answered));
            }
        };
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(work))));
        let arrived: Vec<_> = nats.read().iter().map(body).collect();
        for (row, answered) in answers.into_inner().unwrap() {
            let hidden = row.hidden.iter().filter(|body| arrived.contains(body)).count();
            assert!(hidden == 0 || answered > 1, "{kind:?}: {}: {answered} answers", row.claim);
        }
        assert!(proxy.runs(), "{kind:?}");
        eventually("the bridge lives", Duration::from_secs(5), || bridge.get("/livez").0 == 200);
    }
}

/// Sends a row, and counts the answers.
fn send(proxy: &Proxy, row: &Row) -> usize {
    let mut client = proxy.connect();
    for step in &row.steps {
        match step {
            Step::Send(bytes) if client.send(bytes).is_err() => break,
            Step::Pause => std::thread::sleep(Duration::from_millis(5)),
            _ => {}
        }
    }
    client.read_until_quiet(smuggling::QUIET).matches("HTTP/1.").count()
}
