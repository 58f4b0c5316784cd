//! Following the cluster: whether it can be reached, and whether its topics can store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use super::look::{self, Look, Looked, look};
use super::producers::{Client, Producers};
use super::report::Event;
use crate::observe::BrokerState;

/// How often the cluster is looked at: while it stores, and while it does not or with new clients.
const RECHECK: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(1)];

/// A producer that fails for good sooner than this after the one before is not followed by another at once.
const STEADY: Duration = Duration::from_secs(10);

/// Keeps what is known of a cluster up to date.
pub(super) struct Watch {
    pub(super) producers: Arc<RwLock<Arc<Producers>>>,
    /// Whether the last record got no report in time.
    pub(super) silent: Arc<AtomicBool>,
    pub(super) state: watch::Sender<BrokerState>,
    /// The topics whose names are known before a notification comes.
    pub(super) topics: Vec<String>,
    /// Whether payloads choose others.
    pub(super) open: bool,
    /// How many copies of a partition are taken to be needed.
    pub(super) in_sync: usize,
}

impl Watch {
    pub(super) async fn follow(self, mut events: mpsc::Receiver<Event>) {
        let look = self.look_after(Duration::ZERO);
        tokio::pin!(look);
        let mut renewed: Option<Instant> = None;
        let mut leaderless: Option<Instant> = None;
        loop {
            let event = tokio::select! {
                biased;
                looked = &mut look => {
                    let mut soon = looked.mended.is_some();
                    if self.has_failed() {
                        renewed = Some(Instant::now());
                        self.renew();
                    } else {
                        self.set(self.judge(self.go_on(looked), &mut leaderless));
                    }
                    soon |= !self.state.borrow().up;
                    look.set(self.look_after(RECHECK[usize::from(soon)]));
                    continue;
                }
                event = events.recv() => event,
            };
            let was_up = self.state.borrow().up;
            match event {
                None => return,
                Some(Event::AllDown(why)) => self.set(BrokerState::down(look::LOST).because(why)),
                Some(Event::NotAuthenticated(why)) => self.set(BrokerState::down("not_authenticated").because(why)),
                // of no consequence, or of one that was replaced
                Some(Event::Other) if !self.has_failed() => {}
                Some(Event::Other) if renewed.is_none_or(|at| at.elapsed() > STEADY) => {
                    renewed = Some(Instant::now());
                    self.renew();
                    // what it finds out is of those that were replaced
                    look.set(self.look_after(RECHECK[1]));
                }
                Some(Event::Other) => self.set(failed(&self.current())),
                Some(Event::Overdue(client)) => {
                    if self.give_up(&client) {
                        look.set(self.look_after(RECHECK[1]));
                    }
                }
            }
            // while it is down it is looked at all the time
            if was_up && !self.state.borrow().up {
                look.set(self.look_after(RECHECK[1]));
            }
        }
    }

    async fn look_after(&self, pause: Duration) -> Looked {
        tokio::time::sleep(pause).await;
        let (producers, topics, in_sync) = (self.current(), self.topics.clone(), self.in_sync);
        let lost = self.state.borrow().reason == look::LOST;
        let looked = tokio::task::spawn_blocking(move || look(&producers, &topics, in_sync, lost)).await;
        looked.unwrap_or_else(|_| Looked { found: Err(BrokerState::down("not_inspected")), mended: None })
    }

    /// What was found, once who finds the cluster no more is replaced.
    fn go_on(&self, looked: Looked) -> Look {
        if let Some(mended) = looked.mended {
            stuck("it finds the cluster no more, and another does");
            self.replace(mended);
        }
        looked.found
    }

    /// Replaces a client that gives no report; whether it was in use still.
    fn give_up(&self, client: &Weak<Client>) -> bool {
        let without = self.current().without(client).unwrap_or_else(|fault| {
            error!(broker = "kafka", %fault, "no new client");
            None
        });
        without.is_some_and(|without| {
            stuck("a record got no report in time");
            self.replace(without);
            true
        })
    }

    /// `leaderless` is since when all topics have been without a leader, look for look.
    fn judge(&self, found: Look, leaderless: &mut Option<Instant>) -> BrokerState {
        let state = found.map_or_else(
            |state| state,
            |seen| {
                *leaderless = look::is_leaderless(&seen).then(|| leaderless.unwrap_or_else(Instant::now));
                look::judge(&seen, self.open, leaderless.map_or(Duration::ZERO, |since| since.elapsed()))
            },
        );
        if state.reason != "up" {
            // that is why it was silent
            self.silent.store(false, Ordering::Relaxed);
        }
        if self.silent.load(Ordering::Relaxed) { silent() } else { state }
    }

    fn current(&self) -> Arc<Producers> {
        self.producers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn has_failed(&self) -> bool {
        self.current().fatal_error().is_some()
    }

    fn set(&self, now: BrokerState) {
        // who does not know us ends the connection too: the cause says more than what follows from it
        if now.reason == look::LOST && self.state.borrow().reason == "not_authenticated" {
            return;
        }
        let changed = self.state.send_if_modified(|before| {
            // while it is down, how often something was tried is no news
            let changed = before.reason != now.reason || now.up && *before != now;
            before.clone_from(&now);
            changed
        });
        match (changed, now.up) {
            (false, _) => {}
            (true, true) if now.detail.is_empty() => info!(broker = "kafka", "the broker stores"),
            (true, true) => warn!(broker = "kafka", detail = now.detail, "the broker stores, but not all"),
            (true, false) => {
                warn!(broker = "kafka", reason = now.reason, detail = now.detail, "the broker does not store");
            }
        }
    }

    /// A fatal error is for ever: only a new producer goes on.
    fn renew(&self) {
        let old = self.current();
        let why = old.fatal_error().map(|(_, why)| why).unwrap_or_default();
        match old.anew() {
            Ok(new) => {
                // while it is down that is said already
                if self.state.borrow().up {
                    warn!(broker = "kafka", why, "the producer failed for good; going on with a new one");
                }
                self.replace(new);
            }
            Err(fault) => error!(broker = "kafka", %fault, "no new producer after a fatal error"),
        }
    }

    fn replace(&self, new: Producers) {
        new.take_over(&self.current());
        *self.producers.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
    }
}

fn stuck(why: &str) {
    warn!(broker = "kafka", why, "the client is stuck; going on with a new one");
}

/// Nothing is wrong with what the cluster says, and yet it did not take the last record. Only another can tell that it
/// does again, so it must not count as down.
fn silent() -> BrokerState {
    let detail = "the last record got no report in time; are enough copies up to date, and do the controllers live?";
    BrokerState::up_but("no_report").because(detail.to_owned())
}

/// The state of producers that failed for good.
fn failed(producers: &Producers) -> BrokerState {
    match producers.fatal_error() {
        Some((RDKafkaErrorCode::ClusterAuthorizationFailed, _)) => {
            let detail = "may write to no topic; allow Write and Describe on those of the routes";
            BrokerState::down("not_authorized").because(detail.to_owned())
        }
        Some((_, why)) => BrokerState::down("closed").because(why),
        None => BrokerState::down("closed"),
    }
}
