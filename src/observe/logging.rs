//! The log: lines for people on a terminal, JSON lines elsewhere. Never a body, never a secret.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts to log to standard error. `RUST_LOG` chooses what; by default what an operator should know.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,async_nats=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.with_target(false).init();
    } else {
        builder.json().flatten_event(true).init();
    }
}
