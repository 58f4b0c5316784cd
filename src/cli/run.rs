//! `run`: serves the webhook, until a signal.

use std::io::IsTerminal;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use super::first_screen;
use super::signals::Signals;
use crate::bridge::{Bridge, BridgeExit, BuildError};
use crate::config::Config;
use crate::telemetry::logging::{self, LogFormat};

/// Serves until a signal ends it; a second signal ends it at once.
pub(super) async fn run(config: Config, filter: EnvFilter, warnings: &[String]) -> ExitCode {
    let _logging = logging::start(filter, config.log.format);
    ignore_sighup();
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if let Some((anyone, remedy)) = config.anonymous_access() {
        tracing::warn!("{anyone}; {remedy}");
    }
    let (mut first, mut all) = (Signals::new(), Signals::new());
    let screen = std::io::stderr().is_terminal().then(|| first_screen::lines(&config));
    let built = tokio::select! {
        built = Bridge::build(config) => built,
        // opening a large journal takes long; ending in the middle is like a crash: nothing is lost
        () = first.next() => {
            tracing::info!("stopped before serving");
            return ExitCode::SUCCESS;
        }
    };
    let bridge = match built {
        Ok(bridge) => bridge,
        Err(error) => {
            log_refusal(&error);
            let configured = matches!(error, BuildError::Config(_));
            return ExitCode::from(if configured { 2 } else { 1 });
        }
    };
    screen.iter().flatten().for_each(|line| eprintln!("{line}"));
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

/// Says why a start is refused before the log is up: in the log's own format, because what collects it reads that.
pub(super) fn refuse(format: LogFormat, warnings: &[String], error: &dyn std::fmt::Display) -> ExitCode {
    let _logging = logging::start(EnvFilter::new("warn"), format);
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    error.to_string().lines().for_each(|line| log_refusal(&line));
    ExitCode::from(2)
}

/// On a terminal people read it without the trappings of a log.
fn log_refusal(error: &dyn std::fmt::Display) {
    if std::io::stderr().is_terminal() {
        eprintln!("greenapi-bridge: {error}");
    } else {
        tracing::error!(event = "start_refused", %error, "start refused");
    }
}

/// Survives SIGHUP, which would end the process. Files are only read at a start.
fn ignore_sighup() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::warn!("SIGHUP ignored: restart to apply a changed configuration, tokens or certificates");
        }
    });
}
