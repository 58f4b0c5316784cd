//! Storing a message in a broker: mechanism only.
//!
//! In: a [`Message`]. Out: whether the broker stored it, or the [`Fault`] with its kind and reason; and at any time the
//! [`BrokerState`]. A publisher knows no notification and decides nothing.
//!
//! `kafka` and `nats` hold the publishers; in each, `admin` is apart: what `check` and `provision` ask of a broker.

mod fault;
mod finding;
pub mod kafka;
pub mod nats;

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::backoff::Backoff;
use crate::message::{Broker, Message};
use crate::telemetry::{Availability, Dated};

pub use fault::{Fault, FaultKind, FaultReason};
pub use finding::{Finding, Verdict};

/// Whether a broker stores now.
pub type BrokerState = Availability<FaultReason>;

/// What the journal has for a broker.
#[derive(Debug, Clone, Copy)]
pub struct JournalBacklog {
    /// How many records.
    pub records: u64,
    /// When the stream was created that has the messages before them, in Unix nanoseconds. `None` means it is unknown.
    pub stream: Option<i64>,
}

/// What `provision` did to one stream or topic, or with a dry run would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Provisioned {
    /// A stream or a topic, with its name.
    pub name: String,
    /// True if there was none.
    pub created: bool,
    /// What it has now that it had not.
    pub changes: Vec<String>,
    /// Which of the changes a dry run is not sure of.
    pub uncertain: Vec<String>,
    /// What it has otherwise than configured, or than a new one would have, and `provision` leaves as it is.
    pub unchanged: Vec<String>,
}

/// The pauses before a message with a transient fault is published again.
pub const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(400));

#[cfg(not(any(feature = "kafka", feature = "nats")))]
compile_error!("without a broker nothing could be stored: build with the feature `kafka` or `nats`");

/// Publishes to one broker. Cheap to clone.
#[derive(Clone)]
pub enum Publisher {
    /// Publishes to Apache Kafka.
    Kafka(kafka::Publisher),
    /// Publishes to NATS JetStream.
    Nats(nats::Publisher),
}

impl Publisher {
    /// The broker.
    pub fn broker(&self) -> Broker {
        match self {
            Self::Kafka(_) => Broker::Kafka,
            Self::Nats(_) => Broker::Nats,
        }
    }

    /// Whether the broker can store now; a change shows as it happens.
    pub fn state(&self) -> watch::Receiver<Dated<FaultReason>> {
        match self {
            Self::Kafka(kafka) => kafka.state(),
            Self::Nats(nats) => nats.state(),
        }
    }

    /// Calls `act` with the creation time of the stream it publishes to, in Unix nanoseconds, whenever an inspection
    /// finds another one: what an earlier stream stored is gone. `act` has returned before an ack of the new stream
    /// counts. Kafka never calls it: a topic that was deleted and created again looks like the earlier one.
    pub fn on_stream_created(&self, act: impl Fn(i64) + Send + 'static) {
        match self {
            Self::Kafka(_) => {}
            Self::Nats(nats) => nats.on_stream_created(act),
        }
    }

    /// True if the broker can store now.
    pub fn is_up(&self) -> bool {
        self.state().borrow().is_up()
    }

    /// Waits until the broker can store, or until `until`.
    pub async fn wait_until_up(&self, until: Instant) {
        let _ = timeout_at(until, self.state().wait_for(|state| state.is_up())).await;
    }

    /// Publishes; returns when the outcome is known.
    ///
    /// # Errors
    /// [`Fault`]. With `maybe_stored`, the broker may have stored the message all the same.
    pub async fn publish(&self, message: &Message) -> Result<(), Fault> {
        match self {
            Self::Kafka(kafka) => kafka.publish(message).await,
            Self::Nats(nats) => nats.publish(message).await,
        }
    }

    /// Ends its tasks and threads, and waits for them, a second at most. What is in flight gets a fault.
    pub async fn close(&self) {
        match self {
            Self::Kafka(kafka) => kafka.close().await,
            Self::Nats(nats) => nats.close().await,
        }
    }

    /// How long the broker recognises a repeat. `None` means that it never does.
    pub fn duplicate_window(&self) -> Option<Duration> {
        match self {
            Self::Kafka(_) => None,
            Self::Nats(nats) => Some(nats.duplicate_window()),
        }
    }

    /// The dedup ids ([`Message::dedupe_id`]) of the messages stored at this message's destination since `since`, at most
    /// 20,000. Always empty for Kafka, and for JetStream while lookups are suspended: an empty list does not prove absence.
    ///
    /// # Errors
    /// [`Fault`]: the caller may try again.
    pub async fn stored_since(&self, message: &Message, since: SystemTime) -> Result<Vec<String>, Fault> {
        match self {
            Self::Kafka(_) => Ok(Vec::new()),
            Self::Nats(nats) => nats.stored_since(message, since).await,
        }
    }

    /// The most bytes of body that fit beside this message's headers, and beside those of its parts.
    pub fn max_body_len(&self, message: &Message) -> usize {
        match self {
            Self::Kafka(kafka) => kafka.max_body_len(message),
            Self::Nats(nats) => nats.max_body_len(message),
        }
    }
}

/// How many replicas a stream or topic is created with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ReplicasText")]
pub enum Replicas {
    /// As many as the cluster can have, 3 at most.
    #[default]
    Auto,
    /// This many.
    Count(usize),
}

/// The value in the file: a number, or the word `auto`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "give a number of replicas, or \"auto\"")]
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
            ReplicasText::Word(_) => Err("give a number of replicas, or \"auto\""),
        }
    }
}
