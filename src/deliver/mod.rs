//! Storing a message within the time budget: the one place with policy.
//!
//! A message that is begun is carried on by a task of its own until the broker has reported, whether or not
//! anyone still waits: a sender that hangs up cancels nothing, and a report that comes late still counts.

mod seen;
mod target;

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use crate::message::{Brokers, Message};
use crate::observe::Metrics;
use crate::units;
use seen::{Seen, Standing};
pub use target::Target;

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

/// What became of a notification. Only the first three are answered 200. Of several brokers' outcomes the
/// greatest is the notification's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    targets: Arc<[Target]>,
    seen: Arc<Mutex<Seen>>,
    tasks: TaskTracker,
    timeout: Duration,
    metrics: Arc<Metrics>,
}

impl Outcome {
    /// The labels of outcomes, in their order.
    pub const LABELS: [&'static str; 4] = ["broker", "duplicate", "dead_letter", "not_stored"];
}

impl Deliver {
    /// Stores in these brokers. `tasks` are the messages begun: wait for them before the process ends.
    pub fn new(
        targets: Vec<Target>,
        publish: &PublishConfig,
        dedupe: &DedupeConfig,
        tasks: TaskTracker,
        metrics: Arc<Metrics>,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Seen::new(dedupe.window, dedupe.max_ids)));
        Self { targets: targets.into(), seen, tasks, timeout: publish.timeout, metrics }
    }

    /// Stores one message, or finds out by `deadline` that it is not known to be stored. `slot` is kept for as
    /// long as the message may still be under way.
    pub async fn store<S: Send + 'static>(&self, message: Message, deadline: Instant, slot: S) -> Outcome {
        let until = deadline.min(Instant::now() + self.timeout);
        let now = std::time::Instant::now();
        let standing = self.with_seen(|seen| seen.begin(message.event.id, message.brokers(), now));
        let outcome = match standing {
            Standing::Stored => {
                self.metrics.duplicate();
                return Outcome::Duplicate;
            }
            Standing::UnderWay(outcome) => {
                self.metrics.duplicate();
                outcome
            }
            Standing::New(tell, missing) => {
                let outcome = tell.subscribe();
                let this = self.clone();
                self.tasks.spawn(async move {
                    this.carry(message, missing, until, tell).await;
                    drop(slot);
                });
                outcome
            }
        };
        wait(outcome, until).await
    }

    /// Carries one message to its end at every broker that lacks it, and remembers which have it.
    async fn carry(&self, message: Message, missing: Brokers, until: Instant, tell: watch::Sender<Option<Outcome>>) {
        // a panic below must not leave the id under way for ever
        let guard = Begun { deliver: self, message: &message, stored: Cell::new(Brokers::NONE) };
        let targets = self.targets.iter().filter(|target| missing.has(target.publisher.broker()));
        let settled =
            join_all(targets.map(async |target| (target.publisher.broker(), target.carry(&message, until).await)));
        let settled = settled.await;
        let stored = settled.iter().filter(|(_, outcome)| *outcome != Outcome::NotStored);
        guard.stored.set(stored.map(|(broker, _)| *broker).collect());
        drop(guard);
        let outcome = settled.iter().map(|(_, outcome)| *outcome).max();
        tell.send_replace(Some(outcome.unwrap_or(Outcome::NotStored)));
    }

    fn with_seen<R>(&self, act: impl FnOnce(&mut Seen) -> R) -> R {
        act(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Begun<'m> {
    deliver: &'m Deliver,
    message: &'m Message,
    stored: Cell<Brokers>,
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
