//! `journal`: shows what is in the journal, and changes it.
//!
//! `status` and `export` read the files of the journal, also while a bridge runs. The others change it: directly if no bridge
//! runs, else through the admin listener of the bridge ([`access`]).

mod access;
mod edit;
mod export;
mod import;
mod status;

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};

use super::args;
use crate::config::Config;
use crate::journal::{JournalReader, RecordFilter};
use crate::journal_edit::Edit;
use crate::message::Broker;
pub(super) use access::{AdminOptions, JournalAccess};

/// The commands of `journal`.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the backlog of each broker: how many records, since when, and of which instances.
    ///
    /// Reads the journal, also while a bridge runs. Shows nothing of the bodies of notifications.
    #[command(after_help = "Examples:
  greenapi-bridge journal status --config bridge.toml
  greenapi-bridge journal status --config bridge.toml --json | jq .backlog.nats.records")]
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write records as lines of CloudEvents JSON, with all that `journal import` needs. They stay in the journal.
    ///
    /// Reads the journal, also while a bridge runs; records that arrive after the start of an export are not in it. Exit
    /// code 0: all records are written.
    #[command(after_help = "Examples:
  greenapi-bridge journal export --config bridge.toml --broker kafka --output backlog.jsonl
  greenapi-bridge journal export --config bridge.toml --instance 1101000001 --since 2h | jq .data")]
    Export(export::Arguments),
    /// Add the records that `journal export` wrote, behind all records in the journal.
    ///
    /// Records that are in the journal already, or were stored within the dedup window, are skipped: repeating an import is
    /// safe. Exit code 0: all records are in the journal, 1: not all, 2: a wrong option or file.
    #[command(after_help = "Examples:
  greenapi-bridge journal import --config bridge.toml backlog.jsonl
  greenapi-bridge journal import --config bridge.toml --to nats backlog.jsonl")]
    Import(import::Arguments),
    /// Give the backlog of a broker the destinations of the current routes, or move it to another broker.
    ///
    /// The records keep their order; dead letters stay dead letters. A record that was in flight when this began, or may
    /// have been before a crash, can also arrive at its old destination, with the same `ce_id`. New notifications go to the
    /// journal, behind the backlog, until the reroute is done. A bridge that runs on the journal must have started with the
    /// configuration given here. For another Kafka topic, reroute before that bridge starts: notifications for the new topic
    /// do not wait for the backlog of the old one.
    #[command(after_help = "Examples:
  greenapi-bridge journal reroute --config bridge.toml --from kafka --dry-run
  greenapi-bridge journal reroute --config bridge.toml --from kafka --to nats --yes")]
    Reroute {
        /// The broker whose backlog is rerouted.
        #[arg(long, value_name = "BROKER", value_parser = args::broker())]
        from: Broker,
        /// The broker that gets it. Default: the same broker.
        #[arg(long, value_name = "BROKER", value_parser = args::broker())]
        to: Option<Broker>,
        #[command(flatten)]
        filter: FilterOptions,
        #[command(flatten)]
        options: EditOptions,
    },
    /// Drop the backlog of a broker: it will never be published there. Records in no other backlog are deleted.
    #[command(after_help = "Examples:
  greenapi-bridge journal export --config bridge.toml --broker nats --output backlog.jsonl    save it first
  greenapi-bridge journal drop --config bridge.toml --broker nats
  greenapi-bridge journal drop --config bridge.toml --seq 1834    a record that cannot be read")]
    Drop {
        /// The broker whose backlog is dropped.
        #[arg(long, value_name = "BROKER", value_parser = args::broker(), required_unless_present = "seq")]
        broker: Option<Broker>,
        /// Only the record with this sequence number, also one that cannot be read; without --broker from all backlogs.
        #[arg(long, value_name = "NUMBER")]
        seq: Option<i64>,
        #[command(flatten)]
        filter: FilterOptions,
        #[command(flatten)]
        options: EditOptions,
    },
    /// Delete all records of an instance or of a chat, dead letters too, and leave no trace of them in the journal's files.
    ///
    /// What brokers have already is not erased there. A notification is of a chat if it names the id as chat, sender, caller or
    /// participant; a body that is not a notification, if the id stands anywhere in it.
    #[command(after_help = "Examples:
  greenapi-bridge journal erase --config bridge.toml --chat 79990000000@c.us --dry-run
  greenapi-bridge journal erase --config bridge.toml --instance 1101000001 --yes")]
    Erase {
        #[command(flatten)]
        subject: EraseSubject,
        #[command(flatten)]
        options: EditOptions,
    },
}

/// Whose records are erased.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(super) struct EraseSubject {
    /// All records of this instance.
    #[arg(long, value_name = "INSTANCE", value_parser = args::instance)]
    instance: Option<u64>,
    /// All records that name this chat or person, in all instances, as GREEN-API writes it: 79990000000@c.us, not 79990000000.
    #[arg(long, value_name = "ID")]
    chat: Option<String>,
}

/// Which records a command concerns.
#[derive(Debug, Clone, Args)]
pub(super) struct FilterOptions {
    /// Only records of this instance.
    #[arg(long, value_name = "INSTANCE", value_parser = args::instance)]
    instance: Option<u64>,
    /// Only records of this class: incoming, outgoing, state, device or other.
    #[arg(long, value_name = "CLASS", value_parser = args::class())]
    class: Option<String>,
    /// Only records received since: a time such as 2026-01-31T12:00:00Z, or how long ago, such as 2h.
    #[arg(long, value_name = "TIME", value_parser = args::since)]
    since: Option<SystemTime>,
}

/// How an edit is done.
#[derive(Debug, Clone, Args)]
pub(super) struct EditOptions {
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
    /// Print what would be done; change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminOptions,
}

impl FilterOptions {
    /// The filter for the backlog of a broker. None means records of every backlog and of none.
    fn for_backlog_of(self, broker: Option<Broker>) -> RecordFilter {
        let Self { instance, class, since } = self;
        let since = since.map(|at| at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64));
        RecordFilter { broker, instance, class, since, or_no_instance: false, seq: None }
    }
}

/// Runs a command of `journal`. Exit code 0: done, 1: not done, or not all of it, 2: impossible as asked.
pub(super) async fn run(command: Command, config: &Config) -> ExitCode {
    let result = match command {
        Command::Status { json } => status::status(config, json).await,
        Command::Export(arguments) => export::export(config, arguments).await,
        Command::Import(arguments) => import::import(config, arguments).await,
        Command::Reroute { from, to, filter, options } => {
            edit::edit(config, Edit::Reroute { from, to }, filter.for_backlog_of(None), options).await
        }
        Command::Drop { broker, seq, filter, options } => {
            let filter = RecordFilter { seq, ..filter.for_backlog_of(None) };
            edit::edit(config, Edit::Drop { broker }, filter, options).await
        }
        Command::Erase { subject: EraseSubject { instance, chat }, options } => {
            edit::edit(config, Edit::Erase { instance, chat }, RecordFilter::default(), options).await
        }
    };
    result.unwrap_or_else(|CommandError { exit_code, message }| {
        eprintln!("greenapi-bridge: {message}");
        ExitCode::from(exit_code)
    })
}

/// Why a command did not succeed.
pub(super) struct CommandError {
    exit_code: u8,
    message: String,
}

impl CommandError {
    pub(super) fn into_message(self) -> String {
        self.message
    }
}

type CommandResult = Result<ExitCode, CommandError>;

/// The command did not do its work, or not all of it.
fn failure(message: impl ToString) -> CommandError {
    CommandError { exit_code: 1, message: message.to_string() }
}

/// The configuration, an option or a file cannot be used.
fn unusable(message: impl ToString) -> CommandError {
    CommandError { exit_code: 2, message: message.to_string() }
}

/// Opens the journal of a configuration for reading.
fn open_reader(config: &Config) -> Result<JournalReader, CommandError> {
    JournalReader::open(&section(config)?.directory).map_err(unusable)
}

fn section(config: &Config) -> Result<&crate::journal::Config, CommandError> {
    let none = "this configuration has no journal; give the configuration of the bridge that has it with --config";
    config.journal.as_ref().ok_or_else(|| unusable(none))
}

/// The sequence number of the last record, also of one that cannot be read; 0 if there is none.
async fn last_seq(reader: &JournalReader) -> Result<i64, CommandError> {
    let range = reader.range().await.map_err(failure)?;
    let unreadable = reader.unreadable().await.map_err(failure)?;
    Ok(range.map_or(0, |range| range.last).max(unreadable.last().copied().unwrap_or(0)))
}

fn format_bytes(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).display().iec().to_string()
}

/// An age in whole seconds.
fn format_age(age: Duration) -> String {
    humantime::format_duration(Duration::from_secs(age.as_secs())).to_string()
}
