//! `journal reroute`, `drop` and `erase`: say what would be done, ask, do it.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use super::reach::routes;
use super::{Done, Failed, How, failed, impossible, last, reader};
use crate::config::Config;
use crate::journal::Choice;
use crate::journal::store::steps;
use crate::units::records;
use crate::upkeep::{Asked, Change, Counts, judge};

pub(super) async fn change(config: &Config, change: Change, filter: Choice, how: How) -> Done {
    let asked = Asked { change, filter };
    asked.possible(&*routes(config)?).map_err(impossible)?;
    let counts = foreseen(config, &asked).await?;
    let counts: BTreeMap<String, u64> = counts.into_iter().map(|(name, count)| (name.into(), count)).collect();
    let count: u64 = counts.iter().filter(|(name, _)| CHANGES.contains(&name.as_str())).map(|(_, count)| count).sum();
    let erases = matches!(asked.change, Change::Erase { .. });
    // what was erased through a bridge may have left traces that only this takes away
    if how.dry_run || count == 0 && !erases {
        say(&asked, &counts, if how.dry_run { "would be " } else { "" });
        return Ok(if is_done(&counts) { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if !how.yes && count > 0 {
        confirm(&asked, count)?;
    }
    let reached = how.reach.reach(config).await?;
    let changed = reached.change(asked.clone()).await;
    reached.close().await;
    let counts = changed?;
    say(&asked, &counts, "");
    Ok(if is_done(&counts) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What changes a record; the rest says why one stays.
const CHANGES: [&str; 4] = ["rerouted", "there_already", "dropped", "erased"];

/// Whether nothing stayed that should not have.
fn is_done(counts: &BTreeMap<String, u64>) -> bool {
    !["no_way", "unreadable", "traces"].iter().any(|name| counts.contains_key(*name))
}

/// What it would do now, found by reading alone.
async fn foreseen(config: &Config, asked: &Asked) -> Result<Counts, Failed> {
    let (reader, routes) = (reader(config)?, routes(config)?);
    let (until, mut after, mut counts) = (last(&reader).await?, 0, Counts::new());
    loop {
        let choice = asked.choice();
        let read = reader.read(move |db| steps::chosen(db, &choice, after, until)).await;
        let (records, next) = read.map_err(failed)?;
        for record in records {
            *counts.entry(judge(&routes, &asked.change, &record).0).or_default() += 1;
        }
        match next {
            Some(next) => after = next,
            None => return Ok(counts),
        }
    }
}

fn confirm(asked: &Asked, count: u64) -> Result<(), Failed> {
    let records = records(count);
    let what = match &asked.change {
        Change::Reroute { from, to } => {
            let to = to.unwrap_or(*from).as_str();
            format!("send {records} that {} is owed to {to}, where the routes of now say", from.as_str())
        }
        Change::Drop { broker } => {
            let name = broker.as_str();
            format!(
                "give up {records} that {name} is owed (keep them first: `greenapi-bridge journal export --broker {name}`)"
            )
        }
        Change::Erase { .. } => format!("delete {records} for good"),
    };
    if !std::io::stdin().is_terminal() {
        return Err(impossible(format!("this would {what}; say --yes to do it, or --dry-run to look")));
    }
    eprint!("This will {what}. Go on? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer).is_ok();
    let yes = read && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str());
    if yes { Ok(()) } else { Err(failed("nothing was changed")) }
}

fn say(asked: &Asked, counts: &BTreeMap<String, u64>, would: &str) {
    let main = match asked.change {
        Change::Reroute { .. } => "rerouted",
        Change::Drop { .. } => "dropped",
        Change::Erase { .. } => "erased",
    };
    println!("{} {would}{main}", records(counts.get(main).copied().unwrap_or(0)));
    for (name, count) in counts {
        let more = match name.as_str() {
            "there_already" => "are no longer owed twice: the other broker has them, or is owed them",
            "as_before" => "stay: the routes of now say the same",
            "no_way" => "stay: the routes of now have no way for them there; name another broker with --to",
            "unreadable" => "stay: they cannot be read any more",
            _ => continue,
        };
        println!("{} {more}", records(*count));
    }
    if matches!(asked.change, Change::Erase { .. }) {
        println!("what brokers have already is not erased there");
    }
    if counts.contains_key("traces") {
        let why = "pieces may be left in the journal's files, which could not be written anew now: too large while a bridge runs, no room, or read by others";
        eprintln!("greenapi-bridge: {why}; stop the bridge, and erase again");
    }
}
