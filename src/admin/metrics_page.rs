//! `/metrics`.

use hyper::{Response, StatusCode};

use super::Health;
use super::health::Readiness;
use super::response::{Body, response};
use crate::telemetry::{Metrics, ReloadTarget};

/// Prometheus' text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn answer(metrics: &Metrics, health: &Health) -> Response<Body> {
    // the gauges say what holds at the time of the scrape
    show_health(metrics, &health.readiness());
    response(StatusCode::OK, METRICS, metrics.text())
}

fn show_health(metrics: &Metrics, readiness: &Readiness) {
    let shown = &metrics.health;
    shown.set_ready(readiness.is_ready());
    for (broker, state) in &readiness.brokers {
        shown.set_broker_connected(broker, state.is_up());
    }
    shown.set_journal_up(readiness.journal.as_ref().is_some_and(|state| state.is_up()));
    for what in ReloadTarget::ALL {
        let has_failed = readiness.failed_reloads.iter().any(|(failed, _)| *failed == what.as_str());
        shown.set_reload_failed(what, has_failed);
    }
}
