//! `journal status`.

use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::{Done, age, failed, impossible, reader, section, shown};
use crate::config::Config;
use crate::journal::store::queries;
use crate::journal::store::tally::{self, Sum, Tally};
use crate::journal::{Journal, taken};
use crate::message::Broker;
use crate::units::records;

/// So many instances are named.
const NAMED: usize = 5;

pub(super) async fn status(config: &Config, as_json: bool) -> Done {
    let (section, reader) = (section(config)?, reader(config)?);
    let version = reader.read(tally::version).await.map_err(failed)?;
    let (name, _) = reader.read(queries::name_and_next).await.map_err(failed)?;
    let (bytes, running) = tally::files(&section.directory).map_err(impossible)?;
    let (mut tally, mut after) = (Tally::default(), Some(0));
    while let Some(from) = after {
        let counted = reader.read(move |db| {
            let next = tally.add(db, from)?;
            Ok((tally, next))
        });
        (tally, after) = counted.await.map_err(failed)?;
    }
    let capacity = section.max_bytes as u64;
    let for_log = section.for_log() as u64;
    // what nothing can be written to is looked at all the same
    let (room, used) = match Journal::look_at(section) {
        Ok(outlook) => (outlook.room.err().unwrap_or("ok").to_owned(), Some(outlook.used)),
        Err(error) => (error.to_string(), None),
    };
    if as_json {
        let said = json!({
            "directory": section.directory, "journal": name, "version": version, "running": running, "bytes": bytes,
            "capacity_bytes": capacity, "used_bytes": used, "room": room, "owed": owed(&tally),
            "kept": sum(&tally.kept), "dead_letters": sum(&tally.dead_letters),
        });
        println!("{said:#}");
        return Ok(ExitCode::SUCCESS);
    }
    let runs = if running { "a bridge runs on it" } else { "no bridge runs on it" };
    println!("{}: journal {name} of version {version}, {runs}", section.directory.display());
    println!("{:<13} {} of {}", "on disk", shown(bytes), shown(capacity));
    let taken = used.map(|used| format!(": {}", taken(used, capacity, for_log))).unwrap_or_default();
    println!("{:<13} {room}{taken}", "room");
    for broker in Broker::ALL {
        println!("{:<13} {}", format!("owed to {}", broker.as_str()), line(&tally.owed[broker as usize]));
        for (instance, most) in largest(&tally, broker) {
            let instance = instance.map_or("unknown".into(), |instance| instance.to_string());
            println!("  {instance:<12}  {}", line(&most));
        }
    }
    println!("{:<13} {}", "kept", line(&tally.kept));
    println!("{:<13} {}", "dead letters", line(&tally.dead_letters));
    Ok(ExitCode::SUCCESS)
}

/// The instances of which a broker is owed most.
fn largest(tally: &Tally, broker: Broker) -> Vec<(Option<u64>, Sum)> {
    let mut all: Vec<_> = tally.instances[broker as usize].iter().map(|(one, sum)| (*one, *sum)).collect();
    all.sort_unstable_by_key(|(instance, sum)| (std::cmp::Reverse(sum.records), *instance));
    all.truncate(NAMED);
    all
}

fn owed(tally: &Tally) -> Value {
    let each = Broker::ALL.map(|broker| {
        let mut said = sum(&tally.owed[broker as usize]);
        said["instances"] = tally.instances[broker as usize].len().into();
        let largest = largest(tally, broker).into_iter();
        said["largest"] = largest
            .map(|(instance, of)| {
                let mut said = sum(&of);
                said["instance"] = instance.map(|instance| instance.to_string()).into();
                said
            })
            .collect();
        (broker.as_str().to_owned(), said)
    });
    Value::Object(each.into_iter().collect())
}

fn sum(sum: &Sum) -> Value {
    let since = sum.since.map(|since| humantime::format_rfc3339_millis(queries::at(since)).to_string());
    let age = sum.since.map(|since| queries::since(SystemTime::now(), since).as_secs());
    json!({"records": sum.records, "bytes": sum.bytes, "since": since, "oldest_age_seconds": age})
}

fn line(sum: &Sum) -> String {
    let Some(since) = sum.since else { return "nothing".into() };
    let age = age(queries::since(SystemTime::now(), since));
    format!("{}, {}, the oldest {age} old", records(sum.records), shown(sum.bytes))
}
