//! Following the cluster: whether it can be reached, and whether its topics are there.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

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
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                found = &mut look => {
                    self.set(found);
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
                Some(Event::Fatal) => self.renew(),
            }
        }
    }

    async fn look_after(&self, pause: Duration) -> BrokerState {
        tokio::time::sleep(pause).await;
        let producers = self.producers.read().unwrap_or_else(PoisonError::into_inner).clone();
        let topics = self.topics.clone();
        // librdkafka waits for the answer in the thread that asks
        let looked = tokio::task::spawn_blocking(move || look(&producers, &topics)).await;
        looked.unwrap_or_else(|_| BrokerState::down("not_inspected"))
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
        match Producers::new(&self.properties, &self.sender) {
            Ok(new) => {
                warn!(broker = "kafka", "the producer failed for good; going on with a new one");
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
    let mut missing = Vec::new();
    for topic in topics {
        match producers.client().fetch_metadata(Some(topic), PATIENCE) {
            Ok(found) if found.topics().iter().all(|topic| topic.error().is_none()) => {}
            Ok(_) => missing.push(topic.as_str()),
            Err(error) => return unreachable(&error),
        }
    }
    if missing.is_empty() {
        return BrokerState::up();
    }
    let detail = format!("no topic {}; run `greenapi-bridge provision`", missing.join(", "));
    // the others are unharmed
    if missing.len() < topics.len() {
        BrokerState::up().because(detail)
    } else {
        BrokerState::down("no_topic").because(detail)
    }
}

fn unreachable(error: &KafkaError) -> BrokerState {
    let reason = match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::Authentication) => "not_authenticated",
        _ => "disconnected",
    };
    BrokerState::down(reason).because(error.to_string())
}
