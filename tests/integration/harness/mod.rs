//! A bridge to test, real brokers, and what sends and reads.

mod blackhole_proxy;
mod certificates;
mod cluster;
mod kafka;
#[cfg(feature = "kafka")]
mod kafka_cluster;
mod kafka_reader;
mod load;
mod nats;
mod notify_socket;
mod scripted_server;
mod snapshot;
mod tls;
#[cfg(feature = "journal")]
mod traced;
mod wire;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

pub use blackhole_proxy::BlackholeProxy;
pub use certificates::Certificates;
pub use cluster::Cluster;
pub use kafka::{Kafka, kafka_config};
#[cfg(feature = "kafka")]
pub use kafka_cluster::KafkaCluster;
pub use load::{Answered, assert_complete_and_in_order, numbers, under_load, under_load_every};
pub use nats::{Nats, stream};
pub use notify_socket::NotifySocket;
pub use scripted_server::{Act, Request, ScriptedServer};
pub use snapshot::{assert_snapshot, id_of, is_time, without_variable};
pub use tls::{TlsConnection, TlsStream, tls_stream};
pub use wire::{Answer, Connection, exchange, post, request, talk};

pub struct Bridge {
    child: Child,
    pub http: SocketAddr,
    pub admin: SocketAddr,
    pub config: tempfile::NamedTempFile,
    log: tempfile::NamedTempFile,
}

pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A port below those the kernel gives to outgoing connections, which might take it before we listen on it.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let ours = 10_000 + std::process::id() % 55 * 400;
    let mut ports = std::iter::repeat_with(|| (ours + NEXT.fetch_add(1, Relaxed) % 400) as u16);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// A notification; each number makes another.
pub fn text(number: usize) -> Vec<u8> {
    let owner = r#""wid":"79163480577@c.us""#;
    format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":7,{owner}}},"number":{number}}}"#)
        .into_bytes()
}

/// What the bodies and secrets of the tests have, and no log may have: phone numbers, names, tokens and passwords.
const NEVER_LOGGED: [&str; 13] = [
    "79163480577",
    "7999000000",
    "79990001020",
    "79005550123",
    "Private Name",
    "private text",
    "right-secret",
    "wrong-secret",
    "right-password",
    "wrong-password",
    "secret-of-operators",
    "a-bound-token-of-seven",
    "Zq7w",
];

/// The bytes of a message that a reader brought.
pub fn body(message: &Value) -> Vec<u8> {
    STANDARD.decode(message["body"].as_str().unwrap()).unwrap()
}

/// Says that the calling test proves nothing on this machine. tests/run counts what is said so.
pub fn not_tested(why: &str) {
    eprintln!("not tested: {why}");
    let Ok(path) = std::env::var("BRIDGE_TEST_SKIPS") else { return };
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    // the test harness gives each thread the name of its test
    writeln!(file, "{}: {why}", std::thread::current().name().unwrap_or("a test")).unwrap();
}

/// How often `eventually` asks.
const POLL: Duration = Duration::from_millis(20);
/// How much longer than on a quiet machine something may take.
const BUSY: u32 = 5;

/// Waits until `holds` returns true. `within` is the time of a quiet machine, counted in questions: where each takes longer
/// than its pause because others use the machine, so may what they wait for.
pub fn eventually(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let (begun, mut asked) = (Instant::now(), 0);
    while !holds() {
        asked += 1;
        let over = asked * POLL >= within || begun.elapsed() > within * BUSY;
        assert!(!over, "not within {within:?}, {:?} here: {what}", begun.elapsed());
        std::thread::sleep(POLL);
    }
}

pub fn signal(child: &Child, name: &str) {
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

/// Whether the thread that writes the log has something to do.
fn is_writing(process: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return false };
    threads.flatten().any(|thread| {
        let read = |file| std::fs::read_to_string(thread.path().join(file)).unwrap_or_default();
        read("comm").starts_with("tracing-append") && read("status").contains("State:\tR")
    })
}

/// The line of a configuration that names these.
pub fn nats_servers(ports: &[u16]) -> String {
    let servers: Vec<_> = ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
    format!("nats.servers = {servers:?}\n")
}

impl Bridge {
    /// A bridge with a provisioned stream, ready.
    pub fn start(nats: &Nats, extra: &str) -> Self {
        Self::start_at([LOOPBACK; 2], nats, extra)
    }

    /// As [`Self::start`], with the endpoint and the admin listener at these addresses.
    pub fn start_at(addresses: [IpAddr; 2], nats: &Nats, extra: &str) -> Self {
        Self::spawn(addresses, &format!("{}{extra}", nats_servers(&[nats.port])), true).ready()
    }

    pub fn start_unprovisioned(nats: &Nats, extra: &str, provision: bool) -> Self {
        Self::start_with_servers(&[nats.port], extra, provision)
    }

    fn start_with_servers(ports: &[u16], extra: &str, provision: bool) -> Self {
        Self::spawn([LOOPBACK; 2], &format!("{}{extra}", nats_servers(ports)), provision)
    }

    /// A bridge to these brokers, and no others.
    pub fn with(brokers: &str, provision: bool) -> Self {
        Self::spawn([LOOPBACK; 2], brokers, provision)
    }

    /// A bridge that a service manager started, up to when it says that it is ready. It may say nothing for this time.
    pub fn notifying(socket: &NotifySocket, watchdog: Duration, brokers: &str) -> Self {
        let watchdog = watchdog.as_micros().to_string();
        let (http, admin, config) = Self::configured([LOOPBACK; 2], brokers);
        let log = tempfile::Builder::new().append(true).tempfile().unwrap();
        let mut run = Self::command(config.path(), log.as_file().try_clone().unwrap().into());
        let child = run.env("NOTIFY_SOCKET", socket.name()).env("WATCHDOG_USEC", watchdog).spawn().unwrap();
        let bridge = Self { child, http, admin, config, log };
        let ready = socket.next();
        assert!(ready.starts_with("READY=1\n"), "{ready}");
        bridge
    }

    fn configured(addresses: [IpAddr; 2], rest: &str) -> (SocketAddr, SocketAddr, tempfile::NamedTempFile) {
        let [http, admin] = addresses.map(|address| SocketAddr::new(address, free_port()));
        let config = tempfile::NamedTempFile::new().unwrap();
        let text = format!("http.listen = \"{http}\"\nadmin.listen = \"{admin}\"\n{rest}");
        std::fs::write(config.path(), text).unwrap();
        (http, admin, config)
    }

    fn spawn(addresses: [IpAddr; 2], rest: &str, provision: bool) -> Self {
        let (http, admin, config) = Self::configured(addresses, rest);
        if provision {
            let answer = command("provision", config.path());
            assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
        }
        let log = tempfile::Builder::new().append(true).tempfile().unwrap();
        let child = Self::run(config.path(), log.as_file().try_clone().unwrap().into());
        let bridge = Self { child, http, admin, config, log };
        eventually("listens", Duration::from_secs(10), || TcpStream::connect(admin).is_ok());
        bridge
    }

    fn run(config: &Path, log: Stdio) -> Child {
        Self::command(config, log).spawn().unwrap()
    }

    fn command(config: &Path, log: Stdio) -> Command {
        let mut run = Command::new(env!("CARGO_BIN_EXE_greenapi-bridge"));
        run.args(["run", "--config"]).arg(config).stderr(log);
        run
    }

    /// The same started again, with a log that nobody reads.
    pub fn unread(mut self) -> Self {
        self.signal("-TERM");
        assert_eq!(self.exit_code(), Some(0));
        self.child = Self::run(self.config.path(), Stdio::piped());
        eventually("listens", Duration::from_secs(10), || TcpStream::connect(self.admin).is_ok());
        self.ready()
    }

    /// Ends the process as a crash would, and starts it again with the same configuration.
    pub fn kill_and_start_again(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.start_again();
    }

    /// Starts it again after its end, with the same configuration.
    pub fn start_again(&mut self) {
        self.child = Self::run(self.config.path(), self.log.as_file().try_clone().unwrap().into());
        eventually("listens", Duration::from_secs(10), || TcpStream::connect(self.admin).is_ok());
    }

    /// Waits until a notification would be stored.
    pub fn ready(self) -> Self {
        eventually("ready", Duration::from_secs(20), || self.get("/readyz").0 == 200);
        self
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        exchange(self.admin, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
    }

    /// The value of one metric, by its name without the prefix, and its labels.
    /// The state of its journal in `/readyz`.
    pub fn journal_state(&self) -> String {
        let said: Value = serde_json::from_str(&self.get("/readyz").1).unwrap();
        said["journal"]["state"].as_str().unwrap().to_owned()
    }

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
    pub fn wait_for_in_flight(&self, requests: usize) {
        let what = format!("{requests} requests are here");
        eventually(&what, Duration::from_secs(5), || self.metric("in_flight") as usize == requests);
    }

    /// What it has logged so far; a thread of it writes what the others say.
    pub fn log(&self) -> String {
        eventually("its log is written", Duration::from_secs(5), || !is_writing(self.child.id()));
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
        if !std::thread::panicking() {
            let log = std::fs::read_to_string(self.log.path()).unwrap();
            let leak = log.lines().find(|line| NEVER_LOGGED.iter().any(|word| line.contains(word)));
            assert_eq!(leak, None, "the log has what the tests' bodies and secrets have");
        }
    }
}

/// Why a start or a command was refused, a line for each mistake: `run` says it as its log does, other commands as text.
pub fn refusals(standard_error: &[u8]) -> String {
    let lines = std::str::from_utf8(standard_error).unwrap().lines();
    let refusal = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(logged) => (logged["event"] == "start_refused").then(|| logged["error"].as_str().unwrap().to_owned()),
        Err(_) => Some(line.to_owned()),
    };
    lines.filter_map(refusal).map(|line| line + "\n").collect()
}

/// Runs a command, such as `check --json`, to its end; one that does not end is ended.
pub fn command(words: &str, config: &Path) -> Output {
    let mut bounded = Command::new("timeout");
    bounded.args(["60", env!("CARGO_BIN_EXE_greenapi-bridge")]).args(words.split(' '));
    bounded.arg("--config").arg(config).output().unwrap()
}
