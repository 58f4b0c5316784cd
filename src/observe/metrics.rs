//! Prometheus metrics, in a registry of their own: two bridges in one process do not share any.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder, Error, Histogram, IntCounter, IntGauge, IntGaugeVec, Opts, TextEncoder};

use super::Health;
use super::family::{Family, Registry};
use super::journal::JournalMetrics;

/// Everything that is counted. Label values come from closed sets and are resolved at start.
pub struct Metrics {
    registry: Registry,
    process: ProcessCollector,
    notifications: Family,
    requests: Family,
    refused: Family,
    dead_letters: Family,
    in_flight: IntGauge,
    connections: IntGauge,
    request_seconds: Histogram,
    publish_seconds: Vec<Histogram>,
    publish_failures: Family,
    publish_unknown: Family,
    broker_connected: IntGaugeVec,
    duplicates: IntCounter,
    evicted: IntCounter,
    /// Of the journal.
    pub journal: JournalMetrics,
    last_of_class: Vec<IntGauge>,
    last_of_instance: HashMap<u64, IntGauge>,
}

/// The closed sets of label values, each in the order of its index.
pub struct Labels<'l> {
    /// Classes, the one of bodies that are no notification last.
    pub classes: &'l [&'static str],
    /// What notifications were answered.
    pub stored: &'l [&'static str],
    /// HTTP statuses.
    pub statuses: &'l [&'static str],
    /// Why requests are refused.
    pub refusals: &'l [&'static str],
    /// Reasons of dead letters.
    pub reasons: &'l [&'static str],
    /// Brokers.
    pub brokers: &'l [&'static str],
    /// Why brokers do not store.
    pub faults: &'l [&'static str],
    /// Instances that have a token of their own.
    pub instances: &'l [u64],
}

/// Something that is there; no longer, when dropped.
pub struct Counted(IntGauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A request being answered. Times it when dropped, also where the client hung up: the slowest cases would be
/// missing otherwise.
pub struct Entered<'m> {
    metrics: &'m Metrics,
    begun: Instant,
    _counted: Counted,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.metrics.request_seconds.observe(self.begun.elapsed().as_secs_f64());
    }
}

impl Metrics {
    /// All at zero.
    ///
    /// # Errors
    /// When two metrics have one name, which tests would show.
    pub fn new(labels: &Labels<'_>) -> Result<Self, Error> {
        let registry = Registry::new()?;
        let family = |name, help, labels: &[_]| Family::new(&registry, name, help, labels);
        let gauges = |name, help, label, values: Vec<String>| registry.gauges(name, help, label, &values);
        let texts = |values: &[&str]| values.iter().map(ToString::to_string).collect();
        let instances = labels.instances.iter().map(ToString::to_string).collect();
        let last = "When the last notification came, Unix seconds";
        let last_of_instance = gauges("instance_last_notification_timestamp_seconds", last, "instance", instances)?;
        let version = vec![env!("CARGO_PKG_VERSION").to_owned()];
        gauges("build_info", "The version that runs", "version", version)?.iter().for_each(|build| build.set(1));
        let brokers = ("broker", labels.brokers);
        Ok(Self {
            notifications: family(
                "notifications_total",
                "Notifications by class and by what they were answered",
                &[("class", labels.classes), ("stored", labels.stored)],
            )?,
            requests: family("http_requests_total", "Answers by status", &[("status", labels.statuses)])?,
            refused: family("refused_total", "Requests refused", &[("reason", labels.refusals)])?,
            dead_letters: family("dead_letters_total", "Dead letters stored", &[("reason", labels.reasons)])?,
            in_flight: registry.gauge("in_flight", "Requests being answered, and messages carried on after theirs")?,
            connections: registry.gauge("connections", "Open connections of the endpoint")?,
            request_seconds: registry.histogram("http_request_duration_seconds", "From a head to its answer")?,
            publish_seconds: registry.histograms("publish_duration_seconds", "To a broker's report", brokers)?,
            publish_failures: family(
                "publish_failures_total",
                "Attempts to publish that failed",
                &[brokers, ("reason", labels.faults)],
            )?,
            publish_unknown: family("publish_unknown_total", "Publishes whose report was lost", &[brokers])?,
            broker_connected: registry.add(IntGaugeVec::new(
                Opts::new("broker_connected", "Whether the broker is connected and keeps what it acknowledges"),
                &["broker"],
            )?)?,
            duplicates: registry.counter("duplicates_total", "Repeats that were not stored again")?,
            evicted: registry.counter("dedupe_evicted_total", "Ids forgotten before the end of dedupe.window")?,
            journal: JournalMetrics::new(&registry, brokers)?,
            last_of_class: gauges("last_notification_timestamp_seconds", last, "class", texts(labels.classes))?,
            last_of_instance: labels.instances.iter().copied().zip(last_of_instance).collect(),
            process: ProcessCollector::for_self(),
            registry,
        })
    }

    /// A request has come.
    pub fn enter(&self) -> Entered<'_> {
        Entered { metrics: self, begun: Instant::now(), _counted: counted(&self.in_flight) }
    }

    /// A message is carried on although its request has ended.
    pub fn carried_on(&self) -> Counted {
        counted(&self.in_flight)
    }

    /// A connection was accepted.
    pub fn connected(&self) -> Counted {
        counted(&self.connections)
    }

    /// A notification of this class came, for this instance if it is known.
    pub fn came(&self, class: usize, instance: Option<u64>, at: SystemTime) {
        let now = at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        self.last_of_class[class].set(now);
        if let Some(last) = instance.and_then(|instance| self.last_of_instance.get(&instance)) {
            last.set(now);
        }
    }

    /// A notification of this class was answered so.
    pub fn notification(&self, class: usize, stored: usize) {
        self.notifications.at(class, stored).inc();
    }

    /// A request was answered with this status.
    pub fn request(&self, status: usize) {
        self.requests.at(0, status).inc();
    }

    /// A request was refused.
    pub fn refused(&self, reason: &str) {
        self.refused.named(0, reason).inc();
    }

    /// A dead letter was stored.
    pub fn dead_letter(&self, reason: usize) {
        self.dead_letters.at(0, reason).inc();
    }

    /// A broker reported of a message, after this time.
    pub fn reported(&self, broker: usize, after: Duration) {
        self.publish_seconds[broker].observe(after.as_secs_f64());
    }

    /// An attempt to publish failed; `unknown` where the broker may have the message all the same.
    pub fn publish_failed(&self, broker: usize, reason: &str, unknown: bool) {
        self.publish_failures.named(broker, reason).inc();
        if unknown {
            self.publish_unknown.at(0, broker).inc();
        }
    }

    /// A repeat was recognised.
    pub fn duplicate(&self) {
        self.duplicates.inc();
    }

    /// So many ids were forgotten to make room.
    pub fn evicted(&self, count: usize) {
        self.evicted.inc_by(count as u64);
    }

    /// In Prometheus' text format; `health` is asked for what is up now.
    pub fn text(&self, health: &Health) -> Vec<u8> {
        self.journal.refresh();
        for (broker, up) in health.up() {
            self.broker_connected.with_label_values(&[broker]).set(i64::from(up));
        }
        let mut families = self.registry.gather();
        // these keep the names every dashboard knows them by
        families.extend(prometheus::core::Collector::collect(&self.process));
        let mut out = Vec::new();
        // writing to memory does not fail, and half a page is better than none
        let _ = TextEncoder::new().encode(&families, &mut out);
        out
    }
}

fn counted(gauge: &IntGauge) -> Counted {
    gauge.inc();
    Counted(gauge.clone())
}
