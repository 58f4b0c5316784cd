//! HTTP in: from a request to a [`Answer`]. The order of the checks is part of the contract: address, head,
//! path, method, token, and only then the body.

mod answer;
mod body;
mod config;
mod head;
mod slots;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use tokio::time::Instant;
use tracing::{info, warn};

pub use answer::Answer;
pub use config::{Config, Limits};
pub use slots::Slots;

use crate::admit::{AllowList, Binding, Tokens};
use crate::deliver::{Deliver, Outcome};
use crate::message::TraceContext;
use crate::notification::{Class, Notification};
use crate::observe::Metrics;
use crate::route::{Received, Routes};
use crate::shutdown::Shutdown;

/// The place of bodies that are no notification among the labels of classes: after all of them.
const UNKNOWN: usize = Class::ALL.len();

/// A request whose body may be read.
struct Admitted {
    binding: Binding,
    trace: TraceContext,
    body: Incoming,
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
        let outcome = match self.may_send(peer, request) {
            // apart from the connection, which would keep room for it while it is idle
            Ok(admitted) => Box::pin(self.take(admitted)).await,
            Err(refusal) => Err(refusal),
        };
        let answer = outcome.map_or_else(|refusal| refusal, Answer::of);
        if let Some(reason) = answer.refusal() {
            self.metrics.refused(reason);
            warn!(peer = %peer.ip(), reason, "refused");
        }
        self.metrics.request(answer.status_index());
        Ok(answer.response(self.shutdown.is_begun()))
    }

    /// All that is asked of a request before its body is read.
    fn may_send(&self, peer: SocketAddr, request: Request<Incoming>) -> Result<Admitted, Answer> {
        if !self.allowed.allows(peer.ip()) {
            // whoever has a token is GREEN-API, and has moved: worth an alert of its own
            let known = self.tokens.is_some() && self.admit(&request).is_ok();
            return Err(if known { Answer::Moved } else { Answer::Forbidden });
        }
        head::check(&request, &self.config.path)?;
        let binding = self.admit(&request)?;
        let trace = head::trace(request.headers());
        Ok(Admitted { binding, trace, body: request.into_body() })
    }

    async fn take(self: &Arc<Self>, admitted: Admitted) -> Result<Outcome, Answer> {
        let Admitted { binding, trace, body } = admitted;
        let slot = self.slots.enter(&body, &self.config).await?;
        // apart: pieces of memory over 1 KiB cost much more than two small ones
        let body = Box::pin(body::read(body, &self.config, slot)).await?;
        let received = Received { body: body.bytes, at: SystemTime::now(), trace };
        // carried on even if the client hangs up from here on
        let deadline = self.shutdown.cap(Instant::now() + self.config.answer_within);
        let (class, stored) = self.accept(received, &binding, deadline, body.slot)?;
        let outcome = stored.await;
        self.metrics.notification(class, outcome as usize);
        Ok(outcome)
    }

    fn admit(&self, request: &Request<Incoming>) -> Result<Binding, Answer> {
        let Some(tokens) = &self.tokens else { return Ok(Binding::Any) };
        let header = request.headers().get(hyper::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        header.and_then(|header| tokens.look_up(header)).cloned().ok_or(Answer::Unauthorized)
    }

    /// The way of a notification, once its bytes are here: its class, and what will have become of it.
    fn accept(
        &self,
        received: Received,
        binding: &Binding,
        deadline: Instant,
        slot: slots::Slot,
    ) -> Result<(usize, impl Future<Output = Outcome> + use<>), Answer> {
        let (class, message) = match Notification::parse(&received.body) {
            Ok(notification) => {
                may_speak_for(binding, Some(notification.instance))?;
                let class = self.routes.class_of(&notification) as usize;
                self.metrics.came(class, Some(notification.instance), received.at);
                (class, self.routes.message_for(&notification, &received))
            }
            Err(refused) => {
                may_speak_for(binding, refused.instance())?;
                let class = UNKNOWN;
                self.metrics.came(class, refused.instance(), received.at);
                let message = self.routes.dead_letter_for(&refused, &received);
                info!(id = %message.event.id, why = %refused, "no notification; to the dead letter");
                (class, message)
            }
        };
        Ok((class, self.deliver.store(message, deadline, slot)))
    }
}

/// Whether a token may send for this instance is known once the body is read.
fn may_speak_for(binding: &Binding, instance: Option<u64>) -> Result<(), Answer> {
    if binding.covers(instance) { Ok(()) } else { Err(Answer::WrongInstance) }
}
