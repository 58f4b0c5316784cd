//! A real Apache Kafka, one broker that is its own controller.

use std::fmt::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use super::{eventually, free_port, signal};

pub struct Kafka {
    child: Child,
    /// Ends the broker when this process ends: a shared one is never dropped.
    leash: Child,
    pub port: u16,
    folder: tempfile::TempDir,
}

fn java() -> Command {
    let jars = std::env::var("BRIDGE_TEST_KAFKA").expect("run me by tests/run, which fetches the broker");
    let mut java = Command::new("java");
    // a test is over before a better compiler has paid off
    java.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m", "-cp", &format!("{jars}/*")]);
    java
}

impl Kafka {
    /// One that tests share: each takes topics of its own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    pub fn start() -> Self {
        Self::start_with("PLAINTEXT", "", &[])
    }

    /// With another protocol for clients, more properties, and more arguments to format its storage.
    pub fn start_with(protocol: &str, extra: &str, format_arguments: &[&str]) -> Self {
        let [port, inner, controller] = [(); 3].map(|()| free_port());
        let folder = tempfile::tempdir().unwrap();
        let properties = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=CLIENT://127.0.0.1:{port},INNER://127.0.0.1:{inner},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=CLIENT://127.0.0.1:{port},INNER://127.0.0.1:{inner}\ncontroller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=INNER\n\
             listener.security.protocol.map=CLIENT:{protocol},INNER:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={}/data\n\
             offsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\nshare.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.min.isr=1\ngroup.initial.rebalance.delay.ms=0\n{extra}",
            folder.path().display()
        );
        std::fs::write(folder.path().join("server.properties"), properties).unwrap();
        let mut format = java();
        format.args(["kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c"]);
        let formatted = format.arg(folder.path().join("server.properties")).args(format_arguments).output().unwrap();
        assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stderr));
        let child = broker(folder.path(), port);
        Self { leash: leash(&child), child, port, folder }
    }

    pub fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn start_again(&mut self) {
        self.child = broker(self.folder.path(), self.port);
        self.leash = leash(&self.child);
    }

    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// What a configuration says to use this broker, with topics of its own.
    pub fn config(&self, prefix: &str) -> String {
        format!(
            "[kafka]\nbootstrap_servers = [\"{}\"]\ntopic = \"{prefix}.{{class}}\"\ndead_letter_topic = \"{prefix}.dead\"\n",
            self.server()
        )
    }

    pub fn delete(&self, topic: &str) {
        let mut tool = java();
        tool.args(["org.apache.kafka.tools.TopicCommand", "--bootstrap-server", &self.server()]);
        assert!(tool.args(["--delete", "--topic", topic]).output().unwrap().status.success());
    }

    /// Everything in these topics, read by Kafka's own client.
    pub fn read(&self, topics: &[&str]) -> Vec<Value> {
        self.read_with("", topics)
    }

    pub fn read_with(&self, properties: &str, topics: &[&str]) -> Vec<Value> {
        let mut text = format!("bootstrap.servers={}\n", self.server());
        text.write_str(properties).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let reader: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers/KafkaRead.java");
        let answer = java().arg(reader).arg(file.path()).args(topics).output().unwrap();
        assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
        String::from_utf8(answer.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn broker(folder: &Path, port: u16) -> Child {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut command = java();
    command.arg("kafka.Kafka").arg(folder.join("server.properties"));
    let child = command.stdout(log.try_clone().unwrap()).stderr(Stdio::from(log)).spawn().unwrap();
    eventually("Kafka listens", Duration::from_secs(60), || TcpStream::connect(("127.0.0.1", port)).is_ok());
    child
}

/// Waits for the end of its input, which is the end of this process.
fn leash(broker: &Child) -> Child {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("cat; kill -9 {}", broker.id())]);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.leash.kill();
        let _ = self.leash.wait();
    }
}
