//! Reports that come after the answer, and repeats that come before the report.

use std::time::Duration;

use crate::harness::{Bridge, Nats, body, eventually, text};

const NOT_STORED: &str = r#"{"error":"not_stored"}"#;
const BROKER: &str = r#"{"stored":"broker"}"#;
const DEAD_LETTER: &str = r#"{"stored":"dead_letter"}"#;
const DUPLICATE: &str = r#"{"stored":"duplicate"}"#;

#[test]
fn an_ack_after_the_503_counts_and_the_repeat_is_a_duplicate() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "publish.timeout = \"1s\"\n");
    // sees every publish, also those the stream drops as duplicates
    let published = nats.subscribe("greenapi.>", 2);
    nats.signal("-STOP");
    assert_eq!(bridge.post(&text(1)), (503, NOT_STORED.into()));
    assert_eq!(bridge.post(&text(1)), (503, NOT_STORED.into()), "still under way");
    nats.signal("-CONT");
    eventually("the late ack", Duration::from_secs(5), || bridge.log().contains("late ack: stored"));
    assert_eq!(bridge.post(&text(1)), (200, DUPLICATE.into()));
    assert_eq!(bridge.post(&text(2)), (200, BROKER.into()));
    assert_eq!(published().iter().map(body).collect::<Vec<_>>(), [text(1), text(2)]);
    assert_eq!(nats.read().len(), 2);
}

#[test]
fn a_repeat_of_a_message_in_flight_gets_its_outcome() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let published = nats.subscribe("greenapi.>", 3);
    let bodies = [text(1), b"no notification".to_vec()];
    nats.signal("-STOP");
    let begin = |(before, body): (usize, &Vec<u8>)| {
        let begun = bridge.begin(body);
        bridge.wait_for_in_flight(before + 1);
        begun
    };
    let begun: Vec<_> = bodies.iter().chain(&bodies).enumerate().map(begin).collect();
    nats.signal("-CONT");
    let answers: Vec<_> = begun.into_iter().map(|mut begun| begun.answer().body).collect();
    assert_eq!(answers, [BROKER, DEAD_LETTER, BROKER, DEAD_LETTER]);
    assert_eq!(bridge.post(&text(2)).0, 200);
    assert_eq!(published().iter().map(body).collect::<Vec<_>>(), [&bodies[..], &[text(2)]].concat());
    assert_eq!(nats.read().len(), 3);
}
