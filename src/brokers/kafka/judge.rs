//! Whether a topic that is there is fit for what is sent to it.

use std::time::Duration;

use super::admin::{OLDEST, Topic};
use super::config::ProvisionConfig;
use crate::brokers::{Finding, Replicas, Verdict};
use crate::units::show;

/// How the settings of a topic are put right.
const ALTER: &str = "with `kafka-configs.sh --alter`";

/// What topics are measured by.
pub(super) struct Measure<'m> {
    pub(super) wanted: &'m ProvisionConfig,
    /// How many brokers the cluster has.
    pub(super) brokers: usize,
    /// `dedupe.window`.
    pub(super) window: Duration,
    /// Whether a token makes us known: then settings cannot be asked.
    pub(super) by_token: bool,
}

/// One topic: a line for each thing that is asked, and one more for each that is not as it should be.
pub(super) fn judge(topic: &Topic, by: &Measure<'_>) -> Vec<Finding> {
    let mut found = vec![replicas(topic.replicas, by)];
    if topic.config.is_none() {
        let (what, remedy) = if by.by_token {
            ("cannot be asked with kafka.token_file", "look with `kafka-configs.sh --describe` for")
        } else {
            ("may not be looked at", "allow its user DescribeConfigs on it to see")
        };
        let remedy = format!("{remedy} min.insync.replicas, retention and the largest body");
        found.push(Finding::note("settings", what, remedy));
        return found;
    }
    let setting = |key: &str| topic.setting(key).unwrap_or_default();
    let number = |key: &str| setting(key).parse::<i64>().unwrap_or(-1);
    let needed = usize::try_from(number("min.insync.replicas")).unwrap_or(1);
    found.extend(in_sync(topic, needed, by.wanted));
    if setting("unclean.leader.election.enable") == "true" {
        let what = "a copy that lacks records may become the leader";
        found.push(Finding::wrong("in sync", what, format!("set unclean.leader.election.enable=false {ALTER}")));
    }
    found.push(retention(number("retention.ms"), by));
    found.extend(clock(topic, number("retention.ms")));
    if number("retention.bytes") >= 0 {
        let bytes = setting("retention.bytes");
        let what = format!("retention.bytes {bytes}: beyond it the oldest records go, read or not, to make room");
        found.push(Finding::wrong("retention", what, format!("set retention.bytes=-1 {ALTER}")));
    }
    if setting("cleanup.policy").contains("compact") {
        let what = format!("cleanup.policy {} keeps only the last of each key", setting("cleanup.policy"));
        found.push(Finding::wrong("retention", what, format!("set cleanup.policy=delete {ALTER}")));
    }
    found
}

fn replicas(have: usize, by: &Measure<'_>) -> Finding {
    let brokers = by.brokers;
    let most = if brokers >= 3 { 3 } else { 1 };
    let raise = |to: usize| {
        format!(
            "give it {to} with `kafka-reassign-partitions.sh`; or delete it, set kafka.provision.replicas = {to} and run `greenapi-bridge provision`"
        )
    };
    match by.wanted.replicas {
        // what the operator asks for is not argued with, but it is said
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

/// How many copies must have a record, and how many could have it now.
fn in_sync(topic: &Topic, needed: usize, wanted: &ProvisionConfig) -> Vec<Finding> {
    let have = topic.replicas;
    let what = format!("min.insync.replicas {needed} of {have}");
    let set = format!("set min.insync.replicas=2 {ALTER}");
    let mut found = vec![if needed > have {
        Finding::wrong("in sync", format!("{what}: nothing can be stored"), "use 3 replicas and min.insync.replicas=2")
    } else if have > 1 && needed == have {
        Finding::wrong(
            "in sync",
            format!("{what}: it stops with the first broker that is down"),
            "use 3 replicas and min.insync.replicas=2",
        )
    } else if have > 1 && needed < 2 && wanted.min_insync_replicas < 2 {
        let what = format!("{what}, as kafka.provision.min_insync_replicas says: one broker alone acknowledges");
        Finding::note("in sync", what, set)
    } else if have > 1 && needed < 2 {
        Finding::wrong("in sync", format!("{what}: a record that one broker alone has is acknowledged"), set)
    } else {
        Finding::fine("in sync", what)
    }];
    if topic.leaderless > 0 {
        let what = format!(
            "{} of {} partitions have no leader: what goes there is not stored",
            topic.leaderless, topic.partitions
        );
        found.push(Finding::wrong("in sync", what, "see to the brokers that are down"));
    } else if topic.in_sync < needed.min(have) {
        let what = format!("only {} of {have} copies are up to date: nothing is stored", topic.in_sync);
        found.push(Finding::wrong("in sync", what, "see to the brokers that are down"));
    } else if topic.in_sync < have {
        let what = format!("{} of {have} copies are up to date", topic.in_sync);
        found.push(Finding::note("in sync", what, "wait, or see to a broker that is down"));
    }
    found
}

fn retention(milliseconds: i64, by: &Measure<'_>) -> Finding {
    let (window, wanted) = (by.window, by.wanted.retention);
    match u64::try_from(milliseconds).map(Duration::from_millis) {
        Err(_) => Finding::fine("retention", "kept for ever"),
        Ok(kept) if kept < window => {
            let what = format!("kept {}, less than dedupe.window = {}", show(kept), show(window));
            Finding::wrong("retention", what, format!("raise retention.ms {ALTER}"))
        }
        Ok(kept) if kept < wanted => {
            let what = format!("kept {}, less than kafka.provision.retention = {}", show(kept), show(wanted));
            let set = format!("set retention.ms={} {ALTER}", wanted.as_millis());
            Finding::note("retention", what, format!("{set}, or set kafka.provision.retention = \"{}\"", show(kept)))
        }
        Ok(kept) => Finding::fine("retention", format!("kept {}", show(kept))),
    }
}

/// Whether a record that a slow clock here dates far back would be stored, and deleted at once for its age.
fn clock(topic: &Topic, kept: i64) -> Option<Finding> {
    let limits = OLDEST.into_iter().filter_map(|name| topic.setting(name)?.parse::<i64>().ok());
    if kept < 0 || !topic.is_dated_by_us() || limits.min().is_some_and(|oldest| oldest < kept) {
        return None;
    }
    let what = "were a clock here so slow that records seem older than that, they would be stored and deleted at once";
    let remedy = format!("set {}={} {ALTER}, so that those are refused", OLDEST[0], kept / 2);
    Some(Finding::note("retention", what, remedy))
}

/// What was found of several topics: what holds for all of them is one line, and what does not names its topics.
pub(super) fn together(all: &[(&str, Vec<Finding>)]) -> Vec<Finding> {
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

    const NEEDED: (&str, &str) = ("min.insync.replicas", "2");

    fn topic(replicas: usize, in_sync: usize, settings: &[(&str, &str)]) -> Topic {
        let dates = [("message.timestamp.type", "CreateTime"), (OLDEST[0], "302400000")];
        let config = [NEEDED, ("retention.ms", "604800000"), ("cleanup.policy", "delete"), dates[0], dates[1]];
        let config = config.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Topic { partitions: 6, leaderless: 0, replicas, in_sync, config: Some(config.collect()) }
    }

    fn judged(topic: &Topic, brokers: usize, wanted: &str) -> Vec<(Verdict, &'static str, String)> {
        let wanted = &toml::from_str(wanted).unwrap();
        let found = judge(topic, &Measure { wanted, brokers, window: Duration::from_secs(900), by_token: false });
        found.into_iter().map(|finding| (finding.verdict, finding.about, finding.found)).collect()
    }

    #[test]
    fn a_safe_topic_has_a_line_for_each_thing() {
        let line = |about, found: &str| (Verdict::Fine, about, found.to_owned());
        assert_eq!(
            judged(&topic(3, 3, &[]), 3, ""),
            [
                line("replicas", "3 in a cluster of 3"),
                line("in sync", "min.insync.replicas 2 of 3"),
                line("retention", "kept 7days")
            ]
        );
        let alone = judged(&topic(1, 1, &[("min.insync.replicas", "1"), ("retention.ms", "-1")]), 1, "");
        assert!(alone.iter().all(|line| line.0 == Verdict::Fine), "all a single broker can do: {alone:?}");
        assert_eq!(alone[2], line("retention", "kept for ever"));
    }

    #[test]
    fn each_danger_is_a_line() {
        let one = ("min.insync.replicas", "1");
        let (no, note) = (Verdict::Wrong, Verdict::Note);
        for (replicas, in_sync, setting, wanted, verdict, about, says) in [
            (3, 3, ("cleanup.policy", "compact"), "", no, "retention", "cleanup.policy compact"),
            (3, 3, ("unclean.leader.election.enable", "true"), "", no, "in sync", "lacks records"),
            (3, 3, one, "", no, "in sync", "one broker alone has"),
            (3, 3, one, "min_insync_replicas = 1", note, "in sync", "as kafka.provision.min_insync_replicas says"),
            (1, 1, one, "", no, "replicas", "1 in a cluster of 3: while"),
            (1, 1, one, "replicas = 1", note, "replicas", "as kafka.provision.replicas says"),
            (1, 1, NEEDED, "replicas = 1", no, "in sync", "2 of 1: nothing can be stored"),
            (2, 2, one, "replicas = 3\nmin_insync_replicas = 1", no, "replicas", "2, and kafka.provision.replicas = 3"),
            (2, 2, NEEDED, "replicas = 2", no, "in sync", "stops with the first"),
            (3, 3, ("retention.ms", "1000"), "", no, "retention", "kept 1s, less than dedupe.window = 15m"),
            (
                3,
                3,
                ("retention.ms", "3600000"),
                "",
                note,
                "retention",
                "kept 1h, less than kafka.provision.retention = 7d",
            ),
            (3, 3, ("retention.bytes", "5"), "", no, "retention", "retention.bytes 5"),
            (3, 3, (OLDEST[0], "9223372036854775807"), "", note, "retention", "stored and deleted at once"),
            (3, 3, (OLDEST[0], "604800000"), "", note, "retention", "stored and deleted at once"),
            (3, 2, NEEDED, "", note, "in sync", "2 of 3 copies"),
            (3, 1, NEEDED, "", no, "in sync", "only 1 of 3 copies"),
        ] {
            let found = judged(&topic(replicas, in_sync, &[setting]), 3, wanted);
            let is = |line: &&(Verdict, &str, String)| line.0 == verdict && line.1 == about && line.2.contains(says);
            assert_eq!(found.iter().filter(is).count(), 1, "{says}: {found:?}");
        }
        let unlimited = (OLDEST[0], "9223372036854775807");
        for safe in [("message.timestamp.type", "LogAppendTime"), (OLDEST[1], "1000"), ("retention.ms", "-1")] {
            assert_eq!(judged(&topic(3, 3, &[unlimited, safe]), 3, "").len(), 3, "{safe:?}");
        }
        let leaderless = Topic { leaderless: 2, ..topic(3, 0, &[]) };
        assert_eq!(judged(&leaderless, 3, "")[2].2, "2 of 6 partitions have no leader: what goes there is not stored");
        let hidden = judged(&Topic { config: None, ..topic(3, 3, &[]) }, 3, "");
        assert_eq!((hidden[1].0, hidden[1].1, hidden.len()), (Verdict::Note, "settings", 2));
    }

    #[test]
    fn what_holds_for_all_topics_is_one_line_and_what_is_wrong_names_its_topics() {
        let (good, bad) =
            (Finding::fine("retention", "kept 7days"), Finding::wrong("retention", "kept 1s", "raise it"));
        let said = |all: &[(&str, Vec<Finding>)]| -> Vec<String> {
            together(all).into_iter().map(|line| format!("{} {}", line.verdict.mark(), line.found)).collect()
        };
        assert_eq!(said(&[("a", vec![good.clone()]), ("b", vec![good.clone()])]), ["✓ kept 7days"]);
        let mixed = [("a", vec![good.clone()]), ("b", vec![bad.clone()]), ("c", vec![good])];
        assert_eq!(said(&mixed), ["✓ a, c: kept 7days", "✗ b: kept 1s"]);
        assert_eq!(said(&[("a", vec![bad])]), ["✗ a: kept 1s"]);
    }
}
