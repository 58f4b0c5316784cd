//! Prometheus metrics, in a registry of their own: two bridges in one process do not share any.

use std::time::Instant;

use prometheus::{Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

/// Everything that is counted. Label values come from closed sets and are resolved at start.
pub struct Metrics {
    registry: Registry,
    notifications: Family,
    requests: Family,
    dead_letters: Family,
    in_flight: IntGauge,
    request_seconds: Histogram,
}

/// A request being answered. Counts and times it when dropped, also where the client hung up: the slowest
/// cases would be missing otherwise.
pub struct Entered<'m> {
    metrics: &'m Metrics,
    begun: Instant,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        self.metrics.request_seconds.observe(self.begun.elapsed().as_secs_f64());
    }
}

/// The closed sets of label values, each in the order of its index.
pub struct Labels<'l> {
    /// Classes, the unknown one last.
    pub classes: &'l [&'static str],
    /// What notifications were answered.
    pub stored: &'l [&'static str],
    /// HTTP statuses.
    pub statuses: &'l [&'static str],
    /// Reasons of dead letters.
    pub reasons: &'l [&'static str],
}

/// Counters that differ in labels only.
struct Family {
    children: Vec<IntCounter>,
    width: usize,
}

impl Metrics {
    /// All at zero.
    ///
    /// # Errors
    /// When two metrics have one name, which tests would show.
    pub fn new(labels: &Labels<'_>) -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("greenapi_bridge".into()), None)?;
        let in_flight = IntGauge::new("in_flight", "Requests being answered")?;
        // the library's own buckets begin at 5 ms, which is slow here
        let buckets =
            vec![1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let request_seconds = Histogram::with_opts(
            HistogramOpts::new("http_request_duration_seconds", "From a request's head to its answer").buckets(buckets),
        )?;
        registry.register(Box::new(in_flight.clone()))?;
        registry.register(Box::new(request_seconds.clone()))?;
        let family = |name, help, labels: &[(&str, &[&'static str])]| Family::new(&registry, name, help, labels);
        let notifications = family(
            "notifications_total",
            "Notifications by class and by what they were answered",
            &[("class", labels.classes), ("stored", labels.stored)],
        )?;
        let requests = family("http_requests_total", "Answers by status", &[("status", labels.statuses)])?;
        let dead_letters = family("dead_letters_total", "Bodies for the dead letter", &[("reason", labels.reasons)])?;
        Ok(Self { registry, notifications, requests, dead_letters, in_flight, request_seconds })
    }

    /// A request has come.
    pub fn enter(&self) -> Entered<'_> {
        self.in_flight.inc();
        Entered { metrics: self, begun: Instant::now() }
    }

    /// One notification of this class was answered so.
    pub fn notification(&self, class: usize, stored: usize) {
        self.notifications.children[class * self.notifications.width + stored].inc();
    }

    /// One request was answered with this status.
    pub fn request(&self, status: usize) {
        self.requests.children[status].inc();
    }

    /// One body is for the dead letter.
    pub fn dead_letter(&self, reason: usize) {
        self.dead_letters.children[reason].inc();
    }

    /// In Prometheus' text format.
    pub fn text(&self) -> Vec<u8> {
        let mut out = Vec::new();
        // writing to memory does not fail, and half a page is better than none
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut out);
        out
    }
}

impl Family {
    fn new(
        registry: &Registry,
        name: &str,
        help: &str,
        labels: &[(&str, &[&'static str])],
    ) -> Result<Self, prometheus::Error> {
        let names: Vec<_> = labels.iter().map(|(name, _)| *name).collect();
        let counters = IntCounterVec::new(Opts::new(name, help), &names)?;
        registry.register(Box::new(counters.clone()))?;
        let children = match labels {
            [(_, outer), (_, inner)] => outer
                .iter()
                .flat_map(|outer| inner.iter().map(|inner| counters.with_label_values(&[*outer, *inner])))
                .collect(),
            _ => labels[0].1.iter().map(|value| counters.with_label_values(&[*value])).collect(),
        };
        let width = labels.last().map_or(1, |(_, values)| values.len());
        Ok(Self { children, width })
    }
}
