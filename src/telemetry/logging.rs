//! `[log]`: lines for people on a terminal, JSON lines elsewhere. Never a body, never a secret. Repeats are limited.

use std::io::IsTerminal;

use serde::Deserialize;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt, registry};

use super::repeats::{RepeatCountLogger, RepeatLimit};

/// How many lines may wait to be written; more are dropped.
const MAX_WAITING_LINES: usize = 10_000;

/// `[log]`: what goes to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug` or `trace`, or a filter as `RUST_LOG` takes it. Default `info`: what an operator
    /// should know. `--log-level`, `-v`, `-q` and `RUST_LOG` are stronger.
    pub level: String,
    /// Default `auto`.
    pub format: LogFormat,
}

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Auto }
    }
}

/// A filter of lines that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no level, or would show nothing of the bridge; give error, warn, info, debug or trace, or a filter such as info,async_nats=debug"
)]
pub struct InvalidFilter(String);

/// Reads a level, or a filter as `RUST_LOG` takes it.
///
/// # Errors
/// [`InvalidFilter`]: a word that is neither a level nor `target=level`. `RUST_LOG` itself would take it for a target, and
/// show nothing else.
pub fn filter(text: &str) -> Result<EnvFilter, InvalidFilter> {
    let invalid = |part: &str| InvalidFilter(part.to_owned());
    for part in text.split(',').map(str::trim) {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        // a span in brackets has no level of its own
        if level.parse::<LevelFilter>().is_err() && !part.contains('[') || part.is_empty() {
            return Err(invalid(part));
        }
    }
    if !shows_bridge(text) {
        return Err(invalid(text));
    }
    let level = text.trim().parse::<LevelFilter>().ok();
    // the clients tell at `info` what the bridge says in its own words
    let quiet = level.is_some_and(|level| level == LevelFilter::INFO);
    let directives = if quiet { "info,async_nats=warn,librdkafka=warn" } else { text };
    EnvFilter::try_new(directives).map_err(|_| invalid(text))
}

/// Whether a filter lets anything of the bridge itself through, or says `off` in so many words.
fn shows_bridge(text: &str) -> bool {
    text.split(',').any(|part| match part.trim().rsplit_once('=') {
        // a level for all, which may be off, or a span
        None => true,
        Some((target, _)) => target.starts_with(OWN_TARGET) || OWN_TARGET.starts_with(target),
    })
}

/// Whether a line belongs to a kind that never has a body. At `trace` the NATS client shows each message that it receives,
/// and the bridge receives stored notifications when it looks them up.
fn shows_no_payload(line: &Metadata<'_>) -> bool {
    *line.level() != Level::TRACE || !line.target().starts_with("async_nats")
}

/// The target of the bridge's own lines begins with it.
const OWN_TARGET: &str = "greenapi_bridge";

/// Keeps the log written until it is dropped.
pub struct LogGuard {
    /// Ends first: it logs the last counts.
    _counts: RepeatCountLogger,
    _writer: WorkerGuard,
}

/// Logs to standard error until the guard is dropped. A slow reader loses lines: a full pipe must stop no notification.
pub fn start(filter: EnvFilter, format: LogFormat) -> LogGuard {
    let lines = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(MAX_WAITING_LINES);
    let (writer, guard) = lines.finish(std::io::stderr());
    let repeats = RepeatLimit::new();
    let counts = repeats.start_counts();
    let log = registry().with(filter).with(filter_fn(shows_no_payload)).with(repeats);
    let is_terminal = std::io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(writer);
    if format == LogFormat::Text || format == LogFormat::Auto && is_terminal {
        log.with(lines.with_target(false).with_ansi(is_terminal && has_colors())).init();
    } else {
        log.with(lines.json().flatten_event(true)).init();
    }
    LogGuard { _counts: counts, _writer: guard }
}

/// See <https://no-color.org>; a terminal that is `dumb` would show the escape sequences.
fn has_colors() -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !no_color && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing::{debug, trace};

    use super::*;

    #[test]
    fn no_filter_shows_the_messages_that_the_nats_client_receives() {
        for text in ["trace", "async_nats=trace,info", "greenapi_bridge=trace,async_nats::connection=trace"] {
            let written = Arc::new(Mutex::new(Vec::new()));
            let seen = written.clone();
            let writer = move || Written(seen.clone());
            let log = registry().with(filter(text).unwrap()).with(filter_fn(shows_no_payload));
            tracing::subscriber::with_default(log.with(fmt::layer().with_writer(writer)), || {
                trace!(target: "async_nats::connection", "a message");
                debug!(target: "async_nats::connection", "a connection");
            });
            let said = String::from_utf8(written.lock().clone()).unwrap();
            assert!(!said.contains("a message") && said.contains("a connection"), "{text}: {said}");
        }
    }

    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_filter_that_shows_nothing_is_refused() {
        for valid in
            ["info", "INFO", "off", "debug,async_nats=warn", "greenapi_bridge::delivery=trace", "info,[span]=debug"]
        {
            assert!(filter(valid).is_ok(), "{valid}");
        }
        for (wrong, part) in [
            ("verbose", "verbose"),
            ("info,greenapi_bridge", "greenapi_bridge"),
            ("a=loud", "a=loud"),
            ("", ""),
            ("greenapi-bridge=debug", "greenapi-bridge=debug"),
            ("[span]=info", "[span]=info"),
        ] {
            assert_eq!(filter(wrong).unwrap_err(), InvalidFilter(part.into()), "{wrong}");
        }
        assert_eq!(
            filter("info").unwrap().to_string(),
            filter("info,async_nats=warn,librdkafka=warn").unwrap().to_string()
        );
    }
}
