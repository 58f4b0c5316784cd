//! The watcher follows the cluster: whether it can be reached, and whether its topics can store. It alone sets the
//! state and replaces clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::clients::{Batching, Clients};
use super::context::{ClientEvent, ClientEventKind};
use super::inspect::{self, DISCONNECTED, Inspection, Topics, inspect, mark_unsafe};
use super::publisher::DynamicTopics;
use super::topic_settings::UnsafeTopics;
use crate::brokers::{BrokerState, FaultReason};
use crate::telemetry::TimedAvailability;

/// How long after an inspection the next begins while the cluster stores.
const RECHECK: Duration = Duration::from_secs(10);

/// The same while it does not store, or after a client was replaced.
const RECHECK_SOON: Duration = Duration::from_secs(1);

/// A client whose fatal error comes sooner than this after another fatal error is not replaced at once.
const MIN_FATAL_INTERVAL: Duration = Duration::from_secs(10);

/// What the publisher and its watcher share.
pub(super) struct Shared {
    pub(super) clients: Clients,
    pub(super) state: watch::Sender<TimedAvailability<FaultReason>>,
    /// True if the last record got no delivery report in time. Metadata does not show a cluster without controllers or below
    /// `min.insync.replicas`; only this does.
    pub(super) no_report: AtomicBool,
    /// The topics whose names are known before a notification comes.
    pub(super) topics: Vec<String>,
    /// The topics that payloads choose.
    pub(super) dynamic_topics: DynamicTopics,
    /// What the topics' `min.insync.replicas` is assumed to be.
    pub(super) min_in_sync: usize,
    /// The topics that would lose what they acknowledge.
    pub(super) unsafe_topics: UnsafeTopics,
}

pub(super) struct Watcher {
    shared: Arc<Shared>,
    /// When a client with a fatal error was last replaced.
    last_replaced: Option<Instant>,
    /// Since when all topics have had no leader, at every inspection.
    leaderless: Option<Instant>,
    /// What librdkafka said last of a connection: the address and the cause, where it then says that all brokers are down.
    connection_error: Option<String>,
}

impl Watcher {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, last_replaced: None, leaderless: None, connection_error: None }
    }

    /// Runs until `stop`.
    pub(super) async fn run(mut self, mut events: mpsc::Receiver<ClientEvent>, stop: CancellationToken) {
        let inspection = inspect_after(self.shared.clone(), Duration::ZERO);
        tokio::pin!(inspection);
        loop {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                inspection = &mut inspection => Some(self.apply(inspection)),
                Some(event) = events.recv() => self.handle(event),
            };
            if let Some(pause) = next {
                // restarts a running inspection: its result would be about replaced clients
                inspection.set(inspect_after(self.shared.clone(), pause));
            }
        }
    }

    /// Returns when to inspect again.
    fn apply(&mut self, inspection: Inspection) -> Duration {
        let replaced = !inspection.replacements.is_empty();
        if self.has_failed() {
            self.replace_failed_clients();
        } else {
            for (batching, new) in inspection.replacements {
                client_replaced("it no longer reaches the cluster, and another client does");
                self.shared.clients.replace(batching, new);
            }
            let state = self.state_after(inspection.topics);
            self.set(state);
        }
        if replaced || !self.is_up() { RECHECK_SOON } else { RECHECK }
    }

    /// Returns when to inspect again; `None` leaves that as it is.
    fn handle(&mut self, event: ClientEvent) -> Option<Duration> {
        // a client that was replaced, or is not in use yet, says nothing of those in use
        let batching = self.shared.clients.batching_of(event.client)?;
        let was_up = self.is_up();
        match event.kind {
            ClientEventKind::AllBrokersDown(why) => {
                let why = self.connection_error.take().unwrap_or(why);
                self.set(BrokerState::down(DISCONNECTED).with_detail(why));
            }
            ClientEventKind::NotAuthenticated(why) => {
                self.set(BrokerState::down(FaultReason::NotAuthenticated).with_detail(why))
            }
            ClientEventKind::OtherError(of_connection) if !self.has_failed() => {
                self.connection_error = of_connection.or(self.connection_error.take());
            }
            ClientEventKind::OtherError(_) if self.last_replaced.is_none_or(|at| at.elapsed() > MIN_FATAL_INTERVAL) => {
                self.replace_failed_clients();
                return Some(RECHECK_SOON);
            }
            ClientEventKind::OtherError(_) => self.set(failed(&self.shared.clients)),
            ClientEventKind::RecordOverdue => {
                return self.replace_unresponsive_client(batching).then_some(RECHECK_SOON);
            }
        }
        // while it is down it is inspected often
        (was_up && !self.is_up()).then_some(RECHECK_SOON)
    }

    /// Replaces a client that gave no delivery report in time; whether there is a new one.
    fn replace_unresponsive_client(&self, batching: Batching) -> bool {
        match self.shared.clients.create(batching) {
            Ok(new) => {
                client_replaced("a record got no delivery report in time");
                self.shared.clients.replace(batching, new);
                true
            }
            Err(fault) => {
                error!(broker = "kafka", error = %fault, "client cannot be replaced");
                false
            }
        }
    }

    fn state_after(&mut self, topics: Topics) -> BrokerState {
        let state = topics.map_or_else(
            |state| state,
            |topics| {
                let since = inspect::is_leaderless(&topics).then(|| self.leaderless.unwrap_or_else(Instant::now));
                self.leaderless = since;
                let leaderless = since.map_or(Duration::ZERO, |since| since.elapsed());
                inspect::cluster_state(&topics, self.shared.dynamic_topics.are_allowed(), leaderless)
            },
        );
        if state != BrokerState::Up {
            // that explains the missing report
            self.shared.no_report.store(false, Ordering::Relaxed);
        }
        if self.shared.no_report.load(Ordering::Relaxed) { no_report() } else { state }
    }

    fn is_up(&self) -> bool {
        self.shared.state.borrow().is_up()
    }

    fn has_failed(&self) -> bool {
        self.shared.clients.all().iter().any(|(_, client)| client.fatal_error().is_some())
    }

    fn set(&self, now: BrokerState) {
        // a cluster that does not authenticate us also ends the connection: the cause says more
        let before = self.shared.state.borrow().reason();
        if now.reason() == Some(DISCONNECTED) && before == Some(FaultReason::NotAuthenticated) {
            return;
        }
        let changed = self.shared.state.send_if_modified(|before| {
            // while it is down, another detail of the same reason is no news
            let is_news = before.reason() != now.reason() || now.is_up() && **before != now;
            before.set(now.clone());
            is_news
        });
        if !changed {
            return;
        }
        match now {
            BrokerState::Up => info!(event = "broker_up", broker = "kafka", "broker up"),
            BrokerState::Degraded { reason, detail } => {
                warn!(event = "broker_degraded", broker = "kafka", reason = reason.as_str(), detail, "broker degraded");
            }
            BrokerState::Down { reason, detail } => {
                warn!(event = "broker_down", broker = "kafka", reason = reason.as_str(), detail, "broker down");
            }
        }
    }

    /// A fatal error is for ever: replaces the clients that have one.
    fn replace_failed_clients(&mut self) {
        self.last_replaced = Some(Instant::now());
        for (batching, old) in self.shared.clients.all() {
            let Some((_, why)) = old.fatal_error() else { continue };
            match self.shared.clients.create(batching) {
                Ok(new) => {
                    // while it is down, the state says why
                    if self.is_up() {
                        warn!(broker = "kafka", reason = why, "client replaced after a fatal error");
                    }
                    self.shared.clients.replace(batching, new);
                }
                Err(fault) => error!(broker = "kafka", error = %fault, "client cannot be replaced after a fatal error"),
            }
        }
    }
}

async fn inspect_after(shared: Arc<Shared>, pause: Duration) -> Inspection {
    tokio::time::sleep(pause).await;
    let lost = shared.state.borrow().reason() == Some(DISCONNECTED);
    let inspecting = move || {
        let mut inspection = inspect(&shared.clients, &shared.topics, shared.min_in_sync, lost);
        if let Ok(topics) = &mut inspection.topics {
            let all: Vec<_> = shared.topics.iter().cloned().chain(shared.dynamic_topics.admitted()).collect();
            shared.unsafe_topics.reread_if_due(&shared.clients, &all);
            mark_unsafe(topics, &shared.unsafe_topics);
        }
        inspection
    };
    let inspection = tokio::task::spawn_blocking(inspecting).await;
    inspection.unwrap_or_else(|_| Inspection {
        topics: Err(BrokerState::down(FaultReason::NotInspected)),
        replacements: Vec::new(),
    })
}

fn client_replaced(why: &str) {
    warn!(broker = "kafka", reason = why, "client replaced");
}

/// The cluster looks well, and yet did not store the last record. Only the next record can show that it stores again, so
/// the broker must not count as down.
fn no_report() -> BrokerState {
    let detail = "the last record got no delivery report in time; check the in-sync replicas and the controllers";
    BrokerState::degraded(FaultReason::NoReport).with_detail(detail)
}

/// The state where a client has a fatal error.
fn failed(clients: &Clients) -> BrokerState {
    match clients.all().into_iter().find_map(|(_, client)| client.fatal_error()) {
        Some((RDKafkaErrorCode::ClusterAuthorizationFailed, _)) => {
            let detail = "may write to no topic; allow Write and Describe on those of the routes";
            BrokerState::down(FaultReason::NotAuthorized).with_detail(detail)
        }
        Some((_, why)) => BrokerState::down(FaultReason::Closed).with_detail(why),
        None => BrokerState::down(FaultReason::Closed),
    }
}
