//! Reports that never come must not cost memory for ever.

use std::process::Command;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt;
use greenapi_bridge::brokers::nats::{AckTimeouts, Config, Publisher, provision};
use greenapi_bridge::message::{Broker, Event, Id, Message, PerBroker};

use crate::harness::Nats;

const TIMEOUTS: u64 = 200_000;

/// In a process of its own: what other tests allocate would be counted too.
#[test]
fn two_hundred_thousand_missing_acks_cost_less_than_5_mb() {
    let nats = Nats::start();
    let mut alone = Command::new(std::env::current_exe().unwrap());
    alone.args(["--exact", "nats_leak::alone", "--ignored", "--nocapture"]);
    let answer = alone.env("LEAK_SERVER", format!("nats://127.0.0.1:{}", nats.port)).output().unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stdout));
}

#[test]
#[ignore = "started by the test above"]
fn alone() {
    let Ok(server) = std::env::var("LEAK_SERVER") else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(time_out_often(server));
}

async fn time_out_often(server: String) {
    let config = Config { servers: vec![server.clone()], ..Config::default() };
    provision(&config, &["greenapi.*.*.*".into()], Duration::from_secs(60), false).await.unwrap();
    // someone listens and never answers, so that the server does not say that nobody does
    let silent = async_nats::connect(server).await.unwrap();
    let mut unheard = silent.subscribe("silent.>").await.unwrap();
    silent.flush().await.unwrap();
    tokio::spawn(async move { while unheard.next().await.is_some() {} });
    let timeouts = AckTimeouts { ack: Duration::from_millis(20), too_large_after: Duration::from_secs(300) };
    let publisher = Publisher::start(&config, Vec::new(), timeouts).await.unwrap();
    publisher.state().wait_for(|state| state.is_up()).await.unwrap();
    rounds(&publisher, TIMEOUTS / 4).await;
    let before = resident_kib();
    rounds(&publisher, TIMEOUTS).await;
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 5 * 1024, "grew by {grown} KiB");
}

async fn rounds(publisher: &Publisher, count: u64) {
    let publish = |number: u64| async move {
        let event = Event::unparsed(Id::from(u128::from(number)), SystemTime::now());
        let body = Bytes::from_static(b"{}");
        let to = PerBroker::only(Broker::Nats, "silent.x".into());
        let message = Message::notification(to, event, body);
        assert_eq!(publisher.publish(&message).await.unwrap_err().reason.as_str(), "no_report");
    };
    futures_util::stream::iter(0..count).map(publish).buffer_unordered(1000).collect::<Vec<()>>().await;
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
