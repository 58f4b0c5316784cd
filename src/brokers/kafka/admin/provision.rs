//! `provision`: creates missing topics. It never narrows or deletes, and never changes a number of partitions: keys
//! would move to other partitions, and order would be lost.

use std::time::Duration;

use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use tokio::time::{Instant, sleep};

use super::{ClusterAdmin, MAX_AGE_SETTINGS, Topic, TopicLookup, options};
use crate::brokers::kafka::Config;
use crate::brokers::{Provisioned, Replicas};
use crate::units::show;

/// Creates those of `topics` that do not exist. With `dry_run` it only says what it would do.
///
/// # Errors
/// No connection, or what the cluster refuses.
pub async fn provision(config: &Config, topics: &[String], dry_run: bool) -> Result<Vec<Provisioned>, String> {
    let mut admin = ClusterAdmin::connect(config).await.map_err(|error| error.to_string())?;
    let brokers = admin.live_brokers()?;
    let wanted = TopicSpec::new(config, brokers);
    let (mut done, mut created, mut by_hand) = (Vec::new(), Vec::new(), Vec::new());
    for name in topics {
        let what = format!("topic {name}");
        match admin.topic(name).await? {
            TopicLookup::Refused(why) => return Err(format!("{what}: {why}; allow its user Describe and Create")),
            TopicLookup::Found(topic) => {
                done.push(Provisioned { name: what, unchanged: wanted.differences(&topic), ..Provisioned::default() })
            }
            TopicLookup::Missing if admin.client().is_none() => by_hand.push(wanted.command(name)),
            TopicLookup::Missing => {
                let max_age_setting = match dry_run {
                    true => Some(MAX_AGE_SETTINGS[0]),
                    false => match create(&mut admin, name, &wanted).await? {
                        CreateResult::Created(setting) => {
                            created.push(name);
                            setting
                        }
                        CreateResult::AlreadyExists => {
                            let unchanged = wanted.differences(&wait_until_visible(&mut admin, name).await?);
                            done.push(Provisioned { name: what, unchanged, ..Provisioned::default() });
                            continue;
                        }
                    },
                };
                let mut changes = wanted.describe(config, brokers);
                let mut unchanged = Vec::new();
                match max_age_setting {
                    Some(setting) => changes.push(format!("{setting} {}", show(wanted.max_age))),
                    None => unchanged.push("no limit on how old a record may be: the cluster knows none".into()),
                }
                let warnings = if dry_run { wanted.dry_run_warnings(brokers) } else { Vec::new() };
                done.push(Provisioned { name: what, created: true, changes, uncertain: warnings, unchanged });
            }
        }
    }
    if by_hand.is_empty() {
        for name in created {
            wait_until_visible(&mut admin, name).await?;
        }
        return Ok(done);
    }
    let commands = by_hand.join("\n  ");
    Err(format!("with kafka.token_file topics cannot be created; create them with\n  {commands}"))
}

/// A topic as `provision` creates it.
struct TopicSpec {
    partitions: usize,
    replicas: usize,
    in_sync: usize,
    retention: Duration,
    /// How old a record may be when it arrives. Kafka would store a record older than [`TopicSpec::retention`], which a
    /// clock here that is days slow would send, and delete it at once. Consumers have the other half of the retention.
    max_age: Duration,
}

impl TopicSpec {
    fn new(config: &Config, brokers: usize) -> Self {
        let provision = &config.provision;
        let replicas = match provision.replicas {
            Replicas::Count(count) => count,
            Replicas::Auto if brokers >= 3 => 3,
            Replicas::Auto => 1,
        };
        let in_sync = provision.min_insync_replicas.min(replicas);
        let (partitions, retention) = (provision.partitions, provision.retention);
        Self { partitions, replicas, in_sync, retention, max_age: retention / 2 }
    }

    /// The topic's settings, without the limit of its records' age.
    fn settings(&self) -> [(&'static str, String); 4] {
        [
            ("min.insync.replicas", self.in_sync.to_string()),
            ("retention.ms", self.retention.as_millis().to_string()),
            // compaction would delete all but the last notification of an instance
            ("cleanup.policy", "delete".into()),
            ("unclean.leader.election.enable", "false".into()),
        ]
    }

    /// The command that creates the topic by hand.
    fn command(&self, name: &str) -> String {
        let max_age = (MAX_AGE_SETTINGS[0], self.max_age.as_millis().to_string());
        let settings = self.settings().into_iter().chain([max_age]);
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

    /// What a dry run cannot know: a broker that is down is not counted.
    fn dry_run_warnings(&self, brokers: usize) -> Vec<String> {
        let many = self.replicas > brokers;
        let warning =
            many.then(|| format!("{} replica(s) need as many brokers; now there are {brokers}", self.replicas));
        warning.into_iter().collect()
    }

    /// Where an existing topic differs.
    fn differences(&self, topic: &Topic) -> Vec<String> {
        let setting = |name: &str| match &topic.config {
            Some(_) => topic.setting(name).unwrap_or_default().to_owned(),
            None => "not known".into(),
        };
        // a topic that sets the timestamps itself needs no limit, and an old cluster knows none
        let max_age = MAX_AGE_SETTINGS.into_iter().find_map(|name| Some((name, time(topic.setting(name)?))));
        let max_age = max_age.filter(|_| topic.uses_create_time());
        let max_age = max_age.map(|(name, has)| (name, has, show(self.max_age)));
        [
            ("partitions", topic.partitions.to_string(), self.partitions.to_string()),
            ("replicas", topic.replicas.to_string(), self.replicas.to_string()),
            ("min.insync.replicas", setting("min.insync.replicas"), self.in_sync.to_string()),
            ("retention", time(&setting("retention.ms")), show(self.retention)),
        ]
        .into_iter()
        .chain(max_age)
        .filter(|(_, has, wanted)| has != wanted)
        .map(|(name, has, wanted)| format!("{name} {has}, not {wanted}"))
        .collect()
    }
}

/// A time that Kafka gives in milliseconds, for people; Kafka's largest number means no limit.
fn time(milliseconds: &str) -> String {
    match milliseconds.parse::<i64>() {
        Ok(..0 | i64::MAX) => "without limit".into(),
        Ok(number) => show(Duration::from_millis(number.unsigned_abs())),
        Err(_) => milliseconds.into(),
    }
}

/// How long a new topic may take to appear at the brokers: the controller creates it, and they learn it from there.
const VISIBLE_WITHIN: Duration = Duration::from_secs(10);

/// Waits until a topic that exists is shown with its leaders, so that a bridge that starts next can publish to it.
async fn wait_until_visible(admin: &mut ClusterAdmin, name: &str) -> Result<Topic, String> {
    let end = Instant::now() + VISIBLE_WITHIN;
    loop {
        match admin.topic(name).await? {
            TopicLookup::Found(topic) if topic.leaderless == 0 || Instant::now() > end => return Ok(topic),
            TopicLookup::Refused(why) => return Err(format!("topic {name}: {why}")),
            TopicLookup::Missing if Instant::now() > end => {
                return Err(format!("topic {name}: created, but no broker shows it yet; run this again"));
            }
            TopicLookup::Found(_) | TopicLookup::Missing => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// What became of a topic that was to be created.
enum CreateResult {
    /// It is new. The setting limits the age of its records; `None` means that the cluster knows none.
    Created(Option<&'static str>),
    /// It was created a moment ago, by somebody else.
    AlreadyExists,
}

async fn create(admin: &mut ClusterAdmin, name: &str, wanted: &TopicSpec) -> Result<CreateResult, String> {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let (settings, age) = (wanted.settings(), wanted.max_age.as_millis().to_string());
    // the cluster may not know the first setting, or none of them
    for max_age_setting in MAX_AGE_SETTINGS.into_iter().map(Some).chain([None]) {
        let limit = max_age_setting.map(|setting| (setting, age.as_str()));
        let settings = settings.iter().map(|(key, value)| (*key, value.as_str())).chain(limit);
        let topic = NewTopic::new(name, count(wanted.partitions), TopicReplication::Fixed(count(wanted.replicas)));
        let topic = settings.fold(topic, |topic, (key, value)| topic.set(key, value));
        let Some(client) = admin.client() else { return Ok(CreateResult::Created(None)) };
        let created = client.create_topics([&topic], &options()).await;
        let answers = created.map_err(|error| admin.explain(&error))?;
        match answers.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::InvalidConfig))) if max_age_setting.is_some() => {}
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => return Ok(CreateResult::AlreadyExists),
            Some(Err((name, RDKafkaErrorCode::InvalidReplicationFactor))) => {
                let (wanted, brokers) = (wanted.replicas, admin.live_brokers()?);
                return Err(format!(
                    "topic {name}: {wanted} replicas need as many brokers, and {brokers} are up; lower \
                     kafka.provision.replicas, or start the others"
                ));
            }
            Some(Err((name, code))) => return Err(format!("topic {name}: {code}")),
            _ => return Ok(CreateResult::Created(max_age_setting)),
        }
    }
    Ok(CreateResult::Created(None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_replicas_than_brokers_are_uncertain() {
        let warnings = |brokers| {
            TopicSpec::new(&toml::from_str("provision.replicas = 3").unwrap(), brokers).dry_run_warnings(brokers)
        };
        assert_eq!(warnings(3), [""; 0]);
        assert_eq!(warnings(2), ["3 replica(s) need as many brokers; now there are 2"]);
    }

    #[test]
    fn differences_of_an_existing_topic_are_said_in_units() {
        let wanted = TopicSpec::new(&toml::from_str("provision = { retention = \"7d\" }").unwrap(), 1);
        let differences = |settings: &[(&str, &str)]| {
            let fit = [("min.insync.replicas", "1"), ("message.timestamp.type", "CreateTime")];
            let settings = fit.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            let topic = Topic { partitions: 6, replicas: 1, config: Some(settings.collect()), ..Topic::default() };
            wanted.differences(&topic)
        };
        assert_eq!(differences(&[("retention.ms", "604800000"), (MAX_AGE_SETTINGS[0], "302400000")]), [""; 0]);
        assert_eq!(differences(&[("retention.ms", "3600000")]), ["retention 1h, not 7days"]);
        assert_eq!(differences(&[("retention.ms", "-1")]), ["retention without limit, not 7days"]);
        let unlimited = format!("{} without limit, not 3days 12h", MAX_AGE_SETTINGS[0]);
        assert_eq!(
            differences(&[("retention.ms", "604800000"), (MAX_AGE_SETTINGS[0], "9223372036854775807")]),
            [unlimited]
        );
    }
}
