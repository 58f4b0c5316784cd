use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::*;
use crate::brokers::FaultReason;
use crate::brokers::kafka::Config;
use crate::brokers::kafka::context::{ClientEvent, DeliveryReport};

const NOWHERE: &str = "127.0.0.1:1";

/// A cluster of one with a topic, and the clients that use it.
struct Cluster {
    mock: MockCluster<'static, DefaultProducerContext>,
    clients: Clients,
    threads: TaskTracker,
    _events: mpsc::Receiver<ClientEvent>,
}

impl Cluster {
    fn start() -> Self {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic("topic", 1, 1).unwrap();
        let (sender, events) = mpsc::channel(64);
        let threads = TaskTracker::new();
        let context = Context::new(&Config::default(), sender);
        let clients = Clients::start(at(&mock.bootstrap_servers()), context, threads.clone()).unwrap();
        Self { mock, clients, threads, _events: events }
    }

    fn get(&self, batching: Batching) -> Arc<Client> {
        self.clients.get(batching).unwrap()
    }

    /// Puts a client in use that does not reach the cluster.
    fn lose(&self, batching: Batching) {
        let thread = self.threads.token();
        let lost = Client::start(&at(NOWHERE), self.clients.context.for_client(ClientId(1000)), thread).unwrap();
        self.clients.replace(batching, lost);
    }

    fn stale_replacements(&self, fresh: Option<Arc<Client>>) -> Vec<(Batching, Arc<Client>)> {
        self.clients.stale_replacements("topic", fresh).unwrap()
    }
}

fn at(servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers);
    config
}

fn send(client: &Client) -> oneshot::Receiver<DeliveryReport> {
    let (sender, report) = oneshot::channel();
    let record: BaseRecord<'_, [u8], [u8], _> = BaseRecord::with_opaque_to("topic", Box::new(sender));
    client.producer().send(record.payload(&[1])).map_err(|(error, _)| error).unwrap();
    report
}

#[tokio::test]
async fn only_a_client_that_cannot_reach_the_cluster_is_replaced() {
    let cluster = Cluster::start();
    cluster.get(Batching::Single);
    assert!(cluster.stale_replacements(None).is_empty(), "all reach it");
    cluster.lose(Batching::Lingering);
    let replacements = cluster.stale_replacements(None);
    assert_eq!(replacements.iter().map(|(batching, _)| *batching).collect::<Vec<_>>(), [Batching::Lingering]);
    for (batching, new) in replacements {
        cluster.clients.replace(batching, new);
    }
    assert!(cluster.stale_replacements(None).is_empty(), "the new one reaches it");
    cluster.lose(Batching::Immediate);
    let fresh = cluster.clients.create(Batching::Immediate).unwrap();
    let replacements = cluster.stale_replacements(Some(fresh.clone()));
    assert!(Arc::ptr_eq(&replacements[0].1, &fresh), "the new client that is there already");
}

/// The brokers may have new addresses, which only the clients in use know.
#[tokio::test]
async fn no_client_is_replaced_by_one_that_cannot_reach_the_cluster() {
    let mut cluster = Cluster::start();
    cluster.lose(Batching::Lingering);
    cluster.clients.config = at(NOWHERE);
    assert!(cluster.stale_replacements(None).is_empty());
}

#[tokio::test]
async fn a_slow_client_is_stale_only_without_records_in_flight() {
    let cluster = Cluster::start();
    let (busy, idle) = (cluster.get(Batching::Lingering), cluster.get(Batching::Immediate));
    for client in [&busy, &idle] {
        send(client).await.unwrap().expect("it is connected");
    }
    cluster.mock.broker_round_trip_time(1, Duration::from_secs(60)).unwrap();
    let _report = send(&busy);
    assert!(busy.can_reach("topic"));
    assert!(!idle.can_reach("topic"));
}

#[tokio::test]
async fn only_clients_in_use_have_a_batching() {
    let cluster = Cluster::start();
    let (old, new) = (cluster.get(Batching::Lingering), cluster.clients.create(Batching::Lingering).unwrap());
    let batching_of = |client: &Client| cluster.clients.batching_of(client.id);
    assert_eq!((batching_of(&old), batching_of(&new)), (Some(Batching::Lingering), None));
    cluster.clients.replace(Batching::Lingering, new.clone());
    assert_eq!((batching_of(&old), batching_of(&new)), (None, Some(Batching::Lingering)));
}

#[tokio::test]
async fn a_replaced_client_gives_up_its_records_and_close_ends_every_thread() {
    let cluster = Cluster::start();
    let old = cluster.get(Batching::Immediate);
    send(&old).await.unwrap().expect("it is connected");
    cluster.mock.broker_round_trip_time(1, Duration::from_secs(60)).unwrap();
    let report = send(&old);
    drop(old);
    cluster.clients.replace(Batching::Immediate, cluster.clients.create(Batching::Immediate).unwrap());
    let fault = timeout(Duration::from_secs(5), report).await.expect("at once").unwrap().unwrap_err();
    assert!(fault.maybe_stored && fault.reason == FaultReason::Closed, "{fault:?}");
    cluster.clients.close();
    timeout(Duration::from_secs(5), cluster.threads.wait()).await.expect("no thread is left");
    assert!(cluster.clients.get(Batching::Single).is_err(), "there is no new client after the end");
}
