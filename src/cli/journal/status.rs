//! `journal status`.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{CommandResult, failure, format_age, format_bytes, open_reader, section, unusable};
use crate::config::Config;
use crate::journal::{Files, Journal, JournalRefusal, Sum, Totals, describe_usage};
use crate::message::Broker;
use crate::units::{records, sequence_numbers};

/// The most instances listed for each broker.
const LISTED_INSTANCES: usize = 5;

pub(super) async fn status(config: &Config, as_json: bool) -> CommandResult {
    let (section, reader) = (section(config)?, open_reader(config)?);
    let version = reader.version().await.map_err(failure)?;
    let name = reader.name().await.map_err(failure)?;
    let Files { bytes, in_use: running } = Journal::files(&section.directory).map_err(unusable)?;
    let totals = reader.totals().await.map_err(failure)?;
    let capacity = section.max_bytes as u64;
    let wal_share = section.wal_share() as u64;
    // a journal that cannot be written to is shown all the same
    let (accepts, used) = match Journal::preflight(section) {
        Ok(preflight) => {
            (preflight.accepts.err().map_or("ok", JournalRefusal::as_str).to_owned(), Some(preflight.used))
        }
        Err(error) => (error.to_string(), None),
    };
    if as_json {
        let status = json!({
            "directory": section.directory, "journal": name, "version": version, "running": running, "bytes": bytes,
            "capacity_bytes": capacity, "used_bytes": used, "accepts": accepts, "backlog": backlog(&totals),
            "journal_only": sum(&totals.journal_only), "dead_letters": sum(&totals.dead_letters), "unreadable": totals.unreadable,
        });
        println!("{status:#}");
        return Ok(ExitCode::SUCCESS);
    }
    let runs = if running { "a bridge runs on it" } else { "no bridge runs on it" };
    println!("{}: journal {name} of version {version}, {runs}", section.directory.display());
    println!("{:<13} {} of {}", "on disk", format_bytes(bytes), format_bytes(capacity));
    let usage = used.map(|used| format!(": {}", describe_usage(used, capacity, wal_share))).unwrap_or_default();
    println!("{:<13} {accepts}{usage}", "capacity");
    for broker in Broker::ALL {
        println!("{:<13} {}", format!("{} backlog", broker.as_str()), line(&totals.backlog[broker]));
        for (instance, sum) in largest(&totals, broker) {
            let instance = instance.map_or("unknown".into(), |instance| instance.to_string());
            println!("  {instance:<12}  {}", line(&sum));
        }
    }
    println!("{:<13} {}", "journal only", line(&totals.journal_only));
    println!("{:<13} {}", "dead letters", line(&totals.dead_letters));
    if !totals.unreadable.is_empty() {
        let numbers = sequence_numbers(&totals.unreadable);
        println!(
            "{:<13} {numbers}: their part of the disk is damaged; `journal drop --seq` removes them",
            "unreadable"
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The instances with the largest backlog at a broker.
fn largest(totals: &Totals, broker: Broker) -> Vec<(Option<u64>, Sum)> {
    let mut all: Vec<_> = totals.by_instance[broker].iter().map(|(one, sum)| (*one, *sum)).collect();
    all.sort_unstable_by_key(|(instance, sum)| (std::cmp::Reverse(sum.records), *instance));
    all.truncate(LISTED_INSTANCES);
    all
}

fn backlog(totals: &Totals) -> Value {
    let each = Broker::ALL.map(|broker| {
        let mut value = sum(&totals.backlog[broker]);
        value["instances"] = totals.by_instance[broker].len().into();
        let largest = largest(totals, broker).into_iter();
        value["largest"] = largest
            .map(|(instance, of)| {
                let mut value = sum(&of);
                value["instance"] = instance.map(|instance| instance.to_string()).into();
                value
            })
            .collect();
        (broker.as_str().to_owned(), value)
    });
    Value::Object(each.into_iter().collect())
}

fn sum(sum: &Sum) -> Value {
    let since = sum.oldest.map(|oldest| humantime::format_rfc3339_millis(oldest).to_string());
    let age = sum.age().map(|age| age.as_secs());
    json!({"records": sum.records, "bytes": sum.bytes, "since": since, "oldest_age_seconds": age})
}

fn line(sum: &Sum) -> String {
    let Some(oldest) = sum.age() else { return "empty".into() };
    format!("{}, {}, the oldest {} old", records(sum.records), format_bytes(sum.bytes), format_age(oldest))
}
