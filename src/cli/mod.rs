//! The commands: they talk to people and own no logic.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this room talks to people")]

mod broker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::bridge::{Bridge, Ended};
use crate::config::Config;
use crate::observe::logging;

const EXAMPLES: &str = "Examples:
  greenapi-bridge provision --config bridge.toml   create the stream
  greenapi-bridge check --config bridge.toml       is the broker ready?
  greenapi-bridge --config bridge.toml             serve
  BRIDGE_NATS__SERVERS='[\"nats://nats:4222\"]' greenapi-bridge";

/// Stores GREEN-API webhooks in NATS JetStream: a 200 means stored.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXAMPLES)]
struct Arguments {
    /// The configuration file; every key can also be set as BRIDGE_<SECTION>__<KEY>.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Serve (the default).
    #[command(after_help = "Example:
  greenapi-bridge run --config bridge.toml")]
    Run,
    /// Ask the broker whether it would store what is sent to it.
    #[command(after_help = "Example:
  greenapi-bridge check --config bridge.toml")]
    Check,
    /// Create the stream the routes need, or widen it; never narrows or deletes.
    #[command(after_help = "Example:
  greenapi-bridge provision --config bridge.toml")]
    Provision,
}

/// Runs the command line. 0 clean, 1 failed, 2 configuration, 3 grace exceeded.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = match Config::load(arguments.config.as_deref(), environment()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("greenapi-bridge: {error}");
            return ExitCode::from(2);
        }
    };
    // one thread for HTTP and broker: threads that wake each other cost more than they bring
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("greenapi-bridge: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => runtime.block_on(serve(config)),
        Command::Check => runtime.block_on(broker::check(&config)),
        Command::Provision => runtime.block_on(broker::provision(&config)),
    }
}

fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

async fn serve(config: Config) -> ExitCode {
    logging::start();
    let bridge = match Bridge::build(config).await {
        Ok(bridge) => bridge,
        Err(error) => {
            eprintln!("greenapi-bridge: {error}");
            let configured = matches!(error, crate::bridge::BuildError::Config(_));
            return ExitCode::from(if configured { 2 } else { 1 });
        }
    };
    let ended = tokio::select! {
        ended = bridge.run(signal()) => ended,
        () = async { signal().await; signal().await } => {
            tracing::error!("a second signal ends it at once; what is left was not answered 200");
            Ended::GraceExceeded
        }
    };
    ExitCode::from(if ended == Ended::Clean { 0 } else { 3 })
}

/// Waits for SIGTERM or SIGINT.
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
        return std::future::pending().await;
    };
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
}
