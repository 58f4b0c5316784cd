//! `check`: whether this cluster would store what is sent to it, and keep it.

use std::time::Duration;

use super::admin::{Admin, Lookup, Topic};
use super::judge::{Measure, judge, together};
use super::publish::{DEFAULT_TAKES, OVERHEAD};
use super::{Config, properties, rights};
use crate::brokers::Finding;

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
    let mut there = Vec::new();
    for name in topics {
        match admin.topic(name).await? {
            Lookup::There(topic) => there.push((name.as_str(), topic)),
            Lookup::Missing => {
                found.push(Finding::wrong("topics", format!("there is no {name}"), "run `greenapi-bridge provision`"));
            }
            Lookup::Refused(why) => {
                found.push(Finding::wrong(
                    "topics",
                    format!("{name}: {why}"),
                    "allow its user Describe and Write on it",
                ));
            }
        }
    }
    if there.is_empty() {
        return Ok(());
    }
    found.push(Finding::fine("topics", is_there(&there, topics.len())));
    found.extend(rights::check(&admin, config.user().as_deref(), &there).await);
    let by_token = config.token_file.is_some();
    let by = Measure { wanted: &config.provision, brokers, window, by_token };
    let judged: Vec<_> = there.iter().map(|(name, topic)| (*name, judge(topic, &by))).collect();
    found.extend(together(&judged));
    found.push(largest(config, &there));
    Ok(())
}

fn is_there(there: &[(&str, Topic)], asked: usize) -> String {
    let names: Vec<_> = there.iter().map(|(name, topic)| format!("{name} ({} partitions)", topic.partitions)).collect();
    let all = if there.len() == asked { String::new() } else { format!("{} of {asked}: ", there.len()) };
    format!("{all}{}", names.join(", "))
}

/// The largest body that every topic takes: the client has a limit, and so has each topic.
fn largest(config: &Config, there: &[(&str, Topic)]) -> Finding {
    let client = properties::takes(config).unwrap_or(DEFAULT_TAKES);
    let of_topic = |topic: &Topic| topic.setting("max.message.bytes")?.parse::<usize>().ok();
    let limits = there.iter().filter_map(|(name, topic)| Some((of_topic(topic)?, *name)));
    let (takes, whose) = match limits.min() {
        Some((topic, name)) if topic < client => (topic, format!("max.message.bytes of {name}")),
        _ => (client, "message.max.bytes".into()),
    };
    let takes = takes.saturating_sub(OVERHEAD);
    let what = format!("{takes} bytes fit, by {whose} and its headers; larger ones go to the dead letter in parts");
    Finding::fine("largest body", what)
}
