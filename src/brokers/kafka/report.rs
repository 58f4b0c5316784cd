//! What librdkafka says of a record, and of itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use super::Config;
use super::producers::Client;
use super::token::TokenFile;
use crate::brokers::Fault;
use crate::relay::Relay;

/// What became of one record.
pub(super) type Report = Result<(), Fault>;

/// What librdkafka says of itself.
pub(super) enum Event {
    /// No broker of the cluster can be reached.
    AllDown(String),
    /// The cluster does not know us.
    NotAuthenticated(String),
    /// Something else, which may be that a producer will never produce again.
    Other,
    /// A record got no report although its time is over, and through which client it went. Who waits for it says so.
    Overdue(Weak<Client>),
}

/// Who waits for a record's report.
pub(super) type Waiter = Box<oneshot::Sender<Report>>;

/// Hears reports and events, on librdkafka's own thread, and is asked there for tokens.
#[derive(Clone)]
pub(super) struct Context {
    events: mpsc::Sender<Event>,
    /// As many are on their way as there are records in flight at most.
    reports: Relay<(Waiter, Report)>,
    token: Option<Arc<TokenFile>>,
    /// Whether events matter.
    heard: Arc<AtomicBool>,
}

impl Context {
    pub(super) fn new(config: &Config, events: mpsc::Sender<Event>) -> Self {
        let token = config.token_file.clone().map(|path| Arc::new(TokenFile::new(path)));
        // a waiter that gave up has nothing to hear
        Self {
            events,
            reports: Relay::new(|(waiter, report)| drop(waiter.send(report))),
            token,
            heard: Arc::new(true.into()),
        }
    }

    /// For one client, and the switch of whether it is heard: that one that is not in use does not find the cluster says
    /// nothing of those that are.
    pub(super) fn of_one(&self, heard: bool) -> (Self, Arc<AtomicBool>) {
        let heard = Arc::new(AtomicBool::new(heard));
        (Self { heard: heard.clone(), ..self.clone() }, heard)
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let Some(token) = &self.token else { return Err("kafka.token_file is not set".into()) };
        Ok(token.token()?)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        // what matters of it comes as an event or a report, and is logged there
        debug!(target: "librdkafka", ?level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let event = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => Event::AllDown(reason.into()),
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL) => Event::NotAuthenticated(reason.into()),
            _ => {
                debug!(target: "librdkafka", %error, reason);
                // a fatal error comes under the code of its cause; only the client tells that it is one
                Event::Other
            }
        };
        if self.heard.load(Ordering::Relaxed) {
            // what a full line leaves out is seen at the next look
            let _ = self.events.try_send(event);
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Waiter;

    fn delivery(&self, result: &DeliveryResult<'_>, waiter: Waiter) {
        let report = result.as_ref().map(|_| ()).map_err(|(error, _)| fault(error));
        self.reports.tell((waiter, report));
    }
}

/// Which kind of fault an error is.
pub(super) fn fault(error: &KafkaError) -> Fault {
    use RDKafkaErrorCode as Code;
    let detail = error.to_string();
    let Some(code) = error.rdkafka_error_code() else { return Fault::unknown("send", detail) };
    match code {
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
            Fault::record("too_large", detail)
        }
        Code::InvalidMessage | Code::InvalidRecord => Fault::record("refused", detail),
        // when it was received is for a clock to say, here or at the broker: the next record has the same fault
        Code::InvalidTimestamp => Fault::destination("wrong_clock", detail),
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition | Code::InvalidTopic => {
            Fault::destination("no_topic", detail)
        }
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            Fault::destination("not_authorized", detail)
        }
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => {
            Fault { unknown: true, ..Fault::destination("too_few_replicas", detail) }
        }
        Code::PolicyViolation | Code::KafkaStorageError => Fault::destination("refused", detail),
        Code::QueueFull => Fault::not_sent("queue_full", detail),
        Code::MessageTimedOut | Code::RequestTimedOut => Fault::unknown("no_report", detail),
        Code::PurgeQueue | Code::PurgeInflight | Code::Fatal => Fault::unknown("closed", detail),
        _ => Fault::unknown("send", detail),
    }
}
