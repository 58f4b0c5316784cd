//! Storing a message within the time budget: the one place with policy.
//!
//! A message that is begun is carried on until the broker has reported, whether or not anyone still waits: a sender
//! that hangs up cancels nothing, and a report that comes late still counts. Where there is a journal, what a broker
//! does not take in time is kept there (`keep`), and forwarded in order (`forward`).

mod attempt;
mod carried;
mod config;
mod forward;
mod keep;
mod measure;
mod outcome;
mod seen;
mod stuck;
mod target;
#[cfg(feature = "journal")]
mod tend;
mod under_way;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::{Either, join_all};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::brokers::Publisher;
use crate::journal::{Journal, Recovered};
use crate::message::{Broker, Brokers, Id, Message};
use crate::observe::Metrics;
use attempt::{Attempt, Known};
use carried::CarriedOn;
pub use config::{DedupeConfig, PublishConfig};
use keep::Keeper;
pub use outcome::Outcome;
use seen::{Seen, Standing, Told};
pub use target::Target;
#[cfg(feature = "journal")]
pub use tend::{Imported, NotChanged};
use under_way::UnderWay;

/// How long a repeat of what was stored before a restart waits to hear whether the broker still has it.
const SURE_WITHIN: Duration = Duration::from_secs(2);

/// Stores messages. Cheap to clone.
#[derive(Clone)]
pub struct Deliver {
    targets: Arc<[Target]>,
    keeper: Option<Keeper>,
    seen: Arc<Mutex<Seen>>,
    tasks: TaskTracker,
    /// Turns of the forwarders, and when they are to end.
    forwarding: TaskTracker,
    no_more: CancellationToken,
    runtime: Handle,
    timeout: Duration,
    metrics: Arc<Metrics>,
}

impl Deliver {
    /// Stores in these brokers, and what they do not take in the journal, if there is one. `tasks` are the messages
    /// begun: wait for them before the process ends.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn new(
        targets: Vec<Target>,
        journal: Option<(Journal, Recovered)>,
        publish: &PublishConfig,
        dedupe: &DedupeConfig,
        tasks: TaskTracker,
        metrics: Arc<Metrics>,
    ) -> Self {
        let timeout = publish.timeout(journal.is_some());
        let mut seen = Seen::new(dedupe.window, dedupe.max_ids);
        let keeper = journal.map(|(journal, Recovered { owed, seen: ids, stream })| {
            seen.recover(ids, std::time::Instant::now(), SystemTime::now());
            // where none is known nothing was ever stored, and what is owed goes into any
            targets.iter().for_each(|target| target.remembers(stream.unwrap_or(0)));
            Keeper::new(journal, owed)
        });
        let seen = Arc::new(Mutex::new(seen));
        Self {
            targets: targets.into(),
            keeper,
            seen,
            tasks,
            forwarding: TaskTracker::new(),
            no_more: CancellationToken::new(),
            runtime: Handle::current(),
            timeout,
            metrics,
        }
    }

    /// Forwards what the journal owes, until the process ends.
    pub fn forward(&self) {
        let Some(keeper) = &self.keeper else { return };
        self.runtime.spawn(keeper.clone().write_down());
        for place in 0..self.targets.len() {
            let forwarder = forward::Forwarder::new(self.targets.clone(), place, keeper, self.metrics.clone());
            self.runtime.spawn(forwarder.run(self.forwarding.clone(), self.no_more.clone()));
        }
        self.runtime.spawn(measure::measure(keeper.clone(), self.metrics.clone()));
    }

    /// Forwards no more, writes down what is still to be, and lets go of the journal.
    pub async fn close(&self) {
        let Some(keeper) = self.keeper.clone() else { return };
        self.no_more.cancel();
        self.forwarding.close();
        // what is on its way and not reported by then stays owed
        let _ = timeout(forward::ENDS_WITHIN, self.forwarding.wait()).await;
        keeper.write_now();
        let _ = self.runtime.spawn_blocking(move || keeper.journal.close()).await;
    }

    /// How many records the journal owes each broker.
    pub fn owed(&self) -> Vec<(Broker, u64)> {
        let of = |keeper: &Keeper| Broker::ALL.map(|broker| (broker, keeper.lanes(broker).owed().0));
        self.keeper.iter().flat_map(of).collect()
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
        let Some(unsure) = self.unsure(&message) else { return Either::Left(self.begin(message, deadline, slot)) };
        let this = self.clone();
        Either::Right(Box::pin(async move {
            unsure.ready(deadline.min(Instant::now() + SURE_WITHIN)).await;
            this.begin(message, deadline, slot).await
        }))
    }

    /// The broker of which a message is remembered from before a restart, if that may be gone there.
    fn unsure(&self, message: &Message) -> Option<Publisher> {
        let target = self.targets.iter().find(|target| target.may_have_lost_all())?;
        let broker = target.publisher.broker();
        self.with_seen(|seen| seen.has(message.event.id, broker)).then(|| target.publisher.clone())
    }

    fn begin<S: Send + 'static>(
        &self,
        message: Message,
        deadline: Instant,
        slot: S,
    ) -> impl Future<Output = Outcome> + use<S> {
        let until = deadline.min(Instant::now() + self.timeout);
        let told_by = if self.keeper.is_some() { deadline } else { until };
        let standing = self.standing(message.event.id, wanted(&message));
        if !matches!(standing, Standing::New(..)) {
            self.metrics.duplicate();
        }
        let begun = match standing {
            Standing::New(told, missing) => {
                let (this, begun) = (self.clone(), (slot, self.tasks.token()));
                let work = async move { this.carry(&message, missing, [until, deadline], begun).await };
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
                Begun::Before(told) => Box::pin(timeout_at(told_by, told)).await.ok().and_then(Result::ok),
                Begun::Ended => Some(Outcome::Duplicate),
            };
            told.unwrap_or(Outcome::NotStored)
        }
    }

    /// Carries one message to its end at every broker that lacks it, and remembers which have it. Whoever waits is
    /// told when that is known, and by `until` where there is no journal, by `deadline` where there is one. `hold` is
    /// held until the message is stored or given up: a report may come still later.
    async fn carry<S>(&self, message: &Message, missing: Brokers, [until, deadline]: [Instant; 2], hold: S) {
        // a panic below must not leave the id under way for ever
        let mut begun = UnderWay::new(self, message.event.id);
        let mut attempts = self.attempt(message, missing, until).await;
        let stored = |at: &Attempt<'_>| match at.known {
            Known::Stored(outcome) => Some((at.broker(), outcome)),
            _ => None,
        };
        begun.stored = attempts.iter().filter_map(stored).map(|(broker, _)| broker).collect();
        begun.direct = begun.stored;
        begun.outcome =
            attempts.iter().filter_map(stored).map(|(_, outcome)| outcome).max().unwrap_or(Outcome::NotStored);
        if begun.stored == missing {
            return;
        }
        begun.outcome = Outcome::NotStored;
        let tell = || self.with_seen(|seen| seen.tell(message.event.id, Outcome::NotStored));
        let owing: Vec<_> = attempts.iter().filter_map(Attempt::owing).collect();
        let kept = match &self.keeper {
            Some(keeper) => keeper.keep(message, &owing, deadline, tell).await.ok().map(|seq| (keeper, seq)),
            None => None,
        };
        attempts.retain(|at| !matches!(at.known, Known::Stored(_)));
        if let Some((keeper, seq)) = kept {
            self.kept(message, begun, missing);
            drop(hold);
            attempts.retain(|at| matches!(at.known, Known::Late));
            join_all(attempts.into_iter().map(|attempt| keeper.hear(attempt, seq))).await;
            return;
        }
        attempts.iter().for_each(Attempt::log_not_stored);
        if attempts.iter().any(|at| matches!(at.known, Known::Late)) {
            tell();
        }
        attempts.retain(|at| matches!(at.known, Known::Late));
        for (broker, report) in
            join_all(attempts.into_iter().map(|at| async { (at.broker(), at.report().await) })).await
        {
            if let Ok(outcome) = report {
                begun.stored = begun.stored.with(broker);
                begun.direct = begun.stored;
                begun.outcome = outcome;
            }
        }
        if begun.stored != missing {
            begun.outcome = Outcome::NotStored;
        }
    }

    /// Sends a message to each of these brokers, and waits until `until` for what becomes of it.
    async fn attempt<'m>(&'m self, message: &'m Message, missing: Brokers, until: Instant) -> Vec<Attempt<'m>> {
        // with a journal nothing is waited for: what is kept there is tried again soon enough
        let patience = if self.keeper.is_some() { Instant::now() } else { until };
        let targets = self.targets.iter().filter(|target| missing.has(target.publisher.broker()));
        let mut attempts: Vec<_> = targets.map(|target| Attempt::new(target, message, patience)).collect();
        let send = async |at: &mut Attempt<'m>| match &self.keeper {
            None => at.send(until).await,
            Some(_) if self.timeout.is_zero() => {}
            Some(keeper) => at.send_in_order(keeper.lanes(at.broker()), until).await,
        };
        match attempts.as_mut_slice() {
            [only] => send(only).await,
            several => drop(join_all(several.iter_mut().map(send)).await),
        }
        attempts
    }

    /// A message is in the journal, and with it at all brokers that lacked it.
    fn kept(&self, message: &Message, mut begun: UnderWay<'_>, missing: Brokers) {
        begun.outcome = Outcome::kept(message);
        begun.stored = missing;
        if let (true, Some(dead)) = (missing == Brokers::JOURNAL, &message.dead_letter) {
            self.metrics.dead_letter(dead.reason as usize);
        }
    }

    /// How a message stands that these brokers should have.
    fn standing(&self, id: Id, wanted: Brokers) -> Standing {
        let now = std::time::Instant::now();
        self.with_seen(|seen| {
            for target in self.targets.iter() {
                if let Some((created, lost)) = target.made_anew() {
                    let lost = lost.then(|| target.publisher.broker());
                    lost.iter().for_each(|broker| seen.forget(*broker));
                    self.keeper.iter().for_each(|keeper| keeper.stores_in(created, lost));
                }
            }
            seen.begin(id, wanted, now)
        })
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

/// Where a message must be to be stored.
fn wanted(message: &Message) -> Brokers {
    let brokers = message.brokers();
    if brokers.is_empty() { Brokers::JOURNAL } else { brokers }
}
