//! Prometheus metrics, in a registry of their own: two bridges in one process do not share any.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder, Error, Histogram, IntCounter, IntGauge, IntGaugeVec, TextEncoder};

use super::family::{CounterTable, PerLabel, Registry};
use super::health::HealthMetrics;
use super::instances::InstanceTimes;
use super::journal::JournalMetrics;
use super::{ConnectionRefusal, Label, Refusal, ReloadResult, ReloadTarget, Status};
use crate::message::{Broker, Reason};
use crate::notification::Class;

/// All metrics of a bridge. Label values come from enums, and the metric of each value is resolved at start.
pub struct Metrics {
    registry: Registry,
    process: ProcessCollector,
    notifications: CounterTable<Option<Class>>,
    requests: PerLabel<Status, IntCounter>,
    refused_requests: PerLabel<Refusal, IntCounter>,
    refused_connections: PerLabel<ConnectionRefusal, IntCounter>,
    dead_letters: PerLabel<Reason, IntCounter>,
    in_flight: IntGauge,
    /// Of the connections and their limits.
    connection_gauges: ConnectionGauges,
    request_seconds: Histogram,
    publish_seconds: PerLabel<Broker, Histogram>,
    publish_failures: CounterTable<Broker>,
    publish_unknown: PerLabel<Broker, IntCounter>,
    duplicates: IntCounter,
    evicted: IntCounter,
    /// Of what `/readyz` shows.
    pub health: HealthMetrics,
    /// Of the journal.
    pub journal: JournalMetrics,
    last_of_class: PerLabel<Option<Class>, IntGauge>,
    last_of_instance: InstanceTimes,
    reloads: CounterTable<ReloadTarget>,
}

/// What connections take of the limits, and their certificates.
struct ConnectionGauges {
    open: IntGauge,
    strangers: IntGauge,
    handshakes: IntGauge,
    in_flight_bytes: IntGauge,
    certificate_not_after: IntGaugeVec,
}

impl ConnectionGauges {
    fn new(registry: &Registry) -> Result<Self, Error> {
        let strangers = "Connections served whose client has not shown a valid token";
        let expires = "When the certificate of the listener expires, Unix seconds";
        Ok(Self {
            open: registry.gauge("connections", "Open connections of the webhook listener")?,
            strangers: registry.gauge("unauthenticated_connections", strangers)?,
            handshakes: registry.gauge("tls_handshakes", "TLS handshakes in progress")?,
            in_flight_bytes: registry.gauge("in_flight_bytes", "Bytes of the bodies of all notifications in flight")?,
            certificate_not_after: registry.dynamic_gauges("tls_certificate_not_after_seconds", expires, "listener")?,
        })
    }
}

/// Counts one thing in a gauge until it is dropped.
pub struct GaugeGuard(IntGauge);

impl GaugeGuard {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A request that is being answered. Its time is observed on drop, also when the client hangs up: without that the
/// slowest requests would be missing.
pub struct RequestTimer<'m> {
    metrics: &'m Metrics,
    begun: Instant,
    _in_flight: GaugeGuard,
}

impl Drop for RequestTimer<'_> {
    fn drop(&mut self) {
        self.metrics.request_seconds.observe(self.begun.elapsed().as_secs_f64());
    }
}

impl Metrics {
    /// All at zero. `Outcome` is the enum of what becomes of a notification, `Fault` that of why a publish fails.
    ///
    /// # Errors
    /// When two metrics have one name, which tests would show.
    pub fn new<Outcome: Label, Fault: Label>() -> Result<Self, Error> {
        let registry = Registry::new()?;
        let last = "When the last notification came, Unix seconds";
        let build = registry.dynamic_gauges("build_info", "Version of the running bridge", "version")?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let notifications = "Notifications by class and by what became of them";
        let in_flight = "Requests being answered, and messages still being stored after their answer";
        let evicted = "Ids that left the dedup window before dedupe.window had passed";
        let reloads = "Changed files that were loaded, or could not be";
        let refused = registry.counters_by("refused_total", "Requests and connections refused", &["reason"])?;
        Ok(Self {
            notifications: registry.counter_table::<_, Outcome>(
                "notifications_total",
                notifications,
                ["class", "stored"],
            )?,
            requests: registry.counters("http_requests_total", "Answers by HTTP status", "status")?,
            refused_requests: PerLabel::of(&refused),
            refused_connections: PerLabel::of(&refused),
            dead_letters: registry.counters("dead_letters_total", "Dead letters stored", "reason")?,
            in_flight: registry.gauge("in_flight", in_flight)?,
            connection_gauges: ConnectionGauges::new(&registry)?,
            request_seconds: registry
                .histogram("http_request_duration_seconds", "Time from request head to response, seconds")?,
            publish_seconds: registry.histograms(
                "publish_duration_seconds",
                "Time from publish to broker ack, seconds",
                "broker",
            )?,
            publish_failures: registry.counter_table::<_, Fault>(
                "publish_failures_total",
                "Publish attempts that failed",
                ["broker", "reason"],
            )?,
            publish_unknown: registry.counters("publish_unknown_total", "Publishes whose ack never came", "broker")?,
            health: HealthMetrics::new(&registry)?,
            duplicates: registry.counter("duplicates_total", "Duplicates that were not stored again")?,
            evicted: registry.counter("dedupe_evicted_total", evicted)?,
            journal: JournalMetrics::new(&registry)?,
            last_of_class: registry.int_gauges("last_notification_timestamp_seconds", last, "class")?,
            last_of_instance: InstanceTimes::new(&registry, last)?,
            reloads: registry.counter_table::<_, ReloadResult>("reloads_total", reloads, ["what", "result"])?,
            process: ProcessCollector::for_self(),
            registry,
        })
    }

    /// A request is being answered until the timer is dropped.
    pub fn begin_request(&self) -> RequestTimer<'_> {
        RequestTimer { metrics: self, begun: Instant::now(), _in_flight: GaugeGuard::new(&self.in_flight) }
    }

    /// A message is still being stored although its request has ended, until the guard is dropped.
    pub fn detached(&self) -> GaugeGuard {
        GaugeGuard::new(&self.in_flight)
    }

    /// A connection is open until the guard is dropped.
    pub fn connection_opened(&self) -> GaugeGuard {
        GaugeGuard::new(&self.connection_gauges.open)
    }

    /// Bytes of a body count as in flight.
    pub fn add_in_flight_bytes(&self, bytes: usize) {
        self.connection_gauges.in_flight_bytes.add(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Bytes of a body are in flight no longer.
    pub fn remove_in_flight_bytes(&self, bytes: usize) {
        self.connection_gauges.in_flight_bytes.sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Sets when the certificate of a listener (`http` or `admin`) expires.
    pub fn set_certificate_not_after(&self, listener: &str, at: SystemTime) {
        self.connection_gauges.certificate_not_after.with_label_values(&[listener]).set(unix_seconds(at));
    }

    /// A connection is served without a valid token until the guard is dropped.
    pub fn unauthenticated_connection_opened(&self) -> GaugeGuard {
        GaugeGuard::new(&self.connection_gauges.strangers)
    }

    /// A TLS handshake is in progress until the guard is dropped.
    pub fn handshake_begun(&self) -> GaugeGuard {
        GaugeGuard::new(&self.connection_gauges.handshakes)
    }

    /// A body of this class was received, for this instance if it is known. A class of None means no notification.
    pub fn received(&self, class: Option<Class>, instance: Option<u64>, at: SystemTime) {
        let seconds = unix_seconds(at);
        self.last_of_class.at(class).set(seconds);
        if let Some(instance) = instance {
            self.last_of_instance.received(instance, seconds);
        }
    }

    /// Gives each of these instances a series of its own, and removes those of all others.
    pub fn set_instances(&self, instances: &[u64]) {
        self.last_of_instance.set_instances(instances);
    }

    /// A changed file was loaded, or could not be.
    pub fn reloaded(&self, what: ReloadTarget, result: ReloadResult) {
        self.reloads.at(what, result).inc();
    }

    /// What became of a body of this class.
    pub fn notification(&self, class: Option<Class>, outcome: impl Label) {
        self.notifications.at(class, outcome).inc();
    }

    /// A request was answered with this status.
    pub fn answered(&self, status: Status) {
        self.requests.at(status).inc();
    }

    /// A request was refused.
    pub fn refused(&self, refusal: Refusal) {
        self.refused_requests.at(refusal).inc();
    }

    /// A connection was refused.
    pub fn connection_refused(&self, refusal: ConnectionRefusal) {
        self.refused_connections.at(refusal).inc();
    }

    /// A dead letter was stored.
    pub fn dead_letter(&self, reason: Reason) {
        self.dead_letters.at(reason).inc();
    }

    /// A broker acked a message this long after its publish.
    pub fn acked(&self, broker: Broker, after: Duration) {
        self.publish_seconds.at(broker).observe(after.as_secs_f64());
    }

    /// A publish failed; `unknown` means that the broker may have the message all the same.
    pub fn publish_failed(&self, broker: Broker, reason: impl Label, unknown: bool) {
        self.publish_failures.at(broker, reason).inc();
        if unknown {
            self.publish_unknown.at(broker).inc();
        }
    }

    /// A duplicate was recognised.
    pub fn duplicate(&self) {
        self.duplicates.inc();
    }

    /// `count` ids left the dedup window early, because it was full.
    pub fn evicted(&self, count: usize) {
        self.evicted.inc_by(count as u64);
    }

    /// The metrics in Prometheus' text format.
    pub fn text(&self) -> Vec<u8> {
        self.journal.refresh();
        let mut families = self.registry.gather();
        // without our prefix: dashboards know them by these names
        families.extend(prometheus::core::Collector::collect(&self.process));
        let mut out = Vec::new();
        // writing to memory does not fail, and half a page is better than none
        let _ = TextEncoder::new().encode(&families, &mut out);
        out
    }
}

fn unix_seconds(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
