//! The signals that stop a command.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Receives SIGTERM and SIGINT, from its creation on: a signal that comes before [`Signals::next`] is not lost. Without a
/// receiver, either ends the process. None means the handler could not be installed.
pub(super) struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
}

impl Signals {
    /// Must be called inside a runtime.
    pub(super) fn new() -> Self {
        Self { terminate: signal(SignalKind::terminate()).ok(), interrupt: signal(SignalKind::interrupt()).ok() }
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) {
        tokio::select! { () = receive(&mut self.terminate) => {}, () = receive(&mut self.interrupt) => {} }
    }
}

async fn receive(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
