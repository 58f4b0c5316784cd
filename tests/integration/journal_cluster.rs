//! A journal in front of a cluster of three: whichever server dies, no answer is 503, nothing is lost, and the order of
//! each instance is preserved.

use std::time::Duration;

use crate::harness::{Answered, Bridge, Cluster, KafkaCluster, assert_complete_and_in_order, eventually, under_load};

fn pause(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

fn journal(folder: &tempfile::TempDir) -> String {
    format!("journal.directory = {:?}\n", folder.path().join("data"))
}

fn owes_nothing(bridge: &Bridge, broker: &str) {
    let metric = format!("journal_records{{broker=\"{broker}\"}}");
    eventually("nothing is owed", Duration::from_secs(60), || bridge.metric(&metric) == 0.0);
}

fn all_stored(answers: &[Answered]) {
    let refused = answers.iter().filter(|answer| answer.status != 200).count();
    assert_eq!(refused, 0, "of {}, the slowest after {:?}", answers.len(), answers.iter().map(|one| one.took).max());
}

#[test]
fn with_three_replicas_nats_may_lose_one_or_two_servers() {
    let (folder, mut cluster) = (tempfile::tempdir().unwrap(), Cluster::start());
    let bridge = cluster.bridge(&journal(&folder));
    let leader = cluster.leader();
    let other = (leader + 1) % 3;
    let mut kept = 0.0;
    let answers = under_load(&bridge, || {
        pause(1);
        cluster.nodes[leader].kill();
        pause(6);
        cluster.nodes[leader].start_again();
        owes_nothing(&bridge, "nats");
        cluster.nodes[leader].kill();
        cluster.nodes[other].kill();
        pause(5);
        kept = bridge.metric("journal_records{broker=\"nats\"}");
        cluster.nodes[leader].start_again();
        cluster.nodes[other].start_again();
        owes_nothing(&bridge, "nats");
        pause(1);
    });
    assert!(kept > 100.0, "only {kept} were kept without a quorum");
    all_stored(&answers);
    owes_nothing(&bridge, "nats");
    assert_complete_and_in_order(&answers, &cluster.nodes[other].read(), false);
}

#[test]
fn with_three_replicas_kafka_may_lose_one_or_two_brokers() {
    let (folder, mut cluster) = (tempfile::tempdir().unwrap(), KafkaCluster::shared());
    let bridge = Bridge::with(&format!("{}{}", journal(&folder), cluster.config("kept")), true).ready();
    cluster.complete();
    let victim = (cluster.controller() + 1) % 3;
    let mut kept = 0.0;
    let answers = under_load(&bridge, || {
        pause(1);
        cluster.nodes[victim].kill();
        pause(11);
        cluster.nodes[victim].start_again();
        cluster.complete();
        owes_nothing(&bridge, "kafka");
        cluster.nodes[0].kill();
        cluster.nodes[1].kill();
        pause(6);
        kept = bridge.metric("journal_records{broker=\"kafka\"}");
        let [first, second, _] = &mut cluster.nodes[..] else { panic!("three") };
        std::thread::scope(|scope| {
            scope.spawn(|| first.start_again());
            second.start_again();
        });
        cluster.complete();
        owes_nothing(&bridge, "kafka");
        pause(1);
    });
    assert!(kept > 100.0, "only {kept} were kept without a quorum");
    all_stored(&answers);
    owes_nothing(&bridge, "kafka");
    assert_complete_and_in_order(&answers, &cluster.nodes[2].read(&["kept.incoming"]), true);
}
