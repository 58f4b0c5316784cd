//! What the metrics are made of.

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Error, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};

/// Seconds. The library's own buckets begin at 5 ms, which is slow here.
const BUCKETS: [f64; 16] =
    [1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// A registry that puts our prefix before every name.
pub(super) struct Registry(prometheus::Registry);

impl Registry {
    pub(super) fn new() -> Result<Self, Error> {
        prometheus::Registry::new_custom(Some("greenapi_bridge".into()), None).map(Self)
    }

    pub(super) fn add<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, Error> {
        self.add(IntGauge::new(name, help)?)
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> Result<IntCounter, Error> {
        self.add(IntCounter::new(name, help)?)
    }

    pub(super) fn histogram(&self, name: &str, help: &str) -> Result<Histogram, Error> {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(BUCKETS.into()))?)
    }

    pub(super) fn histograms(&self, name: &str, help: &str, label: Label<'_>) -> Result<Vec<Histogram>, Error> {
        let all = HistogramVec::new(HistogramOpts::new(name, help).buckets(BUCKETS.into()), &[label.0])?;
        let all = self.add(all)?;
        Ok(label.1.iter().map(|value| all.with_label_values(&[*value])).collect())
    }

    /// One gauge for each value of the label.
    pub(super) fn gauges(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: &[String],
    ) -> Result<Vec<IntGauge>, Error> {
        let all = self.add(IntGaugeVec::new(Opts::new(name, help), &[label])?)?;
        Ok(values.iter().map(|value| all.with_label_values(&[value])).collect())
    }

    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.0.gather()
    }
}

/// A label and every value it can have.
pub(super) type Label<'l> = (&'l str, &'l [&'static str]);

/// Counters that differ in one or two labels only. An unknown value is counted under the last one.
pub(super) struct Family {
    children: Vec<IntCounter>,
    inner: Vec<&'static str>,
}

impl Family {
    pub(super) fn new(registry: &Registry, name: &str, help: &str, labels: &[Label<'_>]) -> Result<Self, Error> {
        let names: Vec<_> = labels.iter().map(|(name, _)| *name).collect();
        let counters = registry.add(IntCounterVec::new(Opts::new(name, help), &names)?)?;
        let children = match labels {
            [(_, outer), (_, inner)] => outer
                .iter()
                .flat_map(|outer| inner.iter().map(|inner| counters.with_label_values(&[*outer, *inner])))
                .collect(),
            _ => labels[0].1.iter().map(|value| counters.with_label_values(&[*value])).collect(),
        };
        let inner = labels.last().map_or_else(Vec::new, |(_, values)| values.to_vec());
        Ok(Self { children, inner })
    }

    /// The counter at these places; `outer` is 0 where there is one label only.
    pub(super) fn at(&self, outer: usize, inner: usize) -> &IntCounter {
        &self.children[outer * self.inner.len() + inner]
    }

    /// The counter of the inner label's value.
    pub(super) fn named(&self, outer: usize, value: &str) -> &IntCounter {
        let place = self.inner.iter().position(|known| *known == value);
        debug_assert!(place.is_some(), "{value} is not among {:?}", self.inner);
        self.at(outer, place.unwrap_or(self.inner.len() - 1))
    }
}
