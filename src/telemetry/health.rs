//! The metrics of what `/readyz` shows.

use prometheus::{Error, IntGauge, IntGaugeVec};

use super::ReloadTarget;
use super::family::{PerLabel, Registry};

/// The gauges of what `/readyz` shows. They are set at each scrape.
pub struct HealthMetrics {
    ready: IntGauge,
    broker_connected: IntGaugeVec,
    journal_up: IntGauge,
    reload_failed: PerLabel<ReloadTarget, IntGauge>,
}

impl HealthMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, Error> {
        let ready = "1 while a notification sent now would be stored, as /readyz says";
        let connected = "1 while the broker is connected and able to store";
        let journal_up = "1 while the journal accepts records; 0 also where there is no journal";
        let reload_failed = "1 while a changed file cannot be used and the old content stays in use";
        Ok(Self {
            ready: registry.gauge("ready", ready)?,
            broker_connected: registry.dynamic_gauges("broker_connected", connected, "broker")?,
            journal_up: registry.gauge("journal_up", journal_up)?,
            reload_failed: registry.int_gauges("reload_failed", reload_failed, "what")?,
        })
    }

    /// Sets whether a notification sent now would be stored.
    pub fn set_ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    /// Sets whether a broker stores now.
    pub fn set_broker_connected(&self, broker: &str, connected: bool) {
        self.broker_connected.with_label_values(&[broker]).set(i64::from(connected));
    }

    /// Sets whether the journal accepts records now.
    pub fn set_journal_up(&self, up: bool) {
        self.journal_up.set(i64::from(up));
    }

    /// Sets whether the files of this reload target cannot be used now.
    pub fn set_reload_failed(&self, what: ReloadTarget, failed: bool) {
        self.reload_failed.at(what).set(i64::from(failed));
    }
}
