//! A real nats-server, a bridge, and a consumer in another language.

mod wire;

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use async_nats::jetstream;
pub use async_nats::jetstream::stream;
use serde_json::Value;

pub use wire::{Answer, Connection, exchange, post, request};

pub struct Nats {
    child: Child,
    pub port: u16,
    store: tempfile::TempDir,
}

pub struct Bridge {
    child: Child,
    pub http: SocketAddr,
    admin: SocketAddr,
    pub config: tempfile::NamedTempFile,
    log: tempfile::NamedTempFile,
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub fn eventually(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + within;
    while !holds() {
        assert!(Instant::now() < end, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
    // until every thread stands still, one of them may go on to answer
    eventually("it stands still", Duration::from_secs(5), || name != "-STOP" || stands_still(child.id()));
}

fn stands_still(process: u32) -> bool {
    let mut threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.all(|thread| {
        std::fs::read_to_string(thread.unwrap().path().join("status")).is_ok_and(|status| status.contains("State:\tT"))
    })
}

fn nats_server(port: u16, store: &Path, extra: &[String]) -> Child {
    let binary = std::env::var("BRIDGE_TEST_NATS_SERVER").expect("run me by tests/run, which fetches the broker");
    let mut command = Command::new(binary);
    command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"]).arg(store).args(extra);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("nats-server listens", Duration::from_secs(10), || TcpStream::connect(("127.0.0.1", port)).is_ok());
    child
}

impl Nats {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(extra: &[String]) -> Self {
        let (port, store) = (free_port(), tempfile::tempdir().unwrap());
        Self { child: nats_server(port, store.path(), extra), port, store }
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn start_again(&mut self) {
        self.child = nats_server(self.port, self.store.path(), &[]);
    }

    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// A stream whose acknowledgement means stored.
    pub fn safe_stream() -> stream::Config {
        stream::Config {
            name: "GREENAPI".into(),
            subjects: vec!["greenapi.>".into()],
            discard: stream::DiscardPolicy::New,
            duplicate_window: Duration::from_secs(900),
            ..stream::Config::default()
        }
    }

    /// Creates a stream, or changes it, not as the bridge would.
    pub fn put_stream(&self, config: stream::Config) {
        let server = format!("nats://127.0.0.1:{}", self.port);
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let context = jetstream::new(async_nats::connect(server).await.unwrap());
            context.create_or_update_stream(config).await.unwrap();
        });
    }

    /// Subscribes without JetStream; the result waits for `count` messages.
    pub fn subscribe(&self, subject: &str, count: usize) -> impl FnOnce() -> Vec<Value> + use<> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers/nats_subscribe.py");
        let server = format!("nats://127.0.0.1:{}", self.port);
        let mut python = Command::new(std::env::var("BRIDGE_TEST_PYTHON").unwrap());
        python.arg(script).args(["--server", &server, "--subject", subject, "--count", &count.to_string()]);
        let mut child = python.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        move || {
            let seen = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
            assert!(child.wait().unwrap().success());
            seen
        }
    }

    /// Everything in the stream, read by a client in another language.
    pub fn read(&self) -> Vec<Value> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers/nats_read.py");
        let python = std::env::var("BRIDGE_TEST_PYTHON").unwrap();
        let server = format!("nats://127.0.0.1:{}", self.port);
        let answer =
            Command::new(python).arg(script).args(["--server", &server, "--stream", "GREENAPI"]).output().unwrap();
        assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
        String::from_utf8(answer.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bridge {
    /// A bridge with a provisioned stream, ready.
    pub fn start(nats: &Nats, extra: &str) -> Self {
        let bridge = Self::start_unprovisioned(nats, extra, true);
        eventually("ready", Duration::from_secs(10), || bridge.get("/readyz").0 == 200);
        bridge
    }

    pub fn start_unprovisioned(nats: &Nats, extra: &str, provision: bool) -> Self {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (http, admin) = (loopback(free_port()), loopback(free_port()));
        let config = tempfile::NamedTempFile::new().unwrap();
        let port = nats.port;
        let text = format!(
            "http.listen = \"{http}\"\nadmin.listen = \"{admin}\"\nnats.servers = [\"nats://127.0.0.1:{port}\"]\n{extra}"
        );
        std::fs::write(config.path(), text).unwrap();
        if provision {
            let answer = command("provision", config.path());
            assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
        }
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut run = Command::new(env!("CARGO_BIN_EXE_greenapi-bridge"));
        let child = run.args(["run", "--config"]).arg(config.path()).stderr(log.reopen().unwrap()).spawn().unwrap();
        eventually("listens", Duration::from_secs(10), || TcpStream::connect(admin).is_ok());
        Self { child, http, admin, config, log }
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        exchange(self.admin, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
    }

    /// The value of one metric, by its name without the prefix, and its labels.
    pub fn metric(&self, name: &str) -> f64 {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200);
        let found = text.lines().find_map(|line| line.strip_prefix(&format!("greenapi_bridge_{name} ")));
        found.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Posts a body as GREEN-API does.
    pub fn post(&self, body: &[u8]) -> (u16, String) {
        self.post_with("", body)
    }

    pub fn post_with(&self, headers: &str, body: &[u8]) -> (u16, String) {
        post(self.http, headers, body)
    }

    /// Sends a whole notification; the answer can be asked for later.
    pub fn begin(&self, body: &[u8]) -> Connection {
        let mut connection = Connection::open(self.http);
        connection.send(request("", body));
        connection
    }

    /// Waits until this many requests are being answered or stand in line.
    pub fn holds(&self, requests: usize) {
        let what = format!("{requests} requests are here");
        eventually(&what, Duration::from_secs(5), || self.metric("in_flight") as usize == requests);
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits for its end.
    pub fn exit_code(&mut self) -> Option<i32> {
        let mut ended = None;
        eventually("it ends", Duration::from_secs(30), || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap().code()
    }

    pub fn terminate(mut self) -> Option<i32> {
        self.signal("-TERM");
        self.exit_code()
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn command(name: &str, config: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_greenapi-bridge")).args([name, "--config"]).arg(config).output().unwrap()
}
