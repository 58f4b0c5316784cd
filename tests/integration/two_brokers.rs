//! Kafka and JetStream side by side.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Bridge, Kafka, Nats, body, eventually, nats_servers, text};

fn both(nats: &Nats, kafka: &Kafka, prefix: &str, extra: &str) -> Bridge {
    Bridge::with(&format!("{extra}{}{}", nats_servers(&[nats.port]), kafka.config(prefix)), true).ready()
}

fn bodies(messages: &[Value]) -> HashSet<Vec<u8>> {
    messages.iter().map(body).collect()
}

#[test]
fn a_200_means_stored_by_both_brokers() {
    let (nats, kafka) = (Nats::start(), Kafka::shared());
    let bridge = both(&nats, kafka, "both", "");
    assert_eq!(bridge.post(&text(1)), (200, "{\"stored\":\"broker\"}".into()));
    assert_eq!(bridge.post(b"broken"), (200, "{\"stored\":\"dead_letter\"}".into()));
    assert_eq!(bridge.post(&text(1)), (200, "{\"stored\":\"duplicate\"}".into()));
    let wanted = HashSet::from([text(1), b"broken".to_vec()]);
    assert_eq!(bodies(&nats.read()), wanted);
    assert_eq!(bodies(&kafka.read(&["both.incoming", "both.dead"])), wanted);
    assert_eq!(nats.read().len(), 2);
}

#[test]
fn a_repeat_is_published_only_to_the_broker_without_it() {
    let (nats, kafka) = (Nats::start(), Kafka::shared());
    let bridge = both(&nats, kafka, "half", "publish.timeout = \"1s\"\n");
    let subscriber = nats.subscribe("greenapi.incoming.>", 1);
    nats.signal("-STOP");
    assert_eq!(bridge.post(&text(1)).0, 503, "Kafka has it, JetStream does not say so");
    nats.signal("-CONT");
    eventually("JetStream says so later", Duration::from_secs(5), || bridge.log().contains("late ack: stored"));
    assert_eq!(bridge.post(&text(1)), (200, "{\"stored\":\"duplicate\"}".into()));
    assert_eq!(subscriber().len(), 1);
    assert_eq!(kafka.read(&["half.incoming"]).len(), 1);
}

#[test]
fn with_one_broker_down_nothing_is_200_and_nothing_is_stored_twice() {
    let (mut nats, kafka) = (Nats::start(), Kafka::shared());
    let bridge = both(&nats, kafka, "down", "publish.timeout = \"1s\"\n");
    nats.kill();
    eventually("seen", Duration::from_secs(5), || bridge.get("/readyz").0 == 503);
    for _ in 0..3 {
        assert_eq!(bridge.post(&text(1)).0, 503);
    }
    nats.start_again();
    eventually("ready again", Duration::from_secs(10), || bridge.get("/readyz").0 == 200);
    assert_eq!(bridge.post(&text(1)), (200, "{\"stored\":\"broker\"}".into()));
    assert_eq!(bodies(&nats.read()), HashSet::from([text(1)]));
    assert_eq!(kafka.read(&["down.incoming"]).len(), 1, "repeats went to JetStream alone");
    assert_eq!(bridge.metric("publish_duration_seconds_count{broker=\"kafka\"}"), 1.0);
}

#[cfg(feature = "journal")]
#[test]
fn a_repeat_after_a_crash_is_journal_while_a_broker_still_has_to_get_it() {
    let (mut nats, kafka, folder) = (Nats::start(), Kafka::shared(), tempfile::tempdir().unwrap());
    let journal = format!("journal.directory = {:?}\n", folder.path().join("data"));
    let mut bridge = both(&nats, kafka, "crash", &journal);
    nats.kill();
    eventually("seen", Duration::from_secs(10), || bridge.get("/readyz").1.contains("disconnected"));
    assert_eq!(bridge.post(&text(1)), (200, "{\"stored\":\"journal\"}".into()));
    // that Kafka has acked it is not on disk yet
    bridge.signal("-KILL");
    bridge.exit_code();
    bridge.start_again();
    eventually("connected", Duration::from_secs(10), || bridge.metric("broker_connected{broker=\"kafka\"}") == 1.0);
    assert_eq!(bridge.post(&text(1)), (200, "{\"stored\":\"journal\"}".into()));
    nats.start_again();
    eventually("forwarded", Duration::from_secs(10), || nats.read().len() == 1);
}

#[test]
fn a_body_too_large_for_one_broker_is_a_dead_letter_only_there() {
    let (nats, kafka) = (Nats::start(), Kafka::shared());
    let bridge = both(&nats, kafka, "one", "");
    // more than librdkafka takes, less than nats-server does
    let mut large = text(1);
    large.resize(1_020_000, b' ');
    assert_eq!(bridge.post(&large), (200, "{\"stored\":\"dead_letter\"}".into()));
    assert_eq!(nats.read()[0]["subject"], "greenapi.incoming.7.incomingCall");
    let parts = kafka.read(&["one.incoming", "one.dead"]);
    assert_eq!(parts.iter().flat_map(body).collect::<Vec<_>>(), large);
    assert!(parts.iter().all(|part| part["topic"] == "one.dead"));
}

#[test]
fn routes_by_class_and_instance_choose_the_broker() {
    let (nats, kafka) = (Nats::start(), Kafka::shared());
    let routes = "route.classes.state.brokers = [\"nats\"]\nroute.classes.incoming.topic = \"ways.in\"\n\
        route.instances.8.topic = \"ways.eight\"\nroute.key = \"chat\"\n";
    let bridge = both(&nats, kafka, "ways", routes);
    let send = |kind: &str, instance: u64| {
        let body = format!(
            r#"{{"typeWebhook":"{kind}","instanceData":{{"idInstance":{instance}}},"senderData":{{"chatId":"79990000001@c.us"}}}}"#
        );
        assert_eq!(bridge.post(body.as_bytes()), (200, "{\"stored\":\"broker\"}".into()), "{kind} {instance}");
    };
    send("incomingMessageReceived", 7);
    send("incomingMessageReceived", 8);
    send("stateInstanceChanged", 7);
    send("deviceInfo", 7);
    let count = |topic: &str| kafka.read(&[topic]).len();
    assert_eq!([count("ways.in"), count("ways.eight"), count("ways.device")], [1, 1, 1]);
    assert_eq!(nats.read().len(), 4);
    assert_eq!(kafka.read(&["ways.in"])[0]["key"], "7:79990000001@c.us");
}

#[test]
fn structured_messages_are_one_envelope_with_the_body_as_it_came() {
    let (nats, kafka) = (Nats::start(), Kafka::shared());
    let bridge = both(&nats, kafka, "form", "route.format = \"structured\"\n");
    let odd = br#"{"typeWebhook" : "incomingCall", "instanceData":{"idInstance":7.0e0,"idInstance2":1},"a":1,"a":2}"#;
    assert_eq!(bridge.post(odd).1, "{\"stored\":\"dead_letter\"}", "dead letters are always binary");
    let fine = br#"{"typeWebhook" : "incomingCall", "instanceData":{"idInstance":7},"a":1.10,"a":2}"#;
    assert_eq!(bridge.post(fine).1, "{\"stored\":\"broker\"}");
    let in_nats = nats.read();
    let in_kafka = [kafka.read(&["form.dead"]).remove(0), kafka.read(&["form.incoming"]).remove(0)];
    for (dead, live) in [(&in_nats[0], &in_nats[1]), (&in_kafka[0], &in_kafka[1])] {
        assert_eq!(body(dead), odd);
        assert_eq!(live["headers"]["content-type"], "application/cloudevents+json");
        let names: Vec<_> = live["headers"].as_object().unwrap().keys().collect();
        assert!(names.iter().all(|name| !name.starts_with("ce-") && !name.starts_with("ce_")), "{names:?}");
        let envelope = body(live);
        let data = [b"\"data\":".as_slice(), fine, b"}"].concat();
        assert!(envelope.ends_with(&data), "{}", String::from_utf8_lossy(&envelope));
        let envelope: Value = serde_json::from_slice(&envelope).unwrap();
        assert_eq!(envelope["type"], "com.green-api.incomingCall");
        assert_eq!(envelope["partitionkey"], "7");
    }
    let same =
        in_nats[1]["headers"]["Nats-Msg-Id"] == serde_json::from_slice::<Value>(&body(&in_nats[1])).unwrap()["id"];
    assert!(same, "the id in the envelope is what JetStream dedupes by");
}
