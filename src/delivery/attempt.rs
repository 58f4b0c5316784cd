//! One attempt to publish a message to one broker within its time.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::lanes::{DirectAck, Lanes};
use super::target::Ack;
use super::{Outcome, Target};
use crate::brokers::{Fault, FaultReason};
use crate::journal::Lane;
use crate::message::{Broker, Brokers, Message};

/// Circuit breaker: with this many acks overdue, the message goes to the journal without a direct publish.
const MAX_OVERDUE: usize = 16;

type Publish = Pin<Box<dyn Future<Output = Result<Ack, Fault>> + Send>>;

/// The attempts at one message, by their broker.
pub(super) type Attempts = [Option<Attempt>; Broker::ALL.len()];

/// An attempt to publish one message to one broker.
pub(super) struct Attempt {
    target: Arc<Target>,
    state: State,
}

enum State {
    /// The broker has it.
    Acked(Ack),
    /// The broker does not have it, as far as is known.
    Failed(Fault),
    /// It was sent, and no ack came in time.
    Overdue(Publish),
    /// It was not sent.
    NotSent(NotSent),
}

/// Why a message was not sent to a broker.
#[derive(Clone, Copy)]
enum NotSent {
    JournalFirst,
    Backlog,
    Overdue,
    Down,
}

impl NotSent {
    /// Why the message goes to the journal without a direct publish, if it does.
    async fn reason(target: &Target, message: &Message, lanes: &Lanes, deadline: Instant) -> Option<Self> {
        let lane = || Lane::of(message, target.publisher.broker());
        // whether any lane has a backlog costs less to know than which lane it is
        if !lanes.is_empty() && !lanes.pass(lane(), deadline).await {
            return Some(Self::Backlog);
        }
        if target.overdue.load(Ordering::Relaxed) >= MAX_OVERDUE {
            return Some(Self::Overdue);
        }
        (!target.publisher.is_up()).then_some(Self::Down)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::JournalFirst => "the journal comes first, and refused it",
            Self::Backlog => "its lane has a backlog in the journal, and the journal refused it",
            Self::Overdue => "the broker is slow to ack, and the journal refused it",
            Self::Down => "the broker is down, and the journal refused it",
        }
    }
}

/// What the journal must know of a broker that has not acked a message.
pub(super) struct Unacked {
    pub(super) broker: Broker,
    pub(super) lane: Lane,
    pub(super) direct_ack: DirectAck,
    /// Whether the broker may have it all the same.
    pub(super) maybe_stored: bool,
}

impl Attempt {
    /// No attempt: the journal comes first.
    pub(super) fn not_sent(target: &Arc<Target>) -> Self {
        Self { target: target.clone(), state: State::NotSent(NotSent::JournalFirst) }
    }

    /// Publishes, and waits until `deadline` for the ack. `lanes` is the backlog that the message must not overtake;
    /// `None` means that there is no journal, and a transient fault is tried again until `deadline`.
    pub(super) async fn publish(
        target: &Arc<Target>,
        message: &Arc<Message>,
        lanes: Option<&Lanes>,
        deadline: Instant,
    ) -> Self {
        if let Some(lanes) = lanes
            && let Some(why) = NotSent::reason(target, message, lanes, deadline).await
        {
            return Self { target: target.clone(), state: State::NotSent(why) };
        }
        // with a journal, the forwarder tries again soon enough
        let retry_until = if lanes.is_some() { Instant::now() } else { deadline };
        let (to, message) = (target.clone(), message.clone());
        let mut publish: Publish = Box::pin(async move {
            if message.is_dead_letter() {
                // rare: its future has memory of its own
                Box::pin(to.publish_dead_letter(&message, retry_until)).await
            } else {
                to.publish_with_retry(&message, retry_until).await
            }
        });
        let state = match timeout_at(deadline, &mut publish).await {
            Ok(Ok(ack)) => State::Acked(ack),
            Ok(Err(fault)) => State::Failed(fault),
            Err(_) => State::Overdue(publish),
        };
        Self { target: target.clone(), state }
    }

    /// What the journal must know of this broker. `None` means that the broker has the message.
    pub(super) fn unacked(&self, message: &Message) -> Option<Unacked> {
        let (direct_ack, maybe_stored) = match &self.state {
            State::Acked(_) => return None,
            State::Failed(fault) => (DirectAck::NotAwaited, fault.maybe_stored),
            State::Overdue(_) => (DirectAck::Awaited, true),
            State::NotSent(_) => (DirectAck::NotAwaited, false),
        };
        let broker = self.target.publisher.broker();
        Some(Unacked { broker, lane: Lane::of(message, broker), direct_ack, maybe_stored })
    }

    /// Counts a message that the journal has because this broker did not ack it.
    pub(super) fn count_in_journal(&self) {
        if !matches!(self.state, State::Acked(_)) {
            self.target.unacked_counts.count_journaled();
        }
    }

    /// Counts and logs a message whose sender is answered that it is not stored, because of this broker.
    pub(super) fn log_not_stored(&self, message: &Message) {
        let (reason, detail) = match &self.state {
            State::Acked(_) => return,
            State::Failed(fault) => (fault.reason.as_str(), fault.detail.as_str()),
            State::Overdue(_) => (FaultReason::NoReport.as_str(), "no ack yet"),
            State::NotSent(why) => ("not_sent", why.as_str()),
        };
        self.target.unacked_counts.count_not_stored();
        let (ce_id, instance) = (message.event.id, message.event.instance_text());
        let broker = self.target.publisher.broker().as_str();
        warn!(event = "not_stored", %ce_id, instance, broker, reason, detail, "not stored");
    }
}

/// The brokers that have acked a message themselves.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Acks {
    pub(super) brokers: Brokers,
    /// When the stream was created that has acked it. `None` means that NATS has not.
    pub(super) stream: Option<i64>,
    outcome: Option<Outcome>,
}

impl Acks {
    pub(super) fn of(attempts: &Attempts) -> Self {
        let acked = attempts.iter().flatten().filter_map(|attempt| match attempt.state {
            State::Acked(ack) => Some((attempt.target.publisher.broker(), ack)),
            _ => None,
        });
        acked.fold(Self::default(), Self::with)
    }

    /// These acks, and that of one more broker.
    pub(super) fn with(self, (broker, ack): (Broker, Ack)) -> Self {
        let stream = if broker == Broker::Nats { Some(ack.stream) } else { self.stream };
        Self { brokers: self.brokers.with(broker), stream, outcome: self.outcome.max(Some(ack.outcome)) }
    }

    /// What these acks make of the message, if no broker lacks it.
    pub(super) fn outcome(&self) -> Outcome {
        self.outcome.unwrap_or(Outcome::NotStored)
    }
}

/// A publish that had no ack at its deadline and is still awaited. Counts as overdue until it is dropped.
pub(super) struct LateAck {
    target: Arc<Target>,
    message: Arc<Message>,
    publish: Publish,
}

impl LateAck {
    /// Those of these attempts that may still be acked.
    pub(super) fn of(attempts: Attempts, message: &Arc<Message>) -> Vec<Self> {
        let overdue = attempts.into_iter().flatten().filter_map(|Attempt { target, state }| match state {
            State::Overdue(publish) => {
                target.overdue.fetch_add(1, Ordering::Relaxed);
                Some(Self { target, message: message.clone(), publish })
            }
            _ => None,
        });
        overdue.collect()
    }

    pub(super) fn broker(&self) -> Broker {
        self.target.publisher.broker()
    }

    pub(super) fn lane(&self) -> Lane {
        Lane::of(&self.message, self.broker())
    }

    pub(super) fn body_len(&self) -> usize {
        self.message.body.len()
    }

    /// Waits for it, however late it comes. `None` means that the message is not stored.
    pub(super) async fn wait(mut self) -> Option<(Broker, Ack)> {
        let result = (&mut self.publish).await;
        let (ce_id, broker) = (self.message.event.id, self.broker());
        match &result {
            Ok(_) => info!(%ce_id, broker = broker.as_str(), "late ack: stored"),
            Err(fault) => {
                let reason = fault.reason.as_str();
                info!(%ce_id, broker = broker.as_str(), reason, "publish failed after the answer");
            }
        }
        result.ok().map(|ack| (broker, ack))
    }
}

impl Drop for LateAck {
    fn drop(&mut self) {
        self.target.overdue.fetch_sub(1, Ordering::Relaxed);
    }
}
