//! Storing a message within the time budget: the one place with policy.
//!
//! A message that is begun is carried on by a task of its own until the broker has reported, whether or not
//! anyone still waits: a sender that hangs up cancels nothing, and a report that comes late still counts.

mod seen;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::brokers::nats::Publisher;
use crate::brokers::{Fault, FaultKind, RETRY_AFTER};
use crate::message::{Message, PART_BYTES, Reason};
use crate::observe::Metrics;
use crate::units;
use seen::{Seen, Standing};

/// The place of NATS among the brokers' labels.
const NATS: usize = 0;

/// The smallest part worth cutting: a server that takes less is not set up for webhooks, and millions of parts
/// would help nobody.
const LEAST_PART: usize = 4 * 1024;

/// `[publish]`: how long a broker gets.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PublishConfig {
    /// Default 12 s: an ordinary failover of a broker takes up to 11 s.
    #[serde(deserialize_with = "units::duration")]
    pub timeout: Duration,
}

impl Default for PublishConfig {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(12) }
    }
}

/// `[dedupe]`: how long a stored notification is remembered.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DedupeConfig {
    /// Default 15 m: many of GREEN-API's repeats, which come a minute apart.
    #[serde(deserialize_with = "units::duration")]
    pub window: Duration,
    /// Default 250,000, which take less than 10 MB.
    pub max_ids: usize,
}

impl Default for DedupeConfig {
    fn default() -> Self {
        Self { window: Duration::from_secs(15 * 60), max_ids: 250_000 }
    }
}

/// What became of a notification. Only the first three are answered 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The broker acknowledged it.
    Stored,
    /// It had been stored before.
    Duplicate,
    /// It is stored in the dead letter.
    DeadLetter,
    /// It is not known to be stored.
    NotStored,
}

/// Stores messages. Cheap to clone.
#[derive(Clone)]
pub struct Deliver {
    publisher: Publisher,
    seen: Arc<Mutex<Seen>>,
    tasks: TaskTracker,
    timeout: Duration,
    dead_letter: Arc<str>,
    metrics: Arc<Metrics>,
}

impl Outcome {
    /// The labels of outcomes, in their order.
    pub const LABELS: [&'static str; 4] = ["broker", "duplicate", "dead_letter", "not_stored"];
}

impl Deliver {
    /// Stores through `publisher`; dead letters go to `dead_letter`. `tasks` are the messages begun: wait for
    /// them before the process ends.
    pub fn new(
        publisher: Publisher,
        publish: &PublishConfig,
        dedupe: &DedupeConfig,
        dead_letter: &str,
        tasks: TaskTracker,
        metrics: Arc<Metrics>,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Seen::new(dedupe.window, dedupe.max_ids)));
        Self { publisher, seen, tasks, timeout: publish.timeout, dead_letter: dead_letter.into(), metrics }
    }

    /// Stores one message, or finds out by `deadline` that it is not known to be stored. `slot` is kept for as
    /// long as the message may still be under way.
    pub async fn store<S: Send + 'static>(&self, message: Message, deadline: Instant, slot: S) -> Outcome {
        let until = deadline.min(Instant::now() + self.timeout);
        let standing = self.with_seen(|seen| seen.begin(message.event.id, std::time::Instant::now()));
        let outcome = match standing {
            Standing::Stored => {
                self.metrics.duplicate();
                return Outcome::Duplicate;
            }
            Standing::UnderWay(outcome) => {
                self.metrics.duplicate();
                outcome
            }
            Standing::New(tell) => {
                let outcome = tell.subscribe();
                let this = self.clone();
                self.tasks.spawn(async move {
                    this.carry(message, until, tell).await;
                    drop(slot);
                });
                outcome
            }
        };
        wait(outcome, until).await
    }

    /// Carries one message to its end and remembers it.
    async fn carry(&self, message: Message, until: Instant, tell: watch::Sender<Option<Outcome>>) {
        // a panic below must not leave the id under way for ever
        let guard = Begun { deliver: self, message: &message, stored: std::cell::Cell::new(false) };
        let settled = self.settle(&message, until);
        tokio::pin!(settled);
        let (settled, late) = match timeout_at(until, &mut settled).await {
            Ok(settled) => (settled, false),
            Err(_) => {
                // now is when the sender is told
                not_stored(&message, "no_report", "not yet");
                (settled.await, true)
            }
        };
        guard.stored.set(settled.is_ok());
        drop(guard);
        let id = message.event.id;
        match &settled {
            Ok(_) if late => info!(%id, "a late report: stored after all"),
            Err(fault) if late => info!(%id, reason = fault.reason, "a late report: not stored"),
            Err(fault) => not_stored(&message, fault.reason, &fault.detail),
            Ok(_) => {}
        }
        tell.send_replace(Some(settled.unwrap_or(Outcome::NotStored)));
    }

    async fn settle(&self, message: &Message, until: Instant) -> Result<Outcome, Fault> {
        let dead = match &message.dead_letter {
            Some(_) => Cow::Borrowed(message),
            None => match self.attempt(message, until).await {
                Ok(()) => return Ok(Outcome::Stored),
                Err(fault) if fault.kind == FaultKind::Record => Cow::Owned(self.refused(message, fault)),
                Err(fault) => return Err(fault),
            },
        };
        self.store_dead_letter(&dead, until).await?;
        self.metrics.dead_letter(dead.dead_letter.as_ref().map_or(0, |dead| dead.reason as usize));
        Ok(Outcome::DeadLetter)
    }

    /// The dead letter of a message the broker will never take.
    fn refused(&self, message: &Message, fault: Fault) -> Message {
        let reason = if fault.reason == "too_large" { Reason::TooLarge } else { Reason::Rejected };
        info!(id = %message.event.id, why = fault.detail, "not for the broker; to the dead letter");
        message.clone().into_dead_letter(self.dead_letter.to_string(), reason, fault.detail)
    }

    /// Whole if it fits, else in parts, one after the other: only all of them are answered 200.
    async fn store_dead_letter(&self, dead: &Message, until: Instant) -> Result<(), Fault> {
        let most = PART_BYTES.min(self.publisher.room_for(dead));
        match self.attempt(dead, until).await {
            Err(fault) if fault.kind == FaultKind::Record && dead.body.len() > most && most >= LEAST_PART => {}
            settled => return settled,
        }
        for part in dead.parts(most) {
            self.attempt(&part, until).await?;
        }
        Ok(())
    }

    /// Publishes, and again while the fault is a passing one and there is time.
    async fn attempt(&self, message: &Message, until: Instant) -> Result<(), Fault> {
        loop {
            self.publisher.ready(until).await;
            let begun = Instant::now();
            let published = self.publisher.publish(message).await;
            let fault = match published {
                Ok(()) => {
                    self.metrics.reported(NATS, begun.elapsed());
                    return Ok(());
                }
                Err(fault) => fault,
            };
            self.metrics.publish_failed(NATS, fault.reason, fault.unknown);
            if !fault.passing || Instant::now() + RETRY_AFTER >= until {
                return Err(fault);
            }
            sleep(RETRY_AFTER).await;
        }
    }

    fn with_seen<R>(&self, act: impl FnOnce(&mut Seen) -> R) -> R {
        act(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The one log entry of a message that was not stored.
fn not_stored(message: &Message, reason: &str, detail: &str) {
    let (id, instance) = (message.event.id, message.event.instance);
    warn!(%id, instance, reason, detail, "not stored");
}

struct Begun<'m> {
    deliver: &'m Deliver,
    message: &'m Message,
    stored: std::cell::Cell<bool>,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let (id, stored, now) = (self.message.event.id, self.stored.get(), std::time::Instant::now());
        let evicted = self.deliver.with_seen(|seen| seen.end(id, stored, now));
        self.deliver.metrics.evicted(evicted);
    }
}

async fn wait(mut outcome: watch::Receiver<Option<Outcome>>, until: Instant) -> Outcome {
    match timeout_at(until, outcome.wait_for(Option::is_some)).await {
        Ok(Ok(outcome)) => outcome.unwrap_or(Outcome::NotStored),
        _ => Outcome::NotStored,
    }
}
