//! What the listeners for operators answer to whom.

use super::{file, journal_in, no_nats, without_date};
use crate::harness::{Answer, Bridge, Connection, assert_snapshot, free_port, id_of, is_time, text};

/// How a request is answered: its status and header fields, with placeholders for what differs from run to run.
fn asked(at: std::net::SocketAddr, line: &str, headers: &str) -> String {
    let mut connection = Connection::open(at);
    connection.send(format!("{line} HTTP/1.1\r\n{headers}\r\n"));
    let answer = Answer { body: String::new(), ..connection.answer() };
    let shown = without_date(&answer).replace(&id_of(&text(1)), "<id>");
    let fields = shown.lines().filter(|line| !line.starts_with("  content-length: ")).map(|line| {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        // the page's style is in its hash
        let hash = value.split('\'').find(|word| word.starts_with("sha256-"));
        match (is_time(value), hash) {
            (true, _) => format!("{name}: <time>\n"),
            (_, Some(hash)) => format!("{}\n", line.replace(hash, "<hash>")),
            _ => format!("{line}\n"),
        }
    });
    format!("{line}\n{}\n", fields.collect::<String>())
}

#[test]
fn admin_pages() {
    let (folder, tokens) = (tempfile::tempdir().unwrap(), file("a-token-for-everyone\n"));
    let probes = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let tokens = format!("admin.tokens_file = {:?}\nprobes.listen = \"{probes}\"\n", tokens.path());
    let bridge = Bridge::with(&format!("{}{tokens}{}", journal_in(folder.path()), no_nats()), false).ready();
    assert_eq!(bridge.post(&text(1)).0, 200);
    let (host, token) = ("Host: localhost\r\n", "Host: localhost\r\nAuthorization: Bearer a-token-for-everyone\r\n");
    let mut shown = "# [admin] with a token\n\n".to_owned();
    for path in
        ["/livez", "/readyz", "/metrics", "/", "/events/1", "/events/2", "/events/x", "/events?class=x", "/other"]
    {
        shown += &asked(bridge.admin, &format!("GET {path}"), token);
    }
    for line in ["POST /", "POST /livez", "POST /events", "GET /journal/reroute", "POST /journal/other"] {
        shown += &asked(bridge.admin, line, token);
    }
    for path in ["/journal/reroute", "/journal/drop", "/journal/erase", "/journal/import", "/journal/replay"] {
        let sent = format!("{token}Content-Length: 0\r\n");
        shown += &asked(bridge.admin, &format!("POST {path}"), &sent);
    }
    shown += "# [admin] without its token\n\n";
    for path in ["/livez", "/readyz", "/metrics", "/", "/events"] {
        shown += &asked(bridge.admin, &format!("GET {path}"), host);
    }
    shown += "# [probes]\n\n";
    for path in ["/livez", "/readyz", "/metrics", "/", "/events"] {
        shown += &asked(probes, &format!("GET {path}"), host);
    }
    let alone = Bridge::with(&no_nats(), false);
    shown += "# [admin] without tokens and without a journal\n\n";
    for (line, headers) in
        [("GET /events", host), ("GET /metrics", "Host: elsewhere\r\n"), ("POST /journal/drop", host)]
    {
        shown += &asked(alone.admin, line, headers);
    }
    assert_snapshot("admin.txt", &shown);
}
