//! A real nats-server, and clients in another language.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::jetstream;
pub use async_nats::jetstream::stream;
use serde_json::Value;

use super::{eventually, free_port, signal};

pub struct Nats {
    child: Child,
    pub port: u16,
    store: tempfile::TempDir,
    extra: Vec<String>,
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
        Self { child: nats_server(port, store.path(), extra), port, store, extra: extra.to_vec() }
    }

    /// A server that a file configures alone, for clients at this port.
    pub fn configured(file: &Path, port: u16) -> Self {
        let binary = std::env::var("BRIDGE_TEST_NATS_SERVER").expect("run me by tests/run, which fetches the broker");
        let mut command = Command::new(binary);
        let child = command.arg("-c").arg(file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        eventually("nats-server listens", Duration::from_secs(10), || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { child, port, store: tempfile::tempdir().unwrap(), extra: Vec::new() }
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn start_again(&mut self) {
        self.child = nats_server(self.port, self.store.path(), &self.extra);
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
        self.jetstream(async |context| context.create_or_update_stream(config).await.map(|_| ()).unwrap());
    }

    /// Deletes the stream and creates another of its name.
    pub fn replace_stream(&self, config: stream::Config) {
        self.jetstream(async |context| {
            context.delete_stream(&config.name).await.unwrap();
            // the server deletes the files later, and refuses another stream of this name until then
            let mut made = context.create_stream(&config).await;
            for _ in 0..100 {
                match &made {
                    Err(refused) if refused.to_string().contains("error creating store") => {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    _ => break,
                }
                made = context.create_stream(&config).await;
            }
            made.map(|_| ()).unwrap();
        });
    }

    fn jetstream(&self, act: impl AsyncFnOnce(jetstream::Context)) {
        let server = format!("nats://127.0.0.1:{}", self.port);
        tokio::runtime::Runtime::new()
            .unwrap()
            .block_on(async { act(jetstream::new(async_nats::connect(server).await.unwrap())).await });
    }

    /// Stores a message as another client would.
    pub fn store(&self, subject: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut named = async_nats::HeaderMap::new();
        headers.iter().for_each(|(name, value)| named.insert(*name, *value));
        let (subject, body) = (subject.to_owned(), body.to_vec().into());
        self.jetstream(async |context| {
            context.publish_with_headers(subject, named, body).await.unwrap().await.unwrap();
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
        let mut reader = Command::new(python);
        reader.arg(script).args(["--server", &server, "--stream", "GREENAPI"]);
        let mut answer = reader.output().unwrap();
        // a cluster that has just come together serves messages before it serves readers
        eventually("read", Duration::from_secs(20), || {
            let said = String::from_utf8_lossy(&answer.stderr);
            let unavailable = ["temporarily unavailable", "ended the reading: 503", "does not answer"]
                .iter()
                .any(|why| said.contains(why));
            if unavailable {
                answer = reader.output().unwrap();
            }
            !unavailable
        });
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
