//! What the commands ask of a cluster.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataPartition;
use rdkafka::producer::{Producer as _, ThreadedProducer};
use tokio::sync::mpsc;

use super::report::{Context, Event};
use super::{Config, client};
use crate::units::show;

/// How long a command waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What bounds how old a record may be when it comes: since Kafka 3.6, and before that.
pub(super) const OLDEST: [&str; 2] = ["message.timestamp.before.max.ms", "message.timestamp.difference.max.ms"];

/// A connection of a command.
pub(super) struct Admin {
    /// None where a token makes us known: rdkafka asks for one only where a producer or a consumer needs it.
    client: Option<AdminClient<Context>>,
    /// Only a producer is told why there is no connection.
    witness: ThreadedProducer<Context>,
    events: mpsc::Receiver<Event>,
    servers: String,
}

/// What a cluster says of a topic.
pub(super) enum Lookup {
    There(Topic),
    Missing,
    /// It does not say, and why.
    Refused(String),
}

/// A topic as the cluster has it.
#[derive(Debug, Clone, Default)]
pub(super) struct Topic {
    pub(super) partitions: usize,
    /// Partitions that nobody leads now.
    pub(super) leaderless: usize,
    /// Copies of the partition that has the fewest.
    pub(super) replicas: usize,
    /// Copies that are up to date, of the partition that has the fewest.
    pub(super) in_sync: usize,
    /// Its settings; none where we may not look at them.
    pub(super) config: Option<HashMap<String, String>>,
}

impl Topic {
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.config.as_ref()?.get(name).map(String::as_str)
    }

    /// Whether a record keeps the date we give it.
    pub(super) fn is_dated_by_us(&self) -> bool {
        self.setting("message.timestamp.type") == Some("CreateTime")
    }
}

impl Admin {
    pub(super) fn connect(config: &Config) -> Result<Self, String> {
        let properties = client::properties(config, PATIENCE).map_err(|error| error.to_string())?;
        let (sender, events) = mpsc::channel(64);
        let context = Context::new(config, sender);
        let explain = |error: KafkaError| client::explain(config, &error).to_string();
        let client = match config.token_file {
            Some(_) => None,
            None => Some(AdminClient::from_config_and_context(&properties, context.clone()).map_err(explain)?),
        };
        let witness = ThreadedProducer::from_config_and_context(&properties, context).map_err(explain)?;
        Ok(Self { client, witness, events, servers: config.bootstrap_servers.join(", ") })
    }

    /// How many brokers the cluster has now.
    pub(super) async fn brokers(&mut self) -> Result<usize, String> {
        // a topic that need not be there: asking for none would bring all of them
        let found = tokio::task::block_in_place(|| self.witness.client().fetch_metadata(Some("__"), PATIENCE));
        found.map(|found| found.brokers().len()).map_err(|error| self.explain(&error))
    }

    /// One topic.
    pub(super) async fn topic(&mut self, name: &str) -> Result<Lookup, String> {
        let found = tokio::task::block_in_place(|| self.witness.client().fetch_metadata(Some(name), PATIENCE));
        let found = found.map_err(|error| self.explain(&error))?;
        let Some(topic) = found.topics().first() else { return Ok(Lookup::Missing) };
        match topic.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => return Ok(Lookup::Missing),
            Some(code) => return Ok(Lookup::Refused(code.to_string())),
        }
        let fewest = |count: fn(&MetadataPartition) -> usize| topic.partitions().iter().map(count).min();
        Ok(Lookup::There(Topic {
            partitions: topic.partitions().len(),
            leaderless: topic.partitions().iter().filter(|partition| partition.leader() < 0).count(),
            replicas: fewest(|partition| partition.replicas().len()).unwrap_or_default(),
            in_sync: fewest(|partition| partition.isr().len()).unwrap_or_default(),
            config: self.config(name).await?,
        }))
    }

    async fn config(&mut self, name: &str) -> Result<Option<HashMap<String, String>>, String> {
        let Some(client) = &self.client else { return Ok(None) };
        let asked = client.describe_configs(&[ResourceSpecifier::Topic(name)], &options()).await;
        let answers = asked.map_err(|error| self.explain(&error))?;
        let mut all = HashMap::new();
        for answer in answers {
            match answer {
                Ok(answer) => {
                    all.extend(answer.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))))
                }
                Err(RDKafkaErrorCode::TopicAuthorizationFailed) => return Ok(None),
                Err(code) => return Err(format!("the configuration of topic {name}: {code}")),
            }
        }
        // the answer to who may not look is an empty one too
        Ok(Some(all).filter(|all| !all.is_empty()))
    }

    pub(super) fn producer(&self) -> &ThreadedProducer<Context> {
        &self.witness
    }

    /// What creates topics; none where a token makes us known.
    pub(super) fn client(&self) -> Option<&AdminClient<Context>> {
        self.client.as_ref()
    }

    /// An error with what the cluster said before it, which is the cause more often.
    pub(super) fn explain(&mut self, error: &KafkaError) -> String {
        let mut said = String::new();
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::NotAuthenticated(why) => said = format!(": {why}"),
                Event::AllDown(why) if said.is_empty() => said = format!(": {why}"),
                Event::AllDown(_) | Event::Other | Event::Overdue(_) => {}
            }
        }
        let servers = &self.servers;
        format!("kafka.bootstrap_servers = {servers}: no answer within {}: {error}{said}", show(PATIENCE))
    }
}

pub(super) fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}
