//! Publishing, and hearing what became of it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, UNIX_EPOCH};

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use tokio::sync::{mpsc, watch};

use super::client;
use super::properties::{self, ClientError};
use super::report::{self, Context, Waiter};
use super::watch::Watch;
use super::{Config, headers};
use crate::brokers::{Fault, FaultKind};
use crate::message::{Broker, Message};
use crate::observe::BrokerState;

/// Up to so many records in flight each is sent at once; beyond, they are gathered for [`LINGER`].
///
/// A lone sender would wait out any linger, and many at once pay a request each without one.
/// Measured on two cores with one real broker: with one sender 0.29 ms at the median, as with no linger, where a
/// linger of 1 ms takes 1.5; with 16 senders 75 µs of CPU a notification, where no linger takes 105; with 64 the
/// same throughput as a linger for all.
const AT_ONCE: usize = 24;

/// What was in flight of late is counted in so many parts of a record, and forgotten within [`FORGET`] microseconds:
/// between two batches of many senders pass one or two thousand.
const PARTS: usize = 64;
const FORGET: usize = 65_536;

/// `linger.ms` where records are gathered.
const LINGER: &str = "1";

/// librdkafka's own `batch.num.messages`.
const BATCH: &str = "10000";

/// How long a record may wait for its report. It must be less than the 60 s after which GREEN-API repeats.
pub const REPORT_WITHIN: Duration = Duration::from_secs(30);

/// Room for a record's headers and framing, which the limits of librdkafka and Kafka include.
pub(super) const OVERHEAD: usize = 2 * 1024;

/// librdkafka's own `message.max.bytes`; below Kafka's default of 1,048,588.
pub(super) const DEFAULT_TAKES: usize = 1_000_000;

/// Publishes to one cluster. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    producers: Arc<RwLock<Arc<Producers>>>,
    in_flight: Arc<AtomicUsize>,
    lately: Arc<AtomicUsize>,
    clock: Arc<AtomicU64>,
    /// Whether the last record got no report in time: a cluster that has lost its controllers, or that wants more
    /// copies than there are, shows it only so.
    silent: Arc<AtomicBool>,
    state: watch::Receiver<BrokerState>,
    takes: usize,
    opened: Arc<Opened>,
    limits: Arc<Limits>,
}

/// The topics that payloads chose: librdkafka keeps each for ever, so there must be a last one.
struct Opened {
    most: usize,
    topics: Mutex<HashSet<String>>,
}

impl Opened {
    fn admit(&self, topic: &str) -> Result<(), Fault> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if !topics.contains(topic) {
            if topics.len() >= self.most {
                let detail = format!("route.max_destinations = {}: one topic too many", self.most);
                return Err(Fault::destination("too_many_topics", detail));
            }
            topics.insert(topic.to_owned());
        }
        Ok(())
    }
}

type Producer = ThreadedProducer<Context>;

/// How much a topic takes where it takes less than the client: learned from what it refused, so that no right is
/// needed to look at its settings.
#[derive(Default)]
struct Limits(Mutex<HashMap<String, usize>>);

impl Limits {
    fn of(&self, topic: &str) -> Option<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(topic).copied()
    }

    /// A body of this size was refused alone: half of it may fit. Only where dead letters go is it of use.
    fn refused(&self, topic: &str, size: usize) {
        let mut limits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = limits.entry(topic.to_owned()).or_insert(usize::MAX);
        *limit = (*limit).min(size / 2);
    }
}

/// How a record travels.
enum Way {
    /// With others that go to the same partition.
    Batched,
    /// In a batch of its own.
    Alone,
}

/// The same client up to three times: two differ in linger; the third, which is rarely needed, sends every record in a
/// batch of its own. No order is lost between them: GREEN-API has one notification of an instance in flight.
pub(super) struct Producers {
    config: ClientConfig,
    context: Context,
    quick: Producer,
    gathering: Producer,
    alone: OnceLock<Producer>,
}

impl Producers {
    pub(super) fn new(config: &ClientConfig, context: &Context) -> Result<Self, KafkaError> {
        let [quick, gathering] = ["0", LINGER].map(|linger| producer(config, context, linger, BATCH));
        let (config, context) = (config.clone(), context.clone());
        Ok(Self { config, context, quick: quick?, gathering: gathering?, alone: OnceLock::new() })
    }

    fn alone(&self) -> Result<&Producer, KafkaError> {
        if let Some(there) = self.alone.get() {
            return Ok(there);
        }
        let new = producer(&self.config, &self.context, "0", "1")?;
        Ok(self.alone.get_or_init(|| new))
    }

    /// Why one of them will never produce again.
    pub(super) fn fatal_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        let all = [&self.quick, &self.gathering].into_iter().chain(self.alone.get());
        all.into_iter().find_map(|producer| producer.client().fatal_error())
    }

    /// The client to ask for metadata.
    pub(super) fn client(&self) -> &rdkafka::client::Client<Context> {
        self.quick.client()
    }
}

/// What a compacted topic says of every record without a key. That is no fault of the record.
fn without_key() -> Fault {
    let detail = "refused for want of a key; set cleanup.policy=delete on the topic, which keeps records without one";
    Fault::destination("refused", detail)
}

fn producer(config: &ClientConfig, context: &Context, linger: &str, batch: &str) -> Result<Producer, KafkaError> {
    let mut config = config.clone();
    config.set("linger.ms", linger).set("batch.num.messages", batch);
    Producer::from_config_and_context(&config, context.clone())
}

impl Publisher {
    /// Starts to connect, in the background and for ever; the cluster may be down. `topics` are those whose names
    /// are known; payloads may choose `most_opened` others, or none. A record whose report is not there after `report_within`
    /// is given up; less than a second is not kept to.
    ///
    /// # Errors
    /// A secret that cannot be read, or a property librdkafka does not take.
    pub fn start(
        config: &Config,
        topics: Vec<String>,
        most_opened: usize,
        report_within: Duration,
    ) -> Result<Self, ClientError> {
        let properties = client::properties(config, report_within)?;
        let (sender, events) = mpsc::channel(64);
        let context = Context::new(config, sender);
        let producers = Producers::new(&properties, &context).map_err(|error| client::explain(config, &error))?;
        let producers = Arc::new(RwLock::new(Arc::new(producers)));
        let (set, state) = watch::channel(BrokerState::down("connecting"));
        let takes = properties::takes(config).unwrap_or(DEFAULT_TAKES);
        let silent: Arc<AtomicBool> = Arc::default();
        let watch = Watch {
            producers: producers.clone(),
            silent: silent.clone(),
            properties,
            context,
            state: set,
            topics,
            open: most_opened > 0,
            in_sync: config.provision.min_insync_replicas,
        };
        tokio::spawn(watch.follow(events));
        let opened = Arc::new(Opened { most: most_opened, topics: Mutex::default() });
        Ok(Self {
            producers,
            in_flight: Arc::default(),
            lately: Arc::default(),
            clock: Arc::default(),
            silent,
            state,
            takes,
            opened,
            limits: Arc::default(),
        })
    }

    /// Whether it can store now; changes are seen as they happen.
    pub fn state(&self) -> watch::Receiver<BrokerState> {
        self.state.clone()
    }

    /// Publishes, and returns when it is known what became of it.
    ///
    /// # Errors
    /// [`Fault`]. Where it says `unknown`, the message may be stored all the same.
    pub async fn publish(&self, message: &Message) -> Result<(), Fault> {
        let state = self.state.borrow().clone();
        if !state.up {
            // queued, it would be sent later although the sender was told that it was not
            return Err(Fault::not_sent(state.reason, state.detail));
        }
        if message.open && message.dead_letter.is_none() {
            self.opened.admit(message.destination(Broker::Kafka))?;
        }
        match self.send(message, Way::Batched).await {
            // a batch is refused as a whole: the record may be unharmed alone
            Err(fault) if fault.kind == FaultKind::Record => {
                let settled = Box::pin(self.send(message, Way::Alone)).await;
                if message.event.partition_key.is_none() && matches!(&settled, Err(fault) if fault.reason == "refused")
                {
                    return Err(without_key());
                }
                if matches!(&settled, Err(fault) if fault.reason == "too_large") && message.dead_letter.is_some() {
                    self.limits.refused(message.destination(Broker::Kafka), message.body.len());
                }
                settled
            }
            settled => settled,
        }
    }

    async fn send(&self, message: &Message, way: Way) -> Result<(), Fault> {
        let (waiter, report) = Waiter::new(self.in_flight.clone());
        self.enqueue(message, way, waiter)?;
        let report = report.await.unwrap_or_else(|_| Err(Fault::unknown("closed", "the client is gone")));
        match &report {
            Ok(()) => self.silent.store(false, Ordering::Relaxed),
            Err(fault) if fault.reason == "no_report" => self.silent.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
        report
    }

    /// The most records in flight of late, at this many microseconds of the clock. A batch that was reported leaves few
    /// for a moment, and the next of as many must not go out one by one because of that.
    fn lately_in_flight(&self, clock: u64) -> usize {
        let (now, before) = (self.in_flight.load(Ordering::Relaxed) * PARTS, self.lately.load(Ordering::Relaxed));
        let passed = clock.saturating_sub(self.clock.swap(clock, Ordering::Relaxed));
        let passed = usize::try_from(passed).map_or(FORGET, |passed| passed.min(FORGET));
        let lately = now.max(before - (before * passed).div_ceil(FORGET).min(before));
        self.lately.store(lately, Ordering::Relaxed);
        lately / PARTS
    }

    fn enqueue(&self, message: &Message, way: Way, waiter: Box<Waiter>) -> Result<(), Fault> {
        let producers = self.producers.read().unwrap_or_else(PoisonError::into_inner).clone();
        let received = message.event.recorded.duration_since(UNIX_EPOCH).unwrap_or_default();
        let few = self.lately_in_flight(u64::try_from(received.as_micros()).unwrap_or(u64::MAX)) <= AT_ONCE;
        let producer = match way {
            Way::Alone => producers.alone().map_err(|error| Fault::not_sent("closed", error.to_string()))?,
            Way::Batched if few => &producers.quick,
            Way::Batched => &producers.gathering,
        };
        let value = message.value();
        let mut record = BaseRecord::with_opaque_to(message.destination(Broker::Kafka), waiter)
            .payload(value.as_ref())
            .headers(headers::headers(message))
            .timestamp(i64::try_from(received.as_millis()).unwrap_or(i64::MAX));
        record.key = message.event.partition_key.as_deref();
        producer.send(record).map_err(|(error, _)| report::fault(&error))
    }

    /// The most bytes of body that fit beside this message's headers, and beside those of its parts.
    pub fn room_for(&self, message: &Message) -> usize {
        let known = self.takes.saturating_sub(OVERHEAD);
        self.limits.of(message.destination(Broker::Kafka)).map_or(known, |limit| limit.min(known))
    }
}
