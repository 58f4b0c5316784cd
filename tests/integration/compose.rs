//! `deploy/compose`: the files follow the Compose Specification, and what they run works, with processes in the place of
//! containers.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Kafka, LOOPBACK, Nats, eventually, exchange, free_port, not_tested, post, signal, text};

/// A copy of the folder, and what the tool of the specification says of one of its files.
struct Composed {
    folder: tempfile::TempDir,
    model: Value,
    http: SocketAddr,
    probes: SocketAddr,
    /// What stands for addresses and paths of containers.
    replaced: Vec<(String, String)>,
}

impl Composed {
    /// `broker` is the broker's address in the network of the containers. None means that the tool is not here.
    fn load(file: &str, broker: &str, port: u16) -> Option<Self> {
        let Ok(tool) = std::env::var("BRIDGE_TEST_COMPOSE").map(PathBuf::from) else {
            not_tested("BRIDGE_TEST_COMPOSE does not name the tool of the Compose Specification");
            return None;
        };
        if !tool.exists() {
            not_tested("the tool of the Compose Specification could not be built; it needs Go 1.24");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/compose")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        let checked = Command::new(&tool).args(["--format", "json", file]).current_dir(&folder).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        let model = serde_json::from_slice(&checked.stdout).unwrap();
        let [http, probes] = [(); 2].map(|()| SocketAddr::new(LOOPBACK, free_port()));
        let at = |name: &str| folder.path().join(name).display().to_string();
        let replaced = [
            ("0.0.0.0:3000", http.to_string()),
            ("0.0.0.0:3002", probes.to_string()),
            ("127.0.0.1:3002", probes.to_string()),
            ("/run/secrets/tokens", at("tokens")),
            ("/data/", at("volume/")),
            (broker, format!("127.0.0.1:{port}")),
        ];
        let replaced = replaced.map(|(from, to)| (from.to_owned(), to)).to_vec();
        Some(Self { folder, model, http, probes, replaced })
    }

    fn service(&self, name: &str) -> &Value {
        &self.model["services"][name]
    }

    fn words(&self, list: &Value) -> Vec<String> {
        list.as_array().unwrap().iter().map(|word| self.place(word.as_str().unwrap())).collect()
    }

    /// A text of the files for processes.
    fn place(&self, text: &str) -> String {
        self.replaced.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    /// What a service of the bridge runs, with its environment.
    fn command(&self, service: &str) -> Command {
        let service = self.service(service);
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenapi-bridge"));
        command.args(self.words(&service["command"]));
        let [config] = service["configs"].as_array().unwrap().as_slice() else { panic!("one configuration") };
        let file = self.model["configs"][config["source"].as_str().unwrap()]["file"].as_str().unwrap();
        let placed = self.folder.path().join(service["command"][0].as_str().unwrap()).with_extension("toml");
        fs::write(&placed, self.place(&fs::read_to_string(file).unwrap())).unwrap();
        for (name, value) in service["environment"].as_object().unwrap() {
            let value = value.as_str().unwrap();
            let is_config = value == config["target"].as_str().unwrap();
            command.env(name, if is_config { placed.display().to_string() } else { self.place(value) });
        }
        command
    }

    /// The commands of the page that make what the files need.
    fn prepare(&self) {
        let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operate.md")).unwrap();
        let section = page.split("## With Compose\n").nth(1).unwrap().split("\n## ").next().unwrap();
        let block = section.split("```sh\ncd deploy/compose\n").nth(1).unwrap().split("```").next().unwrap();
        let (before, _) = block.split_once("docker compose").unwrap();
        let done = Command::new("bash").args(["-euc", before]).current_dir(&self.folder).output().unwrap();
        // the files of this test are root's, as those of the page
        assert!(done.status.success(), "{before}\n{}", String::from_utf8_lossy(&done.stderr));
    }

    fn token(&self) -> String {
        fs::read_to_string(self.folder.path().join("tokens")).unwrap().trim().to_owned()
    }

    /// Provisions and serves, in the order of `depends_on`, posts, and stops.
    fn provision_and_serve(&self) {
        let order = &self.service("bridge")["depends_on"]["provision"]["condition"];
        assert_eq!(order, "service_completed_successfully");
        // again after each `up`
        for _ in 0..2 {
            let done = self.command("provision").output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
        let mut bridge = Running(self.command("bridge").spawn().unwrap());
        let ready = format!("GET /readyz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.probes);
        eventually("its broker is up", Duration::from_secs(20), || {
            let listens = std::net::TcpStream::connect(self.probes).is_ok();
            listens && all_up(&exchange(self.probes, ready.as_bytes()).1)
        });
        self.is_healthy();
        let authorized = format!("Authorization: Bearer {}\r\n", self.token());
        assert_eq!(post(self.http, &authorized, &text(1)), (200, r#"{"stored":"broker"}"#.into()));
        assert_eq!(post(self.http, "", &text(2)).0, 401);
        signal(&bridge.0, "-TERM");
        assert_eq!(bridge.0.wait().unwrap().code(), Some(0));
    }

    /// Runs the health check of the bridge.
    fn is_healthy(&self) {
        let words = self.words(&self.service("bridge")["healthcheck"]["test"]);
        let ["CMD", "/greenapi-bridge", arguments @ ..] = &*words.iter().map(String::as_str).collect::<Vec<_>>() else {
            panic!("the image has one program: {words:?}");
        };
        let health = Command::new(env!("CARGO_BIN_EXE_greenapi-bridge")).args(arguments).output().unwrap();
        assert!(health.status.success(), "{words:?}: {}", String::from_utf8_lossy(&health.stderr));
    }
}

/// Whether this answer of `/readyz` says that every broker is up. With a journal it is ready before.
fn all_up(readyz: &str) -> bool {
    let said: Value = serde_json::from_str(readyz).unwrap();
    said["brokers"].as_object().unwrap().values().all(|broker| broker["state"] == "up")
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn compose_runs_the_bridge_with_nats() {
    let [client, monitor] = [(); 2].map(|()| free_port());
    let Some(composed) = Composed::load("compose.yaml", "nats:4222", client) else { return };
    is_locked_down(&composed.model);
    composed.prepare();
    let server = composed.folder.path().join("nats-server.conf");
    let text = fs::read_to_string(&server).unwrap();
    let text = text.replace("0.0.0.0:4222", &format!("127.0.0.1:{client}")).replace("8222", &monitor.to_string());
    fs::write(&server, text.replace("\"/data\"", &format!("{:?}", composed.folder.path().join("stream")))).unwrap();
    let nats = Nats::configured(&server, client);
    let health = composed.words(&composed.service("nats")["healthcheck"]["test"]);
    let url = health.last().unwrap().strip_prefix("http://127.0.0.1:8222").unwrap();
    let asked = format!("GET {url} HTTP/1.1\r\nHost: nats\r\nConnection: close\r\n\r\n");
    assert_eq!(exchange(SocketAddr::new(LOOPBACK, monitor), asked.as_bytes()).0, 200);
    composed.provision_and_serve();
    assert_eq!(nats.read().len(), 1);
}

#[test]
fn compose_runs_the_bridge_with_kafka() {
    let [client, controller] = [(); 2].map(|()| free_port());
    let Some(composed) = Composed::load("compose.kafka.yaml", "kafka:9092", client) else { return };
    is_locked_down(&composed.model);
    composed.prepare();
    let kafka = composed.service("kafka");
    // the image makes properties of its environment in this way
    let variables = kafka["environment"].as_object().unwrap().iter();
    let property = |(name, value): (&String, &Value)| {
        let name = name.strip_prefix("KAFKA_").unwrap().to_lowercase().replace('_', ".");
        format!("{name}={}\n", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let properties: String = variables.map(property).collect();
    let properties = properties
        .replace("://:9092", &format!("://127.0.0.1:{client}"))
        .replace("localhost:9093", &format!("127.0.0.1:{controller}"))
        .replace("kafka:9092", &format!("127.0.0.1:{client}"));
    let kafka = Kafka::with_properties(&properties, "/var/lib/kafka/data", client);
    composed.provision_and_serve();
    assert_eq!(kafka.read(&["greenapi.incoming"]).len(), 1);
}

/// No service can do more than it needs, no secret is in an environment, and no port is open to the network unasked.
fn is_locked_down(model: &Value) {
    for (name, service) in model["services"].as_object().unwrap() {
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        assert_eq!(service["security_opt"], serde_json::json!(["no-new-privileges:true"]), "{name}");
        // Kafka's image writes its configuration
        assert!(service["read_only"] == true || name == "kafka", "{name}");
        for port in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name}");
        }
        let is_bridge = service["image"] == "greenapi-bridge";
        assert!(!is_bridge || service["user"] == "65532:65532", "{name}");
        assert!(is_bridge || !service["healthcheck"].is_null(), "{name}");
        let environment = service["environment"].to_string().to_lowercase();
        assert!(!["password", "token", "secret"].iter().any(|word| environment.contains(word)), "{environment}");
    }
    // a new volume gets the owner that this folder has in the image
    let volume = model["services"]["bridge"]["volumes"][0]["target"].as_str().unwrap();
    let image = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/Dockerfile")).unwrap();
    assert!(image.contains(&format!("--chown=65532:65532 {volume} {volume}\n")), "{volume}");
    let grace = model["services"]["bridge"]["stop_grace_period"].as_str().unwrap();
    let grace: u64 = grace.strip_suffix('s').unwrap().parse().unwrap();
    assert!(grace > 25, "shutdown.grace is 25 s");
}
