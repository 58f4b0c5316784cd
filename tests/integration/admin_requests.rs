//! What a browser may do with the admin listener: the headers that tell it, and requests that pages of others cause.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::harness::{
    Answer, Bridge, Certificates, Connection, TlsConnection, eventually, free_port, nats_servers, text,
};

/// What every answer has. The page alone may have styles, named by their hash.
const SECURITY: [(&str, &str); 6] = [
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// An admin listener, with or without TLS, of a bridge whose journal has one record that waits for its broker.
struct Listener {
    bridge: Bridge,
    certificates: Option<Certificates>,
    _folder: tempfile::TempDir,
}

impl Listener {
    fn start(certificates: Option<Certificates>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config =
            format!("journal.directory = {:?}\nadmin.hosts = [\"bridge.example\"]\n", folder.path().join("data"));
        if let Some(certificates) = &certificates {
            let key = certificates.at("server.key");
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
            let certificate = certificates.at("server");
            config += &format!("admin.tls.certificate_file = {certificate:?}\nadmin.tls.key_file = {key:?}\n");
        }
        let bridge = Bridge::with(&format!("{config}{}", nats_servers(&[free_port()])), false);
        let listener = Self { bridge, certificates, _folder: folder };
        eventually("it is ready", Duration::from_secs(20), || listener.get("/readyz").status == 200);
        assert_eq!(listener.bridge.post(&text(1)).0, 200);
        listener
    }

    fn scheme(&self) -> &'static str {
        if self.certificates.is_some() { "https" } else { "http" }
    }

    fn address(&self) -> SocketAddr {
        self.bridge.admin
    }

    fn ask(&self, request: &[u8]) -> Answer {
        match &self.certificates {
            Some(certificates) => {
                let mut connection = TlsConnection::open(self.address(), &certificates.at("ca"), "localhost").unwrap();
                connection.send(request).unwrap();
                connection.answer()
            }
            None => plain(self.address(), request),
        }
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
    }

    fn records(&self) -> String {
        let metrics = self.get("/metrics").body;
        let of_nats = metrics.lines().find(|line| line.starts_with("greenapi_bridge_journal_records{broker=\"nats\"}"));
        of_nats.unwrap().rsplit(' ').next().unwrap().to_owned()
    }

    /// Asks for the deletion of the backlog, with these header lines.
    fn drop_backlog(&self, headers: &[&str]) -> Answer {
        let body = r#"{"change":{"drop":{"broker":"nats"}}}"#;
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let head = format!("POST /journal/drop HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        self.ask(format!("{head}{headers}\r\n{body}").as_bytes())
    }
}

fn plain(to: SocketAddr, request: &[u8]) -> Answer {
    let mut connection = Connection::open(to);
    connection.send(request);
    connection.answer()
}

fn assert_secured(what: &str, answer: &Answer) {
    for (name, value) in SECURITY {
        assert_eq!(answer.header(name), Some(value), "{what}: {}", answer.head);
    }
    let policy = answer.header("content-security-policy").unwrap_or_default();
    for rule in ["default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"] {
        assert!(policy.split("; ").any(|one| one == rule), "{what}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("script"), "{what}: {policy}");
    for name in ["server", "via", "x-powered-by", "access-control-allow-origin"] {
        assert_eq!(answer.header(name), None, "{what}");
    }
    let version = env!("CARGO_PKG_VERSION");
    assert!(!answer.head.contains(&format!("/{version}")), "{what}: {}", answer.head);
}

#[test]
fn every_answer_and_every_refusal_has_the_security_headers() {
    for certificates in [None, Some(Certificates::new())] {
        let listener = Listener::start(certificates);
        for (status, line, headers) in [
            (200, "GET /livez", "Host: localhost"),
            (200, "GET /readyz", "Host: localhost"),
            (200, "GET /metrics", "Host: localhost"),
            (200, "GET /", "Host: localhost"),
            (200, "GET /events?last=0", "Host: localhost"),
            (200, "GET /events/1", "Host: localhost"),
            (400, "GET /events?class=nothing", "Host: localhost"),
            (403, "GET /livez", "Host: evil.example"),
            (404, "GET /nothing", "Host: localhost"),
            (404, "GET /events/99", "Host: localhost"),
            (405, "POST /metrics", "Host: localhost"),
            (405, "GET /journal/drop", "Host: localhost"),
            (403, "POST /journal/drop", "Host: localhost\r\nOrigin: http://evil.example"),
            (409, "POST /journal/drop?journal=other", "Host: localhost\r\nContent-Type: application/json"),
            (
                413,
                "POST /journal/drop",
                "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 999999999",
            ),
            (415, "POST /journal/drop", "Host: localhost\r\nContent-Type: text/plain"),
            (400, "POST /journal/drop", "Host: localhost\r\nContent-Type: application/json"),
        ] {
            let answer = listener.ask(format!("{line} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n\r\n").as_bytes());
            assert_eq!(answer.status, status, "{line} {headers}: {}{}", answer.head, answer.body);
            assert_secured(&format!("{} {line} {headers}", listener.scheme()), &answer);
        }
        if listener.scheme() == "https" {
            let answer = plain(listener.address(), b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            assert_eq!((answer.status, answer.body.contains("https://")), (400, true), "{answer:?}");
            assert_secured("http:// on a port with TLS", &answer);
        }
        assert_eq!(listener.records(), "1");
    }
}

#[test]
fn an_answer_without_its_token_has_the_security_headers() {
    let tokens = crate::nats_server::file("secret-of-operators");
    let config = format!("admin.tokens_file = {:?}\n{}", tokens.path(), nats_servers(&[free_port()]));
    let bridge = Bridge::with(&config, false);
    for path in ["/", "/metrics", "/events", "/nothing", "/journal/drop"] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = plain(bridge.admin, head.as_bytes());
        assert_eq!(answer.status, 401, "{path}");
        assert_secured(path, &answer);
    }
}

#[test]
fn no_page_of_another_origin_changes_anything() {
    const JSON: &str = "Content-Type: application/json";
    for certificates in [None, Some(Certificates::new())] {
        let listener = Listener::start(certificates);
        let (scheme, own) = (listener.scheme(), listener.address());
        let (host, origin) = (format!("Host: {own}"), format!("Origin: {scheme}://{own}"));
        let other_port = format!("Origin: {scheme}://127.0.0.1:1");
        let unlike = format!("Origin: {}://{own}x", listener.scheme());
        let refused: [(u16, &[&str]); 17] = [
            // what a form or a script may send without being asked first
            (415, &[&host]),
            (415, &[&host, "Content-Type: text/plain"]),
            (415, &[&host, "Content-Type: text/plain;application/json"]),
            (415, &[&host, "Content-Type: application/x-www-form-urlencoded"]),
            (415, &[&host, "Content-Type: multipart/form-data; boundary=x"]),
            (403, &[&host, "Content-Type: text/plain", "Origin: http://evil.example"]),
            (403, &[&host, JSON, "Origin: http://evil.example"]),
            (403, &[&host, JSON, "Origin: null"]),
            (403, &[&host, JSON, &other_port]),
            (403, &[&host, JSON, &unlike]),
            (403, &[&host, JSON, &origin, "Origin: http://evil.example"]),
            // a browser that keeps the origin to itself still says where from
            (403, &[&host, JSON, "Sec-Fetch-Site: cross-site"]),
            (403, &[&host, JSON, "Sec-Fetch-Site: same-site"]),
            (403, &[&host, JSON, &origin, "Sec-Fetch-Site: cross-site"]),
            // a name of another that leads here
            (403, &["Host: evil.example", JSON, "Origin: http://evil.example", "Sec-Fetch-Site: same-origin"]),
            (403, &["Host: 127.0.0.1.evil.example:3001", JSON, "Origin: http://127.0.0.1.evil.example:3001"]),
            (403, &["Host: localhost.evil.example", JSON]),
        ];
        for (status, headers) in refused {
            let answer = listener.drop_backlog(headers);
            assert_eq!(answer.status, status, "{scheme} {headers:?}: {}", answer.body);
            assert_eq!(listener.records(), "1", "{scheme} {headers:?}");
        }
        if scheme == "https" {
            let unencrypted = format!("Origin: http://{own}");
            let answer = listener.drop_backlog(&[&host, JSON, &unencrypted]);
            assert_eq!(answer.status, 403, "whoever is between may have written that page");
            assert_eq!(listener.records(), "1");
        }
        // before it asks such a request, a browser asks whether it may
        let asked = listener.ask(
            format!("OPTIONS /journal/drop HTTP/1.1\r\n{host}\r\nOrigin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\nConnection: close\r\n\r\n").as_bytes(),
        );
        assert_eq!(asked.status, 405);
        assert!(!asked.head.to_lowercase().contains("access-control"), "{}", asked.head);
        let answer = listener.drop_backlog(&[&host, JSON, &origin, "Sec-Fetch-Site: same-origin"]);
        assert_eq!((answer.status, listener.records().as_str()), (200, "0"), "its own pages may: {}", answer.body);
    }
}
