//! The metric of each instance that has a token of its own.

use std::collections::HashMap;

use prometheus::{Error, IntGauge, IntGaugeVec};

use super::family::Registry;
use crate::reloadable::Reloadable;

/// When the last notification of each instance came. Only instances that are named in the tokens file have a series: with any
/// that is sent there could be too many.
pub(super) struct InstanceTimes {
    all: IntGaugeVec,
    /// The series of each instance that has one.
    series: Reloadable<HashMap<u64, IntGauge>>,
}

impl InstanceTimes {
    /// No instance has a series yet.
    pub(super) fn new(registry: &Registry, help: &str) -> Result<Self, Error> {
        let all = registry.dynamic_gauges("instance_last_notification_timestamp_seconds", help, "instance")?;
        Ok(Self { all, series: Reloadable::new(HashMap::new()) })
    }

    /// Gives each of these instances a series, and removes those of all others.
    pub(super) fn set_instances(&self, instances: &[u64]) {
        let series = |instance: &u64| (*instance, self.all.with_label_values(&[&instance.to_string()]));
        let old = self.series.load();
        self.series.store(instances.iter().map(series).collect());
        let new = self.series.load();
        for removed in old.keys().filter(|instance| !new.contains_key(instance)) {
            // an error means that there is none
            let _ = self.all.remove_label_values(&[&removed.to_string()]);
        }
    }

    /// A notification of this instance came at this Unix time.
    pub(super) fn received(&self, instance: u64, seconds: i64) {
        if let Some(last) = self.series.load().get(&instance) {
            last.set(seconds);
        }
    }
}
