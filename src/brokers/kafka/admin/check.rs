//! `check`: whether this cluster would store what the bridge publishes, and for how long.

use std::time::Duration;

use super::audit::{Requirements, audit_topic, merge};
use super::probe::Unusable;
use super::{ClusterAdmin, Topic, TopicLookup, rights};
use crate::brokers::Finding;
use crate::brokers::kafka::publisher::{DEFAULT_MAX_MESSAGE_BYTES, RECORD_OVERHEAD};
use crate::brokers::kafka::token::TokenFile;
use crate::brokers::kafka::{Config, properties};

/// Audits each of `topics` on the live cluster. `window` is `dedupe.window`.
pub async fn check(config: &Config, topics: &[String], window: Duration) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Err(Unusable { found: why, remedy, .. }) = audit_cluster(config, topics, window, &mut found).await {
        found.push(Finding::wrong("cluster", why, remedy));
    }
    found
}

async fn audit_cluster(
    config: &Config,
    topics: &[String],
    window: Duration,
    found: &mut Vec<Finding>,
) -> Result<(), Unusable> {
    let failed = |error: String| Unusable::new(error, "look at the log of the cluster");
    let mut admin = ClusterAdmin::connect(config).await?;
    let brokers = admin.live_brokers().map_err(failed)?;
    found.push(Finding::fine("cluster", format!("Apache Kafka, {brokers} broker(s)")));
    let unusable = admin.unusable.iter();
    found.extend(unusable.map(|one| Finding::wrong("cluster", one.found.clone(), one.remedy.clone())));
    let mut existing = Vec::new();
    for name in topics {
        match admin.topic(name).await.map_err(failed)? {
            TopicLookup::Found(topic) => existing.push((name.as_str(), topic)),
            TopicLookup::Missing => {
                found.push(Finding::wrong("topics", format!("there is no {name}"), "run `greenapi-bridge provision`"));
            }
            TopicLookup::Refused(why) => {
                found.push(Finding::wrong(
                    "topics",
                    format!("{name}: {why}"),
                    "allow its user Describe and Write on it",
                ));
            }
        }
    }
    if existing.is_empty() {
        return Ok(());
    }
    found.push(Finding::fine("topics", list(&existing, topics.len())));
    found.extend(rights::audit_write_access(&admin, user(config).as_deref(), &existing).await);
    let token_login = config.token_file.is_some();
    let required = Requirements { provision: &config.provision, brokers, dedup_window: window, token_login };
    let audited: Vec<_> = existing.iter().map(|(name, topic)| (*name, audit_topic(topic, &required))).collect();
    found.extend(merge(&audited));
    found.push(largest_body(config, &existing));
    Ok(())
}

/// The user the bridge logs in as. `None` means that neither a token nor a property names one.
fn user(config: &Config) -> Option<String> {
    match &config.token_file {
        Some(path) => TokenFile::new(path.clone()).user(),
        None => config.properties.get("sasl.username").map(ToString::to_string),
    }
}

fn list(existing: &[(&str, Topic)], wanted: usize) -> String {
    let names: Vec<_> =
        existing.iter().map(|(name, topic)| format!("{name} ({} partitions)", topic.partitions)).collect();
    let all = if existing.len() == wanted { String::new() } else { format!("{} of {wanted}: ", existing.len()) };
    format!("{all}{}", names.join(", "))
}

/// The largest body that fits every topic: the client has a limit, and so has each topic.
fn largest_body(config: &Config, existing: &[(&str, Topic)]) -> Finding {
    let client = properties::max_message_bytes(config).unwrap_or(DEFAULT_MAX_MESSAGE_BYTES);
    let of_topic = |topic: &Topic| topic.setting("max.message.bytes")?.parse::<usize>().ok();
    let limits = existing.iter().filter_map(|(name, topic)| Some((of_topic(topic)?, *name)));
    let (limit, source) = match limits.min() {
        Some((topic, name)) if topic < client => (topic, format!("max.message.bytes of {name}")),
        _ => (client, "message.max.bytes".into()),
    };
    let fits = limit.saturating_sub(RECORD_OVERHEAD);
    let what = format!(
        "{fits} bytes fit in one record: {source} minus the headers; larger ones go to the dead letter in parts"
    );
    Finding::fine("largest body", what)
}
