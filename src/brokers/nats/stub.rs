//! NATS JetStream of a build without the feature `nats`: nothing connects, so that none of the rest is ever called.

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::{Config, ConnectError};
use crate::brokers::{Fault, FaultReason, Finding, JournalBacklog, Provisioned};
use crate::message::{DlqRecord, Message};
use crate::telemetry::TimedAvailability;

/// How long a message may have no ack: this build sends none.
#[derive(Clone, Copy)]
pub struct AckTimeouts;

/// Those of this build.
pub const ACK_TIMEOUTS: AckTimeouts = AckTimeouts;

const NOT_BUILT: &str = "this build has no nats; build with the feature `nats`";

/// Publishes to JetStream: this build cannot. The field is private, so that callers compile as with NATS.
#[derive(Clone)]
pub struct Publisher(Infallible);

/// Reads dead letters: this build cannot.
pub struct Reader(Infallible);

#[allow(missing_docs, clippy::missing_errors_doc, reason = "see the publisher of a build with NATS")]
impl Publisher {
    pub async fn start(config: &Config, _: Vec<String>, _: AckTimeouts) -> Result<Self, ConnectError> {
        Err(not_built(config))
    }

    pub async fn close(&self) {
        match self.0 {}
    }

    pub fn state(&self) -> watch::Receiver<TimedAvailability<FaultReason>> {
        match self.0 {}
    }

    pub fn on_stream_created(&self, _: impl Fn(i64) + Send + 'static) {
        match self.0 {}
    }

    pub fn duplicate_window(&self) -> Duration {
        match self.0 {}
    }

    pub async fn stored_since(&self, _: &Message, _: SystemTime) -> Result<Vec<String>, Fault> {
        match self.0 {}
    }

    pub async fn publish(&self, _: &Message) -> Result<(), Fault> {
        match self.0 {}
    }

    pub fn max_body_len(&self, _: &Message) -> usize {
        match self.0 {}
    }
}

#[allow(missing_docs, clippy::missing_errors_doc, reason = "see the reader of a build with NATS")]
impl Reader {
    pub async fn open(_: &Config) -> Result<Self, String> {
        Err(NOT_BUILT.into())
    }

    pub async fn begin(&mut self, _: bool) -> Result<u64, String> {
        match self.0 {}
    }

    pub async fn next(&mut self) -> Result<Option<DlqRecord>, String> {
        match self.0 {}
    }
}

/// Finds that this build cannot ask a server.
pub async fn check(_: &Config, _: &[String], _: Duration, _: Option<&JournalBacklog>) -> Vec<Finding> {
    vec![Finding::wrong("server", NOT_BUILT, "")]
}

/// Refuses: this build cannot ask a server.
///
/// # Errors
/// Always.
pub async fn provision(_: &Config, _: &[String], _: Duration, _: bool) -> Result<Provisioned, String> {
    Err(NOT_BUILT.into())
}

/// Refuses: this build has no client.
///
/// # Errors
/// Always.
pub fn validate(config: &Config) -> Result<(), ConnectError> {
    Err(not_built(config))
}

fn not_built(config: &Config) -> ConnectError {
    ConnectError { key: "servers", value: config.servers.join(", "), source: std::io::Error::other(NOT_BUILT) }
}
