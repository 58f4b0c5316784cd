//! Storing a message in a broker: mechanism only. A publisher knows no notification and decides nothing; it
//! says what became of a message, and of a fault which kind it is.

mod finding;
pub mod nats;

use std::time::Duration;

use thiserror::Error;

pub use finding::{Finding, Verdict};

/// Why a broker did not store a message, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}: {detail}")]
pub struct Fault {
    /// What is at fault.
    pub kind: FaultKind,
    /// A bounded tag: metric label and log field.
    pub reason: &'static str,
    /// For the log; never a piece of a body.
    pub detail: String,
    /// Whether the same message may well be stored a moment later.
    pub passing: bool,
    /// Whether the broker may have it all the same: it was on its way when the report was lost.
    pub unknown: bool,
}

/// What is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// This message: no other will suffer, and it will never be taken.
    Record,
    /// Where it goes: other destinations are unharmed.
    Destination,
    /// The way there. Sending it again is safe.
    Connection,
}

impl Fault {
    fn record(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { kind: FaultKind::Record, reason, detail: detail.into(), passing: false, unknown: false }
    }

    fn destination(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { kind: FaultKind::Destination, reason, detail: detail.into(), passing: false, unknown: false }
    }

    /// It may have been stored.
    fn unknown(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { unknown: true, ..Self::not_sent(reason, detail) }
    }

    /// It did not leave this process.
    fn not_sent(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { kind: FaultKind::Connection, reason, detail: detail.into(), passing: true, unknown: false }
    }
}

/// The brokers there are, in the order of their labels.
pub const NAMES: [&str; 1] = ["nats"];

/// Every [`Fault::reason`], for labels.
pub const REASONS: [&str; 18] = [
    "connecting",
    "disconnected",
    "unsafe_stream",
    "no_stream",
    "not_inspected",
    "send",
    "closed",
    "no_report",
    "new_leader",
    "no_responders",
    "no_jetstream",
    "not_authorized",
    "too_large",
    "stream_full",
    "no_space",
    "wrong_stream",
    "unavailable",
    "refused",
];

/// How long to wait before a passing fault is tried again.
pub const RETRY_AFTER: Duration = Duration::from_millis(100);
