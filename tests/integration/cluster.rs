//! A cluster of three: what one server's death costs, and what two servers' deaths must not cost.

use std::time::{Duration, Instant};

use crate::harness::{
    Answered, Bridge, Certificates, Cluster, Nats, assert_complete_and_in_order, command, eventually, stream,
    under_load,
};

const BODY: &[u8] = br#"{"typeWebhook":"incomingCall","instanceData":{"idInstance":99}}"#;

fn pause(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

fn refused(answers: &[Answered]) -> usize {
    answers.iter().filter(|answer| answer.status == 503).count()
}

#[test]
fn auto_provisions_three_replicas_and_check_says_so() {
    let cluster = Cluster::start();
    let bridge = cluster.bridge("");
    let said = |words: &str| String::from_utf8(command(words, bridge.config.path()).stdout).unwrap();
    eventually("all copies are there", Duration::from_secs(10), || {
        said("check").contains("✓ replicas      3 in a cluster of 3")
    });
    assert!(command("check", bridge.config.path()).status.success(), "{}", said("check"));
}

#[test]
fn one_replica_in_a_cluster_is_wrong_and_replicas_are_never_reduced() {
    let cluster = Cluster::start();
    let [auto, one, three] =
        ["", "nats.provision.replicas = 1\n", "nats.provision.replicas = 3\n"].map(|extra| cluster.config(extra));
    let said = |words: &str, config: &tempfile::NamedTempFile| {
        let answer = command(words, config.path());
        (answer.status.code(), String::from_utf8(answer.stdout).unwrap())
    };
    assert!(said("provision", &one).1.contains("+ replicas: 1"), "{:?}", said("provision", &one));
    let (code, text) = said("check", &auto);
    assert!(code == Some(1) && text.contains("→ set nats.provision.replicas = 3 and run"), "{text}");
    let (code, text) = said("check", &one);
    assert!(code == Some(0) && text.contains("! replicas      1 in a cluster of 3, as"), "{text}");
    let (_, text) = said("provision", &three);
    assert!(text.contains("+ replicas: 3 instead of 1"), "{text}");
    eventually("all copies are there", Duration::from_secs(20), || said("check", &three).0 == Some(0));
    let (_, text) = said("provision", &one);
    assert_eq!(
        text,
        "stream GREENAPI is unchanged\n  = keeps replicas: 3; nats.provision.replicas = 1 would be fewer\n"
    );
}

#[test]
fn a_cluster_that_does_not_advertise_its_servers_is_not_mistaken_for_one_server() {
    let cluster = Cluster::start_with("--no_advertise");
    let [auto, one, three] =
        ["", "nats.provision.replicas = 1\n", "nats.provision.replicas = 3\n"].map(|extra| cluster.config(extra));
    let said = |words: &str, config: &tempfile::NamedTempFile| {
        let answer = command(words, config.path());
        (answer.status.code(), String::from_utf8(answer.stdout).unwrap())
    };
    let (_, text) = said("provision --dry-run", &auto);
    assert!(
        text.contains("+ replicas: 1, chosen by replicas = \"auto\"; the cluster announces fewer than 3 servers\n"),
        "{text}"
    );
    let doubt = "\n  ? replicas: 3 are refused if there are fewer servers; the cluster announces 1\n";
    let (code, text) = said("provision --dry-run", &three);
    assert!(code == Some(0) && text.contains(doubt), "{text}");
    assert!(!said("provision --dry-run", &one).1.contains("\n  ? "));
    assert_eq!(said("provision", &one).0, Some(0));
    let (code, text) = said("provision --dry-run", &three);
    assert!(code == Some(0) && text.contains(doubt), "{text}");
    let (code, text) = said("check", &auto);
    let note =
        "! replicas      1 in a cluster that announces 1 of its servers: a lost disk is a lost stream  → if it has 3";
    assert!(code == Some(0) && text.contains(note), "{text}");
    cluster.nodes[0].replace_stream(stream::Config { num_replicas: 3, ..Nats::safe_stream() });
    eventually("all copies are there", Duration::from_secs(20), || {
        said("check", &auto).1.contains("✓ replicas      3 in a cluster of 3")
    });
}

/// An election takes 4 to 9 s. What is on its way meanwhile waits, inside the 12 s of `publish.timeout`.
fn kill_the_leader(mut cluster: Cluster, bridge: &Bridge, after: u64) {
    let leader = cluster.leader();
    let mut killed = Instant::now();
    let answers = under_load(bridge, || {
        pause(after);
        cluster.nodes[leader].kill();
        killed = Instant::now();
        eventually("another server leads", Duration::from_secs(30), || bridge.post(BODY).0 == 200);
        pause(2);
    });
    let after = answers.iter().filter(|answer| answer.asked > killed && answer.status == 200).count();
    let slowest = answers.iter().map(|answer| answer.took).max().unwrap();
    assert_complete_and_in_order(&answers, &cluster.nodes[(leader + 1) % 3].read(), false);
    assert!(after > 100, "only {after} after the kill");
    assert_eq!(refused(&answers), 0, "the slowest after {slowest:?}");
}

#[test]
fn killing_the_leader_under_load_causes_a_pause_and_no_503() {
    let cluster = Cluster::start();
    let bridge = cluster.bridge("");
    kill_the_leader(cluster, &bridge, 1);
}

#[test]
fn acks_of_a_dead_leader_on_another_server_are_not_waited_for() {
    let cluster = Cluster::start();
    drop(cluster.bridge(""));
    let follower = (cluster.leader() + 1) % 3;
    let bridge = cluster.bridge_at(&[follower], "");
    // just before the bridge looks at the stream again
    kill_the_leader(cluster, &bridge, 9);
    assert!(!bridge.log().contains("not_inspected"), "an election is no reason to be down");
}

/// Not ready after the servers are gone that are this far from the leader, and ready when they are back.
fn lose_the_quorum(dead: [usize; 2]) {
    let mut cluster = Cluster::start();
    drop(cluster.bridge(""));
    let node = |from_leader: usize| (cluster.leader() + from_leader) % 3;
    let (alive, dead) = (node(3 - dead[0] - dead[1]), dead.map(node));
    // connected to the one that lives, so that no connection is lost
    let bridge = cluster.bridge_at(&[alive], "publish.timeout = \"3s\"\n");
    dead.into_iter().for_each(|node| cluster.nodes[node].kill());
    eventually("not ready", Duration::from_secs(40), || bridge.get("/readyz").0 == 503);
    assert!(bridge.get("/readyz").1.contains("not_inspected"), "{:?}", bridge.get("/readyz"));
    assert_eq!(bridge.post(BODY).0, 503);
    let said = String::from_utf8(command("check", bridge.config.path()).stdout).unwrap();
    assert!(said.contains("✗ stream        GREENAPI has no quorum"), "{said}");
    dead.into_iter().for_each(|node| cluster.nodes[node].start_again());
    eventually("ready", Duration::from_secs(40), || bridge.get("/readyz").0 == 200);
    assert_eq!(bridge.post(BODY), (200, "{\"stored\":\"broker\"}".into()));
    assert!(!bridge.log().contains("disconnected"), "{}", bridge.log());
}

#[test]
fn with_only_the_leader_alive_the_bridge_is_not_ready_until_the_quorum_returns() {
    lose_the_quorum([1, 2]);
}

#[test]
fn with_only_a_follower_alive_the_bridge_is_not_ready_until_the_quorum_returns() {
    lose_the_quorum([0, 1]);
}

#[test]
fn without_a_quorum_nothing_is_200_and_with_one_storing_resumes() {
    let mut cluster = Cluster::start();
    let bridge = cluster.bridge("publish.timeout = \"3s\"\n");
    let (mut alone, mut together) = (Instant::now(), Instant::now());
    let answers = under_load(&bridge, || {
        pause(1);
        cluster.nodes[0].kill();
        cluster.nodes[1].kill();
        alone = Instant::now();
        pause(7);
        together = Instant::now();
        cluster.nodes[0].start_again();
        cluster.nodes[1].start_again();
        eventually("it stores again", Duration::from_secs(30), || bridge.post(BODY).0 == 200);
        pause(1);
    });
    let between = |answer: &&Answered| answer.asked > alone && answer.asked + answer.took < together;
    let statuses: Vec<_> = answers.iter().filter(between).map(|answer| answer.status).collect();
    assert!(!statuses.is_empty() && statuses.iter().all(|status| *status == 503), "{statuses:?}");
    assert_complete_and_in_order(&answers, &cluster.nodes[0].read(), false);
}

#[test]
fn check_names_a_server_of_the_cluster_that_a_certificate_by_name_keeps_out() {
    let certificates = Certificates::valid_for(&["localhost"]);
    let at = |name: &str| certificates.at(name);
    let cluster = Cluster::start_with(&format!("--tls --tlscert {} --tlskey {}", at("server"), at("server.key")));
    let checked = |names: &[usize]| {
        let servers: Vec<_> =
            names.iter().map(|node| format!("tls://localhost:{}", cluster.nodes[*node].port)).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        let config = format!("nats.servers = {servers:?}\nnats.tls.ca_file = \"{}\"\n", at("ca"));
        std::fs::write(file.path(), config).unwrap();
        String::from_utf8(command("check", file.path()).stdout).unwrap()
    };
    let one = checked(&[0]);
    let port = cluster.nodes[1].port.to_string();
    let line = one.lines().find(|line| line.contains("announces") && line.contains(&port)).unwrap_or_default();
    assert!(line.contains("certificate"), "{one}");
    assert!(one.contains("nats.servers by the name in its certificate"), "{one}");
    let all = checked(&[0, 1, 2]);
    assert!(!all.contains("announces"), "{all}");
}
