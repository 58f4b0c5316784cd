//! Storing a message within the time budget: the one place with policy.
//!
//! A message that is begun is carried on until the broker has reported, whether or not anyone still waits: a sender
//! that hangs up cancels nothing, and a report that comes late still counts.

mod carried;
mod seen;
mod target;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use crate::message::{Brokers, Id, Message};
use crate::observe::Metrics;
use crate::units;
use carried::CarriedOn;
use seen::{Seen, Standing, Told};
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
    /// Default 15 m: many of GREEN-API's repeats, which come a minute apart. `"0s"`: no repeat is known, and each is
    /// stored again unless the stream's own window (2 m where none is asked for) knows it.
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
    runtime: Handle,
    timeout: Duration,
    metrics: Arc<Metrics>,
}

impl Outcome {
    /// The labels of outcomes, in their order.
    pub const LABELS: [&'static str; 4] = ["broker", "duplicate", "dead_letter", "not_stored"];
}

impl Deliver {
    /// Stores in these brokers. `tasks` are the messages begun: wait for them before the process ends.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn new(
        targets: Vec<Target>,
        publish: &PublishConfig,
        dedupe: &DedupeConfig,
        tasks: TaskTracker,
        metrics: Arc<Metrics>,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Seen::new(dedupe.window, dedupe.max_ids)));
        Self { targets: targets.into(), seen, tasks, runtime: Handle::current(), timeout: publish.timeout, metrics }
    }

    /// Begins to store one message. The answer says what became of it, or by `deadline` that it is not known to be
    /// stored; the message is carried on whether or not anyone waits for that. `slot` is kept for as long as it may
    /// still be under way.
    pub fn store<S: Send + 'static>(
        &self,
        message: Message,
        deadline: Instant,
        slot: S,
    ) -> impl Future<Output = Outcome> + use<S> {
        let until = deadline.min(Instant::now() + self.timeout);
        let now = std::time::Instant::now();
        let standing = self.with_seen(|seen| {
            for lost in self.targets.iter().filter(|target| target.has_lost_all()) {
                seen.forget(lost.publisher.broker());
            }
            seen.begin(message.event.id, message.brokers(), now)
        });
        if !matches!(standing, Standing::New(..)) {
            self.metrics.duplicate();
        }
        let begun = match standing {
            Standing::New(told, missing) => {
                let (this, counted) = (self.clone(), self.tasks.token());
                let work = async move {
                    this.carry(&message, missing, until).await;
                    drop((slot, counted));
                };
                Begun::Here(told, CarriedOn::new(work, self.runtime.clone(), self.metrics.clone()))
            }
            Standing::UnderWay(told) => Begun::Before(told),
            Standing::Stored => Begun::Ended,
        };
        async move {
            let told = match begun {
                // told by `until` at the latest
                Begun::Here(mut told, work) => tokio::select! {
                    biased;
                    told = &mut told => told.ok(),
                    () = work => told.await.ok(),
                },
                Begun::Before(told) => Box::pin(timeout_at(until, told)).await.ok().and_then(Result::ok),
                Begun::Ended => Some(Outcome::Duplicate),
            };
            told.unwrap_or(Outcome::NotStored)
        }
    }

    /// Carries one message to its end at every broker that lacks it, and remembers which have it. Whoever waits is
    /// told then, or at `until`.
    async fn carry(&self, message: &Message, missing: Brokers, until: Instant) {
        let id = message.event.id;
        // a panic below must not leave the id under way for ever
        let mut begun = UnderWay { deliver: self, id, stored: Brokers::NONE, outcome: Outcome::NotStored };
        let late = || self.with_seen(|seen| seen.tell(id, Outcome::NotStored));
        let mut targets = self.targets.iter().filter(|target| missing.has(target.publisher.broker()));
        // apart: one large piece of memory costs more than two small ones
        let settled = match (targets.next(), targets.next()) {
            (Some(only), None) => vec![Box::pin(only.carry(message, until, late)).await],
            (one, other) => {
                let both = one.into_iter().chain(other);
                join_all(both.map(|target| Box::pin(target.carry(message, until, late)))).await
            }
        };
        let stored = settled.iter().filter(|(_, outcome)| *outcome != Outcome::NotStored);
        begun.stored = stored.map(|(broker, _)| *broker).collect();
        begun.outcome = settled.iter().map(|(_, outcome)| *outcome).max().unwrap_or(Outcome::NotStored);
    }

    fn with_seen<R>(&self, act: impl FnOnce(&mut Seen) -> R) -> R {
        act(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where a message was begun, and where its outcome is told.
enum Begun<F: Future<Output = ()> + Send + 'static> {
    Here(Told, CarriedOn<F>),
    Before(Told),
    Ended,
}

/// A notification under way; when dropped, it is not, and whoever waits for it is told.
struct UnderWay<'d> {
    deliver: &'d Deliver,
    id: Id,
    stored: Brokers,
    outcome: Outcome,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let now = std::time::Instant::now();
        let evicted = self.deliver.with_seen(|seen| seen.end(self.id, self.stored, self.outcome, now));
        self.deliver.metrics.evicted(evicted);
    }
}
