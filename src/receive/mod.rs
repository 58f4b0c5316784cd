//! HTTP in: from a request to a [`Answer`]. The order of the checks is part of the contract: address, head,
//! path, method, token, and only then the body.

mod answer;
mod body;
mod head;
mod slots;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use serde::Deserialize;
use tokio::time::Instant;
use tracing::{info, warn};

pub use answer::Answer;
pub use slots::Slots;

use crate::admit::{AllowList, Binding, Tokens};
use crate::deliver::{Deliver, Outcome};
use crate::notification::{Class, Notification};
use crate::observe::Metrics;
use crate::route::{Received, Routes};
use crate::shutdown::Shutdown;
use crate::units;

/// `[http]`: the endpoint GREEN-API posts to.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen. Default 127.0.0.1:3000: nothing listens beyond loopback unasked.
    pub listen: SocketAddr,
    /// The path, with or without its last slash.
    pub path: String,
    /// The largest body. Default 8 MiB: GREEN-API names no limit, previews and contact lists make some large.
    #[serde(deserialize_with = "units::size")]
    pub max_body: usize,
    /// From the last byte of a body to its answer. Default 15 s: GREEN-API waited 20 s in 2023, 180 s now.
    #[serde(deserialize_with = "units::duration")]
    pub answer_within: Duration,
    /// How long a body may take. Default 10 s.
    #[serde(deserialize_with = "units::duration")]
    pub body_time: Duration,
    /// `[http.limits]`.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            path: "/green-api/webhook/".into(),
            max_body: 8 * 1024 * 1024,
            answer_within: Duration::from_secs(15),
            body_time: Duration::from_secs(10),
            limits: Limits::default(),
        }
    }
}

/// `[http.limits]`: what one bridge takes on at once.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Notifications being read or stored. Default 1024.
    pub in_flight: usize,
    /// Requests waiting for a place among them. Default 1024.
    pub waiting: usize,
    /// The bytes of all of them together. Default 64 MiB.
    #[serde(deserialize_with = "units::size")]
    pub in_flight_bytes: usize,
    /// Open connections; more wait in the kernel's line. Default 4096. A request head of up to 128 KiB is buffered
    /// for each.
    pub connections: usize,
    /// Open connections from one source address; more are closed at once. Default 256: GREEN-API has few addresses
    /// and one request at a time for each instance, and no one else should fill the line. A reverse proxy makes
    /// everyone one address: on loopback, where a sidecar is one, there is no such limit; raise it for others.
    pub connections_per_address: usize,
    /// From the first byte of a request head to its end; then the connection is closed. Default 10 s.
    #[serde(deserialize_with = "units::duration")]
    pub head: Duration,
    /// How long a connection may be open without a request. Default 75 s: GREEN-API pauses for 60, and a proxy in
    /// front that keeps connections for a minute closes them first.
    #[serde(deserialize_with = "units::duration")]
    pub idle: Duration,
    /// How long a client may read nothing of an answer; then the connection is closed. Default 10 s.
    #[serde(deserialize_with = "units::duration")]
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight: 1024,
            waiting: 1024,
            in_flight_bytes: 64 * 1024 * 1024,
            connections: 4096,
            connections_per_address: 256,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            write: Duration::from_secs(10),
        }
    }
}

/// Everything a request meets.
pub struct Endpoint {
    /// `[http]`.
    pub config: Config,
    /// Source addresses that may send.
    pub allowed: AllowList,
    /// Tokens; none where anyone may send.
    pub tokens: Option<Tokens>,
    /// Where notifications go.
    pub routes: Routes,
    /// What stores them.
    pub deliver: Deliver,
    /// The places for notifications in flight.
    pub slots: Slots,
    /// What is counted.
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
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let _timed = self.metrics.enter();
        let answer = match self.take(peer, request).await {
            Ok(outcome) => Answer::of(outcome),
            Err(refusal) => refusal,
        };
        if answer.is_refusal() {
            warn!(peer = %peer.ip(), answer = answer.name(), "refused");
        }
        self.metrics.request(answer.status_index());
        Ok(answer.response(self.shutdown.is_begun()))
    }

    async fn take(self: &Arc<Self>, peer: SocketAddr, request: Request<Incoming>) -> Result<Outcome, Answer> {
        if !self.allowed.allows(peer.ip()) {
            return Err(Answer::Forbidden);
        }
        head::check(&request, &self.config.path)?;
        let binding = self.admit(&request)?;
        let (head, body) = request.into_parts();
        let slot = self.slots.enter(&body, &self.config).await?;
        let body = body::read(body, &self.config, slot).await?;
        let received = Received { body: body.bytes, at: SystemTime::now(), trace: head::trace(&head.headers) };
        // carried on even if the client hangs up from here on
        let deadline = self.shutdown.cap(Instant::now() + self.config.answer_within);
        self.accept(received, &binding, deadline, body.slot).await
    }

    fn admit(&self, request: &Request<Incoming>) -> Result<Binding, Answer> {
        let Some(tokens) = &self.tokens else { return Ok(Binding::Any) };
        let header = request.headers().get(hyper::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        header.and_then(|header| tokens.look_up(header)).cloned().ok_or(Answer::Unauthorized)
    }

    /// The way of a notification, once its bytes are here.
    async fn accept(
        &self,
        received: Received,
        binding: &Binding,
        deadline: Instant,
        slot: slots::Slot,
    ) -> Result<Outcome, Answer> {
        let (class, message) = match Notification::parse(&received.body) {
            Ok(notification) => {
                self.settle_binding(binding, Some(notification.instance))?;
                let class = self.routes.class_of(&notification) as usize;
                (class, self.routes.message_for(&notification, &received))
            }
            Err(refused) => {
                self.settle_binding(binding, refused.instance())?;
                let message = self.routes.dead_letter_for(&refused, &received);
                info!(id = %message.event.id, why = %refused, "no notification; to the dead letter");
                self.metrics.dead_letter(message.dead_letter.as_ref().map_or(0, |dead| dead.reason as usize));
                (Class::ALL.len(), message)
            }
        };
        let outcome = self.deliver.store(message, deadline, slot).await;
        self.metrics.notification(class, outcome as usize);
        Ok(outcome)
    }

    fn settle_binding(&self, binding: &Binding, instance: Option<u64>) -> Result<(), Answer> {
        if binding.covers(instance) { Ok(()) } else { Err(Answer::Unauthorized) }
    }
}
