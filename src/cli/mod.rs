//! The commands: they talk to people and own no logic.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this room talks to people")]

mod check;
mod dead_letter;
#[cfg(feature = "journal")]
mod journal;
mod numbers;
mod provision;
mod routes;
mod send;
mod signals;
#[cfg(feature = "journal")]
mod tail;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::bridge::{Bridge, Ended};
use crate::config::{self, Config};
use crate::observe::logging;
use routes::Plan;
use signals::Signals;

const EXAMPLES: &str = "Examples:
  greenapi-bridge provision --config bridge.toml   create the stream, the topics
  greenapi-bridge check --config bridge.toml       are the brokers ready?
  greenapi-bridge --config bridge.toml             serve
  greenapi-bridge                                  serve without any broker: keep all in ./data
  greenapi-bridge tail                             follow what is kept
  greenapi-bridge journal status --config bridge.toml
  greenapi-bridge send --config bridge.toml        notifications to try it with
  BRIDGE_NATS__SERVERS='[\"nats://nats:4222\"]' greenapi-bridge";

/// Stores GREEN-API webhooks in NATS JetStream and Apache Kafka: a 200 means stored.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXAMPLES)]
struct Arguments {
    /// The configuration file; every key can also be set as BRIDGE_<SECTION>__<KEY>.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Configured(Configured),
    /// Send notifications as GREEN-API does: samples of every type, one after the other, again until they are stored.
    ///
    /// Needs no configuration. Exit code 0: everything was answered 200, 1: not everything, 2: a wrong flag.
    #[command(after_help = send::help())]
    Send(Box<send::Arguments>),
    /// Follow what is in the journal: the last 10, then what comes.
    ///
    /// Reads the journal's folder, also beside a running bridge; what was forwarded to its brokers is no longer in it.
    /// With --url it needs no configuration. Exit code 0: all is printed, or a signal ended it, 1: it cannot be read,
    /// 2: the configuration or a flag cannot be used.
    #[cfg(feature = "journal")]
    #[command(after_help = tail::EXAMPLES)]
    Tail(Box<tail::Arguments>),
}

/// What needs a configuration.
#[derive(Debug, Subcommand)]
enum Configured {
    /// Serve (the default).
    ///
    /// Ends on SIGTERM or SIGINT. Exit code 0: nothing was left, 1: it could not go on, 2: the configuration cannot be
    /// used, 3: the grace was over first; nothing answered 200 is lost.
    #[command(after_help = "Example:
  greenapi-bridge run --config bridge.toml")]
    Run,
    /// Ask the brokers whether their stream and topics would store what is sent to them, and keep it.
    ///
    /// Prints where each class goes, then a line for everything asked: ✓ fine, ! worth knowing, ✗ wrong, with the
    /// remedy. Exit code 0: nothing is wrong, 1: something is, 2: the configuration cannot be used.
    #[command(after_help = "Examples:
  greenapi-bridge check --config bridge.toml
  greenapi-bridge check --config bridge.toml --offline
  greenapi-bridge check --config bridge.toml --json | jq '.brokers[][] | select(.verdict == \"wrong\")'")]
    Check {
        /// Read the configuration and print the routes; ask nobody.
        #[arg(long)]
        offline: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Create the stream and the topics the routes need, or widen the stream; never narrows or deletes.
    ///
    /// Prints what was done to each: + what it has now, ? what a dry run cannot be sure of, = what is otherwise than
    /// asked for and stays. Exit code 0: it is done, 1: it is not, 2: the configuration cannot be used.
    #[command(after_help = "Examples:
  greenapi-bridge provision --config bridge.toml --dry-run
  BRIDGE_NATS__PROVISION__MAX_AGE=30d greenapi-bridge provision --config bridge.toml")]
    Provision {
        /// Say what would be done; change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Look into the dead letter of the brokers, and send what lies there on its way again.
    #[command(subcommand, after_help = dead_letter::EXAMPLES)]
    DeadLetter(dead_letter::Command),
    /// Say what waits in the journal, and move it, give it up or erase it.
    #[cfg(feature = "journal")]
    #[command(
        subcommand,
        after_help = "Example:
  greenapi-bridge journal status --config bridge.toml"
    )]
    Journal(journal::Journal),
}

/// Runs the command line. 0 clean, 1 failed, 2 configuration, 3 grace exceeded.
pub fn main() -> ExitCode {
    let Arguments { config, command } = Arguments::parse_from(arguments(std::env::args_os()));
    match command.unwrap_or(Command::Configured(Configured::Run)) {
        Command::Configured(command) => configured(command, config.as_deref()),
        Command::Send(arguments) => send::send(&arguments, config.as_deref()),
        #[cfg(feature = "journal")]
        Command::Tail(arguments) => tail::tail(&arguments, config.as_deref()),
    }
}

/// `help --help` is what `help` prints: clap's own command takes no flags.
fn arguments(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<_> = words.collect();
    if words.get(1).is_some_and(|word| word == "help") {
        words.retain(|word| word != "--help" && word != "-h");
    }
    words
}

fn configured(command: Configured, config: Option<&Path>) -> ExitCode {
    let overlooked = overlooked();
    let loaded = Config::load(config, environment());
    // every command finds out what only serving would need
    let checked = loaded.and_then(|config| {
        let [tokens, _] = config.tokens()?;
        Plan::new(&config).map(|plan| (config, tokens, plan))
    });
    let (config, tokens, plan) = match checked {
        Ok(all) => all,
        Err(error) => {
            say(&overlooked);
            eprintln!("greenapi-bridge: {error}");
            return ExitCode::from(2);
        }
    };
    if !matches!(command, Configured::Run) {
        say(&overlooked);
    }
    let runtime = match runtime(&command, config.http.workers) {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("greenapi-bridge: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match command {
        Configured::Run => runtime.block_on(serve(config, &overlooked)),
        Configured::Check { offline, json } => {
            let how = check::Asking { offline, as_json: json };
            runtime.block_on(check::check(&config, tokens.as_ref(), &plan, how))
        }
        Configured::Provision { dry_run } => runtime.block_on(provision::provision(&config, &plan, dry_run)),
        Configured::DeadLetter(command) => runtime.block_on(dead_letter::run(&config, command)),
        #[cfg(feature = "journal")]
        Configured::Journal(command) => runtime.block_on(journal::journal(command, &config)),
    };
    // all that counts is done; what still asks a broker that does not answer would hold the process up
    runtime.shutdown_timeout(LEAVE_WITHIN);
    #[cfg(feature = "kafka")]
    crate::brokers::kafka::let_clients_end(LEAVE_WITHIN * 2);
    code
}

/// How long threads that wait for a broker get to notice that it is over.
const LEAVE_WITHIN: Duration = Duration::from_millis(500);

/// One worker is the thread that is there: what it has to do then waits in one line, and what one turn of it brings
/// for a broker goes there in one write.
fn runtime(command: &Configured, workers: usize) -> std::io::Result<tokio::runtime::Runtime> {
    use tokio::runtime::Builder;
    match command {
        Configured::Run if workers == 1 => Builder::new_current_thread().enable_all().build(),
        _ => Builder::new_multi_thread().worker_threads(workers).enable_all().build(),
    }
}

/// What is no Unicode is changed, not left out: it must be refused, and a tokens file must not go missing.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

/// Names in the environment that look as if they were read.
fn overlooked() -> Vec<String> {
    config::overlooked(environment().map(|(name, _)| name))
}

fn say(warnings: &[String]) {
    warnings.iter().for_each(|warning| eprintln!("greenapi-bridge: {warning}"));
}

async fn serve(config: Config, overlooked: &[String]) -> ExitCode {
    let _logging = logging::start();
    outlive_hangups();
    overlooked.iter().for_each(|warning| tracing::warn!("{warning}"));
    if let Some((anyone, remedy)) = config.open_to() {
        tracing::warn!("{anyone}; {remedy}");
    }
    let (mut first, mut all) = (Signals::new(), Signals::new());
    let built = tokio::select! {
        built = Bridge::build(config) => built,
        // a large journal takes its time to open; cut off there, it is as after a crash: nothing is lost
        () = first.next() => {
            tracing::info!("stopped before it served");
            return ExitCode::SUCCESS;
        }
    };
    let bridge = match built {
        Ok(bridge) => bridge,
        Err(error) => {
            eprintln!("greenapi-bridge: {error}");
            let configured = matches!(error, crate::bridge::BuildError::Config(_));
            return ExitCode::from(if configured { 2 } else { 1 });
        }
    };
    let ended = tokio::select! {
        ended = bridge.run(first.next()) => ended,
        () = async { all.next().await; all.next().await } => {
            tracing::error!("a second signal ends it at once; what is left was not answered 200");
            Ended::GraceExceeded
        }
    };
    ExitCode::from(match ended {
        Ended::Clean => 0,
        Ended::Failed => 1,
        Ended::GraceExceeded => 3,
    })
}

/// SIGHUP asks for the files to be read again, which a restart does; unheard, it would end the process.
fn outlive_hangups() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::warn!(
                "SIGHUP: nothing is read again; restart for a changed configuration, tokens or certificates"
            );
        }
    });
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn help_takes_its_own_flag() {
        let said = |words: &str| {
            let words = arguments(words.split(' ').map(OsString::from));
            Arguments::try_parse_from(words).unwrap_err().to_string()
        };
        assert!(said("greenapi-bridge help --help").starts_with("Stores GREEN-API webhooks"));
        assert_eq!(said("greenapi-bridge help check -h"), said("greenapi-bridge check --help"));
        assert_ne!(said("greenapi-bridge check -h"), said("greenapi-bridge check --help"), "shorter");
    }

    #[test]
    fn the_help_of_each_command_has_an_example() {
        let mut arguments = Arguments::command();
        arguments.clone().debug_assert();
        for command in arguments.get_subcommands_mut() {
            has_example(command, "greenapi-bridge");
        }
    }

    fn has_example(command: &mut clap::Command, before: &str) {
        let called = format!("{before} {}", command.get_name());
        let group = command.has_subcommands();
        command.get_subcommands_mut().for_each(|nested| has_example(nested, &called));
        let help = command.render_help().to_string();
        assert!(group || help.contains(&format!("{called} --config")), "{help}");
    }
}
