//! The commands and their options, as `--help` prints them. A new command begins here.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use super::{check, dead_letter, journal, schema, send, tail};

const EXAMPLES: &str = "Examples:
  greenapi-bridge provision --config bridge.toml   create the stream and the topics
  greenapi-bridge check --config bridge.toml       check that the brokers are ready
  greenapi-bridge --config bridge.toml             serve
  greenapi-bridge                                  serve without a broker: store all in ./data
  greenapi-bridge tail                             follow the records of the journal
  greenapi-bridge journal status --config bridge.toml
  greenapi-bridge send --config bridge.toml        send sample notifications to it
  greenapi-bridge schema                           print the JSON Schemas of the notifications
  BRIDGE_NATS__SERVERS='[\"nats://nats:4222\"]' greenapi-bridge";

/// What `--version` says. deploy/build-static adds the commit; a build by cargo alone knows none.
const VERSION: &str = match option_env!("BRIDGE_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

/// Stores GREEN-API webhooks in NATS JetStream and Apache Kafka: a 200 means stored.
#[derive(Debug, Parser)]
#[command(version = VERSION, about, after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The configuration file, also BRIDGE_CONFIG; every key can also be set as BRIDGE_<SECTION>__<KEY>.
    #[arg(long, short, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) log: LogOptions,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// What `run` logs; stronger than `[log]` and `RUST_LOG`.
#[derive(Debug, Args)]
pub(super) struct LogOptions {
    /// What run logs: error, warn, info, debug, trace, or a filter as RUST_LOG takes it.
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Log more: as --log-level debug, twice as --log-level trace.
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with_all = ["log_level", "quiet"])]
    verbose: u8,
    /// Log only warnings and errors: as --log-level warn.
    #[arg(short, long, global = true, conflicts_with = "log_level")]
    quiet: bool,
}

impl LogOptions {
    /// The level or filter that the options name, if they do.
    pub(super) fn level(&self) -> Option<&str> {
        match (self.log_level.as_deref(), self.verbose, self.quiet) {
            (Some(level), ..) => Some(level),
            (None, 0, false) => None,
            (None, 0, true) => Some("warn"),
            (None, 1, _) => Some("debug"),
            (None, ..) => Some("trace"),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    #[command(flatten)]
    Configured(Configured),
    /// Send notifications as GREEN-API does: samples of every type, one by one, each repeated until it is stored.
    ///
    /// Needs no configuration. Exit code 0: all were answered 200, 1: not all, 2: a wrong option.
    #[command(after_help = send::help())]
    Send(Box<send::Arguments>),
    /// Follow the records of the journal: the last 10, then new ones as they come.
    ///
    /// Reads the journal's folder, also while a bridge runs. Records that were forwarded to the brokers are no longer in it.
    /// With --url it needs no configuration. Exit code 0: all is printed, or a signal ended it, 1: the journal cannot be
    /// read, 2: the configuration or an option cannot be used.
    #[command(after_help = tail::EXAMPLES)]
    Tail(Box<tail::Arguments>),
    /// Print the JSON Schemas (draft-07) of the notifications: all in one, or that of one type or message type.
    ///
    /// Each is self-contained. Needs no configuration. Exit code 0: printed, 2: there is no schema of this name.
    #[command(after_help = schema::EXAMPLES)]
    Schema(schema::Arguments),
}

impl Command {
    /// Whether what the command does depends on a configuration.
    pub(super) fn reads_config(&self) -> bool {
        match self {
            Self::Configured(Configured::Check(arguments)) => arguments.ready.is_none(),
            Self::Configured(_) => true,
            Self::Send(arguments) => arguments.url.is_none(),
            Self::Tail(arguments) => arguments.url.is_none(),
            Self::Schema(_) => false,
        }
    }

    /// Whether this serves.
    pub(super) fn is_run(&self) -> bool {
        matches!(self, Self::Configured(Configured::Run))
    }
}

/// The commands that need a configuration.
#[derive(Debug, Subcommand)]
pub(super) enum Configured {
    /// Serve (the default).
    ///
    /// Stops on SIGTERM or SIGINT. Exit code 0: all requests were answered, 1: it could not continue, 2: the configuration
    /// cannot be used, 3: shutdown.grace was over before all were answered; nothing answered 200 is lost.
    #[command(after_help = "Example:
  greenapi-bridge run --config bridge.toml")]
    Run,
    /// Check that the stream and the topics of the brokers store messages safely.
    ///
    /// Prints the destinations of each class, then a line for each check: ✓ fine, ! worth knowing, ✗ wrong, with the
    /// remedy. With --ready it asks a running bridge instead, and needs no configuration. Exit code 0: nothing is wrong, 1:
    /// something is wrong, or the bridge is not ready, 2: the configuration or an option cannot be used.
    #[command(after_help = check::EXAMPLES)]
    Check(check::Arguments),
    /// Create the stream and the topics the routes need, or widen the stream; never narrows or deletes.
    ///
    /// Prints what was done to each: + a setting it has now, ? what a dry run cannot be sure of, = a setting that differs
    /// from the configuration and is not changed. Exit code 0: done, 1: not done, 2: the configuration cannot be used.
    #[command(after_help = "Examples:
  greenapi-bridge provision --config bridge.toml --dry-run
  BRIDGE_NATS__PROVISION__MAX_AGE=30d greenapi-bridge provision --config bridge.toml")]
    Provision {
        /// Print what would be done; change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the AsyncAPI 3.0 document of what is published: channels, keys, headers and messages of the configured routes.
    ///
    /// The document is JSON, which is YAML too. `deploy/asyncapi-html` makes a page of it. Exit code 0: printed, 1: no route
    /// leads to a broker, 2: the configuration cannot be used.
    #[command(after_help = "Examples:
  greenapi-bridge asyncapi --config bridge.toml > asyncapi.json
  greenapi-bridge asyncapi --config bridge.toml | jq '.channels[].address'")]
    Asyncapi,
    /// List, show and replay the dead letters of the brokers and of the journal.
    #[command(subcommand, after_help = dead_letter::EXAMPLES)]
    DeadLetter(dead_letter::Command),
    /// Show the backlog in the journal; export, import, reroute, drop or erase records.
    #[command(
        subcommand,
        after_help = "Example:
  greenapi-bridge journal status --config bridge.toml"
    )]
    Journal(journal::Command),
}
