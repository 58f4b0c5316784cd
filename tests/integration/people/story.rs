//! A bridge that logs all it can, what is done to it, and everything it says.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::markers::{Markers, SECRET};
use crate::harness::{Bridge, Certificates, TlsConnection, command, eventually, exchange, request, talk};

/// A bridge with TLS, tokens and a journal, at the level `trace`.
pub struct Story {
    bridge: Bridge,
    certificates: Certificates,
    folder: PathBuf,
    /// Where nothing of people and no secret may be, and what stands there.
    pub places: Vec<(String, Vec<u8>)>,
}

fn token(name: &str) -> String {
    format!("{SECRET}-{name}-token")
}

fn authorization(name: &str) -> String {
    format!("Authorization: Bearer {}\r\n", token(name))
}

impl Story {
    pub fn start(folder: &tempfile::TempDir, brokers: &str) -> Self {
        let (certificates, folder) = (Certificates::new(), folder.path().to_owned());
        let key = certificates.at("server.key");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let at = |name: &str| folder.join(name);
        std::fs::write(at("tokens"), format!("{}\n8 {}\n", token("webhook"), token("bound"))).unwrap();
        std::fs::write(at("admin"), format!("{}\n", token("admin"))).unwrap();
        let config = format!(
            "publish.timeout = \"3s\"\nlog.level = \"trace\"\njournal.directory = {:?}\nauth.tokens_file = {:?}\nadmin.tokens_file = {:?}\n\
             http.tls.certificate_file = {:?}\nhttp.tls.key_file = {key:?}\n{brokers}",
            at("data"),
            at("tokens"),
            at("admin"),
            certificates.at("server")
        );
        let bridge = Bridge::with(&config, true).ready();
        Self { bridge, certificates, folder, places: Vec::new() }
    }

    /// Remembers what was said somewhere.
    pub fn note(&mut self, place: &str, said: impl Into<Vec<u8>>) {
        self.places.push((place.to_owned(), said.into()));
    }

    fn connect(&self) -> TlsConnection {
        TlsConnection::open(self.bridge.http, &self.certificates.at("ca"), "localhost").unwrap()
    }

    /// Sends a request over TLS, and remembers the answer; its status.
    fn send(&mut self, request: &[u8]) -> u16 {
        let mut connection = self.connect();
        // one that is refused early may be closed before all of it is sent
        let _ = connection.send(request);
        let answer = connection.answer();
        self.note("an answer", format!("{}{}", answer.head, answer.body));
        answer.status
    }

    /// Sends bodies that are all stored.
    pub fn store(&mut self, bodies: &[Vec<u8>]) {
        for body in bodies {
            let status = self.send(&request(&authorization("webhook"), body));
            assert_eq!(status, 200, "{} {}", String::from_utf8_lossy(&body[..body.len().min(500)]), self.bridge.log());
        }
    }

    /// Sends bodies with a `Content-Encoding`, known and not.
    pub fn store_encoded(&mut self, markers: &mut Markers) {
        for coding in ["gzip", &format!("{SECRET}-coding")] {
            let body = format!(
                r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":7}},"text":"{}"}}"#,
                markers.new_text(&format!("encoded {coding}").replace(SECRET, ""))
            );
            let headers = format!("{}Content-Encoding: {coding}\r\n", authorization("webhook"));
            assert_eq!(self.send(&request(&headers, body.as_bytes())), 200);
        }
    }

    /// Sends what is refused: wrong tokens, and heads that are wrong where a secret stands.
    pub fn refuse(&mut self, markers: &mut Markers, body: &[u8]) {
        let secret = format!("{SECRET}-of-a-head");
        let webhook = authorization("webhook");
        let wrong = [
            authorization("wrong"),
            authorization("bound"),
            format!("Authorization: {secret}\r\n"),
            format!("Authorization: Basic {secret}\r\n"),
            format!("{webhook}{webhook}"),
            String::new(),
        ];
        for headers in wrong {
            assert!([400, 401].contains(&self.send(&request(&headers, body))), "{headers}");
        }
        let post = format!(
            "POST /green-api/webhook/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n{webhook}"
        );
        let replaced = |from: &str, to: &str| format!("{}\r\n", post.replacen(from, to, 1));
        let heads = [
            (
                401,
                format!(
                    "{}\r\n",
                    post.replace(&webhook, "").replace("/webhook/", &format!("/webhook/?token={secret}"))
                ),
            ),
            (404, replaced("/green-api/", &format!("/{secret}/?{secret}={secret}"))),
            (405, replaced("POST", &SECRET.to_uppercase())),
            (400, replaced("Host: x", &format!("Host: {secret} {secret}"))),
            (400, replaced("Host: x", &format!("Host: {secret}\r\nHost: x"))),
            (400, replaced("Content-Length: 0", &format!("Content-Length: {secret}"))),
            (400, replaced("Content-Length: 0", &secret)),
            (400, replaced("HTTP/1.1", &secret)),
            (431, replaced("Connection: close", &format!("X-Large: {}", secret.repeat(10_000)))),
            (414, replaced("/green-api/", &format!("/{}/", secret.repeat(6000)))),
            (413, replaced("Content-Length: 0", &format!("X-Secret: {secret}\r\nContent-Length: 99999999"))),
        ];
        for (status, head) in heads {
            assert_eq!(self.send(head.as_bytes()), status, "{}", &head[..head.len().min(300)]);
        }
        // headers that nothing of the bridge reads here
        let ignored = [
            "X-Forwarded-For",
            "Forwarded",
            "User-Agent",
            "Cookie",
            "Referer",
            "traceparent",
            "tracestate",
            "Origin",
            "Content-Type",
        ];
        let headers: String = ignored.iter().map(|name| format!("{name}: {secret}\r\n")).collect();
        let body = format!(
            r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":7}},"text":"{}"}}"#,
            markers.new_text("with headers")
        );
        assert_eq!(self.send(&request(&format!("{webhook}{headers}"), body.as_bytes())), 200);
        // bytes that are no TLS
        let plain = talk(self.bridge.http, &request(&format!("{webhook}X-Secret: {secret}\r\n"), body.as_bytes()));
        self.note("an answer without TLS", plain);
    }

    fn run(&mut self, words: &str, config: &Path) {
        let done = command(words, config);
        let shown = words.replace(SECRET, "…");
        self.note(&format!("the output of {shown}"), [done.stdout, done.stderr].concat());
    }

    /// The commands that concern the journal and show no content.
    pub fn commands_of_journal(&mut self, markers: &mut Markers) {
        let config = self.bridge.config.path().to_owned();
        for words in [
            "journal status",
            "journal status --json",
            "dead-letter list",
            "dead-letter list --json",
            "journal reroute --from nats --yes",
            "journal drop --broker nats --instance 9 --yes",
            "journal erase --instance 9 --yes",
        ] {
            self.run(words, &config);
        }
        let someone = markers.of("chatId@c.us").to_owned() + "x";
        self.run(&format!("journal erase --chat {someone} --yes"), &config);
        let exported = self.folder.join("exported.jsonl");
        self.run(&format!("journal export --output {}", exported.display()), &config);
        assert!(std::fs::read_to_string(&exported).unwrap().contains(markers.of("senderName")), "it has content");
        self.run(&format!("journal import {}", exported.display()), &config);
        let lines = std::fs::read_to_string(&exported).unwrap();
        // a line that was cut, and one whose body was changed
        std::fs::write(&exported, format!("{}\n", &lines[..lines.find('\n').unwrap() - 20])).unwrap();
        self.run(&format!("journal import {}", exported.display()), &config);
        std::fs::write(&exported, lines.replacen("\"data\":{", "\"data\":{\"x\":1,", 1)).unwrap();
        self.run(&format!("journal import {}", exported.display()), &config);
    }

    /// Tokens files that are refused, while it runs.
    pub fn reload_badly(&mut self) {
        let (path, secret) = (self.folder.join("tokens"), token("webhook"));
        let good = std::fs::read_to_string(&path).unwrap();
        for (count, bad) in [
            format!("8 {secret} more"),
            format!("{secret}\n8 {secret}"),
            SECRET.into(),
            format!("x {secret}"),
            String::new(),
        ]
        .iter()
        .enumerate()
        {
            std::fs::write(&path, bad).unwrap();
            self.bridge.signal("-HUP");
            let failed = || self.bridge.log().matches("\"reload_failed\"").count() > count;
            eventually("it is refused", Duration::from_secs(20), failed);
            let ready = self.bridge.get("/readyz").1;
            self.note("/readyz", ready);
        }
        std::fs::write(&path, good).unwrap();
        self.bridge.signal("-HUP");
    }

    pub fn backlog_drained(&mut self) {
        eventually("the backlog is forwarded", Duration::from_secs(60), || {
            let metrics = self.admin("GET /metrics", "admin", "").1;
            metrics.lines().any(|line| line.starts_with("greenapi_bridge_journal_records") && line.ends_with(" 0"))
        });
    }

    fn admin(&self, line: &str, token: &str, headers: &str) -> (u16, String) {
        let head =
            format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}{headers}\r\n", authorization(token));
        exchange(self.bridge.admin, head.as_bytes())
    }

    /// Every page that shows no content, and every refusal.
    pub fn admin_pages(&mut self) {
        for line in [
            "GET /livez",
            "GET /readyz",
            "GET /metrics",
            "GET /",
            "GET /nothing",
            "POST /metrics",
            "GET /events/0",
            "POST /journal/drop",
        ] {
            for token in ["admin", "wrong"] {
                let said = self.admin(line, token, "").1;
                self.note(line, said);
            }
        }
        // the answers to these repeat what is wrong with them, to the operator who asked; the log must not
        let secret = format!("{SECRET}-query");
        for line in [
            format!("GET /{secret}"),
            format!("GET /events?class={secret}"),
            format!("GET /events?after={secret}"),
            format!("GET /events?{secret}=1"),
            format!("GET /events/{secret}"),
            format!("POST /journal/{secret}"),
        ] {
            assert!((400..500).contains(&self.admin(&line, "admin", &format!("Origin: {secret}\r\n")).0), "{line}");
        }
        for (path, body) in [
            ("erase", format!("{{\"chat\":\"{secret}\",")),
            ("erase", format!("{{\"{secret}\":1}}")),
            ("drop", format!("\"{secret}\"")),
            ("import", format!("{{\"records\":[\"{secret}\"]}}")),
        ] {
            let head = format!(
                "POST /journal/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n{}\r\n{body}",
                body.len(),
                authorization("admin")
            );
            assert_eq!(exchange(self.bridge.admin, head.as_bytes()).0, 400, "{body}");
        }
    }

    /// Commands beside it, and configurations that are refused.
    pub fn commands(&mut self) {
        let config = self.bridge.config.path().to_owned();
        let authority = self.certificates.at("ca");
        let send = format!(
            "send --count 3 --give-up 1 --ca-file {authority} --ledger {}",
            self.folder.join("ledger").display()
        );
        for words in [
            "check",
            "check --json",
            "check --offline",
            "provision",
            &send,
            &format!("send --count 1 --give-up 0 --url http://127.0.0.1:1/?token={SECRET}"),
            &format!("send --count 1 --give-up 0 --url http://u:{SECRET}@127.0.0.1:1/"),
            &format!("tail --no-follow --url http://127.0.0.1:1/?token={SECRET}"),
            &format!("tail --no-follow --url http://u:{SECRET}@127.0.0.1:1/"),
            &format!("journal drop --broker nats --yes --url http://u:{SECRET}@127.0.0.1:1/"),
            "journal status",
        ] {
            self.run(words, &config);
        }
        let ledger = std::fs::read(self.folder.join("ledger")).unwrap();
        self.note("the ledger of send", ledger);
        let secret = format!("{SECRET}-configured");
        for (index, wrong) in [
            format!("nats.password = \"{secret}\""),
            format!("nats.password = {secret}"),
            format!("nats.login = \"{secret}\""),
            format!("nats = \"{secret}\""),
            format!("nats.servers = [\"nats://u:{secret}@127.0.0.1:1\"]"),
            format!("nats.servers = [\"nats://{secret}@127.0.0.1:1\"]"),
            format!("auth.tokens = [\"{secret}\"]"),
            format!("auth.token = \"{secret}"),
            format!("kafka.properties.\"sasl.password\" = \"{secret}\""),
            format!("kafka.properties.\"ssl.key.pem\" = \"{secret}\""),
            format!("kafka.properties = \"{secret}\""),
            format!("kafka.secret_files = {{ \"sasl.password\" = [\"{secret}\"] }}"),
        ]
        .iter()
        .enumerate()
        {
            let file = self.folder.join(format!("wrong{index}.toml"));
            std::fs::write(&file, format!("{wrong}\n")).unwrap();
            for words in ["check", "run"] {
                self.run(words, &file);
            }
        }
    }

    /// Ends it, and remembers its log, which has lines of the bridge and of this library.
    pub fn stop(&mut self, library: &str) {
        self.bridge.signal("-TERM");
        assert_eq!(self.bridge.exit_code(), Some(0), "{}", self.bridge.log());
        let log = self.bridge.log();
        for module in ["greenapi_bridge", library] {
            assert!(log.contains(&format!("\"target\":\"{module}")), "nothing is proven of {module}");
        }
        self.note("the log", log);
    }
}
