//! `provision`: creates the topics that are not there. It never narrows, never deletes, and never changes a
//! number of partitions: keys would land elsewhere, and order would be lost.

use rdkafka::admin::{NewTopic, TopicReplication};

use super::Config;
use super::admin::{Admin, Lookup, Topic, options};
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
    let mut done = Vec::new();
    for name in topics {
        let what = format!("topic {name}");
        match admin.topic(name).await? {
            Lookup::Refused(why) => return Err(format!("{what}: {why}; allow its user Describe and Create")),
            Lookup::There(topic) => {
                done.push(Provisioned { what, kept: wanted.differences(&topic), ..Provisioned::default() })
            }
            Lookup::Missing => {
                if !dry_run {
                    create(&mut admin, name, &wanted).await?;
                }
                done.push(Provisioned {
                    what,
                    created: true,
                    changes: wanted.describe(config, brokers),
                    kept: Vec::new(),
                });
            }
        }
    }
    Ok(done)
}

/// A topic as it should be.
struct Wanted {
    partitions: usize,
    replicas: usize,
    in_sync: usize,
    retention: std::time::Duration,
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
        Self { partitions: provision.partitions, replicas, in_sync, retention: provision.retention }
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

    /// What an existing topic has otherwise.
    fn differences(&self, topic: &Topic) -> Vec<String> {
        let setting = |name: &str| match &topic.config {
            Some(config) => config.get(name).cloned().unwrap_or_default(),
            None => "not known".into(),
        };
        let retention = self.retention.as_millis().to_string();
        [
            ("partitions", topic.partitions.to_string(), self.partitions.to_string()),
            ("replicas", topic.replicas.to_string(), self.replicas.to_string()),
            ("min.insync.replicas", setting("min.insync.replicas"), self.in_sync.to_string()),
            ("retention.ms", setting("retention.ms"), retention),
        ]
        .into_iter()
        .filter(|(_, has, wanted)| has != wanted)
        .map(|(name, has, wanted)| format!("{name} {has}, not {wanted}"))
        .collect()
    }
}

async fn create(admin: &mut Admin, name: &str, wanted: &Wanted) -> Result<(), String> {
    let too_many = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let (in_sync, retention) = (wanted.in_sync.to_string(), wanted.retention.as_millis().to_string());
    let topic = NewTopic::new(name, too_many(wanted.partitions), TopicReplication::Fixed(too_many(wanted.replicas)))
        .set("min.insync.replicas", &in_sync)
        .set("retention.ms", &retention)
        // compaction would delete all but the last notification of an instance
        .set("cleanup.policy", "delete")
        .set("unclean.leader.election.enable", "false");
    let created = admin.client().create_topics([&topic], &options()).await;
    let answers = match created {
        Ok(answers) => answers,
        Err(error) => return Err(admin.explain(&error)),
    };
    match answers.into_iter().next() {
        Some(Err((name, code))) => Err(format!("topic {name}: {code}")),
        _ => Ok(()),
    }
}
