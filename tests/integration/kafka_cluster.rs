//! A cluster of three Kafka brokers: what one broker's death costs, and what two brokers' deaths must not cost.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{
    Answered, Bridge, KafkaCluster, assert_complete_and_in_order, command, eventually, text, under_load,
};

fn pause(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

fn refused(answers: &[Answered]) -> usize {
    answers.iter().filter(|answer| answer.status == 503).count()
}

fn slowest(answers: &[Answered]) -> Duration {
    answers.iter().map(|answer| answer.took).max().unwrap()
}

/// A configuration, with which nothing runs.
fn written(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn said(words: &str, config: &tempfile::NamedTempFile) -> (Option<i32>, String) {
    let answer = command(words, config.path());
    (answer.status.code(), String::from_utf8(answer.stdout).unwrap())
}

#[test]
fn auto_provisions_three_replicas_with_two_in_sync_and_check_says_so() {
    let cluster = KafkaCluster::shared();
    let config = written(&cluster.config("auto"));
    let (_, text) = said("provision", &config);
    assert!(text.contains("+ 3 replica(s), chosen by replicas = \"auto\": the cluster has 3 broker(s)"), "{text}");
    assert!(text.contains("+ min.insync.replicas 2"), "{text}");
    cluster.complete();
    let (code, text) = said("check", &config);
    assert_eq!(code, Some(0), "{text}");
    for line in ["✓ replicas      3 in a cluster of 3", "✓ in sync       min.insync.replicas 2 of 3"] {
        assert!(text.lines().any(|said| said == line), "{text}");
    }
    let json: Value = serde_json::from_str(&said("check --json", &config).1).unwrap();
    let about: Vec<_> = json["brokers"]["kafka"].as_array().unwrap().iter().map(|line| &line["about"]).collect();
    assert_eq!(about, ["cluster", "topics", "rights", "replicas", "in sync", "retention", "largest body"]);
    assert_eq!(json["fine"], true);
}

#[test]
fn one_replica_in_a_cluster_is_wrong_unless_configured() {
    let cluster = KafkaCluster::shared();
    let auto = written(&cluster.config("one"));
    let one = written(&format!("{}provision = {{ replicas = 1, min_insync_replicas = 1 }}\n", cluster.config("one")));
    let two = written(&format!("{}provision.replicas = 2\n", cluster.config("two")));
    assert!(said("provision", &one).1.contains("+ 1 replica(s)\n"), "{:?}", said("provision", &one));
    let (code, text) = said("check", &auto);
    assert_eq!(code, Some(1), "{text}");
    let wrong =
        "✗ replicas      one.incoming, one.outgoing, one.state, one.device, one.other, one.dead: 1 in a cluster of 3:";
    assert!(text.contains(wrong) && text.contains("→ give it 3 with `kafka-reassign-partitions.sh`"), "{text}");
    let (code, text) = said("check", &one);
    assert!(code == Some(0) && text.contains("! replicas      1 in a cluster of 3, as kafka.provision"), "{text}");
    assert!(said("provision", &auto).1.contains("= keeps replicas 1, not 3"), "{:?}", said("provision", &auto));
    assert!(said("provision", &two).1.contains("+ 2 replica(s)\n"), "{:?}", said("provision", &two));
    assert_eq!(cluster.copies("two.incoming"), [2; 6]);
}

/// A bridge whose topics are led by all three, ready.
fn bridge(cluster: &KafkaCluster, prefix: &str, extra: &str) -> Bridge {
    let bridge = Bridge::with(&format!("{extra}{}", cluster.config(prefix)), true).ready();
    cluster.complete();
    bridge
}

/// A dead broker is missed for `broker.session.timeout.ms`, 9 s; then others lead. What is on its way meanwhile waits,
/// inside the 12 s of `publish.timeout`.
#[test]
fn killing_a_leader_under_load_causes_a_pause_and_no_503() {
    let mut cluster = KafkaCluster::shared();
    let bridge = bridge(&cluster, "leader", "");
    let victim = (cluster.controller() + 1) % 3;
    let mut killed = Instant::now();
    let answers = under_load(&bridge, || {
        pause(1);
        cluster.nodes[victim].kill();
        killed = Instant::now();
        pause(11);
        cluster.nodes[victim].start_again();
        cluster.complete();
        pause(1);
    });
    assert_complete_and_in_order(&answers, &cluster.nodes[victim].read(&["leader.incoming"]), true);
    assert!(slowest(&answers) > Duration::from_secs(4), "it led nothing that was sent: {:?}", slowest(&answers));
    assert_eq!(refused(&answers), 0, "the slowest after {:?}", slowest(&answers));
    let after = answers.iter().filter(|answer| answer.asked > killed && answer.status == 200).count();
    assert!(after > 100, "only {after} after the kill");
}

/// The controllers first choose among themselves, 1 to 3 s, and the chosen one gives every broker a new session: 9 s
/// more: 11 to 15 s. What is longer than the 12 s of `publish.timeout` is a 503, for the one notification that each instance has on its way.
#[test]
fn killing_the_active_controller_costs_each_instance_at_most_one_503() {
    let mut cluster = KafkaCluster::shared();
    let bridge = bridge(&cluster, "controller", "");
    let victim = cluster.controller();
    let answers = under_load(&bridge, || {
        pause(1);
        cluster.nodes[victim].kill();
        pause(16);
    });
    assert_complete_and_in_order(&answers, &cluster.nodes[(victim + 1) % 3].read(&["controller.incoming"]), true);
    assert!(slowest(&answers) > Duration::from_secs(4), "it led nothing that was sent: {:?}", slowest(&answers));
    let mut seen = HashSet::new();
    let refused = answers.iter().filter(|answer| answer.status == 503);
    assert!(refused.map(|answer| answer.instance).all(|instance| seen.insert(instance)), "one of them twice");
    let instances = |status: u16| {
        let last = |instance| answers.iter().rfind(|answer| answer.instance == instance).unwrap().status;
        (1..=8).filter(|instance| last(*instance) == status).count()
    };
    assert_eq!(instances(200), 8, "all go on");
}

const TIMEOUT: Duration = Duration::from_secs(3);

#[test]
fn without_two_of_three_brokers_nothing_is_200_and_with_them_storing_resumes() {
    let mut cluster = KafkaCluster::shared();
    let bridge = bridge(&cluster, "quorum", &format!("publish.timeout = \"{}s\"\n", TIMEOUT.as_secs()));
    let (mut alone, mut together) = (Instant::now(), Instant::now());
    let answers = under_load(&bridge, || {
        pause(1);
        cluster.nodes[0].kill();
        cluster.nodes[1].kill();
        alone = Instant::now();
        pause(7);
        together = Instant::now();
        let [first, second, _] = &mut cluster.nodes[..] else { panic!("three") };
        std::thread::scope(|scope| {
            scope.spawn(|| first.start_again());
            second.start_again();
        });
        eventually("it stores again", Duration::from_secs(30), || bridge.post(&text(1)).0 == 200);
        pause(1);
    });
    let between = |answer: &&Answered| answer.asked > alone && answer.asked + answer.took < together;
    let statuses: Vec<_> = answers.iter().filter(between).map(|answer| answer.status).collect();
    assert!(!statuses.is_empty() && statuses.iter().all(|status| *status == 503), "{statuses:?}");
    assert!(slowest(&answers) < 2 * TIMEOUT, "{:?}", slowest(&answers));
    cluster.complete();
    assert_complete_and_in_order(&answers, &cluster.nodes[0].read(&["quorum.incoming"]), true);
}

/// With one copy nobody else can lead; with two, both of which must have a record, one is too few.
#[test]
fn partitions_without_leader_or_replicas_are_reported_while_the_rest_is_stored() {
    let mut cluster = KafkaCluster::shared();
    let with = |prefix: &str, provision| {
        let bridge = Bridge::with(&format!("{}provision = {provision}\n", cluster.config(prefix)), true).ready();
        cluster.complete();
        bridge
    };
    let (one, two) = (with("single", "{ replicas = 1, min_insync_replicas = 1 }"), with("pair", "{ replicas = 2 }"));
    let victim = (cluster.controller() + 1) % 3;
    cluster.nodes[victim].kill();
    for (bridge, reason) in [(&one, "no_leader"), (&two, "too_few_replicas")] {
        let degraded = format!("\"degraded\":\"{reason}\"");
        eventually(&degraded, Duration::from_secs(45), || bridge.get("/readyz").1.contains(&degraded));
        assert_eq!(bridge.get("/readyz").0, 200, "{reason}");
    }
    cluster.nodes[victim].start_again();
    cluster.complete();
    for bridge in [one, two] {
        eventually("nothing is degraded", Duration::from_secs(20), || !bridge.get("/readyz").1.contains("degraded"));
        assert_eq!(bridge.post(&text(1)).0, 200);
    }
}
