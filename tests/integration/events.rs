//! `/events` and `/`: records of the journal, shown as they arrive to clients with a token.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Bridge, eventually, exchange, free_port, talk, text};

fn in_folder(folder: &Path, extra: &str) -> String {
    format!("journal.directory = {:?}\n{extra}", folder.join("data"))
}

fn start(folder: &Path, extra: &str) -> Bridge {
    Bridge::with(&in_folder(folder, extra), false).ready()
}

fn notification(kind: &str, instance: u64, number: usize) -> Vec<u8> {
    format!(r#"{{"typeWebhook":"{kind}","instanceData":{{"idInstance":{instance}}},"number":{number}}}"#).into_bytes()
}

#[derive(Debug, Default)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

/// A stream that is read one event at a time; of HTTP 1.0, so that its bytes come as they are.
struct Stream(BufReader<TcpStream>);

impl Stream {
    fn open(bridge: &Bridge, target: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(bridge.admin).unwrap();
        // shorter than the heartbeat, so that what does not come is missed
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "GET {target} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n").unwrap();
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut head).unwrap(), 0, "closed after {head:?}");
        }
        assert!(
            head.starts_with("HTTP/1.0 200 ") && head.contains("\r\ncontent-type: text/event-stream\r\n"),
            "{head}"
        );
        Self(stream)
    }

    /// The next event with data; none at the end.
    fn next(&mut self) -> Option<Event> {
        let mut event = Event::default();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            match line.trim_end_matches('\n').split_once(": ") {
                Some(("id", id)) => event.id = id.into(),
                Some(("event", name)) => event.name = name.into(),
                Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                _ if line == "\n" && event.data.is_null() => event = Event::default(),
                _ if line == "\n" => return Some(event),
                _ => assert!(line.starts_with(':'), "{line:?}"),
            }
        }
    }

    fn numbers(&mut self, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.next().unwrap().data["data"]["number"].as_u64().unwrap()).collect()
    }
}

#[test]
fn stored_and_new_events_are_shown_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = start(folder.path(), "");
    (0..600).for_each(|number| drop(bridge.post(&text(number))));
    assert_eq!(bridge.post(b"a dead letter").1, r#"{"stored":"dead_letter"}"#);
    let mut stream = Stream::open(&bridge, "/events", "");
    assert_eq!(stream.numbers(600), (0..600).collect::<Vec<_>>());
    (600..620).for_each(|number| drop(bridge.post(&text(number))));
    assert_eq!(stream.numbers(20), (600..620).collect::<Vec<_>>());
    assert_eq!(Stream::open(&bridge, "/events?last=2", "").numbers(2), [618, 619]);
    assert_eq!(Stream::open(&bridge, "/events?since=1h", "").numbers(1), [0]);
}

#[test]
fn an_event_is_one_line_of_cloud_events_json() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = start(folder.path(), "");
    let body = "{\"typeWebhook\":\"stateInstanceChanged\",\r\n\t\"instanceData\" : {\"idInstance\":7},\n\"timestamp\":1588091580,\"a\":1.10}";
    assert_eq!(bridge.post(body.as_bytes()).0, 200);
    let event = Stream::open(&bridge, "/events", "").next().unwrap();
    let of = |name: &str| event.data[name].as_str().unwrap().to_owned();
    assert_eq!(of("type"), "com.green-api.stateInstanceChanged");
    assert_eq!(
        (of("source"), of("class"), of("specversion")),
        ("urn:greenapi:instance:7".into(), "state".into(), "1.0".into())
    );
    assert_eq!(of("time"), "2020-04-28T16:33:00Z"); // `date -u -d @1588091580`
    assert_eq!(event.data["data"]["timestamp"], 1_588_091_580);
}

#[test]
fn filters_select_the_events_shown() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = start(folder.path(), "");
    let all =
        [("incomingCall", 7), ("stateInstanceChanged", 7), ("incomingCall", 8), ("deviceInfo", 9), ("newThing", 7)];
    for (number, (kind, instance)) in all.into_iter().enumerate() {
        assert_eq!(bridge.post(&notification(kind, instance, number)).0, 200);
    }
    for (query, numbers) in [
        ("class=incoming", vec![0, 2]),
        ("class=incoming,state&instance=7", vec![0, 1]),
        ("class=state&class=device", vec![1, 3]),
        ("instance=7%2C9", vec![0, 1, 3, 4]),
        ("type=newThing,com.green-api.deviceInfo", vec![3, 4]),
        ("class=incoming&last=1", vec![2]),
    ] {
        let mut stream = Stream::open(&bridge, &format!("/events?{query}"), "");
        assert_eq!(stream.numbers(numbers.len()), numbers, "{query}");
    }
    for query in ["class=inbound", "instance=x", "type=a%20b", "klass=x", "last=many", "after=1&last=1", "after=foo"] {
        let (status, said) = bridge.get(&format!("/events?{query}"));
        assert!(status == 400 && said.contains("give") || said.contains("there are"), "{query}: {status} {said}");
    }
}

#[test]
fn a_reader_resumes_after_a_crash_of_the_bridge() {
    let folder = tempfile::tempdir().unwrap();
    let mut bridge = start(folder.path(), "");
    (0..10).for_each(|number| drop(bridge.post(&text(number))));
    let mut stream = Stream::open(&bridge, "/events", "");
    let third = (0..3).map(|_| stream.next().unwrap()).last().unwrap();
    bridge.kill_and_start_again();
    let bridge = bridge.ready();
    assert_eq!(bridge.post(&text(10)).0, 200);
    let mut stream = Stream::open(&bridge, "/events?last=1", &format!("Last-Event-ID: {}\r\n", third.id));
    assert_eq!(stream.numbers(8), (3..=10).collect::<Vec<_>>());
    let mut stream = Stream::open(&bridge, &format!("/events?after={}", third.id), "");
    assert_eq!(stream.numbers(1), [3]);
}

#[test]
fn an_unknown_position_is_answered_with_a_reset() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = start(folder.path(), "");
    assert_eq!(bridge.post(&text(0)).0, 200);
    let first = Stream::open(&bridge, "/events", "").next().unwrap().id;
    let journal = first.split_once('-').unwrap().0;
    for place in ["00000000-1", "nonsense", &format!("{journal}-999999999")] {
        let mut stream = Stream::open(&bridge, "/events", &format!("Last-Event-ID: {place}\r\n"));
        let reset = stream.next().unwrap();
        assert_eq!((&*reset.name, &reset.data["reason"]), ("reset", &"unknown".into()), "{place}");
        assert_eq!((&reset.data["from"], &reset.data["journal"]), (&first.clone().into(), &journal.into()));
        assert_eq!(stream.numbers(1), [0], "{place}");
    }
    let mut stream = Stream::open(&bridge, "/events?after=00000000-1", "");
    assert_eq!(stream.next().unwrap().name, "reset");
}

#[test]
fn a_position_whose_events_were_deleted_is_answered_with_a_reset() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = start(folder.path(), "journal.retention = \"2s\"\n");
    assert_eq!(bridge.post(&text(0)).0, 200);
    // with a longer retention, so that the next number still exists
    assert_eq!(bridge.post(b"no notification").0, 200);
    assert_eq!(bridge.post(&text(1)).0, 200);
    let mut stream = Stream::open(&bridge, "/events", "");
    let [first, second] = [(); 2].map(|()| stream.next().unwrap().id);
    // with the second still there nothing would be missing
    eventually("both are deleted", Duration::from_secs(10), || bridge.get(&format!("/events/{second}")).0 == 404);
    assert_eq!(bridge.post(&text(2)).0, 200);
    let mut stream = Stream::open(&bridge, "/events", &format!("Last-Event-ID: {first}\r\n"));
    let reset = stream.next().unwrap();
    assert_eq!((&*reset.name, &reset.data["reason"]), ("reset", &"trimmed".into()));
}

#[test]
fn a_deleted_dead_letter_is_no_gap_among_events() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = start(folder.path(), "dead_letter.retention = \"1s\"\n");
    for body in [text(0), b"no notification".to_vec(), text(1)] {
        assert_eq!(bridge.post(&body).0, 200);
    }
    let mut stream = Stream::open(&bridge, "/events", "");
    let [first, second] = [(); 2].map(|()| stream.next().unwrap().id);
    let journal = rusqlite::Connection::open(folder.path().join("data/journal.db")).unwrap();
    eventually("it is deleted", Duration::from_secs(10), || {
        journal.query_row("SELECT count(*) FROM record", [], |row| row.get::<_, u32>(0)).unwrap() == 2
    });
    let mut stream = Stream::open(&bridge, "/events", &format!("Last-Event-ID: {first}\r\n"));
    assert_eq!(stream.next().unwrap().id, second);
}

#[test]
fn the_bytes_of_an_event_are_those_received() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = start(folder.path(), "");
    let body = b"{\"typeWebhook\" : \"incomingCall\",\r\n\"instanceData\":{\"idInstance\":7}, \"a\":1.10}\n";
    assert_eq!(bridge.post(body).0, 200);
    let event = Stream::open(&bridge, "/events", "").next().unwrap();
    let (journal, seq) = event.id.split_once('-').unwrap();
    for place in [seq, &event.id] {
        let answer = talk(bridge.admin, format!("GET /events/{place} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes());
        let (head, bytes) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(bytes.as_bytes(), body);
        for field in [
            "content-type: application/json",
            "ce-type: com.green-api.incomingCall",
            "ce-instance: 7",
            "ce-class: incoming",
        ] {
            assert!(head.contains(&format!("\r\n{field}")), "{field}: {head}");
        }
        let id = event.data["id"].as_str().unwrap();
        assert!(head.contains(&format!("\r\nce-id: {id}")), "{head}");
    }
    for gone in ["99999", "x", "", "00000000-1", &format!("{journal}-0")] {
        assert_eq!(bridge.get(&format!("/events/{gone}")).0, 404, "{gone}");
    }
}

#[test]
fn a_slow_reader_delays_nobody_and_costs_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = start(folder.path(), "");
    let large = |number| {
        let head =
            format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":7}},"number":{number},"x":""#);
        [head.as_bytes(), &vec![b'x'; 512 * 1024][..], b"\"}"].concat()
    };
    let idle = || -> Vec<_> { (0..20).map(|_| Stream::open(&bridge, "/events", "")).collect() };
    let _early = idle();
    let before = resident(&bridge);
    (0..100).for_each(|number| assert_eq!(bridge.post(&large(number)).0, 200));
    let _late = idle();
    let mut reader = Stream::open(&bridge, "/events", "");
    assert_eq!(reader.numbers(100), (0..100).collect::<Vec<_>>());
    // of 100 events of 512 KiB each, one page and what is on its way for each stream
    let grown = resident(&bridge) - before;
    assert!(grown < 40.0 * 4.0 * 1024.0 * 1024.0, "{} MiB", grown / 1024.0 / 1024.0);
}

fn resident(bridge: &Bridge) -> f64 {
    let (_, text) = bridge.get("/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes ")).unwrap();
    line.parse().unwrap()
}

#[test]
fn at_most_64_streams_are_open_and_a_closed_one_frees_its_slot() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = start(folder.path(), "");
    assert_eq!(bridge.post(&text(0)).0, 200);
    let mut open: Vec<_> = (0..64).map(|_| Stream::open(&bridge, "/events", "")).collect();
    open.iter_mut().for_each(|stream| assert_eq!(stream.numbers(1), [0]));
    let begun = || {
        let mut stream = TcpStream::connect(bridge.admin).unwrap();
        write!(stream, "GET /events HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    };
    assert!(begun().contains(" 503 "));
    assert_eq!(bridge.get("/livez").0, 200);
    assert_eq!(bridge.post(&text(1)).0, 200);
    open.iter_mut().for_each(|stream| assert_eq!(stream.numbers(1), [1]));
    open.pop();
    let freed = || talk(bridge.admin, b"HEAD /events HTTP/1.0\r\nHost: localhost\r\n\r\n").starts_with("HTTP/1.0 200");
    assert!(freed(), "a HEAD takes no place");
    eventually("there is room", Duration::from_secs(5), || begun().contains(" 200 "));
}

/// The default of `shutdown.grace`: how long a stop waits for what does not end by itself.
const GRACE: Duration = Duration::from_secs(25);

#[test]
fn open_streams_do_not_delay_a_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = start(folder.path(), "");
    assert_eq!(bridge.post(&text(0)).0, 200);
    let mut open: Vec<_> = (0..3).map(|_| Stream::open(&bridge, "/events", "")).collect();
    open.iter_mut().for_each(|stream| assert_eq!(stream.numbers(1), [0]));
    let admin = bridge.admin;
    let whole = std::thread::spawn(move || talk(admin, b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    std::thread::sleep(Duration::from_millis(300));
    let asked = Instant::now();
    assert_eq!(bridge.terminate(), Some(0));
    assert!(asked.elapsed() < GRACE / 2, "{:?}", asked.elapsed());
    open.iter_mut().for_each(|stream| assert!(stream.next().is_none()));
    // the last chunk: it has ended, it was not cut
    assert!(whole.join().unwrap().ends_with("\r\n0\r\n\r\n"));
}

#[test]
fn pages_with_bodies_need_a_token_and_the_right_host() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "secret-of-operators\n").unwrap();
    let probes = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), free_port());
    let bridge = start(folder.path(), &format!("admin.tokens_file = {tokens:?}\nprobes.listen = \"{probes}\"\n"));
    assert_eq!(bridge.post(&text(0)).0, 200);
    let ask = |to, line: &str, headers: &str| exchange(to, format!("{line} HTTP/1.0\r\n{headers}\r\n").as_bytes()).0;
    for path in ["/", "/events/1", "/events?last=x"] {
        let get = format!("GET {path}");
        assert_eq!(ask(bridge.admin, &get, "Host: localhost\r\n"), 401, "{path}");
        assert_eq!(
            ask(bridge.admin, &get, "Host: evil.example\r\nAuthorization: Bearer secret-of-operators\r\n"),
            403,
            "{path}"
        );
        let with = "Host: localhost\r\nAuthorization: Bearer secret-of-operators\r\n";
        assert!([200, 400].contains(&ask(bridge.admin, &get, with)), "{path}");
        assert_eq!(ask(bridge.admin, &format!("POST {path}"), with), 405, "{path}");
        assert_eq!(ask(probes, &get, with), 404, "{path}");
    }
}

#[test]
fn the_page_shows_the_state_of_the_bridge_and_loads_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = start(folder.path(), "");
    (0..3).for_each(|number| drop(bridge.post(&text(number))));
    let answer = talk(bridge.admin, b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let (head, page) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: text/html; charset=utf-8"), "{head}");
    assert!(head.contains("content-security-policy: default-src 'none'; "), "{head}");
    for part in [
        "<title>greenapi-bridge: ready</title>",
        "records only in the journal</th><td>3<",
        "href=\"/metrics\"",
        "href=\"/events?last=100\"",
    ] {
        assert!(page.contains(part), "no {part} in {page}");
    }
    let there = "there are /, /events, /livez, /readyz and /metrics\n";
    assert_eq!(bridge.get("/other"), (404, there.into()));
}
