//! `dead-letter` with a real Apache Kafka.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use greenapi_bridge::message::Id;
use serde_json::Value;

use crate::harness::{Bridge, Kafka, body, command, text};

fn out(answer: &Output) -> String {
    String::from_utf8(answer.stdout.clone()).unwrap()
}

fn run(words: &str, config: &Path) -> (Option<i32>, String) {
    let answer = command(&format!("dead-letter {words}"), config);
    (answer.status.code(), out(&answer))
}

fn listed(config: &Path) -> Vec<Value> {
    let answer = command("dead-letter list --json", config);
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    out(&answer).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A bridge whose payloads choose the topic, and a topic for dead letters alone.
fn open(kafka: &Kafka, prefix: &str) -> Bridge {
    kafka.create(&format!("{prefix}.dead"), 3, &[]);
    let topics = format!("topic = \"{prefix}.to.{{type}}\"\ndead_letter_topic = \"{prefix}.dead\"\n");
    Bridge::with(&format!("[kafka]\nbootstrap_servers = [\"{}\"]\n{topics}", kafka.server()), false).ready()
}

#[test]
fn a_dead_letter_without_topic_is_replayed_once_the_topic_exists() {
    let kafka = Kafka::shared();
    let bridge = open(kafka, "again");
    let bodies: Vec<_> = (0..40).map(text).collect();
    for dead in &bodies {
        assert_eq!(bridge.post(dead).1, "{\"stored\":\"dead_letter\"}");
    }
    assert_eq!(bridge.post(b"{").1, "{\"stored\":\"dead_letter\"}");
    let config = bridge.config.path();
    let all = listed(config);
    assert_eq!(all.len(), 41);
    assert!(all.iter().filter(|line| line["reason"] == "no_destination").all(|line| line["instance"] == "7"));
    let (code, told) = run("replay --reason no_destination --limit 1", config);
    assert!(code == Some(1) && told.contains("failed: again.to.incomingCall: no_topic"), "{told}");
    kafka.create("again.to.incomingCall", 2, &[]);
    let one = Id::of(&bodies[20]).to_string();
    let (code, told) = run(&format!("replay {one}"), config);
    assert_eq!((code, told.as_str()), (Some(0), "kafka: 1 replayed, 0 already replayed, 0 not replayable, 0 failed\n"));
    let (code, told) = run("replay --all", config);
    assert!(
        code == Some(1) && told.ends_with("kafka: 39 replayed, 1 already replayed, 1 not replayable, 0 failed\n"),
        "{told}"
    );
    let (code, told) = run("replay --reason no_destination", config);
    assert_eq!(
        (code, told.as_str()),
        (Some(0), "kafka: 0 replayed, 40 already replayed, 0 not replayable, 0 failed\n")
    );
    let stored = kafka.read(&["again.to.incomingCall"]);
    let mut wanted = bodies.clone();
    let first = wanted.remove(20);
    wanted.insert(0, first);
    assert_eq!(stored.iter().map(body).collect::<Vec<_>>(), wanted, "each once, in their order");
    let (code, _) = run(&format!("replay --again {one}"), config);
    assert_eq!(code, Some(0));
    let twice = kafka.read(&["again.to.incomingCall"]);
    let same = twice.iter().filter(|record| record["headers"]["ce_id"] == one.as_str()).count();
    assert_eq!((twice.len(), same), (41, 2), "with the same ce_id");
    let counts: Vec<_> = listed(config).iter().map(|line| line["replayed"].as_u64().unwrap()).collect();
    assert_eq!((counts.iter().sum::<u64>(), counts.iter().max()), (41, Some(&2)));
}

#[test]
fn a_killed_and_repeated_replay_repeats_few_with_the_same_id_and_loses_none() {
    let kafka = Kafka::shared();
    let bridge = open(kafka, "killed");
    let bodies: Vec<_> = (0..600).map(text).collect();
    for some in bodies.chunks(30) {
        let mut begun: Vec<_> = some.iter().map(|body| bridge.begin(body)).collect();
        assert!(begun.iter_mut().all(|begun| begun.answer().body.contains("dead_letter")));
    }
    kafka.create("killed.to.incomingCall", 1, &[]);
    let stored = || kafka.read(&["killed.to.incomingCall"]);
    let mut kills = 0;
    for wait in [1500, 1700, 1600] {
        let before = stored().len();
        let mut replay = Command::new(env!("CARGO_BIN_EXE_greenapi-bridge"));
        replay.args(["dead-letter", "replay", "--all", "--config"]).arg(bridge.config.path()).stdout(Stdio::null());
        let mut child = replay.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
        kills += usize::from(stored().len() > before);
    }
    let (code, told) = run("replay --all", bridge.config.path());
    assert_eq!(code, Some(0), "{told}");
    let stored = stored();
    let ids: HashSet<_> = stored.iter().map(|record| record["headers"]["ce_id"].as_str().unwrap()).collect();
    assert_eq!(
        ids,
        bodies.iter().map(|body| Id::of(body).to_string()).collect::<Vec<_>>().iter().map(String::as_str).collect()
    );
    assert!(kills > 0, "none was killed midway");
    // each instance has one in flight at a time
    assert!(stored.len() <= bodies.len() + kills, "{} of {}", stored.len(), bodies.len());
}

#[test]
fn parts_are_joined_and_a_body_still_too_large_stays() {
    let kafka = Kafka::shared();
    let bridge = Bridge::with(&kafka.config("cut"), true).ready();
    let mut large = text(1);
    large.resize(1_500_000, b' ');
    // without a key its parts lie in several partitions
    let broken: Vec<u8> = large.iter().copied().skip(1).collect();
    for dead in [&large, &broken] {
        assert_eq!(bridge.post(dead).1, "{\"stored\":\"dead_letter\"}");
    }
    let config = bridge.config.path();
    for dead in [&large, &broken] {
        let answer = command(&format!("dead-letter show {}", Id::of(dead)), config);
        assert_eq!(answer.stdout.len(), dead.len(), "{}", String::from_utf8_lossy(&answer.stderr));
        assert!(answer.stdout == *dead);
    }
    assert!(listed(config).iter().all(|line| line["parts"] == 3 && line["missing"] == serde_json::json!([])));
    let before = kafka.read(&["cut.dead"]).len();
    let (code, told) = run("replay --all", config);
    assert_eq!(code, Some(1));
    assert!(told.contains(&format!("{}  not replayable: kafka refuses it: too_large", Id::of(&large))), "{told}");
    assert_eq!(kafka.read(&["cut.dead"]).len(), before, "not stored there again");
}

#[test]
fn a_cluster_that_is_down_or_lacks_the_topic_is_reported_in_time_with_the_remedy() {
    let kafka = Kafka::shared();
    let nobody = crate::harness::free_port();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("kafka.bootstrap_servers = [\"127.0.0.1:{nobody}\"]\n")).unwrap();
    let begun = Instant::now();
    let answer = command("dead-letter list", file.path());
    let said = String::from_utf8(answer.stderr).unwrap();
    assert!(answer.status.code() == Some(1) && said.contains("nothing listens there"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    std::fs::write(file.path(), kafka.config("nowhere")).unwrap();
    let answer = command("dead-letter replay --all", file.path());
    let said = String::from_utf8(answer.stderr).unwrap();
    assert!(said.contains("there is no topic nowhere.dead; run `greenapi-bridge provision`"), "{said}");
    assert_eq!(answer.status.code(), Some(1));
}
