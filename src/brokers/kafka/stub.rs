//! Apache Kafka of a build without the feature `kafka`: nothing connects, so that none of the rest is ever called.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::watch;

use super::{ClientError, Config};
use crate::brokers::{Fault, FaultReason, Finding, Provisioned};
use crate::message::{DlqRecord, Message};
use crate::telemetry::TimedAvailability;

/// How long a delivery report may take: this build awaits none.
pub const DELIVERY_TIMEOUT: Duration = Duration::ZERO;

const NOT_BUILT: &str = "this build has no kafka; build with the feature `kafka`";

/// Publishes to Kafka: this build cannot. The field is private, so that callers compile as with Kafka.
#[derive(Clone)]
pub struct Publisher(Infallible);

/// Reads dead letters: this build cannot.
pub struct Reader(Infallible);

#[allow(missing_docs, clippy::missing_errors_doc, reason = "see the publisher of a build with Kafka")]
impl Publisher {
    pub fn start(_: &Config, _: Vec<String>, _: usize, _: Duration) -> Result<Self, ClientError> {
        Err(not_built())
    }

    pub async fn close(&self) {
        match self.0 {}
    }

    pub fn state(&self) -> watch::Receiver<TimedAvailability<FaultReason>> {
        match self.0 {}
    }

    pub async fn publish(&self, _: &Message) -> Result<(), Fault> {
        match self.0 {}
    }

    pub fn max_body_len(&self, _: &Message) -> usize {
        match self.0 {}
    }
}

#[allow(missing_docs, clippy::missing_errors_doc, reason = "see the reader of a build with Kafka")]
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

/// Finds that this build cannot ask a cluster.
pub async fn check(_: &Config, _: &[String], _: Duration) -> Vec<Finding> {
    vec![Finding::wrong("cluster", NOT_BUILT, "")]
}

/// Refuses: this build cannot ask a cluster.
///
/// # Errors
/// Always.
pub async fn provision(_: &Config, _: &[String], _: bool) -> Result<Vec<Provisioned>, String> {
    Err(NOT_BUILT.into())
}

/// Refuses: this build has no client.
///
/// # Errors
/// Always.
pub fn validate(_: &Config) -> Result<(), ClientError> {
    Err(not_built())
}

fn not_built() -> ClientError {
    ClientError { key: "bootstrap_servers".into(), problem: NOT_BUILT.into() }
}
