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
use crate::service_manager::ServiceManager;
use crate::telemetry::logging::{self, LogFormat};

/// Serves until a signal ends it; a second signal ends it at once.
pub(super) async fn run(config: Config, source: ConfigSource, filter: EnvFilter, warnings: &[String]) -> ExitCode {
    let _logging = logging::start(filter, config.log.format);
    // without a receiver it would end the process, also while the bridge is built
    let hangup = signal(SignalKind::hangup());
    warnings.iter().for_each(log_warning);
    log_openness(&config);
    let (mut first, mut all) = (Signals::new(), Signals::new());
    let lines = std::io::stderr().is_terminal().then(|| startup_lines::lines(&config));
    let (status, grace) = (startup_lines::status(&config), config.shutdown.grace);
    let bridge = match build(config).await {
        Ok(bridge) => bridge.reloading_from(source),
        Err(code) => return code,
    };
    lines.iter().flatten().for_each(|line| eprintln!("{line}"));
    let manager = ServiceManager::from_environment();
    // its listeners accept connections since it is built
    manager.ready(&status).await;
    tokio::spawn(manager.clone().keep_alive());
    if let Ok(hangup) = hangup {
        tokio::spawn(reload_on(hangup, bridge.reload_requests(), manager.clone(), status));
    }
    let stop = async {
        first.next().await;
        manager.stopping(grace).await;
    };
    let at_once = async {
        all.next().await;
        all.next().await;
    };
    exit_code(tokio::select! {
        ended = bridge.run(stop) => ended,
        () = at_once => {
            tracing::error!("a second signal: stopping at once; open requests were not answered 200");
            BridgeExit::GraceExceeded
        }
    })
}

/// Builds the bridge, unless a signal comes first; otherwise the exit code.
async fn build(config: Config) -> Result<Bridge, ExitCode> {
    let mut signals = Signals::new();
    let is_ephemeral = config.journal.as_ref().is_some_and(|journal| journal.ephemeral);
    let stopped = async {
        signals.next().await;
        // what an ephemeral journal has is lost with its volume: it is opened all the same, and the stop forwards it
        if is_ephemeral {
            signals.next().await;
        }
    };
    tokio::select! {
        built = Bridge::build(config) => built.map_err(|error| {
            log_refusal(&error);
            ExitCode::from(if matches!(error, BuildError::Config(_)) { 2 } else { 1 })
        }),
        // opening a large journal takes long; ending in the middle is like a crash: nothing is lost
        () = stopped => {
            tracing::info!("stopped before serving");
            Err(exit_code(if is_ephemeral { BridgeExit::GraceExceeded } else { BridgeExit::Clean }))
        }
    }
}

fn exit_code(ended: BridgeExit) -> ExitCode {
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

/// Logs what lets others in than GREEN-API.
fn log_openness(config: &Config) {
    if let Some((problem, remedy)) = config.anonymous_access() {
        tracing::warn!(problem, remedy, "anonymous access");
    }
    if let Some((problem, remedy)) = config.proxy_bypass() {
        tracing::warn!(problem, remedy, "source addresses can be forged");
    }
    for (key, problem, remedy) in config.open_tokens_files() {
        tracing::warn!(key, problem, remedy, "tokens file is open to every user");
    }
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

/// Reloads at each SIGHUP. `status` is what the service manager shows after it.
async fn reload_on(mut hangup: Signal, requests: ReloadRequests, manager: ServiceManager, status: String) {
    while hangup.recv().await.is_some() {
        manager.reloading().await;
        requests.reload().await;
        manager.ready(&status).await;
    }
}
