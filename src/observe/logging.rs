//! The log: lines for people on a terminal, JSON lines elsewhere. Never a body, never a secret.

use std::io::IsTerminal;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// How many lines wait for who reads them; more are dropped.
const LINES: usize = 10_000;

/// Starts to log to standard error until the guard is dropped. `RUST_LOG` chooses what; by default what an operator
/// should know. Whoever reads slowly loses lines, and holds up nothing: a full pipe must stop no notification.
pub fn start() -> WorkerGuard {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,async_nats=warn"));
    let lines = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES);
    let (writer, guard) = lines.finish(std::io::stderr());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    if std::io::stderr().is_terminal() {
        builder.with_target(false).init();
    } else {
        builder.json().flatten_event(true).init();
    }
    guard
}
