//! `dead-letter`.

#[cfg(feature = "journal")]
mod kept;
mod list;
mod progress;
mod replay;
mod show;

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

#[cfg(feature = "kafka")]
use crate::brokers::kafka;
#[cfg(feature = "nats")]
use crate::brokers::nats;
use crate::config::Config;
#[cfg(feature = "journal")]
use crate::dead_letter::Kept;
use crate::dead_letter::{Selection, Source, place_name};
use crate::message::{Broker, Reason};
use crate::route::Routes;
use crate::units;

pub(super) const EXAMPLES: &str = "Examples:
  greenapi-bridge dead-letter list --config bridge.toml
  greenapi-bridge dead-letter show --config bridge.toml 4f1c0a5be2d94f0a8c3b7d6e5f401122 > body.json
  greenapi-bridge dead-letter replay --config bridge.toml --reason no_destination";

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Command {
    /// Show what lies in the dead letter of each broker, or in the journal where it keeps them, the oldest first; never a
    /// piece of a body.
    ///
    /// Exit code 0: all of it was read, 1: not all of it could be read, 2: the configuration cannot be used.
    #[command(after_help = "Examples:
  greenapi-bridge dead-letter list --config bridge.toml --since 2h
  greenapi-bridge dead-letter list --config bridge.toml --reason too_large --instance 1101000001
  greenapi-bridge dead-letter list --config bridge.toml --json | jq -r 'select(.replayed == 0).id'")]
    List(list::Arguments),
    /// Print the body of a dead letter as it was received, byte for byte, put together if it was cut.
    ///
    /// Exit code 0: it is printed, 1: it is not there or not all of it is, 2: the configuration cannot be used.
    #[command(after_help = "Examples:
  greenapi-bridge dead-letter show --config bridge.toml 4f1c0a5be2d94f0a8c3b7d6e5f401122 > body.json
  greenapi-bridge dead-letter show --config bridge.toml --headers 4f1c0a5be2d94f0a8c3b7d6e5f401122 | head -20")]
    Show(show::Arguments),
    /// Read dead letters again by the rules and routes of now; what is a notification by them goes where it belongs.
    ///
    /// Each goes to the broker it lies at, once the journal owes nothing that goes before it; what the journal keeps goes
    /// wherever it belongs now, behind what is owed there. What has gone is noted beside it: to repeat a replay does
    /// nothing, nor does it matter if one is cut off. A bridge that runs on the journal is asked to do it, by its admin
    /// listener. What is still no notification stays as it is, and so does what is still too large; each is named.
    /// Nothing is taken out of the dead letter. Exit code 0: all that was asked for is replayed, 1: not all of it is, 2:
    /// the configuration or a flag cannot be used.
    #[command(after_help = "Examples:
  greenapi-bridge dead-letter replay --config bridge.toml --all --dry-run
  greenapi-bridge dead-letter replay --config bridge.toml 4f1c0a5be2d94f0a8c3b7d6e5f401122
  greenapi-bridge dead-letter replay --config bridge.toml --reason no_destination --since 2d")]
    Replay(replay::Arguments),
}

/// Which of them.
#[derive(Debug, Clone, Args)]
pub(super) struct Filters {
    /// Only those that are there for this reason; can be given more than once.
    #[arg(long, value_parser = reasons())]
    reason: Vec<String>,
    /// Only those of this instance.
    #[arg(long, value_name = "ID", value_parser = super::numbers::instance)]
    instance: Option<u64>,
    /// Only those received since: how long ago, such as 2h, or a time such as 2026-01-31T10:00:00Z.
    #[arg(long, value_parser = since)]
    since: Option<SystemTime>,
    /// Only so many, the oldest first.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    at: At,
}

/// Where.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct At {
    /// Only what lies at this broker.
    #[arg(long, value_parser = broker)]
    broker: Option<Broker>,
    /// Only what the journal keeps.
    #[arg(long, conflicts_with = "broker")]
    journal: bool,
}

impl Filters {
    fn selection(&self) -> Selection {
        let named = |reason: &&Reason| self.reason.iter().any(|name| name == reason.as_str());
        Selection {
            reasons: Reason::ALL.iter().filter(named).copied().collect(),
            instance: self.instance,
            since: self.since,
            ..Selection::default()
        }
    }
}

fn reasons() -> PossibleValuesParser {
    Reason::ALL.map(Reason::as_str).into()
}

fn broker(text: &str) -> Result<Broker, String> {
    let found = Broker::ALL.into_iter().find(|broker| broker.as_str() == text);
    found.ok_or_else(|| "give kafka or nats".into())
}

fn since(text: &str) -> Result<SystemTime, String> {
    if let Ok(at) = humantime::parse_rfc3339_weak(text) {
        return Ok(at);
    }
    let ago = units::read_duration(text)
        .map_err(|_| "give how long ago, such as 2h or 7d, or a time, such as 2026-01-31T10:00:00Z")?;
    SystemTime::now().checked_sub(ago).ok_or_else(|| "before all times".into())
}

pub(super) async fn run(config: &Config, command: Command) -> ExitCode {
    let routes = match Routes::new(&config.route, &config.places()) {
        Ok(routes) => routes,
        Err(error) => return configuration(&error.to_string()),
    };
    let at = match &command {
        Command::List(arguments) => arguments.filters.at,
        Command::Show(arguments) => arguments.at,
        Command::Replay(arguments) => arguments.filters.at,
    };
    let places = match places(config, &routes, at) {
        Ok(places) => places,
        Err(problem) => return configuration(&problem),
    };
    let all = match command {
        Command::List(arguments) => list::list(config, &places, &arguments).await,
        Command::Show(arguments) => show::show(config, &places, &arguments).await,
        Command::Replay(arguments) => replay::replay(config, &routes, &places, &arguments).await,
    };
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn configuration(problem: &str) -> ExitCode {
    eprintln!("greenapi-bridge: {problem}");
    ExitCode::from(2)
}

/// A broker whose dead letters are looked at; none: the journal that keeps them.
type Place = Option<Broker>;

/// Where dead letters are looked at.
fn places(config: &Config, routes: &Routes, at: At) -> Result<Vec<Place>, String> {
    let used: Vec<_> = Broker::ALL.into_iter().filter(|broker| routes.use_broker(*broker)).map(Some).collect();
    match at.broker {
        Some(broker) if !used.contains(&Some(broker)) => {
            let name = broker.as_str();
            Err(format!("--broker {name}: nothing goes there; add a section [{name}], or leave this out"))
        }
        Some(broker) => Ok(vec![Some(broker)]),
        None if at.journal && config.journal.is_none() => {
            Err("--journal: there is no section [journal]; give the configuration of the bridge that has it".into())
        }
        None if at.journal || used.is_empty() => Ok(vec![None]),
        // what was kept before there was a broker may still be there
        None => Ok(used.into_iter().chain(keeps(config).then_some(None)).collect()),
    }
}

/// Whether there is a journal that can have kept letters.
fn keeps(config: &Config) -> bool {
    #[cfg(feature = "journal")]
    return config.journal.as_ref().is_some_and(|journal| Kept::open(journal).is_ok());
    #[cfg(not(feature = "journal"))]
    {
        let _ = config;
        false
    }
}

/// Connects to where dead letters lie.
async fn open(config: &Config, place: Place) -> Result<Source, String> {
    match place {
        #[cfg(feature = "kafka")]
        Some(Broker::Kafka) => {
            let section = config.kafka.as_ref().ok_or("there is no section [kafka]")?;
            Ok(Source::Kafka(Box::new(kafka::Reader::open(section).await?)))
        }
        #[cfg(feature = "nats")]
        Some(Broker::Nats) => {
            let section = config.nats.as_ref().ok_or("there is no section [nats]")?;
            Ok(Source::Nats(Box::new(nats::Reader::open(section).await?)))
        }
        #[cfg(feature = "journal")]
        None => {
            let section = config.journal.as_ref().ok_or("there is no section [journal]")?;
            Ok(Source::Journal(Box::new(Kept::open(section)?)))
        }
        #[cfg(not(all(feature = "kafka", feature = "nats", feature = "journal")))]
        other => Err(format!("this build has no {}", place_name(other))),
    }
}

/// Says what went wrong there.
fn complain(place: Place, problem: &str) {
    eprintln!("greenapi-bridge: the dead letter of {}: {problem}", place_name(place));
}

/// A text from a broker as a terminal can be given it.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// How often something is said where there is no terminal.
const SAID_EVERY: Duration = Duration::from_secs(5);
