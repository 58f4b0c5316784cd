//! Builds the parts of a bridge that need more than one section of the configuration.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::backlog::{BacklogProblem, Consequence, backlog_problem, journal_only_problem};
use super::{BuildError, unusable};
use crate::admin::Health;
use crate::brokers::{FaultReason, Publisher, kafka, nats};
use crate::config::Config;
use crate::delivery::{Outcome, Target};
use crate::http_server::{self, Limits};
use crate::journal::{Journal, Recovered};
use crate::message::Broker;
use crate::reload::Reloader;
use crate::route::{BrokerTemplate, Routes};
use crate::shutdown::Shutdown;
use crate::telemetry::Metrics;
use crate::webhook;

/// Opens the journal, if there is a section for it. Refuses a backlog for a broker that no route uses, and one that was
/// stored with another `route.key`.
///
/// It opens in its own thread: a large journal takes long, and the process must react to signals meanwhile.
pub(super) async fn open_journal(config: &Config, routes: &Routes) -> Result<Option<(Journal, Recovered)>, BuildError> {
    let Some(journal) = config.journal.clone() else { return Ok(None) };
    let (dead_letter, dedup) = (config.dead_letter.clone(), config.dedupe.limits());
    let opened = tokio::task::spawn_blocking(move || Journal::open(&journal, &dead_letter, dedup)).await;
    let key = "journal.directory";
    let opened = opened.map_err(|error| unusable(key, &error))?;
    let (journal, recovered) = opened.map_err(|error| match error.may_pass() {
        true => BuildError::Journal(error),
        false => unusable(key, &error),
    })?;
    for broker in Broker::ALL {
        let records = recovered.backlog[broker].iter().map(|lane| lane.records).sum();
        let problem = backlog_problem(journal.reader(), routes, broker, records).await;
        match problem.map_err(|error| unusable(key, &error))? {
            Some(refused) if refused.consequence == Consequence::Refused => {
                return Err(unusable(refused.config_key, &refused));
            }
            Some(BacklogProblem { config_key, problem, remedy, .. }) => {
                warn!(broker = broker.as_str(), config_key, problem, remedy, "journal backlog has other destinations");
            }
            None => {}
        }
        if records > 0 {
            info!(broker = broker.as_str(), records, "recovered journal backlog");
        }
    }
    if let Some((problem, remedy)) =
        journal_only_problem(recovered.journal_only, Broker::ALL.iter().any(|b| routes.uses_broker(*b)))
    {
        warn!(problem, remedy, "journal has records that no broker will get");
    }
    Ok(Some((journal, recovered)))
}

/// Starts a target for every broker that a route uses. Each connects in the background.
pub(super) async fn start_targets(
    config: &Config,
    routes: &Routes,
    metrics: &Arc<Metrics>,
) -> Result<Vec<Target>, BuildError> {
    let mut targets = Vec::new();
    for BrokerTemplate { broker, dead_letter, .. } in config.broker_templates() {
        if routes.uses_broker(broker) {
            let publisher = start_publisher(config, routes, broker).await;
            let publisher = publisher.map_err(|problem| unusable(broker.as_str(), &problem))?;
            targets.push(Target::new(publisher, dead_letter, metrics.clone()));
        }
    }
    Ok(targets)
}

/// Starts the publisher of a broker, which connects in the background. The error says what is wrong with its section.
pub(crate) async fn start_publisher(config: &Config, routes: &Routes, broker: Broker) -> Result<Publisher, String> {
    match broker {
        Broker::Kafka => {
            let section = config.kafka.as_ref().ok_or("there is no section [kafka]")?;
            let topics = routes.fixed_destinations(broker);
            let max_dynamic = if routes.has_dynamic_destinations(broker) { config.route.max_destinations } else { 0 };
            let publisher = kafka::Publisher::start(section, topics, max_dynamic, kafka::DELIVERY_TIMEOUT);
            publisher.map(Publisher::Kafka).map_err(|error| error.to_string())
        }
        Broker::Nats => {
            let section = config.nats.as_ref().ok_or("there is no section [nats]")?;
            let publisher = nats::Publisher::start(section, routes.patterns(broker), nats::ACK_TIMEOUTS).await;
            publisher.map(Publisher::Nats).map_err(|error| error.to_string())
        }
    }
}

/// The health of all brokers, of the journal and of reloads.
pub(super) fn health(
    shutdown: &Shutdown,
    targets: &[Target],
    journal: Option<&Journal>,
    reloader: &Reloader,
) -> Health {
    let health = Health::new(shutdown.clone()).with_reloads(reloader.status());
    let health = targets.iter().fold(health, |health, target| {
        health.with_broker(target.publisher.broker().as_str(), target.publisher.state())
    });
    match journal {
        Some(journal) => {
            let opened = journal.clone();
            health.with_journal(journal.state(), move || opened.usage().unreadable())
        }
        None => health,
    }
}

/// The limits of the webhook listener. `stop_time` is the part of the grace after the last accepted connection.
pub(super) fn limits(config: &webhook::Limits, stop_time: Duration) -> Limits {
    let possible = http_server::max_connections();
    if possible < config.connections {
        let (configured, remedy) = (config.connections, "raise the limit of open files (LimitNOFILE, ulimit -n)");
        warn!(
            configured,
            possible, remedy, "the limit of open files allows fewer connections than http.limits.connections"
        );
    }
    Limits {
        connections: config.connections.min(possible),
        connections_per_address: config.connections_per_address,
        address_wait: Duration::from_secs(1),
        handshakes: config.handshakes,
        handshake: config.handshake,
        head: config.head,
        head_bytes: config.head_bytes,
        headers: config.headers,
        requests_per_connection: config.requests_per_connection,
        idle: config.idle,
        write: config.write,
        linger: stop_time / 5,
    }
}

/// The metrics, of no instance yet.
pub(crate) fn metrics() -> Result<Metrics, impl std::fmt::Display> {
    Metrics::new::<Outcome, FaultReason>()
}
