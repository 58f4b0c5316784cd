//! Publishing, and hearing what became of it.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, UNIX_EPOCH};

use rdkafka::producer::BaseRecord;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::client;
use super::producers::{Client, Producers};
use super::properties::{self, ClientError};
use super::report::{self, Context, Event, Waiter};
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

/// How long a record may wait for its report. It must be less than the 60 s after which GREEN-API repeats.
pub const REPORT_WITHIN: Duration = Duration::from_secs(30);

/// How long after that librdkafka may take to say so. It looks once a second for what is overdue.
const OVERDUE: Duration = Duration::from_secs(3);

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
    events: mpsc::Sender<Event>,
    report_within: Duration,
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

/// A record in flight, for as long as somebody waits for its report.
struct Counted<'c>(&'c AtomicUsize);

impl<'c> Counted<'c> {
    fn among(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a compacted topic says of every record without a key. That is no fault of the record.
fn without_key() -> Fault {
    let detail = "refused for want of a key; set cleanup.policy=delete on the topic, which keeps records without one";
    Fault::destination("refused", detail)
}

impl Publisher {
    /// Starts to connect, in the background and for ever; the cluster may be down. `topics` are those whose names
    /// are known; payloads may choose `most_opened` others, or none. A record whose report is not there after `report_within`
    /// is given up; less than a second is not kept to. Where librdkafka says nothing at all, that is done 3 s later.
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
        let context = Context::new(config, sender.clone());
        let producers = Producers::new(&properties, &context).map_err(|error| client::explain(config, &error))?;
        let producers = Arc::new(RwLock::new(Arc::new(producers)));
        let (set, state) = watch::channel(BrokerState::down("connecting"));
        let takes = properties::takes(config).unwrap_or(DEFAULT_TAKES);
        let silent: Arc<AtomicBool> = Arc::default();
        let watch = Watch {
            producers: producers.clone(),
            silent: silent.clone(),
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
            events: sender,
            report_within,
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
        let (waiter, report) = oneshot::channel();
        let _counted = Counted::among(&self.in_flight);
        let through = self.enqueue(message, way, Box::new(waiter))?;
        let report = match self.hear(report).await {
            Some(report) => report.unwrap_or_else(|_| Err(Fault::unknown("closed", "the client is gone"))),
            None => {
                // if the line of events is full, the next record that is overdue says it
                let _ = self.events.try_send(Event::Overdue(through));
                Err(Fault::unknown("no_report", "the client gave none, although its time is over"))
            }
        };
        match &report {
            Ok(()) => self.silent.store(false, Ordering::Relaxed),
            Err(fault) if fault.reason == "no_report" => self.silent.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
        report
    }

    /// None where librdkafka says nothing in time. That is believed only after a second wait: where all stood still, the
    /// first may be over before librdkafka could speak.
    async fn hear<R>(&self, report: impl Future<Output = R>) -> Option<R> {
        let mut report = pin!(report);
        match timeout(self.report_within, &mut report).await {
            Ok(report) => Some(report),
            Err(_) => timeout(OVERDUE, report).await.ok(),
        }
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

    fn enqueue(&self, message: &Message, way: Way, waiter: Waiter) -> Result<Weak<Client>, Fault> {
        let producers = self.producers.read().unwrap_or_else(PoisonError::into_inner).clone();
        let received = message.event.recorded.duration_since(UNIX_EPOCH).unwrap_or_default();
        let few = self.lately_in_flight(u64::try_from(received.as_micros()).unwrap_or(u64::MAX)) <= AT_ONCE;
        let client = match way {
            Way::Alone => producers.alone().map_err(|error| Fault::not_sent("closed", error.to_string()))?,
            Way::Batched if few => producers.quick(),
            Way::Batched => producers.gathering(),
        };
        let value = message.value();
        let mut record = BaseRecord::with_opaque_to(message.destination(Broker::Kafka), waiter)
            .payload(value.as_ref())
            .headers(headers::headers(message))
            .timestamp(i64::try_from(received.as_millis()).unwrap_or(i64::MAX));
        record.key = message.event.partition_key.as_deref();
        client.producer().send(record).map_err(|(error, _)| report::fault(&error))?;
        Ok(Arc::downgrade(client))
    }

    /// The most bytes of body that fit beside this message's headers, and beside those of its parts.
    pub fn room_for(&self, message: &Message) -> usize {
        let known = self.takes.saturating_sub(OVERHEAD);
        self.limits.of(message.destination(Broker::Kafka)).map_or(known, |limit| limit.min(known))
    }
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
