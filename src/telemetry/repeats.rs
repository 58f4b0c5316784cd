//! Repeats in the log: the first line of a reason and source is logged at once, then one line a minute counts the others.
//!
//! Only these lines are limited: lines about a single request or notification, which have a field `client_address` or
//! `ce_id` (it may be empty), and all lines of libraries. A change of state, such as `broker down`, has neither field and
//! is always logged.
//! Lines below `info` are never limited: they exist to find a fault.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, error, info, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The time that one line stands for.
const PERIOD: Duration = Duration::from_secs(60);

/// How many sources of one reason are told apart; all others count as one.
const MAX_SOURCES: usize = 64;

/// How often to look for counts that are due.
const TICK: Duration = Duration::from_secs(1);

/// The target of our own lines begins with it.
const OWN_TARGET: &str = "greenapi_bridge";

/// The source of a line, taken from its fields.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Source {
    None,
    /// A client's address.
    Client(String),
    Broker(String),
    /// The text of a library's line, or the facility of librdkafka that it comes from.
    Text(String),
    /// A source that came after [`MAX_SOURCES`] others.
    Other,
}

/// What lines of one reason have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Reason {
    callsite: Identifier,
    level: Level,
    message: String,
    reason: Option<String>,
    detail: Option<String>,
}

/// How many lines of one reason and source were not logged.
#[derive(Debug, PartialEq, Eq)]
struct SuppressedCount<R> {
    reason: R,
    source: Source,
    count: u64,
}

/// The lines of one reason and source since the last one that was logged.
struct Repeats {
    logged: Instant,
    suppressed: u64,
}

/// Decides which lines are logged. It has no clock: the caller says what time it is.
struct Limiter<R>(HashMap<R, HashMap<Source, Repeats>>);

impl<R: Clone + Eq + Hash> Limiter<R> {
    fn new() -> Self {
        Self(HashMap::new())
    }

    /// Whether to log a line now. If not, the line is counted.
    fn admit(&mut self, reason: R, source: Source, now: Instant) -> bool {
        let sources = self.0.entry(reason).or_default();
        let is_told_apart = sources.contains_key(&source) || sources.len() < MAX_SOURCES;
        let source = if is_told_apart { source } else { Source::Other };
        if let Some(repeats) = sources.get_mut(&source) {
            repeats.suppressed += 1;
            return false;
        }
        sources.insert(source, Repeats { logged: now, suppressed: 0 });
        true
    }

    /// Takes the counts that must be logged now. Forgets sources without a line for a whole period.
    fn take_due_counts(&mut self, now: Instant) -> Vec<SuppressedCount<R>> {
        let mut due = Vec::new();
        for (reason, sources) in &mut self.0 {
            sources.retain(|source, repeats| {
                if now.saturating_duration_since(repeats.logged) < PERIOD {
                    return true;
                }
                let count = std::mem::take(&mut repeats.suppressed);
                repeats.logged = now;
                if count > 0 {
                    due.push(SuppressedCount { reason: reason.clone(), source: source.clone(), count });
                }
                count > 0
            });
        }
        self.0.retain(|_, sources| !sources.is_empty());
        due
    }

    /// Takes all counts, and forgets all sources.
    fn drain(&mut self) -> Vec<SuppressedCount<R>> {
        let all = std::mem::take(&mut self.0).into_iter().flat_map(|(reason, sources)| {
            let counts = sources.into_iter().filter(|(_, repeats)| repeats.suppressed > 0);
            counts.map(move |(source, repeats)| SuppressedCount {
                reason: reason.clone(),
                source,
                count: repeats.suppressed,
            })
        });
        all.collect()
    }
}

impl SuppressedCount<Reason> {
    /// Logs the count, at the level of the lines.
    fn log(&self) {
        let Reason { level, message, reason, detail, .. } = &self.reason;
        let (reason, detail, more) = (reason.as_deref(), detail.as_deref(), self.count);
        let (mut client_address, mut broker, mut text, mut sources) = (None, None, None, None);
        match &self.source {
            Source::None => {}
            Source::Client(address) => client_address = Some(address.as_str()),
            Source::Broker(name) => broker = Some(name.as_str()),
            Source::Text(line) => text = Some(line.as_str()),
            Source::Other => sources = Some("others"),
        }
        macro_rules! log {
            ($log:ident) => {
                $log!(
                    client_address,
                    broker,
                    sources,
                    reason,
                    detail,
                    text,
                    more,
                    "{message}: {more} more in the last minute"
                )
            };
        }
        match *level {
            Level::ERROR => log!(error),
            Level::WARN => log!(warn),
            _ => log!(info),
        }
    }
}

/// Suppresses repeats in the log.
pub(super) struct RepeatLimit(Arc<Mutex<Limiter<Reason>>>);

/// Logs the counts of suppressed lines; on drop the last ones.
pub(super) struct RepeatCountLogger {
    limiter: Arc<Mutex<Limiter<Reason>>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl RepeatLimit {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Limiter::new())))
    }

    /// Starts to log the counts, until the result is dropped.
    pub(super) fn start_counts(&self) -> RepeatCountLogger {
        let (stop, stopped) = channel();
        let limiter = self.0.clone();
        let log_due = move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                // the limiter is unlocked before they are logged: each line passes it
                let due = limiter.lock().take_due_counts(Instant::now());
                due.iter().for_each(SuppressedCount::log);
            }
        };
        // without the thread the counts are logged at the end
        let thread = std::thread::Builder::new().name("log-repeats".into()).spawn(log_due).ok();
        RepeatCountLogger { limiter: self.0.clone(), stop: Some(stop), thread }
    }
}

impl Drop for RepeatCountLogger {
    fn drop(&mut self) {
        self.stop.take();
        // an error means that the thread panicked; the panic is in the log
        let _ = self.thread.take().map(JoinHandle::join);
        let left = self.limiter.lock().drain();
        left.iter().for_each(SuppressedCount::log);
    }
}

impl<S: Subscriber> Layer<S> for RepeatLimit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if !is_limited(metadata) {
            return true;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let (reason, source) = fields.into_key(metadata);
        self.0.lock().admit(reason, source, Instant::now())
    }
}

/// Whether repeats of this line are suppressed.
fn is_limited(metadata: &Metadata<'_>) -> bool {
    let of_one_request = |field: Field| ["client_address", "ce_id"].contains(&field.name());
    // the counts themselves have the field `more`
    let is_count = metadata.fields().field("more").is_some();
    let is_own = metadata.target().starts_with(OWN_TARGET);
    *metadata.level() <= Level::INFO && !is_count && (!is_own || metadata.fields().iter().any(of_one_request))
}

/// The fields of a line that tell repeats apart.
#[derive(Default)]
struct Fields {
    message: String,
    reason: Option<String>,
    detail: Option<String>,
    client_address: Option<String>,
    broker: Option<String>,
    facility: Option<String>,
}

impl Fields {
    fn into_key(self, metadata: &Metadata<'_>) -> (Reason, Source) {
        let Self { message, reason, detail, client_address, broker, facility } = self;
        let (callsite, level) = (metadata.callsite(), *metadata.level());
        if !metadata.target().starts_with(OWN_TARGET) {
            let library = format!("log line of {}", metadata.target());
            let reason = Reason { callsite, level, message: library, reason: None, detail: None };
            return (reason, Source::Text(facility.unwrap_or(message)));
        }
        // the detail of a request has few values, so it tells reasons apart; the detail of a broker's fault can be any text
        let detail = detail.filter(|_| client_address.is_some());
        let source = match (client_address, broker) {
            (Some(address), _) => Source::Client(address),
            (None, Some(name)) => Source::Broker(name),
            (None, None) => Source::None,
        };
        (Reason { callsite, level, message, reason, detail }, source)
    }

    fn set(&mut self, field: &Field, value: impl FnOnce() -> String) {
        match field.name() {
            "message" => self.message = value(),
            "reason" => self.reason = Some(value()),
            "detail" => self.detail = Some(value()),
            "client_address" => self.client_address = Some(value()),
            "broker" => self.broker = Some(value()),
            "facility" => self.facility = Some(value()),
            _ => {}
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, || value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, || format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: usize) -> Source {
        Source::Client(format!("192.0.2.{number}"))
    }

    fn counts(suppressed: Vec<SuppressedCount<&'static str>>) -> Vec<(&'static str, Source, u64)> {
        suppressed.into_iter().map(|one| (one.reason, one.source, one.count)).collect()
    }

    #[test]
    fn first_line_is_logged_at_once_and_then_one_count_a_minute_until_it_is_quiet() {
        let (mut limiter, start) = (Limiter::new(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let logged: Vec<_> = (0..150).filter(|second| limiter.admit("unauthorized", client(1), at(*second))).collect();
        assert_eq!(logged, [0]);
        // the ticks of three minutes, in which no more come
        let mut limiter = Limiter::new();
        let mut said = Vec::new();
        for second in 0..240 {
            let comes = second < 90;
            if comes && limiter.admit("unauthorized", client(1), at(second)) {
                said.push((second, 1));
            }
            said.extend(counts(limiter.take_due_counts(at(second))).into_iter().map(|(_, _, count)| (second, count)));
        }
        assert_eq!(said, [(0, 1), (60, 60), (120, 29)]);
        assert!(limiter.0.is_empty(), "nothing is remembered of what is over");
        assert!(limiter.admit("unauthorized", client(1), at(240)), "news again");
    }

    #[test]
    fn reasons_and_sources_are_limited_apart() {
        let (mut limiter, now) = (Limiter::new(), Instant::now());
        for (reason, source) in [("unauthorized", client(1)), ("unauthorized", client(2)), ("not_found", client(1))] {
            assert!(limiter.admit(reason, source.clone(), now));
            assert!(!limiter.admit(reason, source, now));
        }
        assert!(limiter.take_due_counts(now + PERIOD / 2).is_empty());
        let mut due = counts(limiter.take_due_counts(now + PERIOD));
        due.sort_by_key(|(reason, source, _)| (*reason, format!("{source:?}")));
        assert_eq!(due, [("not_found", client(1), 1), ("unauthorized", client(1), 1), ("unauthorized", client(2), 1)]);
    }

    #[test]
    fn many_sources_need_no_more_lines_than_64_and_one() {
        let (mut limiter, now) = (Limiter::new(), Instant::now());
        let logged = (0..1000).filter(|number| limiter.admit("forbidden", client(*number), now)).count();
        assert_eq!(logged, MAX_SOURCES + 1);
        assert_eq!(counts(limiter.take_due_counts(now + PERIOD)), [("forbidden", Source::Other, 1000 - 65)]);
    }

    #[test]
    fn suppressed_lines_are_counted_at_the_end_too() {
        let (mut limiter, now) = (Limiter::new(), Instant::now());
        (0..3).for_each(|_| {
            limiter.admit("late", Source::Broker("nats".into()), now);
        });
        limiter.admit("once", Source::None, now);
        assert_eq!(counts(limiter.drain()), [("late", Source::Broker("nats".into()), 2)]);
        assert!(limiter.drain().is_empty());
    }
}
