//! Publishing: hands a record to a client, and waits for its delivery report.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::error::KafkaError;
use rdkafka::producer::BaseRecord;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::batching::InFlightCounter;
use super::clients::{Batching, Clients};
use super::context::{ClientEvent, ClientEventKind, ClientId, Context, EVENT_QUEUE, ReportSender};
use super::properties::{self, ClientError};
use super::topic_settings::UnsafeTopics;
use super::watcher::{Shared, Watcher};
use super::{Config, client_config, error_codes, headers};
use crate::brokers::{BrokerState, Fault, FaultKind, FaultReason};
use crate::message::{Broker, Message};
use crate::telemetry::TimedAvailability;

/// How long a record may wait for its delivery report (librdkafka's `delivery.timeout.ms`). It must be less than the 60 s
/// after which GREEN-API repeats.
pub const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// How much later librdkafka may report a record that timed out: it looks for them once a second.
const REPORT_SLACK: Duration = Duration::from_secs(3);

/// How long [`Publisher::close`] waits for threads.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// What a record's headers and framing may take of the limits of librdkafka and Kafka.
pub(super) const RECORD_OVERHEAD: usize = 2 * 1024;

/// librdkafka's own `message.max.bytes`; below Kafka's default of 1,048,588.
pub(super) const DEFAULT_MAX_MESSAGE_BYTES: usize = 1_000_000;

/// Publishes to one cluster. Cheap to clone. Dropping the last clone ends its tasks and threads, soon.
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
    in_flight: Arc<InFlightCounter>,
    events: mpsc::Sender<ClientEvent>,
    delivery_timeout: Duration,
    max_message_bytes: usize,
    limits: Arc<TopicLimits>,
    tasks: TaskTracker,
    stop: CancellationToken,
    _stop_on_drop: Arc<DropGuard>,
}

/// The topics that payloads chose. librdkafka never forgets a topic, so their number has a limit.
pub(super) struct DynamicTopics {
    max: usize,
    topics: Mutex<HashSet<String>>,
}

impl DynamicTopics {
    pub(super) fn new(max: usize) -> Self {
        Self { max, topics: Mutex::default() }
    }

    /// Whether payloads may choose any.
    pub(super) fn are_allowed(&self) -> bool {
        self.max > 0
    }

    /// Those that were chosen so far.
    pub(super) fn admitted(&self) -> Vec<String> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn admit(&self, topic: &str) -> Result<(), Fault> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if !topics.contains(topic) {
            if topics.len() >= self.max {
                let detail = format!("route.max_destinations = {}: one topic too many", self.max);
                return Err(Fault::destination(FaultReason::TooManyTopics, detail));
            }
            topics.insert(topic.to_owned());
        }
        Ok(())
    }
}

/// The largest body of a topic that accepts less than the client: learned from what the topic refused, because its
/// settings can be read only with DescribeConfigs.
#[derive(Default)]
struct TopicLimits(Mutex<HashMap<String, usize>>);

impl TopicLimits {
    fn max_body_len(&self, topic: &str) -> Option<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(topic).copied()
    }

    /// The topic refused a body of this size, alone in its batch: half of it may fit.
    fn refused(&self, topic: &str, size: usize) {
        let mut limits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = limits.entry(topic.to_owned()).or_insert(usize::MAX);
        *limit = (*limit).min(size / 2);
    }
}

/// The fault of a record without a key in a compacted topic: not the record's own.
fn without_key() -> Fault {
    let detail =
        "refused because it has no key; set cleanup.policy=delete on the topic, which stores records without one";
    Fault::destination(FaultReason::Refused, detail)
}

impl Publisher {
    /// Starts to connect, in the background and for ever; the cluster may be down.
    ///
    /// `topics` are those whose names are known; payloads may choose up to `max_dynamic_topics` others. A record without a delivery report fails with `no_report` after
    /// `delivery_timeout`, up to 1 s later; if librdkafka itself is silent, 3 s later.
    ///
    /// # Errors
    /// A secret that cannot be read, or a property librdkafka does not accept.
    pub fn start(
        config: &Config,
        topics: Vec<String>,
        max_dynamic_topics: usize,
        delivery_timeout: Duration,
    ) -> Result<Self, ClientError> {
        let properties = client_config::properties(config, delivery_timeout)?;
        let (events, received) = mpsc::channel(EVENT_QUEUE);
        let tasks = TaskTracker::new();
        let clients = Clients::start(properties, Context::new(config, events.clone()), tasks.clone());
        let shared = Arc::new(Shared {
            clients: clients.map_err(|error| client_config::explain(config, &error))?,
            state: watch::Sender::new(TimedAvailability::new(
                BrokerState::down(FaultReason::Connecting),
                SystemTime::now(),
            )),
            no_report: AtomicBool::new(false),
            topics,
            dynamic_topics: DynamicTopics::new(max_dynamic_topics),
            min_in_sync: config.provision.min_insync_replicas,
            unsafe_topics: UnsafeTopics::new(config.token_file.is_none()),
        });
        let stop = CancellationToken::new();
        tasks.spawn(Watcher::new(shared.clone()).run(received, stop.clone()));
        Ok(Self {
            shared,
            in_flight: Arc::default(),
            events,
            delivery_timeout,
            max_message_bytes: properties::max_message_bytes(config).unwrap_or(DEFAULT_MAX_MESSAGE_BYTES),
            limits: Arc::default(),
            tasks,
            _stop_on_drop: Arc::new(stop.clone().drop_guard()),
            stop,
        })
    }

    /// Ends the watcher and the clients, and waits up to 1 s for their threads, so that none is at work while the process
    /// ends; a client that waits for a name server cannot be hurried. What is still in flight gets the fault `closed`.
    pub async fn close(&self) {
        self.stop.cancel();
        self.shared.clients.close();
        let _ = timeout(CLOSE_WITHIN, self.tasks.wait()).await;
        self.shared.state.send_if_modified(|state| state.set(BrokerState::down(FaultReason::Closed)));
    }

    /// Whether the cluster can store now; a change shows as it happens.
    pub fn state(&self) -> watch::Receiver<TimedAvailability<FaultReason>> {
        self.shared.state.subscribe()
    }

    /// Publishes; returns when the outcome is known.
    ///
    /// # Errors
    /// [`Fault`]. With `maybe_stored`, the cluster may have stored the message all the same.
    pub async fn publish(&self, message: &Message) -> Result<(), Fault> {
        if let Some(fault) = self.down() {
            return Err(fault);
        }
        let topic = message.destination(Broker::Kafka);
        if let Some(fault) = self.shared.unsafe_topics.fault(topic) {
            return Err(fault);
        }
        if message.topic_from_payload && !message.is_dead_letter() {
            self.shared.dynamic_topics.admit(topic)?;
        }
        let (counted, batching) = self.in_flight.begin();
        let result = self.send(message, batching).await;
        drop(counted);
        match result {
            // the cluster refuses a batch as a whole: alone the record may be stored
            Err(fault) if fault.kind == FaultKind::Record => Box::pin(self.publish_alone(message)).await,
            result => result,
        }
    }

    async fn publish_alone(&self, message: &Message) -> Result<(), Fault> {
        let result = self.send(message, Batching::Single).await;
        match &result {
            Err(fault) if fault.reason == FaultReason::Refused && message.event.partition_key.is_none() => {
                return Err(without_key());
            }
            // only a dead letter can be split
            Err(fault) if fault.reason == FaultReason::TooLarge && message.is_dead_letter() => {
                self.limits.refused(message.destination(Broker::Kafka), message.body.len());
            }
            _ => {}
        }
        result
    }

    /// The fault while the cluster is down: a record in the queue would be sent later although the sender was answered
    /// that it was not stored.
    fn down(&self) -> Option<Fault> {
        match &**self.shared.state.borrow() {
            BrokerState::Down { reason, detail } => Some(Fault::not_sent(*reason, detail.clone())),
            BrokerState::Up | BrokerState::Degraded { .. } => None,
        }
    }

    async fn send(&self, message: &Message, batching: Batching) -> Result<(), Fault> {
        let (sender, report) = oneshot::channel();
        let client = self.enqueue(message, batching, Box::new(sender))?;
        let report = match self.await_report(report).await {
            Some(report) => {
                report.unwrap_or_else(|_| Err(Fault::maybe_stored(FaultReason::Closed, "the client is gone")))
            }
            None => {
                // if the queue of events is full, the next overdue record reports it
                let _ = self.events.try_send(ClientEvent { client, kind: ClientEventKind::RecordOverdue });
                Err(Fault::maybe_stored(FaultReason::NoReport, "the client gave none, although its time is over"))
            }
        };
        match &report {
            Ok(()) => self.shared.no_report.store(false, Ordering::Relaxed),
            Err(fault) if fault.reason == FaultReason::NoReport => self.shared.no_report.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
        report
    }

    /// `None` means that librdkafka reports nothing in time. The second wait makes sure of that: where the whole process
    /// stood still, the first may be over before librdkafka could report.
    async fn await_report<R>(&self, report: impl Future<Output = R>) -> Option<R> {
        let mut report = pin!(report);
        match timeout(self.delivery_timeout, &mut report).await {
            Ok(report) => Some(report),
            Err(_) => timeout(REPORT_SLACK, report).await.ok(),
        }
    }

    fn enqueue(&self, message: &Message, batching: Batching, report: ReportSender) -> Result<ClientId, Fault> {
        let closed = |error: KafkaError| Fault::not_sent(FaultReason::Closed, error.to_string());
        let client = self.shared.clients.get(batching).map_err(closed)?;
        let received = message.event.recorded.duration_since(UNIX_EPOCH).unwrap_or_default();
        let value = message.value();
        let mut record = BaseRecord::with_opaque_to(message.destination(Broker::Kafka), report)
            .payload(value.as_ref())
            .headers(headers::headers(message))
            .timestamp(i64::try_from(received.as_millis()).unwrap_or(i64::MAX));
        record.key = message.event.partition_key.as_deref();
        client.producer().send(record).map_err(|(error, _)| error_codes::fault(&error))?;
        Ok(client.id)
    }

    /// The longest body that fits beside this message's headers, and beside those of its parts.
    pub fn max_body_len(&self, message: &Message) -> usize {
        let max = self.max_message_bytes.saturating_sub(RECORD_OVERHEAD);
        self.limits.max_body_len(message.destination(Broker::Kafka)).map_or(max, |limit| limit.min(max))
    }
}

#[cfg(test)]
#[path = "publisher_tests.rs"]
mod tests;
