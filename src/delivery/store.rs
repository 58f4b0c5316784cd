//! The path of one message: dedup window, brokers, journal, answer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::time::{Instant, timeout_at};

use super::attempt::{Acks, Attempt, Attempts, LateAck};
use super::dedup::InFlightGuard;
use super::dedup_window::{DedupState, OutcomeReceiver};
use super::detach::DetachOnDrop;
use super::fallback::JournalFallback;
use super::{Delivery, Outcome, Target};
use crate::journal::Lane;
use crate::message::{Broker, Brokers, Message};

/// After a restart, how long a repeat waits for the first inspection of the stream.
const INSPECTED_WITHIN: Duration = Duration::from_secs(2);

/// When a message must have got its acks, and when its sender must have an answer.
#[derive(Debug, Clone, Copy)]
struct Deadlines {
    publish: Instant,
    answer: Instant,
}

/// Where the outcome of a message comes from.
enum Begun {
    /// From this request's own work.
    Here(DetachOnDrop),
    /// From an earlier request with the same message, which is not finished.
    InFlight(OutcomeReceiver),
    /// All brokers have it already.
    Stored,
}

impl Delivery {
    /// Starts to store one message. The future has its outcome, by `answer` at the latest; the work goes on when the
    /// future is dropped. `permit` is dropped when the message is stored or given up.
    pub fn store<P: Send + 'static>(
        self: &Arc<Self>,
        message: Message,
        answer: Instant,
        permit: P,
    ) -> impl Future<Output = Outcome> + use<P> {
        let (id, required) = (message.event.id, or_journal(message.brokers()));
        let deadlines = self.deadlines(answer);
        let begin =
            || (self.clone(), InFlightGuard::new(self.clone(), id), Arc::new(message), (permit, self.tasks.token()));
        let begun = match self.dedup.begin(id, required) {
            DedupState::Missing(missing) => {
                let (this, in_flight, message, permit) = begin();
                Begun::Here(self.detach_on_drop(this.deliver(in_flight, message, missing, deadlines, permit)))
            }
            DedupState::Unverified => {
                let (this, in_flight, message, permit) = begin();
                Begun::Here(self.detach_on_drop(this.deliver_after_inspection(in_flight, message, answer, permit)))
            }
            DedupState::InFlight(outcome) => Begun::InFlight(outcome),
            DedupState::Stored => Begun::Stored,
        };
        if !matches!(begun, Begun::Here(_)) {
            self.metrics.duplicate();
        }
        async move {
            match begun {
                Begun::Here(work) => work.await,
                Begun::InFlight(outcome) => {
                    let outcome = Box::pin(timeout_at(deadlines.answer, outcome)).await;
                    outcome.ok().and_then(Result::ok).unwrap_or(Outcome::NotStored)
                }
                Begun::Stored => Outcome::Duplicate,
            }
        }
    }

    fn deadlines(&self, answer: Instant) -> Deadlines {
        let publish = answer.min(Instant::now() + self.publish_timeout);
        // without a journal nothing more can happen after the publish
        Deadlines { publish, answer: if self.fallback.is_some() { answer } else { publish } }
    }

    /// Publishes to each broker that does not have the message; goes on with [`Self::fall_back`] where one does not
    /// ack in time.
    async fn deliver<P: Send + 'static>(
        self: Arc<Self>,
        in_flight: InFlightGuard,
        message: Arc<Message>,
        missing: Brokers,
        deadlines: Deadlines,
        permit: P,
    ) -> Outcome {
        let attempts = if self.is_journal_first() {
            Broker::ALL.map(|broker| Some(Attempt::not_sent(self.target(broker).filter(|_| missing.has(broker))?)))
        } else {
            self.publish(&message, missing, deadlines.publish).await
        };
        let acks = Acks::of(&attempts);
        if acks.brokers == missing {
            let outcome = self.outcome(&acks, &message, missing);
            return in_flight.finish(acks, Brokers::NONE, outcome);
        }
        let id = message.event.id;
        let rest = self.clone().fall_back(in_flight, message, missing, attempts, deadlines, permit);
        let rest = self.detach_on_drop(rest);
        if let Ok(outcome) = timeout_at(deadlines.answer, rest).await {
            return outcome;
        }
        self.dedup.notify(id, Outcome::NotStored);
        Outcome::NotStored
    }

    /// Publishes to these brokers, side by side.
    async fn publish(&self, message: &Arc<Message>, missing: Brokers, deadline: Instant) -> Attempts {
        let publish = async |broker: Broker| {
            let target = self.target(broker).filter(|_| missing.has(broker))?;
            let lanes = self.fallback.as_ref().map(|fallback| &**fallback.lanes(broker));
            Some(Attempt::publish(target, message, lanes, deadline).await)
        };
        let mut brokers = missing.each();
        match (brokers.next(), brokers.next()) {
            (Some(only), None) => [publish(only).await, None],
            _ => {
                let [kafka, nats] = Broker::ALL.map(publish);
                // boxed, since a request to one broker needs half the memory
                Box::pin(join(kafka, nats)).await.into()
            }
        }
    }

    /// The outcome where these acks are all that was missing. Another broker may still have to get it from the journal.
    fn outcome(&self, acks: &Acks, message: &Message, missing: Brokers) -> Outcome {
        let mut others = message.brokers().without(missing).each();
        let backlog = |fallback: &JournalFallback| {
            others.any(|broker| fallback.lanes(broker).has_backlog(Lane::of(message, broker)))
        };
        if self.fallback.as_ref().is_some_and(backlog) { Outcome::appended(message) } else { acks.outcome() }
    }

    fn is_journal_first(&self) -> bool {
        self.fallback.is_some() && self.publish_timeout.is_zero()
    }

    /// As [`Self::deliver`], for an id that was stored before a restart in a stream that is not inspected yet: it may
    /// be gone with its stream.
    async fn deliver_after_inspection<P: Send + 'static>(
        self: Arc<Self>,
        in_flight: InFlightGuard,
        message: Arc<Message>,
        answer: Instant,
        permit: P,
    ) -> Outcome {
        if let Some(nats) = self.target(Broker::Nats) {
            nats.publisher.wait_until_up(answer.min(Instant::now() + INSPECTED_WITHIN)).await;
        }
        let missing = self.dedup.missing(message.event.id, or_journal(message.brokers()));
        if missing.is_empty() {
            self.metrics.duplicate();
            return in_flight.finish(Acks::default(), Brokers::NONE, Outcome::Duplicate);
        }
        let deadlines = self.deadlines(answer);
        self.deliver(in_flight, message, missing, deadlines, permit).await
    }

    /// Appends to the journal what a broker did not ack. Where the journal comes first and refuses, the message goes to
    /// the brokers directly. Without a journal, or where that fails too, the message is not stored; what was sent may
    /// still be acked late, and its id stays in flight until then.
    async fn fall_back<P: Send + 'static>(
        self: Arc<Self>,
        in_flight: InFlightGuard,
        message: Arc<Message>,
        missing: Brokers,
        mut attempts: Attempts,
        deadlines: Deadlines,
        permit: P,
    ) -> Outcome {
        let mut acks = Acks::of(&attempts);
        if let Some(fallback) = &self.fallback {
            let unacked: Vec<_> = attempts.iter().flatten().filter_map(|attempt| attempt.unacked(&message)).collect();
            if let Ok(seq) = fallback.append(&message, &unacked).await {
                attempts.iter().flatten().for_each(Attempt::count_in_journal);
                if let (true, Some(dead)) = (missing == Brokers::JOURNAL, message.as_dead_letter()) {
                    self.metrics.dead_letter(dead.reason);
                }
                let outcome = in_flight.finish(acks, missing.without(acks.brokers), Outcome::appended(&message));
                for late in LateAck::of(attempts, &message) {
                    self.detach(fallback.clone().wait_for_late_ack(late, seq));
                }
                return outcome;
            }
        }
        if self.is_journal_first() {
            attempts = self.publish(&message, missing, deadlines.answer).await;
            acks = Acks::of(&attempts);
            if acks.brokers == missing {
                let outcome = self.outcome(&acks, &message, missing);
                return in_flight.finish(acks, Brokers::NONE, outcome);
            }
        }
        attempts.iter().flatten().for_each(|attempt| attempt.log_not_stored(&message));
        let late = LateAck::of(attempts, &message);
        if late.is_empty() {
            return in_flight.finish(acks, Brokers::NONE, Outcome::NotStored);
        }
        self.dedup.notify(message.event.id, Outcome::NotStored);
        self.detach(async move {
            let late = join_all(late.into_iter().map(LateAck::wait)).await;
            let acks = late.into_iter().flatten().fold(acks, Acks::with);
            let outcome = if acks.brokers == missing { acks.outcome() } else { Outcome::NotStored };
            in_flight.finish(acks, Brokers::NONE, outcome);
            drop(permit);
        });
        Outcome::NotStored
    }

    fn target(&self, broker: Broker) -> Option<&Arc<Target>> {
        self.targets.iter().find(|target| target.publisher.broker() == broker)
    }

    fn detach_on_drop(&self, work: impl Future<Output = Outcome> + Send + 'static) -> DetachOnDrop {
        DetachOnDrop::new(Box::pin(work), self.runtime.clone(), self.metrics.clone())
    }

    /// Spawns work whose sender has its answer already.
    fn detach(&self, work: impl Future<Output = ()> + Send + 'static) {
        let counted = self.metrics.detached();
        self.runtime.spawn(async move {
            work.await;
            drop(counted);
        });
    }
}

/// These brokers, or the journal alone if there is none.
pub(super) fn or_journal(brokers: Brokers) -> Brokers {
    if brokers.is_empty() { Brokers::JOURNAL } else { brokers }
}
