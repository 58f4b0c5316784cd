//! The parts of a bridge that are built from several sections.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::{BuildError, unusable};
use crate::admit::Tokens;
#[cfg(feature = "kafka")]
use crate::brokers::kafka;
#[cfg(feature = "nats")]
use crate::brokers::nats;
use crate::brokers::{self, Publisher};
use crate::config::Config;
use crate::deliver::{Outcome, Target};
use crate::journal::{Journal, Recovered};
use crate::message::{Broker, Reason};
use crate::notification::Class;
use crate::observe::{Labels, Metrics};
use crate::receive::{self, Answer};
use crate::route::Routes;
use crate::serve::{self, Limits};
use crate::units::records;

/// Opens the journal, if there is to be one. In a thread of its own: a large one takes its time, and signals are to be
/// heard meanwhile.
pub(super) async fn open_journal(config: &Config, routes: &Routes) -> Result<Option<(Journal, Recovered)>, BuildError> {
    let Some(journal) = config.journal.clone() else { return Ok(None) };
    let (dead_letter, window) = (config.dead_letter.clone(), (config.dedupe.window, config.dedupe.max_ids));
    let opened = tokio::task::spawn_blocking(move || Journal::open(&journal, &dead_letter, window)).await;
    let key = "journal.directory";
    let opened = opened.map_err(|error| unusable(key, &error))?;
    let (journal, recovered) = opened.map_err(|error| unusable(key, &error))?;
    for broker in Broker::ALL {
        match recovered.owed[broker as usize].iter().map(|owed| owed.records).sum() {
            0 => {}
            owed if !routes.use_broker(broker) => {
                return Err(unusable("route.brokers", &owing(broker, owed).join("; ")));
            }
            records => info!(broker = broker.as_str(), records, "owed from before"),
        }
    }
    Ok(Some((journal, recovered)))
}

/// What is said of a broker that is owed records and no longer used, and what to do.
pub(crate) fn owing(broker: Broker, owed: u64) -> [String; 2] {
    let name = broker.as_str();
    let other = Broker::ALL.into_iter().find(|other| *other != broker).map_or("", Broker::as_str);
    let remedy = format!(
        "use it until they are forwarded (`greenapi-bridge journal status`), or with this configuration give them to \
         {other}, where that is used (`greenapi-bridge journal reroute --from {name} --to {other}`), or give them up \
         (`greenapi-bridge journal drop --broker {name}`)"
    );
    [format!("{name} is not used any more, and the journal owes it {}", records(owed)), remedy]
}

/// Starts to connect to every broker there is a section for.
pub(super) async fn targets(
    config: &Config,
    routes: &Routes,
    metrics: &Arc<Metrics>,
) -> Result<Vec<Target>, BuildError> {
    let mut targets = Vec::new();
    #[cfg(feature = "kafka")]
    if let Some(kafka) = config.kafka.as_ref().filter(|_| routes.use_broker(Broker::Kafka)) {
        let known = routes.known(Broker::Kafka);
        let most = if routes.is_open(Broker::Kafka) { config.route.max_destinations } else { 0 };
        let publisher = kafka::Publisher::start(kafka, known, most, kafka::REPORT_WITHIN);
        let publisher = Publisher::Kafka(publisher.map_err(|error| unusable("kafka", &error))?);
        targets.push(Target::new(publisher, kafka.dead_letter_topic.clone(), metrics.clone()));
    }
    #[cfg(feature = "nats")]
    if let Some(nats) = config.nats.as_ref().filter(|_| routes.use_broker(Broker::Nats)) {
        let publisher = nats::Publisher::start(nats, routes.patterns(Broker::Nats), nats::REPORT_WITHIN).await;
        let publisher = Publisher::Nats(publisher.map_err(|error| unusable("nats", &error))?);
        targets.push(Target::new(publisher, nats.dead_letter_subject.clone(), metrics.clone()));
    }
    Ok(targets)
}

/// `left` is what is left of the grace when no more is accepted.
pub(super) fn limits(of: &receive::Limits, left: Duration) -> Limits {
    let room = serve::room_for_connections();
    if room < of.connections {
        let (wanted, remedy) = (of.connections, "raise the limit of open files (LimitNOFILE, ulimit -n)");
        warn!(wanted, room, remedy, "fewer connections than http.limits.connections can be open");
    }
    Limits {
        connections: of.connections.min(room),
        connections_per_address: of.connections_per_address,
        head: of.head,
        idle: of.idle,
        write: of.write,
        linger: left / 5,
    }
}

pub(crate) fn metrics(tokens: Option<&Tokens>) -> Result<Metrics, impl std::fmt::Display> {
    let mut classes = Class::ALL.map(Class::as_str).to_vec();
    classes.push("unknown");
    Metrics::new(&Labels {
        classes: &classes,
        stored: &Outcome::LABELS,
        statuses: &Answer::STATUSES,
        refusals: &[&Answer::REFUSALS[..], &serve::REFUSALS[..]].concat(),
        reasons: &Reason::ALL.map(Reason::as_str),
        brokers: &Broker::ALL.map(Broker::as_str),
        faults: &brokers::REASONS,
        instances: &tokens.map(Tokens::instances).unwrap_or_default(),
    })
}
