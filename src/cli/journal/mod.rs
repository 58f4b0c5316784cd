//! `journal`: what is in it, and what can be done about it.

mod change;
mod export;
mod import;
mod progress;
mod reach;
mod status;

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand, ValueEnum};

use super::numbers::instance;
use crate::config::Config;
use crate::journal::store::Reader;
use crate::journal::{Choice, store};
use crate::message::Broker;
use crate::notification::Class;
use crate::units;
use crate::upkeep::Change;
pub(super) use reach::{Reach, Reached};

/// What is done with a journal.
#[derive(Debug, Subcommand)]
pub(super) enum Journal {
    /// Say what waits in the journal: for which broker, since when, of which instances.
    ///
    /// Reads beside a bridge that runs, and shows nothing of what notifications hold.
    #[command(after_help = "Examples:
  greenapi-bridge journal status --config bridge.toml
  greenapi-bridge journal status --config bridge.toml --json | jq .owed.nats.records")]
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write records as lines of CloudEvents JSON, with all that `journal import` needs; they stay in the journal.
    ///
    /// Reads beside a bridge that runs: what comes later is not in it. Exit code 0: all of it is written.
    #[command(after_help = "Examples:
  greenapi-bridge journal export --config bridge.toml --broker kafka --output owed.jsonl
  greenapi-bridge journal export --config bridge.toml --instance 1101000001 --since 2h | jq .data")]
    Export(export::Arguments),
    /// Bring in what `journal export` wrote, behind all that is there.
    ///
    /// What is in the journal already, or was stored lately, is skipped: to do it again is safe. Exit code 0: all
    /// is kept, 1: not all, 2: a wrong flag or file.
    #[command(after_help = "Examples:
  greenapi-bridge journal import --config bridge.toml owed.jsonl
  greenapi-bridge journal import --config bridge.toml --to nats owed.jsonl")]
    Import(import::Arguments),
    /// Send what is owed to a broker where the routes of now say, or to another broker.
    ///
    /// A record keeps its place among all; dead letters stay dead letters. What was on its way when this began, or may
    /// have been before a crash, can arrive at the old place too, with the same `ce_id`. While it lasts what comes is
    /// kept behind. A bridge that runs must run with the configuration that is meant. For another topic of Kafka do this
    /// before that bridge starts: what comes for the new topic does not wait for what is owed to the old one.
    #[command(after_help = "Examples:
  greenapi-bridge journal reroute --config bridge.toml --from kafka --dry-run
  greenapi-bridge journal reroute --config bridge.toml --from kafka --to nats --yes")]
    Reroute {
        /// Whom it is owed to.
        #[arg(long, value_name = "BROKER")]
        from: Name,
        /// Whom it is to be owed to. Default: as before.
        #[arg(long, value_name = "BROKER")]
        to: Option<Name>,
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        how: How,
    },
    /// Give up what is owed to a broker: it will never be sent there. What is owed to no other broker is deleted.
    #[command(after_help = "Examples:
  greenapi-bridge journal export --config bridge.toml --broker nats --output owed.jsonl    keep it first
  greenapi-bridge journal drop --config bridge.toml --broker nats")]
    Drop {
        /// Whom it is owed to.
        #[arg(long, value_name = "BROKER")]
        broker: Name,
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        how: How,
    },
    /// Delete everything of an instance or of a chat, dead letters too, and leave no trace of it in the journal's files.
    ///
    /// What brokers have already is not erased there. Of bodies that are no notifications, those are of a chat in which
    /// its id stands.
    #[command(after_help = "Examples:
  greenapi-bridge journal erase --config bridge.toml --chat 79990000000@c.us --dry-run
  greenapi-bridge journal erase --config bridge.toml --instance 1101000001 --yes")]
    Erase {
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        how: How,
    },
}

/// A broker, as a flag names it.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Name {
    Kafka,
    Nats,
}

impl From<Name> for Broker {
    fn from(name: Name) -> Self {
        match name {
            Name::Kafka => Self::Kafka,
            Name::Nats => Self::Nats,
        }
    }
}

/// Whose data.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Whose {
    /// All of this instance.
    #[arg(long, value_name = "INSTANCE", value_parser = instance)]
    instance: Option<u64>,
    /// All of this chat, in all instances.
    #[arg(long, value_name = "ID")]
    chat: Option<String>,
}

/// Which of them.
#[derive(Debug, Clone, Args)]
pub(super) struct Filter {
    /// Only of this instance.
    #[arg(long, value_name = "INSTANCE", value_parser = instance)]
    instance: Option<u64>,
    /// Only of this class: incoming, outgoing, state, device or other.
    #[arg(long, value_name = "CLASS", value_parser = class)]
    class: Option<String>,
    /// Only what was received since: a time such as 2026-01-31T12:00:00Z, or so long ago, such as 2h.
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<u64>,
}

/// How it is done.
#[derive(Debug, Clone, Args)]
pub(super) struct How {
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Say what would be done; change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    reach: reach::Reach,
}

impl Filter {
    fn choice(self, owed: Option<Broker>) -> Choice {
        let Self { instance, class, since } = self;
        Choice { owed, instance, class, since, unknown: false }
    }
}

fn class(text: &str) -> Result<String, String> {
    let mut known = Class::ALL.map(Class::as_str).into_iter();
    known
        .find(|known| *known == text)
        .map(Into::into)
        .ok_or_else(|| format!("no class; give one of {}", Class::ALL.map(Class::as_str).join(", ")))
}

/// Unix milliseconds.
fn since(text: &str) -> Result<u64, String> {
    let wrong = || "not a time; give one such as 2026-01-31T12:00:00Z, or a duration such as 2h".to_owned();
    let at = match units::read_duration(text) {
        Ok(ago) => SystemTime::now().checked_sub(ago).ok_or_else(wrong)?,
        Err(_) => humantime::parse_rfc3339(text).map_err(|_| wrong())?,
    };
    at.duration_since(UNIX_EPOCH).map_err(|_| wrong()).map(|since| since.as_millis().try_into().unwrap_or(u64::MAX))
}

/// Runs one of them. 0: done, 1: not done, 2: it cannot be.
pub(super) async fn journal(command: Journal, config: &Config) -> ExitCode {
    let no = Choice::default();
    let done = match command {
        Journal::Status { json } => status::status(config, json).await,
        Journal::Export(arguments) => export::export(config, arguments).await,
        Journal::Import(arguments) => import::import(config, arguments).await,
        Journal::Reroute { from, to, filter, how } => {
            let change = Change::Reroute { from: from.into(), to: to.map(Into::into) };
            change::change(config, change, filter.choice(None), how).await
        }
        Journal::Drop { broker, filter, how } => {
            change::change(config, Change::Drop { broker: broker.into() }, filter.choice(None), how).await
        }
        Journal::Erase { whose: Whose { instance, chat }, how } => {
            change::change(config, Change::Erase { instance, chat }, no, how).await
        }
    };
    done.unwrap_or_else(|Failed(code, why)| {
        eprintln!("greenapi-bridge: {why}");
        ExitCode::from(code)
    })
}

/// An exit code, and what is said.
pub(super) struct Failed(u8, String);

impl Failed {
    pub(super) fn why(self) -> String {
        self.1
    }
}

type Done = Result<ExitCode, Failed>;

/// It was not done, or not all of it.
fn failed(why: impl ToString) -> Failed {
    Failed(1, why.to_string())
}

/// It cannot be done as it was asked for.
fn impossible(why: impl ToString) -> Failed {
    Failed(2, why.to_string())
}

/// Reads the journal of a configuration.
fn reader(config: &Config) -> Result<Reader, Failed> {
    Reader::open(&section(config)?.directory).map_err(impossible)
}

fn section(config: &Config) -> Result<&crate::journal::Config, Failed> {
    let none = "this configuration has no journal; give the configuration of the bridge that has it with --config";
    config.journal.as_ref().ok_or_else(|| impossible(none))
}

/// The last record there is.
async fn last(reader: &Reader) -> Result<i64, Failed> {
    let ends = reader.read(store::queries::ends).await.map_err(failed)?;
    Ok(ends.map_or(0, |(_, last)| last))
}

fn shown(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).display().iec().to_string()
}

/// In whole seconds: nobody wants more.
fn age(since: Duration) -> String {
    humantime::format_duration(Duration::from_secs(since.as_secs())).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_date_or_an_age() {
        assert_eq!(since("1970-01-01T00:00:01Z"), Ok(1000));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let ago = now - since("2h").unwrap();
        assert!((7_199_000..=7_201_000).contains(&ago), "{ago}");
        assert!(since("yesterday").unwrap_err().contains("give one such as"));
    }
}
