//! What the commands ask of a cluster, apart from the data path.
//!
//! In: `[kafka]` and the topics of the routes. Out: the findings of `check` (`audit`, `rights`), the topics that
//! `provision` creates, and a connection for the reader of dead letters.

mod audit;
mod check;
mod probe;
mod provision;
mod rights;

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::{MetadataBroker, MetadataPartition};
use rdkafka::producer::{Producer as _, ThreadedProducer};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::context::{ClientEvent, ClientEventKind, Context, EVENT_QUEUE};
use super::{Config, client_config, topic_settings};
use crate::units::show;
use probe::Unusable;

pub use {check::check, provision::provision};

/// How long a command waits for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The topic settings that limit how old a record may be when it arrives: since Kafka 3.6, and before.
const MAX_AGE_SETTINGS: [&str; 2] = ["message.timestamp.before.max.ms", "message.timestamp.difference.max.ms"];

/// A command's connection to the cluster.
pub(super) struct ClusterAdmin {
    /// `None` with `kafka.token_file`: rdkafka asks for a token only for a producer or a consumer.
    client: Option<AdminClient<Context>>,
    /// Asks for metadata: only a producer hears why there is no connection.
    producer: ThreadedProducer<Context>,
    events: mpsc::Receiver<ClientEvent>,
    servers: String,
    /// The bootstrap servers that cannot be used, while others can.
    unusable: Vec<Unusable>,
}

/// The cluster's answer about a topic.
pub(super) enum TopicLookup {
    Found(Topic),
    Missing,
    /// The cluster does not show the topic; the reason.
    Refused(String),
}

/// A topic as the cluster describes it.
#[derive(Debug, Clone, Default)]
pub(super) struct Topic {
    pub(super) partitions: usize,
    /// Partitions without a leader.
    pub(super) leaderless: usize,
    /// Replicas of the partition that has the fewest.
    pub(super) replicas: usize,
    /// In-sync replicas of the partition that has the fewest.
    pub(super) in_sync: usize,
    /// `None` means that the cluster does not show us the settings.
    config: Option<HashMap<String, String>>,
}

impl Topic {
    fn setting(&self, name: &str) -> Option<&str> {
        self.config.as_ref()?.get(name).map(String::as_str)
    }

    /// Whether the topic stores a record under the timestamp that the bridge gives it.
    fn uses_create_time(&self) -> bool {
        self.setting("message.timestamp.type") == Some("CreateTime")
    }
}

impl ClusterAdmin {
    /// Connects.
    ///
    /// # Errors
    /// What cannot be used, and what to do: a secret that cannot be read, a property librdkafka does not accept, an address
    /// where no broker answers, a cluster whose brokers cannot be reached.
    pub(super) async fn connect(config: &Config) -> Result<Self, Unusable> {
        let mut admin = Self::prepare(config).map_err(|error| Unusable::new(error, "correct [kafka]"))?;
        admin.unusable = bootstrap(config).await?;
        let doubt = admin.unusable.iter().find(|one| one.is_inconclusive).cloned();
        let brokers = admin.brokers().map_err(|error| doubt.unwrap_or(error))?;
        admin.unusable.retain(|one| !one.is_inconclusive);
        let reached =
            join_all(brokers.iter().map(|(id, address)| probe::check_advertised_listener(*id, address))).await;
        let (unreached, all) = (reached.into_iter().filter_map(Result::err).collect::<Vec<_>>(), brokers.len());
        if unreached.len() == all
            && let Some(first) = unreached.first()
        {
            return Err(first.clone());
        }
        admin.unusable.extend(unreached);
        Ok(admin)
    }

    /// A connection that librdkafka makes in the background.
    fn prepare(config: &Config) -> Result<Self, String> {
        let properties = client_config::properties(config, ANSWER_WITHIN).map_err(|error| error.to_string())?;
        let (sender, events) = mpsc::channel(EVENT_QUEUE);
        let context = Context::new(config, sender);
        let explain = |error: KafkaError| client_config::explain(config, &error).to_string();
        let client = match config.token_file {
            Some(_) => None,
            None => Some(AdminClient::from_config_and_context(&properties, context.clone()).map_err(explain)?),
        };
        let producer = ThreadedProducer::from_config_and_context(&properties, context).map_err(explain)?;
        let servers = config.bootstrap_servers.join(", ");
        Ok(Self { client, producer, events, servers, unusable: Vec::new() })
    }

    /// The brokers of the cluster that are up: the number and the address of each.
    fn brokers(&mut self) -> Result<Vec<(i32, String)>, Unusable> {
        // any topic, existing or not: a request for no topic returns all of them
        let found = tokio::task::block_in_place(|| self.producer.client().fetch_metadata(Some("__"), ANSWER_WITHIN));
        let found = found.map_err(|error| {
            Unusable::new(self.explain(&error), "correct [kafka], or look at the log of its brokers")
        })?;
        let address = |broker: &MetadataBroker| match broker.host() {
            ipv6 if ipv6.contains(':') => format!("[{ipv6}]:{}", broker.port()),
            host => format!("{host}:{}", broker.port()),
        };
        Ok(found.brokers().iter().map(|broker| (broker.id(), address(broker))).collect())
    }

    /// How many brokers of the cluster are up.
    fn live_brokers(&mut self) -> Result<usize, String> {
        self.brokers().map(|brokers| brokers.len()).map_err(|error| error.to_string())
    }

    /// Describes one topic.
    pub(super) async fn topic(&mut self, name: &str) -> Result<TopicLookup, String> {
        let found = tokio::task::block_in_place(|| self.producer.client().fetch_metadata(Some(name), ANSWER_WITHIN));
        let found = found.map_err(|error| self.explain(&error))?;
        let Some(topic) = found.topics().first() else { return Ok(TopicLookup::Missing) };
        match topic.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => return Ok(TopicLookup::Missing),
            Some(code) => return Ok(TopicLookup::Refused(code.to_string())),
        }
        let fewest = |count: fn(&MetadataPartition) -> usize| topic.partitions().iter().map(count).min();
        Ok(TopicLookup::Found(Topic {
            partitions: topic.partitions().len(),
            leaderless: topic.partitions().iter().filter(|partition| partition.leader() < 0).count(),
            replicas: fewest(|partition| partition.replicas().len()).unwrap_or_default(),
            in_sync: fewest(|partition| partition.isr().len()).unwrap_or_default(),
            config: self.config(name).await?,
        }))
    }

    async fn config(&mut self, name: &str) -> Result<Option<HashMap<String, String>>, String> {
        let Some(client) = &self.client else { return Ok(None) };
        match topic_settings::read(client, name, ANSWER_WITHIN).await {
            Ok(settings) => Ok(Some(settings).filter(|settings| !settings.is_empty())),
            Err(KafkaError::AdminOp(code)) => Err(format!("the configuration of topic {name}: {code}")),
            Err(error) => Err(self.explain(&error)),
        }
    }

    fn producer(&self) -> &ThreadedProducer<Context> {
        &self.producer
    }

    /// Creates topics. `None` with `kafka.token_file`.
    fn client(&self) -> Option<&AdminClient<Context>> {
        self.client.as_ref()
    }

    /// An error, with the event librdkafka reported before it: that is usually the cause.
    pub(super) fn explain(&mut self, error: &KafkaError) -> String {
        let mut cause = String::new();
        while let Ok(event) = self.events.try_recv() {
            match event.kind {
                ClientEventKind::NotAuthenticated(why) => cause = format!(": {why}"),
                // the address and the cause; that all brokers are down says neither
                ClientEventKind::OtherError(Some(why)) if cause.is_empty() => cause = format!(": {why}"),
                ClientEventKind::OtherError(_)
                | ClientEventKind::AllBrokersDown(_)
                | ClientEventKind::RecordOverdue => {}
            }
        }
        let servers = &self.servers;
        format!("kafka.bootstrap_servers = {servers}: no answer within {}: {error}{cause}", show(ANSWER_WITHIN))
    }
}

/// Waits until one of the bootstrap servers can be used. Returns those that cannot.
///
/// # Errors
/// None can.
async fn bootstrap(config: &Config) -> Result<Vec<Unusable>, Unusable> {
    let end = Instant::now() + ANSWER_WITHIN;
    loop {
        let addresses = probe::addresses(&config.bootstrap_servers);
        let probes = addresses.iter().map(|address| probe::check_bootstrap_server(config, address));
        let (unusable, all) = (join_all(probes).await, addresses.len());
        let unusable: Vec<_> = unusable.into_iter().filter_map(Result::err).collect();
        let maybe = unusable.len() < all || unusable.iter().any(|one| one.is_inconclusive);
        let Some(first) = unusable.first().filter(|_| !maybe) else { return Ok(unusable) };
        // one that starts may listen in a moment
        if Instant::now() > end || !unusable.iter().any(|one| one.is_transient) {
            return Err(first.clone());
        }
        sleep(Duration::from_millis(250)).await;
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER_WITHIN)).operation_timeout(Some(ANSWER_WITHIN))
}
