//! A message on its way to one broker, as far as is known.

use std::pin::Pin;
use std::sync::atomic::Ordering;

use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::{Outcome, Target};
use crate::brokers::Fault;
use crate::journal::{Gate, Lane, Lanes};
use crate::message::{Broker, Message};

/// So many reports may be outstanding beyond their time; while there are more, the broker is not tried.
const LATE: usize = 16;

/// What is known of it.
#[derive(Debug)]
pub(super) enum Known {
    /// The broker has it.
    Stored(Outcome),
    /// The broker does not have it, as far as is known.
    Failed(Fault),
    /// It was sent, and no report has come in time.
    Late,
    /// It was not sent: others of its lane are before it, or the broker is not to be tried.
    Behind,
}

/// What a message owes a broker that does not have it, as far as is known.
pub(super) struct Owing {
    pub(super) broker: Broker,
    pub(super) lane: Lane,
    /// Whether its report is still outstanding.
    pub(super) held: bool,
    /// Whether the broker may have it all the same.
    pub(super) unknown: bool,
}

/// One message on its way to one broker.
pub(super) struct Attempt<'m> {
    target: &'m Target,
    message: &'m Message,
    settled: Pin<Box<dyn Future<Output = Result<Outcome, Fault>> + Send + 'm>>,
    pub(super) known: Known,
}

impl<'m> Attempt<'m> {
    /// Nothing is done before it is waited for. `patience` is until when a passing fault is tried again.
    pub(super) fn new(target: &'m Target, message: &'m Message, patience: Instant) -> Self {
        let settled = Box::pin(target.settle(message, patience));
        Self { target, message, settled, known: Known::Behind }
    }

    pub(super) fn broker(&self) -> Broker {
        self.target.publisher.broker()
    }

    /// Of its body.
    pub(super) fn bytes(&self) -> usize {
        self.message.body.len()
    }

    /// What is to be kept for this broker.
    pub(super) fn owing(&self) -> Option<Owing> {
        let (held, unknown) = match &self.known {
            Known::Stored(_) => return None,
            Known::Failed(fault) => (false, fault.unknown),
            Known::Late => (true, true),
            Known::Behind => (false, false),
        };
        Some(Owing { broker: self.broker(), lane: self.lane(), held, unknown })
    }

    pub(super) fn lane(&self) -> Lane {
        Lane::of(self.message, self.broker())
    }

    /// Sends it, and waits until `until` for what becomes of it.
    pub(super) async fn send(&mut self, until: Instant) {
        self.known = match timeout_at(until, &mut self.settled).await {
            Ok(Ok(outcome)) => Known::Stored(outcome),
            Ok(Err(fault)) => Known::Failed(fault),
            Err(_) => Known::Late,
        };
    }

    /// As [`Self::send`], unless what is owed in its lane is before it.
    pub(super) async fn send_in_order(&mut self, lanes: &Lanes, until: Instant) {
        // to know a lane costs more than to know that none is owed anything
        if !lanes.idle() {
            let lane = self.lane();
            match lanes.gate(lane) {
                Gate::Open => {}
                Gate::Shut => return,
                Gate::Wait(told) => {
                    let told = timeout_at(until, told).await.is_ok();
                    // where more is owed than was waited for, it goes behind
                    if !told || !matches!(lanes.gate(lane), Gate::Open) {
                        return;
                    }
                }
            }
        }
        if self.target.late.load(Ordering::Relaxed) < LATE && self.target.publisher.is_up() {
            self.send(until).await;
        }
    }

    /// Waits for the report of what was sent, however late it comes.
    pub(super) async fn report(self) -> Result<Outcome, Fault> {
        self.target.late.fetch_add(1, Ordering::Relaxed);
        let report = self.settled.await;
        self.target.late.fetch_sub(1, Ordering::Relaxed);
        let (id, broker) = (self.message.event.id, self.target.publisher.broker().as_str());
        match &report {
            Ok(_) => info!(%id, broker, "a late report: stored after all"),
            Err(fault) => info!(%id, broker, reason = fault.reason, "a late report: not stored"),
        }
        report
    }

    /// The one log entry of a message that the sender is told was not stored, because of this broker.
    pub(super) fn log_not_stored(&self) {
        let (id, instance, broker) = (self.message.event.id, self.message.event.instance, self.broker().as_str());
        let (reason, detail) = match &self.known {
            Known::Stored(_) => return,
            Known::Failed(fault) => (fault.reason, fault.detail.as_str()),
            Known::Late => ("no_report", "not yet"),
            Known::Behind => ("behind", "others of its lane are before it"),
        };
        warn!(%id, instance, broker, reason, detail, "not stored");
    }
}
