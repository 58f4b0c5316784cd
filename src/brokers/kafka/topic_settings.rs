//! The settings of topics. A compacted topic is unsafe: it acknowledges a record and then deletes it, once a later one
//! has the same key. Only a client with DescribeConfigs can read them.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::runtime::Handle;
use tracing::debug;

use super::clients::{Clients, QUICK_ANSWER_WITHIN};
use super::context::Context;
use crate::brokers::{Fault, FaultReason};

/// Interval between two reads.
const REREAD: Duration = Duration::from_secs(30);

/// The same while a topic is unsafe.
const REREAD_UNSAFE: Duration = Duration::from_secs(5);

/// The same if the cluster hides the settings: each denied read is logged by the cluster.
const REREAD_HIDDEN: Duration = Duration::from_secs(3600);

/// What to do about a compacted topic.
pub(super) const COMPACTED_REMEDY: &str = "set cleanup.policy=delete on it with `kafka-configs.sh --alter`";

/// True if a topic with these settings keeps only the last record of each key.
pub(super) fn is_compacted(settings: &HashMap<String, String>) -> bool {
    settings.get("cleanup.policy").is_some_and(|policy| policy.contains("compact"))
}

/// Reads a topic's settings. They are empty if the cluster hides them.
///
/// # Errors
/// The connection failed, or with [`KafkaError::AdminOp`] the cluster refused the request.
pub(super) async fn read(
    client: &AdminClient<Context>,
    topic: &str,
    within: Duration,
) -> Result<HashMap<String, String>, KafkaError> {
    let options = AdminOptions::new().request_timeout(Some(within)).operation_timeout(Some(within));
    let mut settings = HashMap::new();
    for answer in client.describe_configs(&[ResourceSpecifier::Topic(topic)], &options).await? {
        match answer {
            Ok(answer) => {
                settings.extend(answer.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))));
            }
            // without DescribeConfigs the answer may also be an empty list
            Err(RDKafkaErrorCode::TopicAuthorizationFailed) => {}
            Err(code) => return Err(KafkaError::AdminOp(code)),
        }
    }
    Ok(settings)
}

/// The topics that were compacted when their settings were last read.
pub(super) struct UnsafeTopics {
    /// False with `kafka.token_file`: rdkafka asks for a token only for a producer or a consumer.
    readable: bool,
    last_read: Mutex<LastRead>,
}

#[derive(Default)]
struct LastRead {
    at: Option<Instant>,
    /// How many topics were read: payloads choose further ones.
    topics: usize,
    found: Compacted,
}

/// What the settings of all topics say.
#[derive(Default)]
struct Compacted {
    topics: BTreeSet<String>,
    /// True if no topic's settings are readable.
    hidden: bool,
}

impl Compacted {
    fn reread_after(&self) -> Duration {
        match self {
            Self { hidden: true, .. } => REREAD_HIDDEN,
            Self { topics, .. } if topics.is_empty() => REREAD,
            Self { .. } => REREAD_UNSAFE,
        }
    }
}

impl UnsafeTopics {
    pub(super) fn new(readable: bool) -> Self {
        Self { readable, last_read: Mutex::default() }
    }

    /// The fault of every record for this topic, if the topic is unsafe.
    pub(super) fn fault(&self, topic: &str) -> Option<Fault> {
        let detail = || format!("topic {topic} keeps only the last record of each key; {COMPACTED_REMEDY}");
        self.contains(topic).then(|| Fault::destination(FaultReason::UnsafeTopic, detail()))
    }

    pub(super) fn contains(&self, topic: &str) -> bool {
        self.last_read.lock().found.topics.contains(topic)
    }

    /// Reads the settings of these topics, if it is time to. Blocks the thread.
    ///
    /// Each read has a client of its own: a long-lived client can lose the cluster without an error.
    pub(super) fn reread_if_due(&self, clients: &Clients, topics: &[String]) {
        let due = {
            let last = self.last_read.lock();
            let is_old = last.at.is_none_or(|at| at.elapsed() >= last.found.reread_after());
            self.readable && (is_old || last.topics != topics.len())
        };
        if !due {
            return;
        }
        let found = clients.create_admin().map(|client| read_compacted(&client, topics));
        let mut last = self.last_read.lock();
        last.at = Some(Instant::now());
        last.topics = topics.len();
        match found.and_then(|found| found) {
            Ok(compacted) => last.found = compacted,
            // what was read before counts until the next read
            Err(error) => debug!(broker = "kafka", %error, "topic settings cannot be read"),
        }
    }
}

/// Reads the settings of all topics.
fn read_compacted(client: &AdminClient<Context>, topics: &[String]) -> Result<Compacted, KafkaError> {
    let mut compacted = Compacted { topics: BTreeSet::new(), hidden: !topics.is_empty() };
    for topic in topics {
        match Handle::current().block_on(read(client, topic, QUICK_ANSWER_WITHIN)) {
            Ok(settings) => {
                compacted.hidden &= settings.is_empty();
                if is_compacted(&settings) {
                    compacted.topics.insert(topic.clone());
                }
            }
            // for example, the topic does not exist: the inspection reports that
            Err(KafkaError::AdminOp(_)) => compacted.hidden = false,
            Err(error) => return Err(error),
        }
    }
    Ok(compacted)
}
