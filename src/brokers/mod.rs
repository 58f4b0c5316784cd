//! Storing a message in a broker: mechanism only. A publisher knows no notification and decides nothing; it
//! says what became of a message, and of a fault which kind it is.

mod finding;
pub mod kafka;
pub mod nats;

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::message::{Broker, Message};
use crate::observe::BrokerState;

pub use finding::{Finding, Verdict};

/// What `provision` did, or with a dry run would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provisioned {
    /// A stream or a topic, with its name.
    pub what: String,
    /// Whether there was none.
    pub created: bool,
    /// What it has now that it had not.
    pub changes: Vec<String>,
    /// What of them a dry run cannot be sure of.
    pub doubts: Vec<String>,
    /// What it has otherwise than asked for, or than one made anew would, and keeps.
    pub kept: Vec<String>,
}

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

    /// It could not be read, so nothing was sent.
    pub fn not_read(detail: String) -> Self {
        Self::not_sent("not_read", detail)
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

/// Every [`Fault::reason`], for labels.
pub const REASONS: [&str; 27] = [
    "connecting",
    "disconnected",
    "unsafe_stream",
    "no_stream",
    "no_subject",
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
    "no_topic",
    "too_many_topics",
    "not_authenticated",
    "no_leader",
    "too_few_replicas",
    "queue_full",
    "wrong_clock",
    "not_read",
];

/// How long to wait before a passing fault is tried again.
pub const RETRY_AFTER: Duration = Duration::from_millis(100);

#[cfg(not(any(feature = "kafka", feature = "nats")))]
compile_error!("without a broker nothing could be stored: build with the feature `kafka` or `nats`");

/// Publishes to one broker.
#[derive(Clone)]
pub enum Publisher {
    /// To Apache Kafka.
    #[cfg(feature = "kafka")]
    Kafka(kafka::Publisher),
    /// To NATS JetStream.
    #[cfg(feature = "nats")]
    Nats(nats::Publisher),
}

impl Publisher {
    /// Which broker it publishes to.
    pub fn broker(&self) -> Broker {
        match self {
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => Broker::Kafka,
            #[cfg(feature = "nats")]
            Self::Nats(_) => Broker::Nats,
        }
    }

    /// Whether it can store now; changes are seen as they happen.
    pub fn state(&self) -> watch::Receiver<BrokerState> {
        match self {
            #[cfg(feature = "kafka")]
            Self::Kafka(kafka) => kafka.state(),
            #[cfg(feature = "nats")]
            Self::Nats(nats) => nats.state(),
        }
    }

    /// When that was made which it stores in, in Unix nanoseconds: what was stored in another one is gone. 0 before that
    /// is known. Kafka does not tell: a topic made anew looks like the one before.
    pub fn created(&self) -> Option<i64> {
        match self {
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => None,
            #[cfg(feature = "nats")]
            Self::Nats(nats) => Some(nats.created()),
        }
    }

    /// Whether it can store now.
    pub fn is_up(&self) -> bool {
        self.state().borrow().up
    }

    /// Waits until it can store, or until `until`.
    pub async fn ready(&self, until: Instant) {
        let _ = timeout_at(until, self.state().wait_for(|state| state.up)).await;
    }

    /// Publishes, and returns when it is known what became of it.
    ///
    /// # Errors
    /// [`Fault`]. Where it says `unknown`, the message may be stored all the same.
    pub async fn publish(&self, message: &Message) -> Result<(), Fault> {
        match self {
            #[cfg(feature = "kafka")]
            Self::Kafka(kafka) => kafka.publish(message).await,
            #[cfg(feature = "nats")]
            Self::Nats(nats) => nats.publish(message).await,
        }
    }

    /// How long a repeat is recognised there; none where it never is.
    pub fn remembers(&self) -> Option<Duration> {
        match self {
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => None,
            #[cfg(feature = "nats")]
            Self::Nats(nats) => Some(nats.remembers()),
        }
    }

    /// The [`Message::dedupe_id`]s of what was stored since then where this one goes; none where that cannot be asked.
    ///
    /// # Errors
    /// [`Fault`]: it may be asked again.
    #[cfg_attr(not(feature = "nats"), allow(unused_variables, reason = "only JetStream is asked"))]
    pub async fn stored_since(&self, message: &Message, since: SystemTime) -> Result<Vec<String>, Fault> {
        match self {
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => Ok(Vec::new()),
            #[cfg(feature = "nats")]
            Self::Nats(nats) => nats.stored_since(message, since).await,
        }
    }

    /// The most bytes of body that fit beside this message's headers, and beside those of its parts.
    pub fn room_for(&self, message: &Message) -> usize {
        match self {
            #[cfg(feature = "kafka")]
            Self::Kafka(kafka) => kafka.room_for(message),
            #[cfg(feature = "nats")]
            Self::Nats(nats) => nats.room_for(message),
        }
    }
}

/// How many copies there are to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ReplicasText")]
pub enum Replicas {
    /// As many as are safe here: 3 where the cluster has them, else 1.
    #[default]
    Auto,
    /// This many.
    Count(usize),
}

/// As it is written: a number, or the word `auto`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "give a number of copies, or \"auto\"")]
enum ReplicasText {
    Number(usize),
    Word(String),
}

impl TryFrom<ReplicasText> for Replicas {
    type Error = &'static str;

    fn try_from(text: ReplicasText) -> Result<Self, Self::Error> {
        match text {
            ReplicasText::Number(count) => Ok(Self::Count(count)),
            ReplicasText::Word(word) if word == "auto" => Ok(Self::Auto),
            ReplicasText::Word(_) => Err("give a number of copies, or \"auto\""),
        }
    }
}
