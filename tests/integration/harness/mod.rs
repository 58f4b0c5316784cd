//! A real nats-server, a bridge, and a consumer in another language.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

pub struct Nats {
    child: Child,
    pub port: u16,
    store: tempfile::TempDir,
}

pub struct Bridge {
    child: Child,
    pub http: SocketAddr,
    pub admin: SocketAddr,
    pub config: tempfile::NamedTempFile,
}

pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

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

    pub fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
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
        Self::start_at([LOOPBACK; 2], nats, extra)
    }

    /// As [`Self::start`], with the endpoint and the admin listener at these addresses.
    pub fn start_at(addresses: [IpAddr; 2], nats: &Nats, extra: &str) -> Self {
        let bridge = Self::spawn(addresses, nats, extra, true);
        eventually("ready", Duration::from_secs(10), || bridge.get("/readyz").0 == 200);
        bridge
    }

    pub fn start_unprovisioned(nats: &Nats, extra: &str, provision: bool) -> Self {
        Self::spawn([LOOPBACK; 2], nats, extra, provision)
    }

    fn spawn(addresses: [IpAddr; 2], nats: &Nats, extra: &str, provision: bool) -> Self {
        let [http, admin] = addresses.map(|address| SocketAddr::new(address, free_port()));
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
        let mut run = Command::new(env!("CARGO_BIN_EXE_greenapi-bridge"));
        let child = run.args(["run", "--config"]).arg(config.path()).spawn().unwrap();
        eventually("listens", Duration::from_secs(10), || TcpStream::connect(admin).is_ok());
        Self { child, http, admin, config }
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        exchange(self.admin, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
    }

    /// Posts a body as GREEN-API does.
    pub fn post(&self, body: &[u8]) -> (u16, String) {
        self.post_with("", body)
    }

    pub fn post_with(&self, headers: &str, body: &[u8]) -> (u16, String) {
        post(self.http, headers, body)
    }

    /// Sends a whole notification, and does not wait for the answer.
    pub fn post_and_hang_up(&self, body: &[u8]) {
        TcpStream::connect(self.http).unwrap().write_all(&request("", body)).unwrap();
    }

    pub fn terminate(mut self) -> Option<i32> {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command that ends by itself; one that does not is ended.
pub fn command(name: &str, config: &Path) -> Output {
    let mut bounded = Command::new("timeout");
    bounded.args(["60", env!("CARGO_BIN_EXE_greenapi-bridge"), name, "--config"]).arg(config).output().unwrap()
}

fn request(headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST /green-api/webhook/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

pub fn post(to: SocketAddr, headers: &str, body: &[u8]) -> (u16, String) {
    exchange(to, &request(headers, body))
}

/// Sends raw bytes; the status, and all that came after the head.
pub fn exchange(to: SocketAddr, request: &[u8]) -> (u16, String) {
    let answer = talk(to, request);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// Sends raw bytes; all that came back.
pub fn talk(to: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    // a server that refuses early may close before it has read everything
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}
