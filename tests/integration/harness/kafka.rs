//! A real Apache Kafka, one broker that is its own controller.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

#[cfg(feature = "kafka")]
use rdkafka::producer::{BaseProducer, Producer};
use serde_json::Value;

use super::{BlackholeProxy, eventually, free_port, kafka_reader, signal};

pub struct Kafka {
    child: Child,
    /// Ends the broker when this process ends: a shared one is never dropped.
    leash: Child,
    pub port: u16,
    /// The listener without authentication, for the tests themselves.
    inner: u16,
    folder: tempfile::TempDir,
}

/// Settings of a cluster with one broker.
const ALONE: &str = "offsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\n\
    transaction.state.log.min.isr=1\nshare.coordinator.state.topic.replication.factor=1\n\
    share.coordinator.state.topic.min.isr=1\n";

/// Which protocol each listener speaks.
pub(super) fn protocols(clients: &str) -> String {
    format!("CLIENT:{clients},INNER:PLAINTEXT,CONTROLLER:PLAINTEXT")
}

fn java() -> Command {
    let jars = std::env::var("BRIDGE_TEST_KAFKA").expect("run me by tests/run, which fetches the broker");
    let jars = std::fs::canonicalize(jars).unwrap();
    let mut java = Command::new("java");
    // a test is over before a better compiler has paid off
    java.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx400m", "-cp", &format!("{}/*", jars.display())]);
    // what Java itself has to say must not come between the records that a reader prints
    java.args(["-Xlog:disable", "-Xlog:all=warning:stderr"]);
    // with the classes that tests/brokers/kafka/fetch has parsed once a start takes half the CPU
    let classes = jars.with_file_name("classes.jsa");
    if classes.exists() {
        java.arg(format!("-XX:SharedArchiveFile={}", classes.display()));
    }
    java
}

impl Kafka {
    /// A broker that tests share; each uses topics of its own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    pub fn start() -> Self {
        Self::start_with("PLAINTEXT", "", &[])
    }

    /// A broker whose clients connect through a proxy that can drop them silently.
    pub fn start_behind_proxy() -> (Self, BlackholeProxy) {
        let ports = [(); 3].map(|()| free_port());
        let between = BlackholeProxy::before(ports[0]);
        let protocols = protocols("PLAINTEXT");
        let extra = format!(
            "{ALONE}listener.security.protocol.map={protocols}\n\
             advertised.listeners=CLIENT://127.0.0.1:{},INNER://127.0.0.1:{}\n",
            between.port, ports[1]
        );
        let kafka = Self::node(1, ports, &format!("1@127.0.0.1:{}", ports[2]), &extra, &[]);
        kafka.serves();
        (kafka, between)
    }

    /// A broker that the cluster names to its clients by another address than it listens at.
    pub fn advertised_as(address: &str) -> Self {
        let ports = [(); 3].map(|()| free_port());
        let extra = format!(
            "{ALONE}listener.security.protocol.map={}\n\
             advertised.listeners=CLIENT://{address},INNER://127.0.0.1:{}\n",
            protocols("PLAINTEXT"),
            ports[1]
        );
        let kafka = Self::node(1, ports, &format!("1@127.0.0.1:{}", ports[2]), &extra, &[]);
        kafka.serves();
        kafka
    }

    /// With another protocol for clients, more properties, and more arguments to format its storage.
    pub fn start_with(protocol: &str, extra: &str, format_arguments: &[&str]) -> Self {
        let ports = [(); 3].map(|()| free_port());
        let extra = format!("{ALONE}listener.security.protocol.map={}\n{extra}", protocols(protocol));
        let kafka = Self::node(1, ports, &format!("1@127.0.0.1:{}", ports[2]), &extra, format_arguments);
        kafka.serves();
        kafka
    }

    /// A broker with these properties alone, which name the folder of its data and a listener at this port.
    pub fn with_properties(properties: &str, data: &str, port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let properties = properties.replace(data, folder.path().join("data").to_str().unwrap());
        std::fs::write(folder.path().join("server.properties"), properties).unwrap();
        format(folder.path(), &[]);
        let child = broker(folder.path(), port);
        let kafka = Self { leash: leash(&child), child, port, inner: port, folder };
        kafka.serves();
        kafka
    }

    /// One node of a cluster that these voters are; its ports are for clients, for its kind, and for controllers.
    pub(super) fn node(id: usize, ports: [u16; 3], voters: &str, extra: &str, format_arguments: &[&str]) -> Self {
        let [port, inner, controller] = ports;
        let folder = tempfile::tempdir().unwrap();
        let properties = format!(
            "process.roles=broker,controller\nnode.id={id}\ncontroller.quorum.voters={voters}\n\
             listeners=CLIENT://127.0.0.1:{port},INNER://127.0.0.1:{inner},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=CLIENT://127.0.0.1:{port},INNER://127.0.0.1:{inner}\ncontroller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=INNER\nlog.dirs={}/data\ngroup.initial.rebalance.delay.ms=0\n{extra}",
            folder.path().display()
        );
        std::fs::write(folder.path().join("server.properties"), properties).unwrap();
        match format_arguments {
            [] => copy_formatted(id, folder.path()),
            _ => format(folder.path(), format_arguments),
        }
        let child = broker(folder.path(), port);
        Self { leash: leash(&child), child, port, inner, folder }
    }

    /// Waits until the broker is registered: it listens long before it can create topics.
    #[cfg(feature = "kafka")]
    fn serves(&self) {
        let producer = self.metadata_client();
        eventually("Kafka serves", Duration::from_secs(60), || {
            let metadata = producer.client().fetch_metadata(None, Duration::from_secs(5));
            metadata.is_ok_and(|metadata| !metadata.brokers().is_empty())
        });
    }

    #[cfg(feature = "kafka")]
    fn metadata_client(&self) -> BaseProducer {
        rdkafka::ClientConfig::new().set("bootstrap.servers", self.inside()).create().unwrap()
    }

    #[cfg(not(feature = "kafka"))]
    fn serves(&self) {}

    pub fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn inside(&self) -> String {
        format!("127.0.0.1:{}", self.inner)
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(super) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
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
        kafka_config(&[self.server()], prefix)
    }

    /// Creates a topic, and waits until the broker knows it: Kafka's own command returns when the controller does.
    #[cfg(feature = "kafka")]
    pub fn create(&self, topic: &str, partitions: usize, settings: &[&str]) {
        let partitions = partitions.to_string();
        let mut arguments = vec!["--create", "--topic", topic, "--partitions", &partitions];
        settings.iter().for_each(|setting| arguments.extend(["--config", setting]));
        self.tool("tools.Topic", &arguments);
        let producer = self.metadata_client();
        eventually("the topic is created", Duration::from_secs(20), || {
            let metadata = producer.client().fetch_metadata(Some(topic), Duration::from_secs(5));
            metadata.is_ok_and(|metadata| metadata.topics().iter().all(|found| found.error().is_none()))
        });
    }

    /// Deletes a topic, and waits until the broker does not store in it any more: it renames its folders then.
    pub fn delete(&self, topic: &str) {
        self.tool("tools.Topic", &["--delete", "--topic", topic]);
        let partition = |name: &str| name.strip_prefix(topic)?.strip_prefix('-')?.parse::<usize>().ok();
        super::eventually("the topic is deleted", Duration::from_secs(20), || {
            let folders = std::fs::read_dir(self.folder.path().join("data")).unwrap();
            !folders.flatten().any(|folder| folder.file_name().to_str().and_then(partition).is_some())
        });
    }

    /// Runs one of Kafka's own commands to its end.
    pub fn tool(&self, name: &str, arguments: &[&str]) -> String {
        let mut tool = java();
        tool.args([&format!("org.apache.kafka.{name}Command"), "--bootstrap-server", &self.inside()]);
        let answer = tool.args(arguments).output().unwrap();
        assert!(answer.status.success(), "{} {}", text(&answer.stdout), text(&answer.stderr));
        text(&answer.stdout)
    }

    /// How large the records of a topic are on its disk.
    pub fn stored_bytes(&self, topic: &str) -> u64 {
        let folders = std::fs::read_dir(self.folder.path().join("data")).unwrap().map(|entry| entry.unwrap().path());
        let of_topic = folders.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(topic));
        let files = of_topic.flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|file| file.unwrap()));
        let logs = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "log"));
        logs.map(|log| log.metadata().unwrap().len()).sum()
    }

    /// Waits until a client of its own has a record acknowledged in this topic: it listens long before it serves.
    #[cfg(feature = "kafka")]
    pub fn acknowledges(&self, topic: &str) {
        use rdkafka::producer::BaseRecord;
        let mut client = rdkafka::ClientConfig::new();
        client.set("bootstrap.servers", self.server()).set("acks", "all").set("message.timeout.ms", "60000");
        client.set("reconnect.backoff.max.ms", "100").set("retry.backoff.ms", "50").set("linger.ms", "0");
        let producer: BaseProducer = client.create().unwrap();
        producer.send(BaseRecord::<(), str>::to(topic).payload("is it there?")).unwrap();
        producer.flush(Duration::from_secs(50)).unwrap();
    }

    /// Changes one setting of a topic.
    #[cfg(feature = "kafka")]
    pub fn alter(&self, topic: &str, setting: &str, value: &str) {
        use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
        use rdkafka::client::DefaultClientContext;
        let mut client = rdkafka::ClientConfig::new();
        let client: AdminClient<DefaultClientContext> =
            client.set("bootstrap.servers", self.server()).create().unwrap();
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(setting, value);
        let altered = async { client.alter_configs([&change], &AdminOptions::new()).await };
        let answers = tokio::runtime::Runtime::new().unwrap().block_on(altered).unwrap();
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    }

    /// Everything in these topics, read by Kafka's own client.
    pub fn read(&self, topics: &[&str]) -> Vec<Value> {
        kafka_reader::read(java(), &self.inside(), topics)
    }
}

/// Formats the storage that `server.properties` in this folder names.
fn format(folder: &Path, arguments: &[&str]) {
    let mut format = java();
    format.args(["kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c"]);
    let formatted = format.arg(folder.join("server.properties")).args(arguments).output().unwrap();
    assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stderr));
}

/// The same without arguments: every node of this number begins with the same few files, and Java takes a second to make
/// them.
fn copy_formatted(id: usize, folder: &Path) {
    type Files = Vec<(PathBuf, Vec<u8>)>;
    static FORMATTED: Mutex<BTreeMap<usize, Files>> = Mutex::new(BTreeMap::new());
    let data = folder.join("data");
    let mut formatted = FORMATTED.lock().unwrap();
    let files = formatted.entry(id).or_insert_with(|| {
        format(folder, &[]);
        let files = std::fs::read_dir(&data).unwrap().map(|file| file.unwrap().path());
        files.map(|path| (path.file_name().unwrap().into(), std::fs::read(&path).unwrap())).collect()
    });
    std::fs::create_dir_all(&data).unwrap();
    for (name, bytes) in files {
        std::fs::write(data.join(name), bytes).unwrap();
    }
}

/// What a configuration says to use these brokers, with topics of its own.
pub fn kafka_config(servers: &[String], prefix: &str) -> String {
    let topics = format!("topic = \"{prefix}.{{class}}\"\ndead_letter_topic = \"{prefix}.dead\"\n");
    format!("[kafka]\nbootstrap_servers = {servers:?}\n{topics}")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
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
