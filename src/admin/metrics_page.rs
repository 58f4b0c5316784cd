//! `/metrics`.

use hyper::{Response, StatusCode};

use super::Health;
use super::response::{Body, response};
use crate::telemetry::Metrics;

/// Prometheus' text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn answer(metrics: &Metrics, health: &Health) -> Response<Body> {
    // the gauge says what holds at the time of the scrape
    health.brokers_up().for_each(|(broker, up)| metrics.set_broker_connected(broker, up));
    response(StatusCode::OK, METRICS, metrics.text())
}
