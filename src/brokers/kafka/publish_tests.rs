use std::time::SystemTime;

use rdkafka::mocking::MockCluster;
use tokio::time::sleep;

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
    let after = async {
        loop {
            let now = publisher.producers.read().unwrap().clone();
            if !Arc::ptr_eq(&before, &now) {
                break now;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let after = timeout(Duration::from_secs(5), after).await.expect("another client");
    assert!(!Arc::ptr_eq(before.quick(), after.quick()));
    assert!(Arc::ptr_eq(before.gathering(), after.gathering()), "nothing was sent with it");
    publisher.publish(&message(2)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_report_that_librdkafka_gives_at_the_last_moment_counts() {
    let config = Config { bootstrap_servers: vec!["127.0.0.1:1".into()], ..Config::default() };
    let publisher = Publisher::start(&config, Vec::new(), 0, Duration::from_secs(30)).unwrap();
    assert_eq!(publisher.hear(sleep(Duration::from_millis(32_900))).await, Some(()));
    assert_eq!(publisher.hear(sleep(Duration::from_millis(33_100))).await, None);
}
