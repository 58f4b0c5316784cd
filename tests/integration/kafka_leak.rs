//! Reports that never come from Kafka must not cost memory for ever.

use std::process::Command;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt;
use greenapi_bridge::brokers::kafka::{Config, Publisher};
use greenapi_bridge::message::{Broker, Event, Id, Message, PerBroker};
use rdkafka::mocking::MockCluster;

const TIMEOUTS: u64 = 200_000;

/// In a process of its own: what other tests allocate would be counted too.
#[test]
fn two_hundred_thousand_missing_acks_cost_less_than_5_mb() {
    let mut alone = Command::new(std::env::current_exe().unwrap());
    alone.args(["--exact", "kafka_leak::alone", "--ignored", "--nocapture"]);
    let answer = alone.env("LEAK_ALONE", "1").output().unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
}

#[test]
#[ignore = "started by the test above"]
fn alone() {
    if std::env::var("LEAK_ALONE").is_ok() {
        tokio::runtime::Runtime::new().unwrap().block_on(time_out_often());
    }
}

async fn time_out_often() {
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic("silent", 1, 1).unwrap();
    // it is there, and nobody takes anything for it
    mock.partition_leader("silent", 0, None).unwrap();
    let config = Config { bootstrap_servers: vec![mock.bootstrap_servers()], ..Config::default() };
    let publisher = Publisher::start(&config, vec!["silent".into()], 1, Duration::from_secs(1)).unwrap();
    publisher.state().wait_for(|state| state.is_up()).await.unwrap();
    // as many at once as are measured: what memory a burst takes is not given back
    rounds(&publisher, TIMEOUTS / 4).await;
    let before = resident_kib();
    rounds(&publisher, TIMEOUTS).await;
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 5 * 1024, "grew by {grown} KiB");
}

/// librdkafka looks for what has timed out once a second: each round waits for that once.
async fn rounds(publisher: &Publisher, count: u64) {
    let publish = |number: u64| async move {
        let event = Event::unparsed(Id::from(u128::from(number)), SystemTime::now());
        let body = Bytes::from_static(b"{}");
        let to = PerBroker::only(Broker::Kafka, "silent".into());
        let message = Message::notification(to, event, body);
        assert_eq!(publisher.publish(&message).await.unwrap_err().reason.as_str(), "no_report");
    };
    for _ in 0..count / 20_000 {
        futures_util::stream::iter(0..20_000).map(publish).buffer_unordered(20_000).collect::<Vec<()>>().await;
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
