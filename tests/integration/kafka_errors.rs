//! Errors that a real Kafka seldom makes, made by librdkafka's own mock of a cluster.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message as _;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::harness::{Bridge, eventually, text};

const STORED: &str = r#"{"stored":"broker"}"#;
const TOPICS: [&str; 6] = ["incoming", "outgoing", "state", "device", "other", "dead-letter"];

/// A cluster of one, with the topics of the default routes, each of one partition.
struct Mock(MockCluster<'static, DefaultProducerContext>);

impl Mock {
    fn start() -> Self {
        let mock = MockCluster::new(1).unwrap();
        for class in TOPICS {
            mock.create_topic(&format!("greenapi.{class}"), 1, 1).unwrap();
        }
        Self(mock)
    }

    fn bridge(&self, extra: &str) -> Bridge {
        let servers = self.0.bootstrap_servers();
        Bridge::with(&format!("{extra}kafka.bootstrap_servers = [\"{servers}\"]\n"), false).ready()
    }

    /// The next requests to produce are answered with these.
    fn refuse(&self, errors: &[RDKafkaRespErr]) {
        self.0.request_errors(RDKafkaApiKey::Produce, errors);
    }

    /// Somebody leads these topics, or nobody does.
    fn led(&self, classes: &[&str], by: Option<i32>) {
        for class in classes {
            self.0.partition_leader(&format!("greenapi.{class}"), 0, by).unwrap();
        }
    }

    /// The values in a topic.
    fn held(&self, topic: &str) -> Vec<Vec<u8>> {
        let config =
            ClientConfig::new().set("bootstrap.servers", self.0.bootstrap_servers()).set("group.id", "none").clone();
        let consumer: BaseConsumer = config.create().unwrap();
        let (_, end) = consumer.fetch_watermarks(topic, 0, Duration::from_secs(5)).unwrap();
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
        consumer.assign(&from).unwrap();
        let next = |_| consumer.poll(Duration::from_secs(5)).unwrap().unwrap().payload().unwrap().to_vec();
        (0..end).map(next).collect()
    }
}

use RDKafkaRespErr::{
    RD_KAFKA_RESP_ERR__TRANSPORT as HANGS_UP, RD_KAFKA_RESP_ERR_INVALID_RECORD as INVALID,
    RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS as TOO_FEW, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION as NOT_LEADER,
    RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER as OUT_OF_ORDER, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT as TIMED_OUT,
};

/// librdkafka cannot go on with a producer whose first unacknowledged batch is out of order.
#[test]
fn after_a_fatal_producer_error_a_new_producer_takes_over() {
    let mock = Mock::start();
    let bridge = mock.bridge("");
    assert_eq!(bridge.post(&text(0)).1, STORED);
    for (number, fatal) in [(1, "at once"), (2, "again, and soon")] {
        mock.refuse(&[OUT_OF_ORDER]);
        assert_eq!(bridge.post(&text(number)), (200, STORED.into()), "{fatal}");
        assert_eq!(bridge.post(&text(number + 10)), (200, STORED.into()), "after {fatal}");
    }
    assert_eq!(bridge.log().matches("client replaced after a fatal error").count(), 1, "{}", bridge.log());
    assert!(bridge.log().contains("sequence desynchronization"), "why: {}", bridge.log());
    assert_eq!(mock.held("greenapi.incoming"), [0, 1, 11, 2, 12].map(text));
}

#[test]
fn a_record_refused_with_its_batch_is_retried_alone() {
    let mock = Mock::start();
    let bridge = mock.bridge("");
    mock.refuse(&[INVALID]);
    assert_eq!(bridge.post(&text(1)), (200, STORED.into()));
    mock.refuse(&[INVALID, INVALID]);
    assert_eq!(bridge.post(&text(2)), (200, r#"{"stored":"dead_letter"}"#.into()), "refused alone");
    assert_eq!(bridge.post(&text(3)), (200, STORED.into()));
    assert_eq!(mock.held("greenapi.incoming"), [1, 3].map(text));
    assert_eq!(mock.held("greenapi.dead-letter"), [text(2)]);
}

#[test]
fn transient_errors_are_retried_and_stored_once() {
    let mock = Mock::start();
    let bridge = mock.bridge("");
    for (number, error) in (1..).zip([NOT_LEADER, TOO_FEW, TIMED_OUT, HANGS_UP]) {
        mock.refuse(&[error, error]);
        assert_eq!(bridge.post(&text(number)), (200, STORED.into()), "{error:?}");
    }
    assert_eq!(mock.held("greenapi.incoming"), [1, 2, 3, 4].map(text));
    assert_eq!(mock.held("greenapi.dead-letter").len(), 0);
}

#[test]
fn a_slow_cluster_is_a_503_in_time_and_its_late_ack_counts() {
    let mock = Mock::start();
    let bridge = mock.bridge("publish.timeout = \"1s\"\n");
    assert_eq!(bridge.post(&text(1)).1, STORED);
    const ROUND_TRIP: Duration = Duration::from_secs(5);
    mock.0.broker_round_trip_time(1, ROUND_TRIP).unwrap();
    let asked = Instant::now();
    assert_eq!(bridge.post(&text(2)).0, 503);
    assert!(asked.elapsed() < ROUND_TRIP, "{:?}", asked.elapsed());
    eventually("the late ack", Duration::from_secs(10), || bridge.log().contains("late ack: stored"));
    mock.0.broker_round_trip_time(1, Duration::ZERO).unwrap();
    assert_eq!(bridge.post(&text(2)), (200, r#"{"stored":"duplicate"}"#.into()));
    assert_eq!(mock.held("greenapi.incoming"), [1, 2].map(text));
}

#[test]
fn topics_without_a_leader_are_reported_at_once_and_count_as_down_after_the_failover_time() {
    const STATE: &[u8] = br#"{"typeWebhook":"stateInstanceChanged","instanceData":{"idInstance":7}}"#;
    let mock = Mock::start();
    let bridge = mock.bridge("publish.timeout = \"2s\"\n");
    mock.led(&["incoming"], None);
    let degraded = || bridge.get("/readyz").1.contains(r#""degraded":"no_leader""#);
    eventually("it says so", Duration::from_secs(15), degraded);
    assert_eq!(bridge.get("/readyz").0, 200);
    assert_eq!(bridge.post(&text(1)).0, 503);
    assert_eq!(bridge.post(STATE), (200, STORED.into()), "another topic is unharmed");
    mock.led(&TOPICS, None);
    let since = Instant::now();
    eventually("no topic has a leader", Duration::from_secs(40), || bridge.get("/readyz").0 == 503);
    assert!(since.elapsed() > Duration::from_secs(15), "a failover may take longer than {:?}", since.elapsed());
    assert!(bridge.get("/readyz").1.contains(r#""state":"no_leader""#), "{:?}", bridge.get("/readyz"));
    assert!(bridge.log().contains("no leader for greenapi.incoming (1 of 1 partitions)"), "{}", bridge.log());
    mock.led(&TOPICS, Some(1));
    let bridge = bridge.ready();
    assert_eq!(bridge.post(&text(2)), (200, STORED.into()));
    eventually("nothing is degraded", Duration::from_secs(15), || !bridge.get("/readyz").1.contains("degraded"));
}

/// librdkafka tries these again until the record has waited for 30 s.
#[test]
fn a_fault_seen_only_by_publishing_is_reported_until_a_record_is_stored() {
    let mock = Mock::start();
    let bridge = mock.bridge("publish.timeout = \"2s\"\n");
    mock.refuse(&[TOO_FEW; 1000]);
    assert_eq!(bridge.post(&text(1)).0, 503);
    let degraded = || bridge.get("/readyz").1.contains(r#""degraded":"no_report""#);
    eventually("it says so", Duration::from_secs(60), degraded);
    assert_eq!(bridge.get("/readyz").0, 200, "only a record can find out that it stores again");
    mock.0.clear_request_errors(RDKafkaApiKey::Produce);
    assert_eq!(bridge.post(&text(2)).0, 200);
    eventually("nothing is degraded", Duration::from_secs(15), || !degraded());
}
