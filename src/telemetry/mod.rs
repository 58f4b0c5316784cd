//! Metrics, their labels, and the log.
//!
//! In: what other modules report, each as a method of [`Metrics`]. Out: the page `/metrics` and the lines of the log. A
//! label is an enum, so no value can be counted under another one's name.

mod availability;
mod family;
mod health;
mod instances;
mod journal;
mod label;
pub mod logging;
mod metrics;
mod repeats;

pub use availability::{Availability, TimedAvailability};
pub use health::HealthMetrics;
pub use journal::JournalMetrics;
pub use label::{ConnectionRefusal, JournalEdit, Label, Refusal, ReloadResult, ReloadTarget, Status};
pub use metrics::{GaugeGuard, Metrics, RequestTimer};
