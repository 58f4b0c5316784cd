//! `dead-letter list`, `show` and `replay`.
//!
//! In: filter options, and the dead letters of the brokers and of the journal. Out: lines or a body on stdout, and the exit
//! code. `replay` also publishes; if a bridge runs on the journal, that bridge does it (`journal_replayer`).

mod journal_replayer;
mod list;
mod replay;
mod show;

use std::process::ExitCode;
use std::time::SystemTime;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use super::args;
use crate::brokers::{kafka, nats};
use crate::config::Config;
use crate::dead_letter::JournalDeadLetters;
use crate::dead_letter::{DeadLetterFilter, Source, location_name};
use crate::message::{Broker, Reason};
use crate::route::Routes;

pub(super) const EXAMPLES: &str = "Examples:
  greenapi-bridge dead-letter list --config bridge.toml
  greenapi-bridge dead-letter show --config bridge.toml 4f1c0a5be2d94f0a8c3b7d6e5f401122 > body.json
  greenapi-bridge dead-letter replay --config bridge.toml --reason no_destination";

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Command {
    /// List the dead letters of each broker, or of the journal if it stores them, the oldest first, on Kafka within
    /// each partition. Shows nothing of their bodies.
    ///
    /// Exit code 0: all were read, 1: not all could be read, 2: the configuration cannot be used.
    #[command(after_help = "Examples:
  greenapi-bridge dead-letter list --config bridge.toml --since 2h
  greenapi-bridge dead-letter list --config bridge.toml --reason too_large --instance 1101000001
  greenapi-bridge dead-letter list --config bridge.toml --json | jq -r 'select(.replayed == 0).id'")]
    List(list::Arguments),
    /// Print the body of a dead letter as it was received, byte for byte, also if it is stored in parts.
    ///
    /// Exit code 0: it is printed, 1: it or a part of it is missing, 2: the configuration cannot be used.
    #[command(after_help = "Examples:
  greenapi-bridge dead-letter show --config bridge.toml 4f1c0a5be2d94f0a8c3b7d6e5f401122 > body.json
  greenapi-bridge dead-letter show --config bridge.toml --headers 4f1c0a5be2d94f0a8c3b7d6e5f401122 | head -20")]
    Show(show::Arguments),
    /// Parse dead letters again by the current rules, and publish those that are notifications by the current routes.
    ///
    /// A dead letter of a broker is published at that broker, once the journal has no backlog before it. A dead letter of
    /// the journal goes to the brokers of its current route, behind their backlog. A marker beside the dead letter says that
    /// it was replayed: repeating a replay does nothing, and an interrupted one can be repeated. If a bridge runs on the
    /// journal, it does the work, asked through its admin listener. A body that is still no notification, or still too large,
    /// is not replayed, and is printed with the reason. Dead letters are not deleted. Exit code 0: all chosen dead letters
    /// are replayed, 1: not all, 2: the configuration or an option cannot be used.
    #[command(after_help = "Examples:
  greenapi-bridge dead-letter replay --config bridge.toml --all --dry-run
  greenapi-bridge dead-letter replay --config bridge.toml 4f1c0a5be2d94f0a8c3b7d6e5f401122
  greenapi-bridge dead-letter replay --config bridge.toml --reason no_destination --since 2d")]
    Replay(replay::Arguments),
}

/// Which dead letters a command concerns.
#[derive(Debug, Clone, Args)]
pub(super) struct FilterOptions {
    /// Only those with this reason; can be given more than once.
    #[arg(long, value_parser = reasons())]
    reason: Vec<String>,
    /// Only those of this instance.
    #[arg(long, value_name = "ID", value_parser = args::instance)]
    instance: Option<u64>,
    /// Only those received since: how long ago, such as 2h, or a time such as 2026-01-31T10:00:00Z.
    #[arg(long, value_parser = args::since)]
    since: Option<SystemTime>,
    /// At most this many, the oldest first.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    location: LocationOptions,
}

/// Where to look for dead letters.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct LocationOptions {
    /// Only those of this broker.
    #[arg(long, value_parser = args::broker())]
    broker: Option<Broker>,
    /// Only those of the journal.
    #[arg(long, conflicts_with = "broker")]
    journal: bool,
}

impl FilterOptions {
    fn to_filter(&self) -> DeadLetterFilter {
        let named = |reason: &&Reason| self.reason.iter().any(|name| name == reason.as_str());
        DeadLetterFilter {
            reasons: Reason::ALL.iter().filter(named).copied().collect(),
            instance: self.instance,
            since: self.since,
            ..DeadLetterFilter::default()
        }
    }
}

fn reasons() -> PossibleValuesParser {
    Reason::ALL.map(Reason::as_str).into()
}

pub(super) async fn run(config: &Config, command: Command) -> ExitCode {
    let routes = match Routes::new(&config.route, &config.broker_templates()) {
        Ok(routes) => routes,
        Err(error) => return unusable(&error.to_string()),
    };
    let options = match &command {
        Command::List(arguments) => arguments.filter.location,
        Command::Show(arguments) => arguments.location,
        Command::Replay(arguments) => arguments.filter.location,
    };
    let locations = match locations(config, &routes, options) {
        Ok(locations) => locations,
        Err(problem) => return unusable(&problem),
    };
    let all = match command {
        Command::List(arguments) => list::list(config, &locations, &arguments).await,
        Command::Show(arguments) => show::show(config, &locations, &arguments).await,
        Command::Replay(arguments) => replay::replay(config, &routes, &locations, &arguments).await,
    };
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn unusable(problem: &str) -> ExitCode {
    eprintln!("greenapi-bridge: {problem}");
    ExitCode::from(2)
}

/// The broker that stores the dead letters. None means the journal stores them.
type DlqLocation = Option<Broker>;

/// Where the options say to look.
fn locations(config: &Config, routes: &Routes, options: LocationOptions) -> Result<Vec<DlqLocation>, String> {
    let used: Vec<_> = Broker::ALL.into_iter().filter(|broker| routes.uses_broker(*broker)).map(Some).collect();
    match options.broker {
        Some(broker) if !used.contains(&Some(broker)) => {
            let name = broker.as_str();
            Err(format!("--broker {name}: no route uses it; add a section [{name}], or leave this option out"))
        }
        Some(broker) => Ok(vec![Some(broker)]),
        None if options.journal && config.journal.is_none() => {
            Err("--journal: there is no section [journal]; give the configuration of the bridge that has it".into())
        }
        None if options.journal || used.is_empty() => Ok(vec![None]),
        // dead letters from before there was a broker may still be in the journal
        None => Ok(used.into_iter().chain(has_journal(config).then_some(None)).collect()),
    }
}

/// Whether there is a journal that may store dead letters.
fn has_journal(config: &Config) -> bool {
    config.journal.as_ref().is_some_and(|journal| JournalDeadLetters::open(journal).is_ok())
}

/// Connects to a location of dead letters.
async fn open(config: &Config, location: DlqLocation) -> Result<Source, String> {
    match location {
        Some(Broker::Kafka) => {
            let section = config.kafka.as_ref().ok_or("there is no section [kafka]")?;
            Ok(Source::Kafka(Box::new(kafka::Reader::open(section).await?)))
        }
        Some(Broker::Nats) => {
            let section = config.nats.as_ref().ok_or("there is no section [nats]")?;
            Ok(Source::Nats(Box::new(nats::Reader::open(section).await?)))
        }
        None => {
            let section = config.journal.as_ref().ok_or("there is no section [journal]")?;
            Ok(Source::Journal(Box::new(JournalDeadLetters::open(section)?)))
        }
    }
}

/// Prints what went wrong at a location.
fn print_problem(location: DlqLocation, problem: &str) {
    eprintln!("greenapi-bridge: dead letters of {}: {problem}", location_name(location));
}

/// A text from a broker without control characters, which could drive the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The message of a progress display.
fn progress_text(done: u64, all: u64) -> String {
    format!("{done} of {all} records read")
}
