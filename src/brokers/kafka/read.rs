//! Reads the dead letter topic, from its oldest record to its end when the reading begins.

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

use super::admin::{ClusterAdmin, TopicLookup};
use super::context::Context;
use super::{Config, client_config};
use crate::message::{Broker, DlqRecord};
use crate::units::show;

/// How long the cluster may send nothing while there are records to read.
const RECORD_WITHIN: Duration = Duration::from_secs(15);

/// librdkafka requires a consumer group. The reader never commits offsets to it.
const GROUP: &str = "greenapi-bridge.dead-letter";

/// How much the consumer prefetches.
const PREFETCH_KBYTES: &str = "16384";

impl ConsumerContext for Context {}

/// Reads the dead letter topic.
pub struct Reader {
    admin: ClusterAdmin,
    config: Config,
    pass: Option<Pass>,
}

/// One pass over the topic.
struct Pass {
    consumer: StreamConsumer<Context>,
    /// The end offset of each partition that is not read to its end.
    ends: HashMap<i32, i64>,
    with_bodies: bool,
    /// Receives the consumer's events; nothing reads them.
    _events: mpsc::Receiver<super::context::ClientEvent>,
}

impl Reader {
    /// Connects.
    ///
    /// # Errors
    /// What is wrong, and the remedy.
    pub async fn open(config: &Config) -> Result<Self, String> {
        let mut admin = ClusterAdmin::connect(config).await.map_err(|error| error.to_string())?;
        let topic = &config.dead_letter_topic;
        match admin.topic(topic).await? {
            TopicLookup::Found(_) => Ok(Self { admin, config: config.clone(), pass: None }),
            TopicLookup::Missing => Err(format!("there is no topic {topic}; run `greenapi-bridge provision`")),
            TopicLookup::Refused(why) => Err(format!("topic {topic}: {why}; {REMEDY}")),
        }
    }

    /// Starts a pass at the oldest record; returns the number of records at most. Without `with_bodies` the bodies
    /// arrive all the same, and are dropped.
    ///
    /// # Errors
    /// What is wrong, and the remedy.
    pub async fn begin(&mut self, with_bodies: bool) -> Result<u64, String> {
        self.pass = None;
        let topic = self.config.dead_letter_topic.clone();
        let partitions = match self.admin.topic(&topic).await? {
            TopicLookup::Found(there) => i32::try_from(there.partitions).unwrap_or(i32::MAX),
            TopicLookup::Missing | TopicLookup::Refused(_) => return Err(format!("topic {topic} is gone")),
        };
        let mut properties =
            client_config::properties(&self.config, RECORD_WITHIN).map_err(|error| error.to_string())?;
        properties
            .set("group.id", GROUP)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            .set("queued.max.messages.kbytes", PREFETCH_KBYTES);
        let (sender, events) = mpsc::channel(64);
        let context = Context::new(&self.config, sender);
        let consumer: StreamConsumer<Context> = StreamConsumer::from_config_and_context(&properties, context)
            .map_err(|error| client_config::explain(&self.config, &error).to_string())?;
        let (mut ends, mut all, mut from) = (HashMap::new(), 0, TopicPartitionList::new());
        for partition in 0..partitions {
            let found = tokio::task::block_in_place(|| consumer.fetch_watermarks(&topic, partition, RECORD_WITHIN));
            let (first, end) = found.map_err(|error| self.admin.explain(&error))?;
            if first < end {
                all += u64::try_from(end - first).unwrap_or_default();
                ends.insert(partition, end);
                let added = from.add_partition_offset(&topic, partition, Offset::Offset(first));
                added.map_err(|error| error.to_string())?;
            }
        }
        consumer.assign(&from).map_err(|error| self.admin.explain(&error))?;
        self.pass = Some(Pass { consumer, ends, with_bodies, _events: events });
        Ok(all)
    }

    /// The next record. `None` means that the pass is over.
    ///
    /// # Errors
    /// What is wrong, and the remedy.
    pub async fn next(&mut self) -> Result<Option<DlqRecord>, String> {
        let Some(pass) = &mut self.pass else { return Ok(None) };
        let until = Instant::now() + RECORD_WITHIN;
        let mut last_error = None;
        while !pass.ends.is_empty() {
            match timeout_at(until, pass.consumer.recv()).await {
                Ok(Ok(record)) => {
                    let Some(end) = pass.ends.get(&record.partition()).copied() else { continue };
                    if record.offset() + 1 >= end {
                        pass.ends.remove(&record.partition());
                    }
                    if record.offset() < end {
                        return Ok(Some(dlq_record(&record, pass.with_bodies)));
                    }
                }
                Ok(Err(KafkaError::PartitionEOF(partition))) => drop(pass.ends.remove(&partition)),
                Ok(Err(error)) => match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                        return Err(format!("topic {}: {error}; {REMEDY}", self.config.dead_letter_topic));
                    }
                    // the reader does not use the group's offsets
                    Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {}
                    // temporary: a leader may move
                    _ => last_error = Some(error.to_string()),
                },
                Err(_) => return Err(no_record(&self.config, last_error)),
            }
        }
        Ok(None)
    }
}

const REMEDY: &str = "allow its user Describe and Read on it";

fn no_record(config: &Config, last_error: Option<String>) -> String {
    let servers = config.bootstrap_servers.join(", ");
    let cause = last_error.map(|error| format!(": {error}")).unwrap_or_default();
    let within = show(RECORD_WITHIN);
    format!(
        "kafka.bootstrap_servers = {servers}: no record of topic {} within {within}{cause}; start the cluster, and run this again",
        config.dead_letter_topic,
    )
}

fn dlq_record(record: &BorrowedMessage<'_>, with_body: bool) -> DlqRecord {
    let headers = record.headers().map(|headers| {
        let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
        headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
    });
    let body = record.payload().unwrap_or_default();
    let millis = record.timestamp().to_millis().and_then(|millis| u64::try_from(millis).ok());
    DlqRecord {
        broker: Some(Broker::Kafka),
        position: format!("{}/{}", record.partition(), record.offset()),
        at: millis.map_or_else(SystemTime::now, |millis| UNIX_EPOCH + Duration::from_millis(millis)),
        headers: headers.unwrap_or_default(),
        size: body.len(),
        body: if with_body { Bytes::copy_from_slice(body) } else { Bytes::new() },
    }
}
