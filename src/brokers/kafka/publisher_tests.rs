use std::time::SystemTime;

use rdkafka::mocking::MockCluster;
use tokio::time::sleep;

use super::*;
use crate::message::{Broker, Event, Id, PerBroker};

fn message(number: u8) -> Message {
    let event = Event::unparsed(Id::of(&[number]), SystemTime::now());
    Message::notification(PerBroker::only(Broker::Kafka, "topic".into()), event, vec![number].into())
}

fn nowhere() -> Publisher {
    let config = Config { bootstrap_servers: vec!["127.0.0.1:1".into()], ..Config::default() };
    Publisher::start(&config, Vec::new(), 0, Duration::from_secs(30)).unwrap()
}

/// librdkafka times records out itself here: the test waits for less, to make the case in which it does not.
#[tokio::test]
async fn a_client_without_a_delivery_report_in_time_is_replaced() {
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic("topic", 1, 1).unwrap();
    let config = Config { bootstrap_servers: vec![mock.bootstrap_servers()], ..Config::default() };
    let topics = vec!["topic".to_owned()];
    let mut publisher = Publisher::start(&config, topics, 0, Duration::from_secs(30)).unwrap();
    publisher.report_within = Duration::from_millis(500);
    publisher.state().wait_for(|state| state.is_up()).await.unwrap();
    publisher.publish(&message(1)).await.unwrap();
    mock.broker_round_trip_time(1, Duration::from_secs(20)).unwrap();
    let client = |batching| publisher.shared.clients.get(batching).unwrap().id;
    let before = [Batching::Immediate, Batching::Lingering].map(client);
    let fault = publisher.publish(&message(2)).await.unwrap_err();
    assert!(fault.maybe_stored && fault.reason == FaultReason::NoReport, "{fault:?}");
    mock.broker_round_trip_time(1, Duration::ZERO).unwrap();
    let replaced = async {
        while client(Batching::Immediate) == before[0] {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(5), replaced).await.expect("another client");
    assert_eq!(client(Batching::Lingering), before[1], "nothing was sent with it");
    publisher.publish(&message(2)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_report_that_librdkafka_gives_at_the_last_moment_counts() {
    let publisher = nowhere();
    assert_eq!(publisher.await_report(sleep(Duration::from_millis(32_900))).await, Some(()));
    assert_eq!(publisher.await_report(sleep(Duration::from_millis(33_100))).await, None);
}

#[tokio::test]
async fn close_ends_the_watcher_and_every_thread() {
    let publisher = nowhere();
    publisher.close().await;
    assert!(publisher.tasks.is_empty(), "{} are left", publisher.tasks.len());
    assert_eq!(publisher.publish(&message(1)).await.unwrap_err().reason, FaultReason::Closed);
}

#[tokio::test]
async fn dropping_the_last_publisher_ends_its_tasks() {
    let publisher = nowhere();
    let tasks = publisher.tasks.clone();
    tasks.close();
    drop(publisher);
    timeout(Duration::from_secs(5), tasks.wait()).await.expect("no task or thread is left");
}
