use async_nats::jetstream::stream::PeerInfo;

use super::*;
use crate::brokers::Verdict::{self, Fine, Note, Wrong};

const AUTO: Replicas = Replicas::Auto;

#[test]
fn replicas_are_audited_by_cluster_size_and_configuration() {
    for (wanted, have, servers, verdict) in [
        (AUTO, 1, 1, Fine),
        (AUTO, 3, 3, Fine),
        (AUTO, 1, 3, Wrong),
        (AUTO, 1, 2, Note),
        (Replicas::Count(1), 1, 3, Note),
        (Replicas::Count(3), 1, 3, Wrong),
        (Replicas::Count(3), 3, 5, Fine),
        (Replicas::Count(1), 3, 3, Fine),
    ] {
        let stream = Stream { num_replicas: have, ..Stream::default() };
        let cluster = (servers > 1).then(|| ClusterInfo { name: Some("c".into()), ..ClusterInfo::default() });
        let found = replicas(wanted, &stream, cluster.as_ref(), servers);
        assert_eq!(found[0].verdict, verdict, "{wanted:?} {have} {servers}");
    }
}

#[test]
fn replica_that_is_behind_or_offline_is_named() {
    let peer = |name: &str, current, offline| PeerInfo { name: name.into(), current, offline, ..PeerInfo::default() };
    let peers = vec![peer("a", true, false), peer("b", false, false), peer("c", false, true)];
    let cluster = ClusterInfo { replicas: peers, ..ClusterInfo::default() };
    let stream = Stream { num_replicas: 3, ..Stream::default() };
    let found: Vec<_> = replicas(AUTO, &stream, Some(&cluster), 3).into_iter().map(|finding| finding.found).collect();
    assert_eq!(found, ["3 in a cluster of 3", "the replica on b is behind", "the replica on c is offline"]);
}

#[test]
fn only_a_stream_that_would_delete_acknowledged_messages_is_wrong() {
    let verdict = |discard, max_bytes, max_messages_per_subject, discard_new_per_subject| -> Verdict {
        let stream = Stream { discard, max_bytes, max_messages_per_subject, ..Stream::default() };
        when_full(&Stream { discard_new_per_subject, ..stream }).verdict
    };
    assert_eq!(verdict(DiscardPolicy::New, 1, -1, false), Fine);
    assert_eq!(verdict(DiscardPolicy::Old, -1, -1, false), Fine);
    assert_eq!(verdict(DiscardPolicy::Old, 1, -1, false), Wrong);
    assert_eq!(verdict(DiscardPolicy::New, -1, 1, false), Wrong);
    assert_eq!(verdict(DiscardPolicy::New, -1, 1, true), Fine);
}

#[test]
fn retention_and_duplicate_window_are_at_least_dedupe_window() {
    let seconds = Duration::from_secs;
    let found = |age, duplicates, wanted| {
        let stream = Stream { max_age: seconds(age), duplicate_window: seconds(duplicates), ..Stream::default() };
        retention(&stream, seconds(60), seconds(wanted))
    };
    let verdicts = |age, duplicates| found(age, duplicates, 60).map(|finding| finding.verdict);
    assert_eq!(verdicts(0, 60), [Fine, Fine]);
    assert_eq!(verdicts(60, 60), [Fine, Fine]);
    assert_eq!(verdicts(59, 59), [Wrong, Wrong]);
    assert_eq!(verdicts(100, 59), [Fine, Wrong]);
    let shorter = |age, wanted| {
        let [retention, _] = found(age, 60, wanted);
        (retention.verdict, retention.found)
    };
    assert_eq!(shorter(100, 100).0, Fine);
    assert_eq!(shorter(100, 101), (Note, "max_age 1m 40s, less than nats.provision.max_age = 1m 41s".into()));
    assert_eq!(shorter(100, 0), (Note, "max_age 1m 40s, less than nats.provision.max_age = for ever".into()));
    assert_eq!(shorter(0, 100).0, Fine);
    assert_eq!(shorter(59, 100).0, Wrong, "the greater harm is the finding");
}

#[test]
fn largest_body_is_what_the_smaller_limit_leaves() {
    let found = |max_message_size| {
        let stream = Stream { max_message_size, ..Stream::default() };
        largest_body(&stream, 10_000, &LongestHeaders { notification: 100, part: 300 })
    };
    assert!(found(-1).found.starts_with("9900 bytes (the server's max_payload = 10000, less 100"));
    assert!(found(5000).found.starts_with("4900 bytes (the stream's max_msg_size = 5000"));
    assert_eq!(found(300 + 4096).verdict, Fine);
    assert_eq!(found(300 + 4095).verdict, Wrong);
    assert_eq!(found(99).verdict, Wrong);
}

fn with(messages: u64, bytes: u64) -> State {
    let state = serde_json::json!({"messages": messages, "bytes": bytes, "first_seq": 1, "last_seq": messages,
        "first_ts": "2026-01-01T00:00:00Z", "last_ts": "2026-01-01T00:00:00Z", "consumer_count": 0});
    serde_json::from_value(state).unwrap()
}

#[test]
fn full_stream_is_wrong_and_an_almost_full_one_a_note() {
    let verdict = |discard, max_messages, max_bytes, (messages, bytes)| {
        let stream = Stream { discard, max_messages, max_bytes, ..Stream::default() };
        capacity(&stream, &with(messages, bytes)).map(|finding| finding.verdict)
    };
    let new = DiscardPolicy::New;
    assert_eq!(verdict(new, -1, -1, (1000, 1_000_000)), None);
    assert_eq!(verdict(new, 100, -1, (89, 0)), Some(Fine));
    assert_eq!(verdict(new, 100, -1, (90, 0)), Some(Note));
    assert_eq!(verdict(new, 100, -1, (100, 0)), Some(Wrong));
    assert_eq!(verdict(new, -1, 100_000, (1, 89_999)), Some(Fine));
    assert_eq!(verdict(new, -1, 100_000, (1, 99_400)), Some(Note));
    assert_eq!(verdict(new, -1, 100_000, (1, 99_500)), Some(Wrong), "no message is that small");
    assert_eq!(verdict(new, 1000, 4096, (999, 3600)), Some(Wrong), "the limit that refuses is the one that counts");
    assert_eq!(verdict(DiscardPolicy::Old, 100, -1, (100, 0)), None, "it deletes old messages");
}

#[test]
fn subject_transform_is_a_note() {
    let moved = SubjectTransform { source: "greenapi.>".into(), destination: "moved.>".into() };
    let found = transform(&Stream { subject_transform: Some(moved), ..Stream::default() }).unwrap();
    assert_eq!((found.verdict, found.found.as_str()), (Note, "what comes to greenapi.> is stored under moved.>"));
    assert_eq!(transform(&Stream::default()), None);
}
