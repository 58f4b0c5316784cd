//! The building blocks of the metrics: a registry, and metrics with one or two labels.

use std::marker::PhantomData;

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::proto::MetricFamily;
use prometheus::{
    Error, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts,
};

use super::Label;

/// Seconds. The library's own buckets begin at 5 ms, which is slow here.
const BUCKETS: [f64; 16] =
    [1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// A registry that puts our prefix before every name.
pub(super) struct Registry(prometheus::Registry);

impl Registry {
    pub(super) fn new() -> Result<Self, Error> {
        prometheus::Registry::new_custom(Some("greenapi_bridge".into()), None).map(Self)
    }

    fn add<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, Error> {
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

    pub(super) fn counters<L: Label>(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<PerLabel<L, IntCounter>, Error> {
        Ok(PerLabel::of(&self.counters_by(name, help, &[label])?))
    }

    /// Counters whose values are yet to be resolved by [`PerLabel::of`].
    pub(super) fn counters_by(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, Error> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn int_gauges<L: Label>(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<PerLabel<L, IntGauge>, Error> {
        Ok(PerLabel::of(&self.add(IntGaugeVec::new(Opts::new(name, help), &[label])?)?))
    }

    pub(super) fn gauges<L: Label>(&self, name: &str, help: &str, label: &str) -> Result<PerLabel<L, Gauge>, Error> {
        Ok(PerLabel::of(&self.add(GaugeVec::new(Opts::new(name, help), &[label])?)?))
    }

    pub(super) fn histograms<L: Label>(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<PerLabel<L, Histogram>, Error> {
        let options = HistogramOpts::new(name, help).buckets(BUCKETS.into());
        Ok(PerLabel::of(&self.add(HistogramVec::new(options, &[label])?)?))
    }

    /// Gauges by a label whose values are not of a closed set, such as instances.
    pub(super) fn dynamic_gauges(&self, name: &str, help: &str, label: &str) -> Result<IntGaugeVec, Error> {
        self.add(IntGaugeVec::new(Opts::new(name, help), &[label])?)
    }

    /// Counters by two labels.
    pub(super) fn counter_table<A: Label, B: Label>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; 2],
    ) -> Result<CounterTable<A>, Error> {
        let counters = self.counters_by(name, help, &labels)?;
        let row = |outer: &A| {
            let all = B::ALL.iter();
            all.map(|inner| counters.with_label_values(&[outer.as_str(), inner.as_str()])).collect()
        };
        Ok(CounterTable { rows: A::ALL.iter().map(row).collect(), labels: PhantomData })
    }

    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.0.gather()
    }
}

/// One metric for each value of a label, all there from the start.
pub(super) struct PerLabel<L, M> {
    metrics: Vec<M>,
    label: PhantomData<L>,
}

impl<L: Label, M> PerLabel<L, M> {
    /// The metrics of this label, as a part of `all`.
    pub(super) fn of<B: MetricVecBuilder<M = M>>(all: &MetricVec<B>) -> Self
    where
        M: prometheus::core::Metric,
    {
        let metrics = L::ALL.iter().map(|value| all.with_label_values(&[value.as_str()])).collect();
        Self { metrics, label: PhantomData }
    }

    /// The metric of this value.
    pub(super) fn at(&self, value: L) -> &M {
        &self.metrics[value.index()]
    }
}

/// One counter for each pair of two labels' values. The second label is an enum of a module that telemetry may not
/// name.
pub(super) struct CounterTable<A> {
    rows: Vec<Vec<IntCounter>>,
    labels: PhantomData<A>,
}

impl<A: Label> CounterTable<A> {
    /// The counter of these values; `inner` is of the type that the table was made with.
    pub(super) fn at(&self, outer: A, inner: impl Label) -> &IntCounter {
        &self.rows[outer.index()][inner.index()]
    }
}
