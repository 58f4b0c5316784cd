//! The metrics of the journal.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{Error, Gauge, IntCounter, IntGauge};

use super::JournalEdit;
use super::family::{PerLabel, Registry};
use crate::message::Broker;

/// The journal's part of the metrics; all stay at zero where there is no journal.
pub struct JournalMetrics {
    records: PerLabel<Broker, IntGauge>,
    lanes: PerLabel<Broker, IntGauge>,
    bytes: IntGauge,
    capacity: IntGauge,
    queue_length: IntGauge,
    unreadable: IntGauge,
    oldest: PerLabel<Broker, Gauge>,
    forwarded: PerLabel<Broker, IntCounter>,
    seconds_left: PerLabel<Broker, Gauge>,
    edits: PerLabel<JournalEdit, IntCounter>,
    refresh: OnceLock<Refresh>,
}

/// Sets the gauges to their current values.
type Refresh = Box<dyn Fn(&JournalMetrics) + Send + Sync>;

impl JournalMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, Error> {
        let (records, oldest) = ("Records in the broker's backlog", "Age of the oldest record in the broker's backlog");
        let forwarded = "Records of the backlog that the broker acked";
        let seconds_left = "Estimated seconds until the backlog is drained";
        Ok(Self {
            records: registry.int_gauges("journal_records", records, "broker")?,
            lanes: registry.int_gauges("journal_lanes", "Lanes with a backlog at the broker", "broker")?,
            bytes: registry.gauge("journal_bytes", "Bytes of the records in the journal")?,
            capacity: registry.gauge(
                "journal_capacity_bytes",
                "Maximum bytes of the records: journal.max_bytes without the share of the write-ahead log",
            )?,
            queue_length: registry
                .gauge("journal_queue_length", "Appends and acks that wait for the journal's disk")?,
            unreadable: registry.gauge(
                "journal_unreadable_records",
                "Records that cannot be read: their part of the disk is damaged",
            )?,
            oldest: registry.gauges("journal_oldest_age_seconds", oldest, "broker")?,
            forwarded: registry.counters("journal_forwarded_total", forwarded, "broker")?,
            seconds_left: registry.gauges("forward_seconds_left", seconds_left, "broker")?,
            edits: registry.counters("journal_edits_total", "Records that journal edits changed", "edit")?,
            refresh: OnceLock::new(),
        })
    }

    /// `refresh` sets the gauges each time before the metrics are shown. Only the first one given counts.
    pub fn on_scrape(&self, refresh: impl Fn(&Self) + Send + Sync + 'static) {
        // a bridge has one journal
        let _ = self.refresh.set(Box::new(refresh));
    }

    pub(super) fn refresh(&self) {
        self.refresh.get().iter().for_each(|refresh| refresh(self));
    }

    /// The broker acked a record of its backlog.
    pub fn forwarded(&self, broker: Broker) {
        self.forwarded.at(broker).inc();
    }

    /// An operator's edit changed this many records.
    pub fn edited(&self, edit: JournalEdit, records: u64) {
        self.edits.at(edit).inc_by(records);
    }

    /// The bytes of the journal's records, and the most they may take.
    pub fn bytes(&self, bytes: u64, capacity: u64) {
        self.bytes.set(bytes.cast_signed());
        self.capacity.set(capacity.cast_signed());
    }

    /// The appends and acks that wait for the journal's disk.
    pub fn queue_length(&self, length: usize) {
        self.queue_length.set(i64::try_from(length).unwrap_or(i64::MAX));
    }

    /// The records that cannot be read.
    pub fn unreadable(&self, records: usize) {
        self.unreadable.set(i64::try_from(records).unwrap_or(i64::MAX));
    }

    /// The records and lanes in a broker's backlog, and the age of the oldest.
    pub fn backlog(&self, broker: Broker, records: u64, lanes: usize, age: Duration) {
        self.records.at(broker).set(records.cast_signed());
        self.lanes.at(broker).set(i64::try_from(lanes).unwrap_or(i64::MAX));
        self.oldest.at(broker).set(age.as_secs_f64());
    }

    /// The estimated seconds until a broker's backlog is drained.
    pub fn seconds_left(&self, broker: Broker, seconds: f64) {
        self.seconds_left.at(broker).set(seconds);
    }
}
