//! Being told to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears SIGTERM and SIGINT from when it is made, also those that come before it is waited for. Unheard, either ends
/// the process.
pub(super) struct Signals([Option<Signal>; 2]);

impl Signals {
    /// To be made inside a runtime.
    pub(super) fn new() -> Self {
        Self([SignalKind::terminate(), SignalKind::interrupt()].map(|kind| signal(kind).ok()))
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        let [terminate, interrupt] = &mut self.0;
        tokio::select! { () = one(terminate) => {}, () = one(interrupt) => {} }
    }
}

async fn one(of: &mut Option<Signal>) {
    match of {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
