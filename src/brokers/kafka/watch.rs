//! Following the cluster: whether it can be reached, and whether its topics are there.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use super::publish::Producers;
use super::report::Event;
use crate::observe::BrokerState;

/// How often the cluster is looked at: while it stores, and while it does not.
const RECHECK: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(1)];

/// How long the cluster may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A producer that fails for good sooner than this after the one before is not followed by another at once.
const STEADY: Duration = Duration::from_secs(10);

/// Keeps what is known of a cluster up to date.
pub(super) struct Watch {
    pub(super) producers: Arc<RwLock<Arc<Producers>>>,
    pub(super) properties: ClientConfig,
    pub(super) sender: mpsc::Sender<Event>,
    pub(super) state: watch::Sender<BrokerState>,
    /// The topics whose names are known before a notification comes.
    pub(super) topics: Vec<String>,
}

impl Watch {
    pub(super) async fn follow(self, mut events: mpsc::Receiver<Event>) {
        let look = self.look_after(Duration::ZERO);
        tokio::pin!(look);
        let mut renewed: Option<Instant> = None;
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                found = &mut look => {
                    if self.has_failed() {
                        renewed = Some(Instant::now());
                        self.renew();
                    } else {
                        self.set(found);
                    }
                    look.set(self.look_after(RECHECK[usize::from(!self.state.borrow().up)]));
                    continue;
                }
            };
            match event {
                None => return,
                Some(Event::AllDown(why)) => {
                    self.set(BrokerState::down("disconnected").because(why));
                    look.set(self.look_after(RECHECK[1]));
                }
                Some(Event::NotAuthenticated(why)) => self.set(BrokerState::down("not_authenticated").because(why)),
                // of no consequence, or of one that was replaced
                Some(Event::Other) if !self.has_failed() => {}
                Some(Event::Other) if renewed.is_none_or(|at| at.elapsed() > STEADY) => {
                    renewed = Some(Instant::now());
                    self.renew();
                }
                Some(Event::Other) => {
                    self.set(failed(&self.current()));
                    look.set(self.look_after(RECHECK[1]));
                }
            }
        }
    }

    async fn look_after(&self, pause: Duration) -> BrokerState {
        tokio::time::sleep(pause).await;
        let (producers, topics) = (self.current(), self.topics.clone());
        // librdkafka waits for the answer in the thread that asks
        let looked = tokio::task::spawn_blocking(move || look(&producers, &topics)).await;
        looked.unwrap_or_else(|_| BrokerState::down("not_inspected"))
    }

    fn current(&self) -> Arc<Producers> {
        self.producers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn has_failed(&self) -> bool {
        self.current().fatal_error().is_some()
    }

    fn set(&self, now: BrokerState) {
        // who does not know us ends the connection too: the cause says more than what follows from it
        if now.reason == "disconnected" && self.state.borrow().reason == "not_authenticated" {
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
        match Producers::new(&self.properties, &self.sender) {
            Ok(new) => {
                // while it is down that is said already
                if self.state.borrow().up {
                    warn!(broker = "kafka", why, "the producer failed for good; going on with a new one");
                }
                let new = Arc::new(new);
                let old = std::mem::replace(&mut *self.producers.write().unwrap_or_else(PoisonError::into_inner), new);
                // dropping one waits for its thread
                tokio::task::spawn_blocking(move || drop(old));
            }
            Err(fault) => error!(broker = "kafka", %fault, "no new producer after a fatal error"),
        }
    }
}

fn look(producers: &Producers, topics: &[String]) -> BrokerState {
    let (mut missing, mut hidden) = (Vec::new(), Vec::new());
    for topic in topics {
        let found = match producers.client().fetch_metadata(Some(topic), PATIENCE) {
            Ok(found) => found,
            Err(error) => return unreachable(&error),
        };
        match found.topics().first().and_then(|found| found.error()).map(RDKafkaErrorCode::from) {
            None => {}
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => hidden.push(topic.as_str()),
            Some(_) => missing.push(topic.as_str()),
        }
    }
    let bad = missing.len() + hidden.len();
    let lines = [
        ("no topic", missing, "run `greenapi-bridge provision`"),
        ("not allowed to see", hidden, "allow Describe and Write"),
    ];
    let reason = if lines[0].1.is_empty() { "not_authorized" } else { "no_topic" };
    let said = lines.iter().filter(|(_, topics, _)| !topics.is_empty());
    let said: Vec<_> = said.map(|(what, topics, remedy)| format!("{what} {}; {remedy}", topics.join(", "))).collect();
    match (said.join("; "), bad) {
        (_, 0) => BrokerState::up(),
        // the others are unharmed
        (detail, bad) if bad < topics.len() => BrokerState::up().because(detail),
        (detail, _) => BrokerState::down(reason).because(detail),
    }
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

fn unreachable(error: &KafkaError) -> BrokerState {
    let reason = match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::Authentication) => "not_authenticated",
        _ => "disconnected",
    };
    BrokerState::down(reason).because(error.to_string())
}
