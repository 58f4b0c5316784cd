//! `provision`: creates the topics that are not there. It never narrows, never deletes, and never changes a
//! number of partitions: keys would land elsewhere, and order would be lost.

use std::time::Duration;

use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;

use super::Config;
use super::admin::{Admin, Lookup, OLDEST, Topic, options};
use crate::brokers::{Provisioned, Replicas};
use crate::units::show;

/// Creates those of `topics` that are not there. With `dry_run` it only says what it would do.
///
/// # Errors
/// No connection, or what the cluster refuses.
pub async fn provision(config: &Config, topics: &[String], dry_run: bool) -> Result<Vec<Provisioned>, String> {
    let mut admin = Admin::connect(config)?;
    let brokers = admin.brokers().await?;
    let wanted = Wanted::new(config, brokers);
    let (mut done, mut by_hand) = (Vec::new(), Vec::new());
    for name in topics {
        let what = format!("topic {name}");
        match admin.topic(name).await? {
            Lookup::Refused(why) => return Err(format!("{what}: {why}; allow its user Describe and Create")),
            Lookup::There(topic) => {
                done.push(Provisioned { what, kept: wanted.differences(&topic), ..Provisioned::default() })
            }
            Lookup::Missing if admin.client().is_none() => by_hand.push(wanted.command(name)),
            Lookup::Missing => {
                let oldest = if dry_run { Some(OLDEST[0]) } else { create(&mut admin, name, &wanted).await? };
                let (mut changes, mut kept) = (wanted.describe(config, brokers), Vec::new());
                match oldest {
                    Some(oldest) => changes.push(format!("{oldest} {}", show(wanted.oldest))),
                    None => kept.push("no limit on how old a record may be: the cluster knows none".into()),
                }
                let doubts = if dry_run { wanted.doubts(brokers) } else { Vec::new() };
                done.push(Provisioned { what, created: true, changes, doubts, kept });
            }
        }
    }
    if by_hand.is_empty() {
        return Ok(done);
    }
    let commands = by_hand.join("\n  ");
    Err(format!("with kafka.token_file topics can be looked at and not created; create them with\n  {commands}"))
}

/// A topic as it should be.
struct Wanted {
    partitions: usize,
    replicas: usize,
    in_sync: usize,
    retention: Duration,
    /// How old a record may be when it comes. One older than [`Wanted::retention`], which a clock here that is days slow
    /// would make, would be stored and deleted at once. Half of it is left to those who read.
    oldest: Duration,
}

impl Wanted {
    fn new(config: &Config, brokers: usize) -> Self {
        let provision = &config.provision;
        let replicas = match provision.replicas {
            Replicas::Count(count) => count,
            Replicas::Auto if brokers >= 3 => 3,
            Replicas::Auto => 1,
        };
        let in_sync = provision.min_insync_replicas.min(replicas);
        let (partitions, retention) = (provision.partitions, provision.retention);
        Self { partitions, replicas, in_sync, retention, oldest: retention / 2 }
    }

    /// The settings of a topic, beside the limit to the age of its records.
    fn settings(&self) -> [(&'static str, String); 4] {
        [
            ("min.insync.replicas", self.in_sync.to_string()),
            ("retention.ms", self.retention.as_millis().to_string()),
            // compaction would delete all but the last notification of an instance
            ("cleanup.policy", "delete".into()),
            ("unclean.leader.election.enable", "false".into()),
        ]
    }

    /// What creates a topic without us.
    fn command(&self, name: &str) -> String {
        let oldest = (OLDEST[0], self.oldest.as_millis().to_string());
        let settings = self.settings().into_iter().chain([oldest]);
        let settings: String = settings.map(|(key, value)| format!(" --config {key}={value}")).collect();
        let (partitions, replicas) = (self.partitions, self.replicas);
        format!(
            "kafka-topics.sh --create --topic {name} --partitions {partitions} --replication-factor {replicas}{settings}"
        )
    }

    fn describe(&self, config: &Config, brokers: usize) -> Vec<String> {
        let chosen = match config.provision.replicas {
            Replicas::Auto => format!(", chosen by replicas = \"auto\": the cluster has {brokers} broker(s)"),
            Replicas::Count(_) => String::new(),
        };
        vec![
            format!("{} partitions", self.partitions),
            format!("{} replica(s){chosen}", self.replicas),
            format!("min.insync.replicas {}", self.in_sync),
            format!("retention {}", show(self.retention)),
        ]
    }

    /// What a dry run cannot find out: a broker that is down is not counted.
    fn doubts(&self, brokers: usize) -> Vec<String> {
        let many = self.replicas > brokers;
        let doubt = many.then(|| {
            format!("{} replica(s) are refused if there are fewer brokers; now there are {brokers}", self.replicas)
        });
        doubt.into_iter().collect()
    }

    /// What an existing topic has otherwise.
    fn differences(&self, topic: &Topic) -> Vec<String> {
        let setting = |name: &str| match &topic.config {
            Some(_) => topic.setting(name).unwrap_or_default().to_owned(),
            None => "not known".into(),
        };
        // a cluster that dates records itself, or knows no such limit, needs none
        let oldest = OLDEST.into_iter().find_map(|name| Some((name, time(topic.setting(name)?))));
        let oldest = oldest.filter(|_| topic.is_dated_by_us());
        let oldest = oldest.map(|(name, has)| (name, has, show(self.oldest)));
        [
            ("partitions", topic.partitions.to_string(), self.partitions.to_string()),
            ("replicas", topic.replicas.to_string(), self.replicas.to_string()),
            ("min.insync.replicas", setting("min.insync.replicas"), self.in_sync.to_string()),
            ("retention", time(&setting("retention.ms")), show(self.retention)),
        ]
        .into_iter()
        .chain(oldest)
        .filter(|(_, has, wanted)| has != wanted)
        .map(|(name, has, wanted)| format!("{name} {has}, not {wanted}"))
        .collect()
    }
}

/// A time that Kafka has in milliseconds, for people; the longest it can write down is none.
fn time(milliseconds: &str) -> String {
    match milliseconds.parse::<i64>() {
        Ok(..0 | i64::MAX) => "without limit".into(),
        Ok(number) => show(Duration::from_millis(number.unsigned_abs())),
        Err(_) => milliseconds.into(),
    }
}

/// Creates a topic, and says what bounds how old its records may be.
async fn create(admin: &mut Admin, name: &str, wanted: &Wanted) -> Result<Option<&'static str>, String> {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let (settings, age) = (wanted.settings(), wanted.oldest.as_millis().to_string());
    // a cluster that does not know a limit may know the next, or none
    for oldest in OLDEST.into_iter().map(Some).chain([None]) {
        let limit = oldest.map(|oldest| (oldest, age.as_str()));
        let settings = settings.iter().map(|(key, value)| (*key, value.as_str())).chain(limit);
        let topic = NewTopic::new(name, count(wanted.partitions), TopicReplication::Fixed(count(wanted.replicas)));
        let topic = settings.fold(topic, |topic, (key, value)| topic.set(key, value));
        let Some(client) = admin.client() else { return Ok(None) };
        let created = client.create_topics([&topic], &options()).await;
        let answers = created.map_err(|error| admin.explain(&error))?;
        match answers.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::InvalidConfig))) if oldest.is_some() => {}
            Some(Err((name, code))) => return Err(format!("topic {name}: {code}")),
            _ => return Ok(oldest),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_copies_than_brokers_are_doubtful() {
        let doubts = |brokers| Wanted::new(&toml::from_str("provision.replicas = 3").unwrap(), brokers).doubts(brokers);
        assert_eq!(doubts(3), [""; 0]);
        assert_eq!(doubts(2), ["3 replica(s) are refused if there are fewer brokers; now there are 2"]);
    }

    #[test]
    fn what_a_topic_has_otherwise_is_said_in_units() {
        let wanted = Wanted::new(&toml::from_str("provision = { retention = \"7d\" }").unwrap(), 1);
        let kept = |settings: &[(&str, &str)]| {
            let fit = [("min.insync.replicas", "1"), ("message.timestamp.type", "CreateTime")];
            let settings = fit.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            let topic = Topic { partitions: 6, replicas: 1, config: Some(settings.collect()), ..Topic::default() };
            wanted.differences(&topic)
        };
        assert_eq!(kept(&[("retention.ms", "604800000"), (OLDEST[0], "302400000")]), [""; 0]);
        assert_eq!(kept(&[("retention.ms", "3600000")]), ["retention 1h, not 7days"]);
        assert_eq!(kept(&[("retention.ms", "-1")]), ["retention without limit, not 7days"]);
        let unlimited = format!("{} without limit, not 3days 12h", OLDEST[0]);
        assert_eq!(kept(&[("retention.ms", "604800000"), (OLDEST[0], "9223372036854775807")]), [unlimited]);
    }
}
