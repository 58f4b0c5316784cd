//! A 200 means stored: the records in a real Apache Kafka after the answers, read by Kafka's own client.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Bridge, Kafka, body, command, eventually, text};
use crate::payloads::{bodies, expected};

const CLASSES: [&str; 6] = ["incoming", "outgoing", "state", "device", "other", "dead"];

/// A bridge to the shared broker, with topics of its own.
fn bridge(prefix: &str, extra: &str) -> Bridge {
    Bridge::with(&format!("{extra}{}", Kafka::shared().config(prefix)), true).ready()
}

fn read(kafka: &Kafka, prefix: &str) -> Vec<Value> {
    let topics = CLASSES.map(|class| format!("{prefix}.{class}"));
    kafka.read(&topics.each_ref().map(String::as_str))
}

/// It acknowledges a record, and deletes it once a later one of that instance is stored.
#[test]
fn a_topic_that_is_compacted_is_unsafe_until_it_is_not() {
    let (kafka, topic) = (Kafka::shared(), "compacted.incoming");
    let bridge = bridge("compacted", "publish.timeout = \"1s\"\n");
    assert_eq!(bridge.post(&text(1)).0, 200);
    kafka.alter(topic, "cleanup.policy", "compact");
    let is_unsafe = |bridge: &Bridge| bridge.get("/readyz").1.contains(r#""degraded":"unsafe_topic""#);
    eventually("it is noticed", Duration::from_secs(60), || is_unsafe(&bridge));
    assert_eq!((bridge.post(&text(2)).0, bridge.get("/readyz").0), (503, 200));
    let state =
        br#"{"typeWebhook":"stateInstanceChanged","instanceData":{"idInstance":1},"stateInstance":"authorized"}"#;
    assert_eq!(bridge.post(state).0, 200, "other topics are unharmed");
    assert!(bridge.log().contains("set cleanup.policy=delete on it"), "{}", bridge.log());
    let restarted = Bridge::with(&format!("publish.timeout = \"1s\"\n{}", kafka.config("compacted")), false).ready();
    assert_eq!(restarted.post(&text(3)).0, 503, "nothing is stored before the settings are known");
    kafka.alter(topic, "cleanup.policy", "delete");
    eventually("it is noticed", Duration::from_secs(60), || !is_unsafe(&bridge));
    assert_eq!(bridge.post(&text(2)).0, 200);
}

#[test]
fn every_body_comes_out_of_the_broker_byte_for_byte() {
    let bridge = bridge("bytes", "");
    let files = bodies();
    let expected = expected(&files);
    for (file, expected) in files.iter().zip(&expected) {
        let (status, answer) = bridge.post(&std::fs::read(file).unwrap());
        assert_eq!(status, 200, "{}", file.display());
        let stored = format!("{{\"stored\":{}}}", expected["outcome"]);
        assert!(answer == stored || answer == "{\"stored\":\"duplicate\"}", "{answer} {}", file.display());
    }
    let received: HashMap<_, _> = read(Kafka::shared(), "bytes")
        .into_iter()
        .map(|message| (message["headers"]["ce_id"].as_str().unwrap().to_owned(), message))
        .collect();
    for (file, expected) in files.iter().zip(&expected) {
        let message = &received[expected["id"].as_str().unwrap()];
        let name = file.display();
        assert_eq!(body(message), std::fs::read(file).unwrap(), "{name}");
        let class = expected["subject"].as_str().unwrap().split('.').nth(1).unwrap();
        assert_eq!(message["topic"], format!("bytes.{}", class.trim_end_matches("-letter")), "{name}");
        assert_headers(message, expected["headers"].as_object().unwrap(), &name.to_string());
    }
    assert_eq!(bridge.terminate(), Some(0));
}

/// The oracle says what NATS carries; Kafka carries the same under its own names, and not what is NATS' alone.
fn assert_headers(message: &Value, nats: &serde_json::Map<String, Value>, name: &str) {
    let mut headers = message["headers"].as_object().unwrap().clone();
    let recorded = headers.remove("ce_recordedtime").unwrap();
    let millis = humantime::parse_rfc3339(recorded.as_str().unwrap()).unwrap();
    let millis = millis.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    assert_eq!(message["timestamp"], u64::try_from(millis).unwrap(), "{name}");
    headers.remove("bridge-detail");
    let only_nats = |key: &str| key.starts_with("Nats-") || key == "ce-datacontenttype";
    let mut wanted = serde_json::Map::new();
    for (key, value) in nats.iter().filter(|(key, _)| !only_nats(key)) {
        let decoded = percent_encoding::percent_decode_str(value.as_str().unwrap()).decode_utf8().unwrap();
        wanted.insert(key.replacen("ce-", "ce_", 1), decoded.into());
    }
    assert_eq!(headers, wanted, "{name}");
    assert_eq!(message["key"], wanted.get("ce_partitionkey").cloned().unwrap_or_default(), "{name}");
}

#[test]
fn keys_choose_the_same_partition_as_java_clients() {
    let bridge = bridge("keys", "");
    for instance in 1_101_000_001..1_101_000_041_u64 {
        let body = format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":{instance}}}}}"#);
        assert_eq!(bridge.post(body.as_bytes()).0, 200);
    }
    let records = read(Kafka::shared(), "keys");
    assert_eq!(records.len(), 40);
    for record in &records {
        let key = record["key"].as_str().unwrap();
        let hash = murmur2(key.as_bytes()) & 0x7fff_ffff;
        assert_eq!(record["partition"], hash % 6, "{key}");
    }
}

/// As Kafka's own `Utils.murmur2`, written from its description.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ u32::try_from(data.len()).unwrap();
    let chunks = data.chunks_exact(4);
    let rest = chunks.remainder();
    for chunk in chunks {
        let k = u32::from_le_bytes(chunk.try_into().unwrap()).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (k ^ (k >> 24)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |all, byte| all << 8 | u32::from(*byte));
        hash = (hash ^ last).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[test]
fn a_body_too_large_is_stored_in_parts() {
    let bridge = bridge("large", "");
    for (size, parts) in [(999_000, 1), (1_000_001, 2), (1_048_576, 2), (8 * 1024 * 1024, 16)] {
        let mut large = text(size);
        large.resize(size, b' ');
        let answer = if parts == 1 { "broker" } else { "dead_letter" };
        assert_eq!(bridge.post(&large), (200, format!("{{\"stored\":\"{answer}\"}}")), "{size}");
        let id = greenapi_bridge::message::Id::of(&large).to_string();
        let mut found = read(Kafka::shared(), "large");
        found.retain(|record| record["headers"]["ce_id"] == id);
        assert_eq!(found.len(), parts, "{size}");
        assert_eq!(found.iter().flat_map(body).collect::<Vec<_>>(), large, "{size}");
        for (number, part) in (1..).zip(&found).filter(|_| parts > 1) {
            assert_eq!(part["topic"], "large.dead");
            assert_eq!(part["headers"]["bridge-part"], format!("{number}/{parts}"));
            assert_eq!(part["headers"]["bridge-reason"], "too_large");
        }
    }
}

#[test]
fn a_missing_topic_is_detected_and_harms_no_other() {
    let kafka = Kafka::shared();
    let config = format!("publish.timeout = \"5s\"\n{}", kafka.config("gone"));
    let bridge = Bridge::with(&config, false);
    assert_eq!(bridge.post(&text(1)).0, 503);
    assert_eq!(command("check", bridge.config.path()).status.code(), Some(1));
    assert!(command("provision", bridge.config.path()).status.success());
    let bridge = bridge.ready();
    assert_eq!(bridge.post(&text(1)).0, 200);
    assert_eq!(command("check", bridge.config.path()).status.code(), Some(0));
    // one that goes away later: the rest goes on
    kafka.delete("gone.incoming");
    let asked = Instant::now();
    assert_eq!(bridge.post(&text(2)).0, 503);
    assert!(asked.elapsed() < Duration::from_secs(5), "said before the time was over: {:?}", asked.elapsed());
    let state = br#"{"typeWebhook":"stateInstanceChanged","instanceData":{"idInstance":7}}"#;
    assert_eq!(bridge.post(state), (200, "{\"stored\":\"broker\"}".into()));
    assert!(bridge.metric("publish_failures_total{broker=\"kafka\",reason=\"no_topic\"}") >= 1.0);
}

const TIMEOUT: Duration = Duration::from_secs(2);

#[test]
fn a_broker_killed_or_stopped_under_load_loses_nothing_answered_200() {
    let mut kafka = Kafka::start();
    let bridge =
        Bridge::with(&format!("publish.timeout = \"{}s\"\n{}", TIMEOUT.as_secs(), kafka.config("load")), true).ready();
    let answers = crate::harness::under_load(&bridge, || {
        pause(1000);
        kafka.kill();
        pause(1500);
        kafka.start_again();
        eventually("ready again", Duration::from_secs(30), || bridge.get("/readyz").0 == 200);
        pause(1000);
        kafka.signal("-STOP");
        pause(3500);
        kafka.signal("-CONT");
        pause(3000);
    });
    let slowest = answers.iter().map(|answer| answer.took).max().unwrap();
    assert!(slowest < 3 * TIMEOUT, "{slowest:?}");
    let answered: Vec<_> = answers.into_iter().filter(|answer| answer.status == 200).collect();
    assert!(answered.len() > 20, "only {}", answered.len());
    let held: HashSet<_> = read(&kafka, "load").iter().map(body).collect();
    let lost = answered.iter().filter(|answer| !held.contains(&answer.body)).count();
    assert_eq!(lost, 0, "of {}", answered.len());
    assert_eq!(bridge.post(&text(usize::MAX)).0, 200);
}

#[test]
fn a_late_ack_counts() {
    let kafka = Kafka::start();
    let bridge = Bridge::with(&format!("publish.timeout = \"1s\"\n{}", kafka.config("late")), true).ready();
    assert_eq!(bridge.post(&text(1)).0, 200);
    kafka.signal("-STOP");
    assert_eq!(bridge.post(&text(2)).0, 503);
    kafka.signal("-CONT");
    eventually("the late ack", Duration::from_secs(15), || bridge.log().contains("late ack: stored"));
    assert_eq!(bridge.post(&text(2)), (200, "{\"stored\":\"duplicate\"}".into()));
    assert_eq!(read(&kafka, "late").len(), 2);
}

/// A firewall does that to what was silent for long. librdkafka alone finds it out by the next record, after half a minute.
#[test]
fn connections_a_firewall_dropped_silently_are_replaced() {
    let (kafka, between) = Kafka::start_behind_proxy();
    let config = kafka.config("forgotten").replace(&kafka.server(), &format!("127.0.0.1:{}", between.port));
    let bridge = Bridge::with(&format!("publish.timeout = \"2s\"\n{config}"), true).ready();
    assert_eq!(bridge.post(&text(1)).0, 200);
    between.forget();
    let replaced = || bridge.log().contains("client replaced");
    eventually("a new client", Duration::from_secs(25), replaced);
    assert_eq!(bridge.post(&text(2)).0, 200);
    // as many at once go through another client
    let begun: Vec<_> = (10..60).map(|number| bridge.begin(&other(number))).collect();
    for mut begun in begun {
        assert_eq!(begun.answer().status, 200);
    }
    let stored = read(&kafka, "forgotten");
    let bodies: HashSet<_> = stored.iter().map(body).collect();
    assert_eq!(bodies, [text(1), text(2)].into_iter().chain((10..60).map(other)).collect());
    assert_eq!(stored.len(), bodies.len(), "once");
}

/// Of another instance each.
fn other(number: usize) -> Vec<u8> {
    format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":{number}}}}}"#).into_bytes()
}

fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

#[test]
fn with_topics_from_payloads_a_missing_topic_is_a_dead_letter() {
    let kafka = Kafka::shared();
    let open = kafka.config("open").replace("open.{class}", "open.at.{type}");
    let bridge = Bridge::with(&format!("route.max_destinations = 2\n{open}"), true).ready();
    let send = |kind: &str| {
        let body = format!(r#"{{"typeWebhook":"{kind}","instanceData":{{"idInstance":7}}}}"#);
        bridge.post(body.as_bytes())
    };
    for kind in ["nowhere", "nowhere2", "one_too_many"] {
        assert_eq!(send(kind), (200, "{\"stored\":\"dead_letter\"}".into()), "{kind}");
    }
    let dead = kafka.read(&["open.dead"]);
    assert_eq!(dead.len(), 3);
    assert!(dead.iter().all(|dead| dead["headers"]["bridge-reason"] == "no_destination"));
    let details: Vec<_> = dead.iter().map(|dead| dead["headers"]["bridge-detail"].as_str().unwrap()).collect();
    assert_eq!(details.iter().filter(|detail| detail.contains("max_destinations = 2")).count(), 1, "{details:?}");
}

#[test]
fn with_topics_from_payloads_a_missing_dead_letter_topic_harms_no_other() {
    let kafka = Kafka::shared();
    kafka.create("free.at.incomingCall", 1, &[]);
    let open = kafka.config("free").replace("free.{class}", "free.at.{type}");
    let bridge = Bridge::with(&format!("publish.timeout = \"5s\"\n{open}"), false).ready();
    assert!(bridge.get("/readyz").1.contains(r#""degraded":"no_topic""#), "{:?}", bridge.get("/readyz"));
    assert_eq!(bridge.post(&text(1)), (200, "{\"stored\":\"broker\"}".into()));
    assert_eq!(bridge.post(b"{").0, 503);
}
