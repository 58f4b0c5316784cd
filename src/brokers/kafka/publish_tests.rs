use std::time::SystemTime;

use rdkafka::mocking::MockCluster;

use super::*;
use crate::message::{Event, Id};

fn message(number: u8) -> Message {
    let (to, event) = ([Some("topic".into()), None], Event::unparsed(Id::of(&[number]), SystemTime::now()));
    Message { to, event, body: vec![number].into(), dead_letter: None, open: false, structured: false, replay: None }
}

/// librdkafka gives up in time here: what it would do where it does not is made by waiting for less.
#[tokio::test]
async fn a_client_that_gives_no_report_is_given_up_with_the_record() {
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic("topic", 1, 1).unwrap();
    let config = Config { bootstrap_servers: vec![mock.bootstrap_servers()], ..Config::default() };
    let topics = vec!["topic".to_owned()];
    let mut publisher = Publisher::start(&config, topics, 0, Duration::from_secs(30)).unwrap();
    publisher.report_within = Duration::from_millis(500);
    publisher.state().wait_for(|state| state.up).await.unwrap();
    publisher.publish(&message(1)).await.unwrap();
    mock.broker_round_trip_time(1, Duration::from_secs(20)).unwrap();
    let before = publisher.producers.read().unwrap().clone();
    let fault = publisher.publish(&message(2)).await.unwrap_err();
    assert!(fault.unknown && fault.reason == "no_report", "{fault:?}");
    mock.broker_round_trip_time(1, Duration::ZERO).unwrap();
    publisher.publish(&message(2)).await.unwrap();
    assert!(!Arc::ptr_eq(&before, &publisher.producers.read().unwrap()), "through the same clients");
}
