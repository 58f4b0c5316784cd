//! Reading the dead letter topic, from its oldest record to what is there when the reading begins.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{Consumer as _, ConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::admin::{Admin, Lookup};
use super::report::Context;
use super::{Config, client};
use crate::message::{Broker, Letter};
use crate::units::show;

/// How long the cluster may be silent while there is something to read.
const PATIENCE: Duration = Duration::from_secs(15);

/// librdkafka wants a group of whoever reads. Nothing is ever committed to it.
const GROUP: &str = "greenapi-bridge.dead-letter";

/// How much is fetched before it is asked for.
const AHEAD_KBYTES: &str = "16384";

impl ConsumerContext for Context {}

/// Reads one dead letter topic.
pub struct Reader {
    admin: Admin,
    config: Config,
    pass: Option<Pass>,
}

/// One reading.
struct Pass {
    consumer: StreamConsumer<Context>,
    /// Of each partition that is not read to its end, the offset after it.
    ends: HashMap<i32, i64>,
    bodies: bool,
    /// Held for the consumer, which tells it what it meets.
    _events: mpsc::Receiver<super::report::Event>,
}

impl Reader {
    /// Connects.
    ///
    /// # Errors
    /// What is wrong, and the remedy.
    pub async fn open(config: &Config) -> Result<Self, String> {
        let mut admin = Admin::connect(config)?;
        let topic = &config.dead_letter_topic;
        match admin.topic(topic).await? {
            Lookup::There(_) => Ok(Self { admin, config: config.clone(), pass: None }),
            Lookup::Missing => Err(format!("there is no topic {topic}; run `greenapi-bridge provision`")),
            Lookup::Refused(why) => Err(format!("topic {topic}: {why}; {REMEDY}")),
        }
    }

    /// Begins to read from the oldest record; says how many there are, at most. If no `bodies` are wanted they come all
    /// the same, and are not kept.
    ///
    /// # Errors
    /// What is wrong, and the remedy.
    pub async fn begin(&mut self, bodies: bool) -> Result<u64, String> {
        self.pass = None;
        let topic = self.config.dead_letter_topic.clone();
        let partitions = match self.admin.topic(&topic).await? {
            Lookup::There(there) => i32::try_from(there.partitions).unwrap_or(i32::MAX),
            Lookup::Missing | Lookup::Refused(_) => return Err(format!("topic {topic} is gone")),
        };
        let mut properties = client::properties(&self.config, PATIENCE).map_err(|error| error.to_string())?;
        properties
            .set("group.id", GROUP)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            .set("queued.max.messages.kbytes", AHEAD_KBYTES);
        let (sender, events) = mpsc::channel(64);
        let context = Context::new(&self.config, sender);
        let consumer: StreamConsumer<Context> = StreamConsumer::from_config_and_context(&properties, context)
            .map_err(|error| client::explain(&self.config, &error).to_string())?;
        let (mut ends, mut all, mut from) = (HashMap::new(), 0, TopicPartitionList::new());
        for partition in 0..partitions {
            let found = tokio::task::block_in_place(|| consumer.fetch_watermarks(&topic, partition, PATIENCE));
            let (first, end) = found.map_err(|error| self.admin.explain(&error))?;
            if first < end {
                all += u64::try_from(end - first).unwrap_or_default();
                ends.insert(partition, end);
                let added = from.add_partition_offset(&topic, partition, Offset::Offset(first));
                added.map_err(|error| error.to_string())?;
            }
        }
        consumer.assign(&from).map_err(|error| self.admin.explain(&error))?;
        self.pass = Some(Pass { consumer, ends, bodies, _events: events });
        Ok(all)
    }

    /// The next record; none after the last.
    ///
    /// # Errors
    /// What is wrong, and the remedy.
    pub async fn next(&mut self) -> Result<Option<Letter>, String> {
        let Some(pass) = &mut self.pass else { return Ok(None) };
        let until = Instant::now() + PATIENCE;
        let mut said = None;
        while !pass.ends.is_empty() {
            match timeout_at(until, pass.consumer.recv()).await {
                Ok(Ok(record)) => {
                    let Some(end) = pass.ends.get(&record.partition()).copied() else { continue };
                    if record.offset() + 1 >= end {
                        pass.ends.remove(&record.partition());
                    }
                    if record.offset() < end {
                        return Ok(Some(letter(&record, pass.bodies)));
                    }
                }
                Ok(Err(KafkaError::PartitionEOF(partition))) => drop(pass.ends.remove(&partition)),
                Ok(Err(error)) => match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                        return Err(format!("topic {}: {error}; {REMEDY}", self.config.dead_letter_topic));
                    }
                    // nobody is asked for positions of a group
                    Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {}
                    // a leader may move meanwhile
                    _ => said = Some(error.to_string()),
                },
                Err(_) => return Err(silent(&self.config, said)),
            }
        }
        Ok(None)
    }
}

const REMEDY: &str = "allow its user Describe and Read on it";

fn silent(config: &Config, said: Option<String>) -> String {
    let (servers, said) = (config.bootstrap_servers.join(", "), said.map(|said| format!(": {said}")));
    let within = show(PATIENCE);
    format!(
        "kafka.bootstrap_servers = {servers}: nothing more of topic {} within {within}{}; start the cluster, and run this again",
        config.dead_letter_topic,
        said.unwrap_or_default()
    )
}

fn letter(record: &BorrowedMessage<'_>, with_body: bool) -> Letter {
    let headers = record.headers().map(|headers| {
        let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
        headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
    });
    let body = record.payload().unwrap_or_default();
    let millis = record.timestamp().to_millis().and_then(|millis| u64::try_from(millis).ok());
    Letter {
        broker: Some(Broker::Kafka),
        position: format!("{}/{}", record.partition(), record.offset()),
        at: millis.map_or_else(SystemTime::now, |millis| UNIX_EPOCH + Duration::from_millis(millis)),
        headers: headers.unwrap_or_default(),
        size: body.len(),
        body: if with_body { Bytes::copy_from_slice(body) } else { Bytes::new() },
    }
}
