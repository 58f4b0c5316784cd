//! `run`: serves the webhook, until a signal.

use std::io::IsTerminal;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::signals::Signals;
use super::startup_lines;
use crate::bridge::{Bridge, BridgeExit, BuildError};
use crate::config::{Config, ConfigSource};
use crate::reload::ReloadRequests;
use crate::telemetry::logging::{self, LogFormat};

/// Serves until a signal ends it; a second signal ends it at once.
pub(super) async fn run(config: Config, source: ConfigSource, filter: EnvFilter, warnings: &[String]) -> ExitCode {
    let _logging = logging::start(filter, config.log.format);
    // without a receiver it would end the process, also while the bridge is built
    let hangup = signal(SignalKind::hangup());
    warnings.iter().for_each(log_warning);
    if let Some((problem, remedy)) = config.anonymous_access() {
        tracing::warn!(problem, remedy, "anonymous access");
    }
    if let Some((problem, remedy)) = config.proxy_bypass() {
        tracing::warn!(problem, remedy, "source addresses can be forged");
    }
    for (key, problem, remedy) in config.open_tokens_files() {
        tracing::warn!(key, problem, remedy, "tokens file is open to every user");
    }
    let (mut first, mut all) = (Signals::new(), Signals::new());
    let lines = std::io::stderr().is_terminal().then(|| startup_lines::lines(&config));
    let built = tokio::select! {
        built = Bridge::build(config) => built,
        // opening a large journal takes long; ending in the middle is like a crash: nothing is lost
        () = first.next() => {
            tracing::info!("stopped before serving");
            return ExitCode::SUCCESS;
        }
    };
    let bridge = match built {
        Ok(bridge) => bridge.reloading_from(source),
        Err(error) => {
            log_refusal(&error);
            let configured = matches!(error, BuildError::Config(_));
            return ExitCode::from(if configured { 2 } else { 1 });
        }
    };
    if let Ok(hangup) = hangup {
        tokio::spawn(reload_on(hangup, bridge.reload_requests()));
    }
    lines.iter().flatten().for_each(|line| eprintln!("{line}"));
    let ended = tokio::select! {
        ended = bridge.run(first.next()) => ended,
        () = async { all.next().await; all.next().await } => {
            tracing::error!("a second signal: stopping at once; open requests were not answered 200");
            BridgeExit::GraceExceeded
        }
    };
    ExitCode::from(match ended {
        BridgeExit::Clean => 0,
        BridgeExit::Failed => 1,
        BridgeExit::GraceExceeded => 3,
    })
}

/// Logs why a start is refused, before the log is up. It uses the log's format: log collectors expect that format.
pub(super) fn refuse(format: LogFormat, warnings: &[String], error: &dyn std::fmt::Display) -> ExitCode {
    let _logging = logging::start(EnvFilter::new("warn"), format);
    warnings.iter().for_each(log_warning);
    error.to_string().lines().for_each(|line| log_refusal(&line));
    ExitCode::from(2)
}

fn log_warning(problem: &String) {
    tracing::warn!(problem, "configuration warning");
}

/// Logs why a start is refused. On a terminal the error is printed as plain text.
fn log_refusal(error: &dyn std::fmt::Display) {
    if std::io::stderr().is_terminal() {
        eprintln!("greenapi-bridge: {error}");
    } else {
        tracing::error!(event = "start_refused", %error, "start refused");
    }
}

/// Asks for a reload at each SIGHUP.
async fn reload_on(mut hangup: Signal, requests: ReloadRequests) {
    while hangup.recv().await.is_some() {
        requests.request();
    }
}
