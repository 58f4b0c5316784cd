//! The callbacks of librdkafka, on its clients' own threads: delivery reports, events, and requests for a token.

use std::sync::Arc;

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info};

use super::token::TokenFile;
use super::{Config, error_codes};
use crate::brokers::Fault;
use crate::completion_queue::CompletionQueue;

/// How many events may wait for the watcher.
pub(super) const EVENT_QUEUE: usize = 64;

/// Tells the clients of one publisher apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ClientId(pub(super) u64);

/// An event, and which client it comes from: the watcher ignores those of clients that are not in use.
#[derive(Debug)]
pub(super) struct ClientEvent {
    pub(super) client: ClientId,
    pub(super) kind: ClientEventKind,
}

#[derive(Debug)]
pub(super) enum ClientEventKind {
    /// The client reaches no broker of the cluster.
    AllBrokersDown(String),
    /// The cluster refused the login, or TLS failed.
    NotAuthenticated(String),
    /// Any other error, maybe a fatal one: the event does not tell. If it is of one connection, what librdkafka says of it.
    OtherError(Option<String>),
    /// From the publisher: a record of this client got no delivery report in time.
    RecordOverdue,
}

/// What became of one record.
pub(super) type DeliveryReport = Result<(), Fault>;

/// Receives the delivery report of one record.
pub(super) type ReportSender = Box<oneshot::Sender<DeliveryReport>>;

/// The context that librdkafka's clients call.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) client: ClientId,
    events: mpsc::Sender<ClientEvent>,
    /// Its length is bounded by the records in flight.
    reports: CompletionQueue<(ReportSender, DeliveryReport)>,
    token: Option<Arc<TokenFile>>,
}

impl Context {
    pub(super) fn new(config: &Config, events: mpsc::Sender<ClientEvent>) -> Self {
        let token = config.token_file.clone().map(|path| Arc::new(TokenFile::new(path)));
        // a publish that was cancelled has dropped its receiver
        let reports = CompletionQueue::new(|(sender, report): (ReportSender, _)| drop(sender.send(report)));
        Self { client: ClientId::default(), events, reports, token }
    }

    /// The context of one client.
    pub(super) fn for_client(&self, client: ClientId) -> Self {
        Self { client, ..self.clone() }
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let Some(token) = &self.token else { return Err("kafka.token_file is not set".into()) };
        Ok(token.token()?)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        // what matters of it also comes as an event or a delivery report, and is logged there
        match level {
            RDKafkaLogLevel::Debug => debug!(target: "librdkafka", facility, text),
            // `info`, so that repeats are limited; not shown by default
            _ => info!(target: "librdkafka", ?level, facility, text),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let kind = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => ClientEventKind::AllBrokersDown(reason.into()),
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL) => {
                ClientEventKind::NotAuthenticated(reason.into())
            }
            code => {
                info!(target: "librdkafka", %error, facility = "ERROR", reason);
                let of_connection =
                    matches!(code, Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve));
                // a fatal error comes under the code of its cause; only the client knows that it is fatal
                ClientEventKind::OtherError(of_connection.then(|| reason.into()))
            }
        };
        // the next inspection finds what a full queue leaves out
        let _ = self.events.try_send(ClientEvent { client: self.client, kind });
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ReportSender;

    fn delivery(&self, result: &DeliveryResult<'_>, sender: ReportSender) {
        let report = result.as_ref().map(|_| ()).map_err(|(error, _)| error_codes::fault(error));
        self.reports.push((sender, report));
    }
}
