//! Audits one existing topic: whether its settings lose or refuse records.

use std::time::Duration;

use super::{MAX_AGE_SETTINGS, Topic};
use crate::brokers::kafka::{ProvisionConfig, topic_settings};
use crate::brokers::{Finding, Replicas, Verdict};
use crate::units::show;

/// The tool that changes a topic's settings.
const ALTER: &str = "with `kafka-configs.sh --alter`";

/// What a topic must satisfy.
pub(super) struct Requirements<'r> {
    pub(super) provision: &'r ProvisionConfig,
    /// How many brokers the cluster has.
    pub(super) brokers: usize,
    /// `dedupe.window`.
    pub(super) dedup_window: Duration,
    /// Whether the bridge logs in with `kafka.token_file`: then a topic's settings cannot be read.
    pub(super) token_login: bool,
}

/// One line for each thing audited, and one more for each that is wrong.
pub(super) fn audit_topic(topic: &Topic, required: &Requirements<'_>) -> Vec<Finding> {
    let mut found = vec![replicas(topic.replicas, required)];
    if topic.config.is_none() {
        let (what, remedy) = if required.token_login {
            ("cannot be read with kafka.token_file", "run `kafka-configs.sh --describe` to see")
        } else {
            ("not allowed to read them", "allow its user DescribeConfigs on it to see")
        };
        let remedy = format!("{remedy} min.insync.replicas, retention and the largest body");
        found.push(Finding::note("settings", what, remedy));
        return found;
    }
    let setting = |key: &str| topic.setting(key).unwrap_or_default();
    let number = |key: &str| setting(key).parse::<i64>().unwrap_or(-1);
    let min_in_sync = usize::try_from(number("min.insync.replicas")).unwrap_or(1);
    found.extend(in_sync(topic, min_in_sync, required.provision));
    if setting("unclean.leader.election.enable") == "true" {
        let what = "a replica that lacks records may become the leader";
        found.push(Finding::wrong("in sync", what, format!("set unclean.leader.election.enable=false {ALTER}")));
    }
    found.push(retention(number("retention.ms"), required));
    found.extend(timestamp_limit(topic, number("retention.ms")));
    if number("retention.bytes") >= 0 {
        let bytes = setting("retention.bytes");
        let what = format!("retention.bytes {bytes}: beyond it Kafka deletes the oldest records, read or not");
        found.push(Finding::wrong("retention", what, format!("set retention.bytes=-1 {ALTER}")));
    }
    if topic.config.as_ref().is_some_and(topic_settings::is_compacted) {
        let what = format!("cleanup.policy {} keeps only the last of each key", setting("cleanup.policy"));
        found.push(Finding::wrong("retention", what, topic_settings::COMPACTED_REMEDY));
    }
    found
}

fn replicas(have: usize, required: &Requirements<'_>) -> Finding {
    let brokers = required.brokers;
    let most = if brokers >= 3 { 3 } else { 1 };
    let raise = |to: usize| {
        format!(
            "give it {to} with `kafka-reassign-partitions.sh`; or delete it, set kafka.provision.replicas = {to} and run `greenapi-bridge provision`"
        )
    };
    match required.provision.replicas {
        // the operator's choice is not a fault, but worth a note
        Replicas::Count(count) if have >= count && have < most => {
            let what = format!(
                "{have} in a cluster of {brokers}, as kafka.provision.replicas says: a lost disk is lost records"
            );
            Finding::note("replicas", what, raise(most))
        }
        Replicas::Count(count) if have < count => {
            Finding::wrong("replicas", format!("{have}, and kafka.provision.replicas = {count}"), raise(count))
        }
        Replicas::Auto if have < most => {
            let what = format!(
                "{have} in a cluster of {brokers}: while its broker is down nothing is stored, and a lost disk is lost records"
            );
            Finding::wrong("replicas", what, raise(most))
        }
        _ if have == 1 => {
            Finding::fine("replicas", "1, with fewer than 3 brokers there is no more: a lost disk is lost records")
        }
        _ => Finding::fine("replicas", format!("{have} in a cluster of {brokers}")),
    }
}

/// How many replicas must have a record, and how many are in sync.
fn in_sync(topic: &Topic, min_in_sync: usize, wanted: &ProvisionConfig) -> Vec<Finding> {
    let have = topic.replicas;
    let what = format!("min.insync.replicas {min_in_sync} of {have}");
    let set = format!("set min.insync.replicas=2 {ALTER}");
    let mut found = vec![if min_in_sync > have {
        let what = format!("{what}: Kafka 4.3 and later ask for {have}, earlier ones store nothing");
        Finding::note("in sync", what, "use 3 replicas and min.insync.replicas=2")
    } else if have > 1 && min_in_sync == have {
        Finding::wrong(
            "in sync",
            format!("{what}: it stops with the first broker that is down"),
            "use 3 replicas and min.insync.replicas=2",
        )
    } else if have > 1 && min_in_sync < 2 && wanted.min_insync_replicas < 2 {
        let what = format!("{what}, as kafka.provision.min_insync_replicas says: one broker alone acknowledges");
        Finding::note("in sync", what, set)
    } else if have > 1 && min_in_sync < 2 {
        Finding::wrong("in sync", format!("{what}: a record that one broker alone has is acknowledged"), set)
    } else {
        Finding::fine("in sync", what)
    }];
    if topic.leaderless > 0 {
        let what = format!(
            "{} of {} partitions have no leader: no record for them is stored",
            topic.leaderless, topic.partitions
        );
        found.push(Finding::wrong("in sync", what, "start the brokers that are down"));
    } else if topic.in_sync < min_in_sync.min(have) {
        let what = format!(
            "only {} of {have} replicas are in sync, fewer than min.insync.replicas: nothing is stored",
            topic.in_sync
        );
        found.push(Finding::wrong("in sync", what, "start the brokers that are down"));
    } else if topic.in_sync < have {
        let what = format!("{} of {have} replicas are in sync", topic.in_sync);
        found.push(Finding::note("in sync", what, "wait, or start the brokers that are down"));
    }
    found
}

fn retention(milliseconds: i64, required: &Requirements<'_>) -> Finding {
    let window = required.dedup_window;
    let wanted = required.provision.retention;
    match u64::try_from(milliseconds).map(Duration::from_millis) {
        Err(_) => Finding::fine("retention", "retained without limit"),
        Ok(retained) if retained < window => {
            let what = format!("retained for {}, less than dedupe.window = {}", show(retained), show(window));
            Finding::wrong("retention", what, format!("raise retention.ms {ALTER}"))
        }
        Ok(retained) if retained < wanted => {
            let what =
                format!("retained for {}, less than kafka.provision.retention = {}", show(retained), show(wanted));
            let set = format!("set retention.ms={} {ALTER}", wanted.as_millis());
            Finding::note(
                "retention",
                what,
                format!("{set}, or set kafka.provision.retention = \"{}\"", show(retained)),
            )
        }
        Ok(retained) => Finding::fine("retention", format!("retained for {}", show(retained))),
    }
}

/// Notes a topic that would store a record with a timestamp older than its retention, and delete the record at once: a
/// slow clock here would lose notifications that way.
fn timestamp_limit(topic: &Topic, retention_ms: i64) -> Option<Finding> {
    let limits = MAX_AGE_SETTINGS.into_iter().filter_map(|name| topic.setting(name)?.parse::<i64>().ok());
    if retention_ms < 0 || !topic.uses_create_time() || limits.min().is_some_and(|max_age| max_age < retention_ms) {
        return None;
    }
    let what = "were a clock here so slow that records seem older than that, they would be stored and deleted at once";
    let remedy = format!("set {}={} {ALTER}, so that those are refused", MAX_AGE_SETTINGS[0], retention_ms / 2);
    Some(Finding::note("retention", what, remedy))
}

/// Merges the findings of several topics: one line for what all have in common; any other line names its topics.
pub(super) fn merge(all: &[(&str, Vec<Finding>)]) -> Vec<Finding> {
    let mut lines: Vec<(Finding, Vec<&str>)> = Vec::new();
    for (topic, found) in all {
        for finding in found {
            match lines.iter_mut().find(|(line, _)| line == finding) {
                Some((_, topics)) => topics.push(topic),
                None => lines.push((finding.clone(), vec![topic])),
            }
        }
    }
    let order = ["replicas", "settings", "in sync", "retention"];
    lines.sort_by_key(|(line, _)| order.iter().position(|about| *about == line.about));
    let name = |(line, topics): (Finding, Vec<&str>)| {
        let partly = topics.len() < all.len() || line.verdict == Verdict::Wrong;
        let found = if partly { format!("{}: {}", topics.join(", "), line.found) } else { line.found };
        Finding { found, ..line }
    };
    lines.into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_IN_SYNC: (&str, &str) = ("min.insync.replicas", "2");

    fn topic(replicas: usize, in_sync: usize, settings: &[(&str, &str)]) -> Topic {
        let dates = [("message.timestamp.type", "CreateTime"), (MAX_AGE_SETTINGS[0], "302400000")];
        let config = [TWO_IN_SYNC, ("retention.ms", "604800000"), ("cleanup.policy", "delete"), dates[0], dates[1]];
        let config = config.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Topic { partitions: 6, leaderless: 0, replicas, in_sync, config: Some(config.collect()) }
    }

    fn audited(topic: &Topic, brokers: usize, wanted: &str) -> Vec<(Verdict, &'static str, String)> {
        let provision = &toml::from_str(wanted).unwrap();
        let dedup_window = Duration::from_secs(900);
        let required = Requirements { provision, brokers, dedup_window, token_login: false };
        let found = audit_topic(topic, &required);
        found.into_iter().map(|finding| (finding.verdict, finding.about, finding.found)).collect()
    }

    #[test]
    fn a_safe_topic_has_one_line_per_audited_thing() {
        let line = |about, found: &str| (Verdict::Fine, about, found.to_owned());
        assert_eq!(
            audited(&topic(3, 3, &[]), 3, ""),
            [
                line("replicas", "3 in a cluster of 3"),
                line("in sync", "min.insync.replicas 2 of 3"),
                line("retention", "retained for 7days")
            ]
        );
        let alone = audited(&topic(1, 1, &[("min.insync.replicas", "1"), ("retention.ms", "-1")]), 1, "");
        assert!(alone.iter().all(|line| line.0 == Verdict::Fine), "all a single broker can do: {alone:?}");
        assert_eq!(alone[2], line("retention", "retained without limit"));
    }

    #[test]
    fn each_dangerous_setting_has_a_line() {
        let one = ("min.insync.replicas", "1");
        let (no, note) = (Verdict::Wrong, Verdict::Note);
        for (replicas, in_sync, setting, wanted, verdict, about, says) in [
            (3, 3, ("cleanup.policy", "compact"), "", no, "retention", "cleanup.policy compact"),
            (3, 3, ("unclean.leader.election.enable", "true"), "", no, "in sync", "lacks records"),
            (3, 3, one, "", no, "in sync", "one broker alone has"),
            (3, 3, one, "min_insync_replicas = 1", note, "in sync", "as kafka.provision.min_insync_replicas says"),
            (1, 1, one, "", no, "replicas", "1 in a cluster of 3: while"),
            (1, 1, one, "replicas = 1", note, "replicas", "as kafka.provision.replicas says"),
            (1, 1, TWO_IN_SYNC, "replicas = 1", note, "in sync", "2 of 1: Kafka 4.3 and later ask for 1"),
            (2, 2, one, "replicas = 3\nmin_insync_replicas = 1", no, "replicas", "2, and kafka.provision.replicas = 3"),
            (2, 2, TWO_IN_SYNC, "replicas = 2", no, "in sync", "stops with the first"),
            (3, 3, ("retention.ms", "1000"), "", no, "retention", "retained for 1s, less than dedupe.window = 15m"),
            (
                3,
                3,
                ("retention.ms", "3600000"),
                "",
                note,
                "retention",
                "retained for 1h, less than kafka.provision.retention = 7d",
            ),
            (3, 3, ("retention.bytes", "5"), "", no, "retention", "retention.bytes 5"),
            (3, 3, (MAX_AGE_SETTINGS[0], "9223372036854775807"), "", note, "retention", "stored and deleted at once"),
            (3, 3, (MAX_AGE_SETTINGS[0], "604800000"), "", note, "retention", "stored and deleted at once"),
            (3, 2, TWO_IN_SYNC, "", note, "in sync", "2 of 3 replicas"),
            (3, 1, TWO_IN_SYNC, "", no, "in sync", "only 1 of 3 replicas"),
        ] {
            let found = audited(&topic(replicas, in_sync, &[setting]), 3, wanted);
            let is = |line: &&(Verdict, &str, String)| line.0 == verdict && line.1 == about && line.2.contains(says);
            assert_eq!(found.iter().filter(is).count(), 1, "{says}: {found:?}");
        }
        let unlimited = (MAX_AGE_SETTINGS[0], "9223372036854775807");
        for safe in [("message.timestamp.type", "LogAppendTime"), (MAX_AGE_SETTINGS[1], "1000"), ("retention.ms", "-1")]
        {
            assert_eq!(audited(&topic(3, 3, &[unlimited, safe]), 3, "").len(), 3, "{safe:?}");
        }
        let leaderless = Topic { leaderless: 2, ..topic(3, 0, &[]) };
        assert_eq!(audited(&leaderless, 3, "")[2].2, "2 of 6 partitions have no leader: no record for them is stored");
        let hidden = audited(&Topic { config: None, ..topic(3, 3, &[]) }, 3, "");
        assert_eq!((hidden[1].0, hidden[1].1, hidden.len()), (Verdict::Note, "settings", 2));
    }

    #[test]
    fn findings_common_to_all_topics_merge_and_wrong_ones_name_their_topics() {
        let (good, bad) = (
            Finding::fine("retention", "retained for 7days"),
            Finding::wrong("retention", "retained for 1s", "raise it"),
        );
        let lines = |all: &[(&str, Vec<Finding>)]| -> Vec<String> {
            merge(all).into_iter().map(|line| format!("{} {}", line.verdict.mark(), line.found)).collect()
        };
        assert_eq!(lines(&[("a", vec![good.clone()]), ("b", vec![good.clone()])]), ["✓ retained for 7days"]);
        let mixed = [("a", vec![good.clone()]), ("b", vec![bad.clone()]), ("c", vec![good])];
        assert_eq!(lines(&mixed), ["✓ a, c: retained for 7days", "✗ b: retained for 1s"]);
        assert_eq!(lines(&[("a", vec![bad])]), ["✗ a: retained for 1s"]);
    }
}
