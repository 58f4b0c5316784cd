//! The webhook endpoint.
//!
//! In: an HTTP request, which [`Endpoint::handle`] answers. Out: an [`Answer`], the one table from outcome or refusal
//! to HTTP status. The order of the checks is part of the contract: address, head, path, method, token, and only then the
//! body. What passes goes through [`crate::notification`] and [`crate::route`] to [`crate::delivery`], and its
//! [`Outcome`] comes back.

mod answer;
mod body;
mod config;
mod head;
mod notification_log;
mod permits;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::{Request, Response};
use tokio::time::Instant;
use tracing::{info, warn};

pub use answer::{Answer, Connection};
pub use config::{Config, Limits, ProxyConfig, ProxyProtocol};
use notification_log::NotificationLog;
use permits::Permit;
pub use permits::Permits;

use crate::auth::{AllowList, Binding, Tokens};
use crate::delivery::{Delivery, Outcome};
use crate::http_server::{Client, Transport};
use crate::message::TraceContext;
use crate::notification::{Class, ParseError, Validation};
use crate::reloadable::Reloadable;
use crate::route::{Received, Routes};
use crate::shutdown::Shutdown;
use crate::telemetry::{Metrics, Refusal};

/// A request whose body may be read.
struct Admitted {
    binding: Binding,
    trace: TraceContext,
    /// `Content-Encoding`. None means that the body is not encoded.
    encoding: Option<String>,
    body: Incoming,
}

/// Everything that answering a request needs.
pub struct Endpoint {
    /// `[http]`.
    pub config: Config,
    /// Source addresses that may send.
    pub allowed: Reloadable<AllowList>,
    /// Tokens. None means that anyone may send.
    pub tokens: Option<Reloadable<Tokens>>,
    /// What is required of notifications.
    pub validation: Validation,
    /// Where notifications go.
    pub routes: Routes,
    /// Stores them.
    pub delivery: Arc<Delivery>,
    /// Limits the notifications in flight.
    pub permits: Permits,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Whether the process is about to stop.
    pub shutdown: Shutdown,
}

impl Endpoint {
    /// Answers one request, and logs it once if it was refused.
    ///
    /// # Errors
    /// Never.
    pub async fn handle(
        self: Arc<Self>,
        client: Client,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let _timer = self.metrics.begin_request();
        let has_long_body = body::is_long(request.body());
        let sender = require_tls(&client).and_then(|()| self.sender(client.address(), &request));
        let address = sender.unwrap_or(client.address());
        let outcome = match sender.and_then(|sender| self.admit(&client, sender, request)) {
            // boxed: otherwise the connection's future would be as large while idle
            Ok(admitted) => Box::pin(self.receive(admitted)).await,
            Err(refusal) => Err(refusal),
        };
        if let Err(Refused { refusal, detail }) = outcome {
            self.metrics.refused(refusal);
            if matches!(refusal, Refusal::Unauthorized | Refusal::Forbidden | Refusal::Moved) {
                client.mark_refused();
            }
            warn!(event = "request_refused", client_address = %address, reason = refusal.as_str(), detail, "request refused");
        }
        let answer = outcome.map_or_else(|refused| Answer::Refused(refused.refusal), Answer::Outcome);
        self.metrics.answered(answer.status());
        // the server cannot discard a long body: it closes the connection, and the client must learn that
        let is_unread = has_long_body && answer.leaves_body_unread();
        let connection = if is_unread || self.shutdown.is_begun() { Connection::Close } else { Connection::KeepAlive };
        Ok(answer.response(connection))
    }

    /// The sender's address: the peer's, or the one that the trusted proxy names.
    fn sender(&self, peer: IpAddr, request: &Request<Incoming>) -> Result<IpAddr, Refused> {
        let Some((header, trusted_hops)) = self.config.proxy.as_ref().and_then(ProxyConfig::trusted_header) else {
            return Ok(peer);
        };
        let lines = request.headers().get_all(header.name()).iter().map(HeaderValue::as_bytes);
        let sender = header.sender(lines, trusted_hops);
        sender.map_err(|error| Refused { refusal: Refusal::ForwardedHeader, detail: Some(error.as_str()) })
    }

    /// Every check of a request before its body is read.
    fn admit(&self, client: &Client, sender: IpAddr, request: Request<Incoming>) -> Result<Admitted, Refused> {
        if !self.allowed.load().allows(sender) {
            // a sender with a token is GREEN-API at a new address: worth an alert of its own
            let has_token = self.tokens.is_some() && self.authenticate(&request).is_ok();
            let detail =
                Some("a valid token from an address that is not in auth.allow_from; add it if it is GREEN-API");
            return Err(if has_token {
                Refused { refusal: Refusal::Moved, detail }
            } else {
                Refusal::Forbidden.into()
            });
        }
        head::check(&request, &self.config.path)?;
        let binding = self.authenticate(&request)?;
        client.mark_authenticated();
        let trace = head::trace(request.headers());
        let encoding = head::content_encoding(request.headers());
        Ok(Admitted { binding, trace, encoding, body: request.into_body() })
    }

    /// The instances that the request's token may send for.
    fn authenticate(&self, request: &Request<Incoming>) -> Result<Binding, Refused> {
        let Some(tokens) = &self.tokens else { return Ok(Binding::Any) };
        let refused = |detail| Refused { refusal: Refusal::Unauthorized, detail: Some(detail) };
        let Some(header) = request.headers().get(hyper::header::AUTHORIZATION) else {
            return Err(refused("no Authorization header; set webhookUrlToken"));
        };
        let text = header.to_str().unwrap_or_default();
        let unknown = if text.trim().contains(' ') {
            "a token that is not in auth.tokens_file"
        } else {
            "the Authorization header has no scheme such as Bearer"
        };
        tokens.load().look_up(text).cloned().ok_or(refused(unknown))
    }

    /// Reads the body and waits for what becomes of it.
    async fn receive(self: &Arc<Self>, admitted: Admitted) -> Result<Outcome, Refused> {
        let Admitted { binding, trace, encoding, body } = admitted;
        let permit = self.permits.acquire(&body, &self.config).await?;
        // boxed: one piece of memory over 1 KiB costs much more than two small ones
        let body = Box::pin(body::read(body, &self.config, permit)).await?;
        let received = Received { body: body.bytes, at: SystemTime::now(), trace };
        let deadline = self.shutdown.cap(Instant::now() + self.config.answer_within);
        // from here on the notification is stored even if the client hangs up
        let (class, line, stored) = self.accept(received, &binding, encoding, deadline, body.permit)?;
        let outcome = stored.await;
        self.metrics.notification(class, outcome);
        line.end(outcome);
        Ok(outcome)
    }

    /// Begins to store a body. Returns its class, its line of the log, and a future of what becomes of it.
    fn accept(
        &self,
        received: Received,
        binding: &Binding,
        encoding: Option<String>,
        deadline: Instant,
        permit: Permit,
    ) -> Result<(Option<Class>, NotificationLog, impl Future<Output = Outcome> + use<>), Refused> {
        let parsed = self.validation.parse(&received.body);
        let parsed = match encoding {
            Some(encoding) => Err(ParseError::encoded(encoding, &parsed)),
            None => parsed,
        };
        let (class, message) = match parsed {
            Ok(notification) => {
                check_binding(binding, Some(notification.instance))?;
                let class = Some(self.routes.class_of(&notification));
                self.metrics.received(class, Some(notification.instance), received.at);
                (class, self.routes.message_for(&notification, &received))
            }
            Err(error) => {
                check_binding(binding, error.instance())?;
                self.metrics.received(None, error.instance(), received.at);
                let message = self.routes.dead_letter_for(&error, &received);
                let (ce_id, instance) = (message.event.id, message.event.instance_text());
                let reason = message.as_dead_letter().map(|dead| dead.reason.as_str());
                info!(event = "not_a_notification", %ce_id, instance, reason, detail = %error, "not a notification: goes to the dead letter");
                (None, message)
            }
        };
        let line = NotificationLog::begin(&message, class);
        Ok((class, line, self.delivery.store(message, deadline, permit)))
    }
}

/// Refuses a request without TLS on a port that has it.
fn require_tls(client: &Client) -> Result<(), Refused> {
    let detail = Some("http:// on a port with TLS; set webhookUrl to https://");
    match client.transport() {
        Transport::Plain | Transport::Tls => Ok(()),
        Transport::PlainOnTlsPort => Err(Refused { refusal: Refusal::PlainHttp, detail }),
    }
}

/// The token's binding can be checked only once the body has named its instance.
fn check_binding(binding: &Binding, instance: Option<u64>) -> Result<(), Refused> {
    let detail = Some("the token is bound to another instance in auth.tokens_file");
    if binding.covers(instance) { Ok(()) } else { Err(Refused { refusal: Refusal::WrongInstance, detail }) }
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy)]
struct Refused {
    refusal: Refusal,
    /// For the log alone: the sender learns no more than the status.
    detail: Option<&'static str>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, detail: None }
    }
}
