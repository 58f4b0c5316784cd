use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext};
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::brokers::kafka::Config;
use crate::brokers::kafka::report::Event;

const NOWHERE: &str = "127.0.0.1:1";

/// A cluster of one with a topic, and how clients find it.
struct Cluster {
    mock: MockCluster<'static, DefaultProducerContext>,
    properties: ClientConfig,
    context: Context,
    events: mpsc::Receiver<Event>,
}

impl Cluster {
    fn start() -> Self {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic("topic", 1, 1).unwrap();
        let (sender, events) = mpsc::channel(64);
        let properties = at(&mock.bootstrap_servers());
        Self { mock, properties, context: Context::new(&Config::default(), sender), events }
    }

    fn producers(&self) -> Producers {
        Producers::new(&self.properties, &self.context).unwrap()
    }

    fn lost(&self) -> Arc<Client> {
        Client::new(&at(NOWHERE), &self.context, ["0", BATCH], false).unwrap()
    }
}

fn at(servers: &str) -> ClientConfig {
    let mut properties = ClientConfig::new();
    properties.set("bootstrap.servers", servers);
    properties
}

#[tokio::test]
async fn only_who_finds_the_cluster_no_more_is_replaced() {
    let cluster = Cluster::start();
    let mut producers = cluster.producers();
    producers.alone().unwrap();
    assert!(producers.mended("topic", None).unwrap().is_none(), "all find it");
    producers.gathering = cluster.lost();
    let mended = producers.mended("topic", None).unwrap().unwrap();
    assert!(Arc::ptr_eq(&mended.quick, &producers.quick));
    assert!(Arc::ptr_eq(mended.alone.get().unwrap(), producers.alone.get().unwrap()));
    assert!(!Arc::ptr_eq(&mended.gathering, &producers.gathering));
    assert!(mended.mended("topic", None).unwrap().is_none(), "the new one finds it");
    producers.quick = cluster.lost();
    let new = mended.anew().unwrap();
    let quick = new.quick.clone();
    assert!(Arc::ptr_eq(&producers.mended("topic", Some(new)).unwrap().unwrap().quick, &quick), "the one at hand");
}

/// The brokers may have new addresses, which only those in use know.
#[tokio::test]
async fn nobody_is_replaced_by_one_that_does_not_find_the_cluster() {
    let cluster = Cluster::start();
    let mut producers = cluster.producers();
    producers.gathering = cluster.lost();
    producers.config = at(NOWHERE);
    assert!(producers.mended("topic", None).unwrap().is_none());
}

#[tokio::test]
async fn who_has_records_on_their_way_may_be_slow_and_who_has_none_may_not() {
    let cluster = Cluster::start();
    let producers = cluster.producers();
    let send = |client: &Client| {
        let (waiter, report) = oneshot::channel();
        let record: BaseRecord<'_, [u8], [u8], _> = BaseRecord::with_opaque_to("topic", Box::new(waiter));
        client.producer().send(record.payload(&[1])).map_err(|(error, _)| error).unwrap();
        report
    };
    for client in [&producers.quick, &producers.gathering] {
        send(client).await.unwrap().expect("it is connected");
    }
    cluster.mock.broker_round_trip_time(1, Duration::from_secs(60)).unwrap();
    let _report = send(&producers.gathering);
    assert!(producers.gathering.finds("topic"));
    assert!(!producers.quick.finds("topic"));
}

#[tokio::test]
async fn only_those_in_use_are_heard() {
    let mut cluster = Cluster::start();
    let nowhere = Producers::make(&at(NOWHERE), &cluster.context, false).unwrap();
    assert!(!nowhere.quick.finds("topic"), "time enough to say that all brokers are down");
    assert!(cluster.events.try_recv().is_err(), "not in use yet");
    let later = Producers::make(&at(NOWHERE), &cluster.context, false).unwrap();
    later.take_over(&nowhere);
    let heard = tokio::time::timeout(Duration::from_secs(10), cluster.events.recv()).await;
    assert!(matches!(heard, Ok(Some(Event::AllDown(_) | Event::Other))));
    cluster.producers().take_over(&later);
    while cluster.events.try_recv().is_ok() {}
    later.quick.finds("topic");
    assert!(cluster.events.try_recv().is_err(), "no more in use");
}
