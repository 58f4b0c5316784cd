//! `check`: whether this cluster would store what is sent to it, and keep it.

use std::time::Duration;

use super::admin::{Admin, Topic};
use super::publish::{DEFAULT_TAKES, OVERHEAD};
use super::{Config, properties};
use crate::brokers::Finding;
use crate::units::show;

/// Asks the live cluster for each of `topics`.
pub async fn check(config: &Config, topics: &[String], window: Duration) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Err(error) = ask(config, topics, window, &mut found).await {
        found.push(Finding::wrong("cluster", error, "start it, or correct [kafka]"));
    }
    found
}

async fn ask(config: &Config, topics: &[String], window: Duration, found: &mut Vec<Finding>) -> Result<(), String> {
    let mut admin = Admin::connect(config)?;
    let brokers = admin.brokers().await?;
    found.push(Finding::fine("cluster", format!("Apache Kafka, {brokers} broker(s)")));
    let mut takes = properties::takes(config).unwrap_or(DEFAULT_TAKES);
    for name in topics {
        match admin.topic(name).await? {
            Some(topic) => {
                found.extend(judge(name, &topic, brokers, window));
                let most = topic.config.get("max.message.bytes").and_then(|most| most.parse().ok());
                takes = takes.min(most.unwrap_or(takes));
            }
            None => {
                found.push(Finding::wrong("topic", format!("there is no {name}"), "run `greenapi-bridge provision`"))
            }
        }
    }
    let takes = takes.saturating_sub(OVERHEAD);
    let what = format!("bodies up to {takes} bytes fit; larger ones go to the dead letter in parts");
    found.push(Finding::fine("largest body", what));
    let rights = "whether we may write cannot be asked; send one notification to find out";
    found.push(Finding::note("rights", "not known", rights));
    Ok(())
}

/// One topic: in one line if all is well, else one line for each thing that is not.
fn judge(name: &str, topic: &Topic, brokers: usize, window: Duration) -> Vec<Finding> {
    let setting = |key: &str| topic.config.get(key).map(String::as_str).unwrap_or_default();
    let number = |key: &str| setting(key).parse::<i64>().unwrap_or(-1);
    let (replicas, needed) = (topic.replicas, usize::try_from(number("min.insync.replicas")).unwrap_or(1));
    let mut found = Vec::new();
    if setting("cleanup.policy").contains("compact") {
        let what = format!("{name} has cleanup.policy {}", setting("cleanup.policy"));
        found.push(Finding::wrong("topic", what, "it keeps only the last of each key; set cleanup.policy=delete"));
    }
    if setting("unclean.leader.election.enable") == "true" {
        let what = format!("{name} lets a copy lead that lacks records");
        found.push(Finding::wrong("topic", what, "set unclean.leader.election.enable=false"));
    }
    if replicas > 1 && needed < 2 || replicas == 1 && brokers >= 3 {
        let what = format!("{name} has {replicas} replica(s), min.insync.replicas {needed}");
        let remedy = "a record on one broker alone is acknowledged; use 3 replicas and min.insync.replicas=2";
        found.push(Finding::wrong("topic", what, remedy));
    }
    if needed >= replicas && replicas > 1 {
        let what = format!("{name} has {replicas} replicas and min.insync.replicas {needed}");
        found.push(Finding::wrong("topic", what, "it stops with the first broker that is down; use 3 replicas"));
    }
    if topic.in_sync < replicas {
        let what = format!("{name}: {} of {replicas} replicas are in sync", topic.in_sync);
        found.push(Finding::note("topic", what, "wait, or look for a broker that is down"));
    }
    if let Ok(kept) = u64::try_from(number("retention.ms")).map(Duration::from_millis)
        && kept < window
    {
        let what = format!("{name} keeps records {}", show(kept));
        found.push(Finding::wrong("topic", what, "less than dedupe.window; raise retention.ms"));
    }
    if found.is_empty() {
        let kept =
            u64::try_from(number("retention.ms")).map_or("for ever".into(), |ms| show(Duration::from_millis(ms)));
        let what = format!(
            "{name}: {} partitions, {replicas} replica(s), min.insync.replicas {needed}, kept {kept}",
            topic.partitions
        );
        found.push(Finding::fine("topic", what));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brokers::Verdict;

    fn judged(replicas: usize, in_sync: usize, brokers: usize, settings: &[(&str, &str)]) -> Vec<(Verdict, String)> {
        let config = [("min.insync.replicas", "2"), ("retention.ms", "604800000"), ("cleanup.policy", "delete")];
        let config = config.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let topic = Topic { partitions: 6, replicas, in_sync, config: config.collect() };
        let found = judge("t", &topic, brokers, Duration::from_secs(900));
        found.into_iter().map(|finding| (finding.verdict, finding.found)).collect()
    }

    #[test]
    fn a_safe_topic_is_one_line() {
        let one = "t: 6 partitions, 3 replica(s), min.insync.replicas 2, kept 7days";
        assert_eq!(judged(3, 3, 3, &[]), [(Verdict::Fine, one.to_owned())]);
        assert_eq!(judged(1, 1, 1, &[("min.insync.replicas", "1")])[0].0, Verdict::Fine, "all a single broker can do");
    }

    #[test]
    fn each_danger_has_a_line_of_its_own() {
        for (replicas, in_sync, setting, says) in [
            (3, 3, ("cleanup.policy", "compact"), "cleanup.policy compact"),
            (3, 3, ("unclean.leader.election.enable", "true"), "lacks records"),
            (3, 3, ("min.insync.replicas", "1"), "min.insync.replicas 1"),
            (1, 1, ("min.insync.replicas", "1"), "1 replica(s)"),
            (2, 2, ("min.insync.replicas", "2"), "2 replicas and"),
            (3, 3, ("retention.ms", "1000"), "keeps records 1s"),
        ] {
            let found = judged(replicas, in_sync, 3, &[setting]);
            assert!(found.len() == 1 && found[0].0 == Verdict::Wrong && found[0].1.contains(says), "{found:?}");
        }
        assert_eq!(judged(3, 2, 3, &[])[0].0, Verdict::Note);
        assert_eq!(judged(3, 3, 3, &[("retention.ms", "-1")])[0].0, Verdict::Fine, "-1 is for ever");
    }
}
