//! What is counted of the journal.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{Error, Gauge, GaugeVec, IntGauge, Opts};

use super::family::{Family, Label, Registry};

/// The journal's part of the metrics; all at zero where there is none.
pub struct JournalMetrics {
    records: Vec<IntGauge>,
    bytes: IntGauge,
    capacity: IntGauge,
    oldest: Vec<Gauge>,
    forwarded: Family,
    seconds_left: Vec<Gauge>,
    refresh: OnceLock<Refresh>,
}

/// Says how it stands now.
type Refresh = Box<dyn Fn(&JournalMetrics) + Send + Sync>;

impl JournalMetrics {
    pub(super) fn new(registry: &Registry, brokers: Label<'_>) -> Result<Self, Error> {
        let seconds = |name, help| -> Result<Vec<Gauge>, Error> {
            let all = registry.add(GaugeVec::new(Opts::new(name, help), &[brokers.0])?)?;
            Ok(brokers.1.iter().map(|broker| all.with_label_values(&[*broker])).collect())
        };
        let names: Vec<_> = brokers.1.iter().map(ToString::to_string).collect();
        Ok(Self {
            records: registry.gauges("journal_records", "Records owed to a broker", brokers.0, &names)?,
            bytes: registry.gauge("journal_bytes", "What the journal takes on disk")?,
            capacity: registry.gauge("journal_capacity_bytes", "What it may take: journal.max_bytes")?,
            oldest: seconds("journal_oldest_age_seconds", "Age of the oldest record owed to a broker")?,
            forwarded: Family::new(registry, "journal_forwarded_total", "Records forwarded to a broker", &[brokers])?,
            seconds_left: seconds("forward_seconds_left", "Until nothing is owed to a broker, at the rate of now")?,
            refresh: OnceLock::new(),
        })
    }

    /// From now on this is asked how it stands before the metrics are shown; only the first that is given.
    pub fn refreshed_by(&self, refresh: impl Fn(&Self) + Send + Sync + 'static) {
        // a second journal of one bridge there is not
        let _ = self.refresh.set(Box::new(refresh));
    }

    pub(super) fn refresh(&self) {
        self.refresh.get().iter().for_each(|refresh| refresh(self));
    }

    /// A record was forwarded to a broker.
    pub fn forwarded(&self, broker: usize) {
        self.forwarded.at(0, broker).inc();
    }

    /// It has so many bytes, of so many it may have.
    pub fn bytes(&self, bytes: u64, capacity: u64) {
        self.bytes.set(bytes.cast_signed());
        self.capacity.set(capacity.cast_signed());
    }

    /// So much is owed to a broker, the oldest for so long.
    pub fn owed(&self, broker: usize, records: u64, age: Duration) {
        self.records[broker].set(records.cast_signed());
        self.oldest[broker].set(age.as_secs_f64());
    }

    /// What is owed to a broker will be forwarded in so many seconds.
    pub fn left(&self, broker: usize, seconds: f64) {
        self.seconds_left[broker].set(seconds);
    }
}
