//! Three real Kafka brokers that are one cluster; each is a controller too.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, Producer};

use super::kafka::{kafka_config, protocols};
use super::{Kafka, eventually, free_port};

pub struct KafkaCluster {
    pub nodes: Vec<Kafka>,
}

impl KafkaCluster {
    /// A cluster that tests share, one after the other. Each uses topics of its own, and leaves all three brokers running.
    pub fn shared() -> MutexGuard<'static, Self> {
        static SHARED: OnceLock<Mutex<KafkaCluster>> = OnceLock::new();
        let mut cluster =
            SHARED.get_or_init(|| Mutex::new(Self::start())).lock().unwrap_or_else(PoisonError::into_inner);
        // a test that failed may have left some of them dead
        for node in &mut cluster.nodes {
            if !node.is_alive() {
                node.start_again();
            }
        }
        cluster.complete();
        cluster
    }

    fn start() -> Self {
        let ports = [(); 3].map(|()| [(); 3].map(|()| free_port()));
        let voters: Vec<_> = (1..).zip(&ports).map(|(id, ports)| format!("{id}@127.0.0.1:{}", ports[2])).collect();
        let (voters, extra) =
            (voters.join(","), format!("listener.security.protocol.map={}\n", protocols("PLAINTEXT")));
        // a broker starts only once it has found another
        let start = |node: usize| Kafka::node(node + 1, ports[node], &voters, &extra, &[]);
        let nodes = std::thread::scope(|scope| {
            let starting: Vec<_> = (0..3).map(|node| scope.spawn(move || start(node))).collect();
            starting.into_iter().map(|node| node.join().unwrap()).collect()
        });
        Self { nodes }
    }

    /// Waits until all three are of the cluster and every copy is up to date.
    pub fn complete(&self) {
        eventually("three brokers, in sync", Duration::from_secs(120), || {
            self.metadata(None).is_some_and(|seen| {
                let mut partitions = seen.topics().iter().flat_map(|topic| topic.partitions());
                seen.brokers().len() == 3 && partitions.all(|one| one.isr().len() == one.replicas().len())
            })
        });
    }

    fn metadata(&self, topic: Option<&str>) -> Option<Metadata> {
        let client: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", self.servers().join(",")).create().unwrap();
        client.client().fetch_metadata(topic, Duration::from_secs(2)).ok()
    }

    fn servers(&self) -> Vec<String> {
        self.nodes.iter().map(Kafka::server).collect()
    }

    /// What a configuration says to use this cluster, with topics of its own.
    pub fn config(&self, prefix: &str) -> String {
        kafka_config(&self.servers(), prefix)
    }

    /// How many copies each partition of a topic has.
    pub fn copies(&self, topic: &str) -> Vec<usize> {
        let seen = self.metadata(Some(topic)).unwrap();
        seen.topics()[0].partitions().iter().map(|partition| partition.replicas().len()).collect()
    }

    /// Which node leads the controllers.
    pub fn controller(&self) -> usize {
        let said = self.nodes[0].tool("tools.MetadataQuorum", &["describe", "--status"]);
        let id = said.lines().find_map(|line| line.strip_prefix("LeaderId:")).unwrap();
        id.trim().parse::<usize>().unwrap() - 1
    }
}
