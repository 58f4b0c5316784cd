//! The listeners for operators and for kubelets: which requests are allowed, and what they show.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::{Bridge, Connection, LOOPBACK, Nats, command, exchange, free_port, talk};

const ANYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn tokens_file(path: &Path) -> String {
    format!("admin.tokens_file = \"{}\"\n", path.display())
}

/// Asks with this method and target, and these header lines; no `Host` but among them.
fn request(line: &str, headers: &[&str]) -> Vec<u8> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("{line} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n").into_bytes()
}

#[test]
fn with_tokens_configured_every_page_but_health_needs_one() {
    let (nats, tokens) = (Nats::start(), file("secret-of-operators\n7 a-bound-token-of-seven\n"));
    // beyond loopback, where tokens are what lets it listen at all
    let bridge = Bridge::start_at([LOOPBACK, ANYWHERE], &nats, &tokens_file(tokens.path()));
    let get = |path: &str, headers: &[&str]| {
        let headers = [&["Host: any.example"], headers].concat();
        exchange(bridge.admin, &request(&format!("GET {path}"), &headers)).0
    };
    assert_eq!((get("/livez", &[]), get("/readyz", &[])), (200, 200));
    for path in ["/metrics", "/", "/events"] {
        assert_eq!(get(path, &[]), 401, "{path}");
        assert_eq!(get(path, &["Authorization: Bearer wrong"]), 401, "{path}");
        assert_eq!(get(path, &["Authorization: Bearer a-bound-token-of-seven"]), 401, "{path}");
        assert_eq!(
            get(path, &["Authorization: Bearer secret-of-operators", "Authorization: Bearer secret-of-operators"]),
            401,
            "{path}"
        );
    }
    assert_eq!(get("/metrics", &["Authorization: Bearer secret-of-operators"]), 200);
    assert_eq!(get("/", &["Authorization: Bearer secret-of-operators"]), 200);
    // without a journal
    assert_eq!(get("/events", &["Authorization: Bearer secret-of-operators"]), 404);
    let refused = talk(bridge.admin, &request("GET /metrics", &["Host: any.example"]));
    assert!(refused.contains("\r\nwww-authenticate: Bearer\r\n"), "{refused}");
}

#[test]
fn on_loopback_a_foreign_host_name_is_refused() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "admin.hosts = [\"bridge.example\"]\n");
    let get = |path: &str, headers: &[&str]| exchange(bridge.admin, &request(&format!("GET {path}"), headers)).0;
    for path in ["/livez", "/readyz", "/metrics", "/"] {
        assert_eq!(get(path, &["Host: evil.example"]), 403, "{path}");
        assert_eq!(get(path, &[]), 403, "{path}");
        assert_eq!(get(path, &["Host: localhost", "Host: evil.example"]), 403, "{path}");
    }
    let own = bridge.admin.to_string();
    for host in ["localhost", "127.0.0.1:1", "[::1]:3001", "Bridge.Example:3001", &own] {
        assert_eq!(get("/metrics", &[&format!("Host: {host}")]), 200, "{host}");
    }
}

#[test]
fn probe_listener_needs_no_token_and_shows_only_health_and_metrics() {
    let (nats, tokens) = (Nats::start(), file("secret-of-operators\n"));
    let probes = SocketAddr::new(ANYWHERE, free_port());
    let bridge = Bridge::start(&nats, &format!("probes.listen = \"{probes}\"\n{}", tokens_file(tokens.path())));
    let get = |path: &str| exchange(probes, &request(&format!("GET {path}"), &["Host: 10.1.2.3:3002"])).0;
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(get(path), 200, "{path}");
    }
    for path in ["/", "/events", "/events/1", "/livez/", "/green-api/webhook/"] {
        assert_eq!(get(path), 404, "{path}");
    }
    assert_eq!(bridge.get("/metrics").0, 401);
}

#[test]
fn pages_declare_their_type_and_accept_only_reads() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let ask = |line: &str| talk(bridge.admin, &request(line, &["Host: localhost"]));
    for (path, content) in [
        ("/livez", "text/plain; charset=utf-8"),
        ("/readyz", "application/json"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
    ] {
        let (got, head) = (ask(&format!("GET {path}")), ask(&format!("HEAD {path}")));
        assert!(got.contains(&format!("\r\ncontent-type: {content}\r\n")), "{got}");
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
        let posted = ask(&format!("POST {path}"));
        assert!(posted.starts_with("HTTP/1.1 405 ") && posted.contains("\r\nallow: GET, HEAD\r\n"), "{posted}");
    }
    assert!(ask("POST /other").starts_with("HTTP/1.1 404 "));
    let there = "there are /, /livez, /readyz and /metrics\n";
    assert_eq!(bridge.get("/other"), (404, there.into()), "there is no journal");
}

#[test]
fn an_open_admin_listener_is_refused_at_start() {
    let config = file("admin.listen = \"0.0.0.0:3001\"\nnats.servers = [\"nats://127.0.0.1:1\"]\n");
    let answer = command("run", config.path());
    let said = String::from_utf8(answer.stderr).unwrap();
    assert_eq!(answer.status.code(), Some(2), "{said}");
    assert!(said.contains("admin.listen = 0.0.0.0:3001: ") && said.contains("set admin.tokens_file"), "{said}");
}

#[test]
fn a_missing_tokens_file_is_refused_at_start() {
    let config = file(
        "http.listen = \"127.0.0.1:0\"\nnats.servers = [\"nats://127.0.0.1:1\"]\n[admin]\ntokens_file = \"/not/there\"\n",
    );
    let answer = command("run", config.path());
    let said = String::from_utf8(answer.stderr).unwrap();
    assert_eq!(answer.status.code(), Some(2), "{said}");
    assert!(said.contains("admin.tokens_file = /not/there: "), "{said}");
}

/// Connections that say nothing must not hide whether it lives.
#[test]
fn health_is_answered_beside_many_silent_connections() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let silent: Vec<_> = (0..100).map(|_| Connection::open(bridge.admin)).collect();
    let asked = Instant::now();
    assert_eq!(bridge.get("/livez").0, 200);
    assert!(asked.elapsed() < Duration::from_secs(2), "only once some are let go: {:?}", asked.elapsed());
    drop(silent);
}
