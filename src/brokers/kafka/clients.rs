//! The clients of librdkafka that publish, one for each [`Batching`]. Each can be replaced alone: what the others have
//! in flight goes on.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use rdkafka::admin::AdminClient;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, Producer as _};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::context::{ClientId, Context};

/// How long a client may take to answer where another did a moment ago. It connects again within a second, unless the
/// operator chose `reconnect.backoff.max.ms`.
pub(super) const QUICK_ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How long the cluster may take to answer.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How long the polling thread waits for events: it may notice so late that its client is dropped.
const POLL: Duration = Duration::from_millis(100);

/// With which others a record shares a request. librdkafka sets that for a whole client, so each has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Batching {
    /// Sent at once, with what waits already.
    Immediate,
    /// Waits a moment for others of its partition.
    Lingering,
    /// In a batch of its own. Rarely needed.
    Single,
}

impl Batching {
    const ALL: [Self; 3] = [Self::Immediate, Self::Lingering, Self::Single];

    fn configure(self, config: &ClientConfig) -> ClientConfig {
        // 10000 is librdkafka's own `batch.num.messages`
        let (linger_ms, batch_records) = match self {
            Self::Immediate => ("0", "10000"),
            Self::Lingering => ("1", "10000"),
            Self::Single => ("0", "1"),
        };
        let mut config = config.clone();
        config.set("linger.ms", linger_ms).set("batch.num.messages", batch_records);
        config
    }
}

/// One client. Dropping it gives up its records: the receiver of a delivery report gets `closed`.
pub(super) struct Client {
    pub(super) id: ClientId,
    producer: Arc<BaseProducer<Context>>,
    /// Tells the polling thread that the client is dropped. Declared, so dropped, after `producer`: the thread is then
    /// the last owner, and destroys it.
    _in_use: Sender<Infallible>,
}

impl Client {
    fn start(config: &ClientConfig, context: Context, thread: TaskTrackerToken) -> Result<Arc<Self>, KafkaError> {
        let id = context.client;
        let producer = Arc::new(BaseProducer::from_config_and_context(config, context)?);
        let (in_use, dropped) = channel();
        let polled = producer.clone();
        let poller = thread::Builder::new().name("kafka-poll".into());
        let started = poller.spawn(move || poll_until_dropped(polled, &dropped, thread));
        started.map_err(|error| KafkaError::ClientCreation(format!("no thread: {error}")))?;
        Ok(Arc::new(Self { id, producer, _in_use: in_use }))
    }

    pub(super) fn producer(&self) -> &BaseProducer<Context> {
        &self.producer
    }

    /// Requests the metadata of a topic. Blocks the thread until the answer.
    pub(super) fn metadata(&self, topic: &str, within: Duration) -> Result<Metadata, KafkaError> {
        self.producer.client().fetch_metadata(Some(topic), within)
    }

    /// The error after which this client never produces again.
    pub(super) fn fatal_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.producer.client().fatal_error()
    }

    /// Whether this client can still reach the cluster, which another client just did. Blocks the thread.
    ///
    /// librdkafka forgets a broker that the cluster's metadata does not name. Where the metadata names none, as that of a
    /// cluster of one that stood still for longer than `broker.session.timeout.ms`, librdkafka may forget its last broker
    /// and look for no other: such a client neither sends its records nor times them out.
    /// <https://github.com/confluentinc/librdkafka/issues/5301>
    ///
    /// A connection that a firewall forgot gives no answer either, and neither does a busy client. A busy client counts
    /// as reaching the cluster: librdkafka times its records out and connects again.
    pub(super) fn can_reach(&self, topic: &str) -> bool {
        let first = self.finds_brokers(topic, QUICK_ANSWER_WITHIN);
        let reached =
            first.or_else(|| self.is_busy().then_some(true)).or_else(|| self.finds_brokers(topic, ANSWER_WITHIN));
        reached.unwrap_or_else(|| self.is_busy())
    }

    /// `None` means that no answer came in time.
    fn finds_brokers(&self, topic: &str, within: Duration) -> Option<bool> {
        match self.metadata(topic, within) {
            Ok(answer) => Some(!answer.brokers().is_empty()),
            Err(error) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::BrokerTransportFailure) => Some(false),
                Some(RDKafkaErrorCode::OperationTimedOut) => None,
                _ => Some(true),
            },
        }
    }

    fn is_busy(&self) -> bool {
        self.producer.in_flight_count() > 0
    }
}

/// Serves a client's delivery reports and events, and destroys it once it is dropped. Destroying blocks until
/// librdkafka's threads end, and these may wait for a name server: so it happens on this thread and on no other.
fn poll_until_dropped(producer: Arc<BaseProducer<Context>>, dropped: &Receiver<Infallible>, thread: TaskTrackerToken) {
    while dropped.try_recv() == Err(TryRecvError::Empty) {
        producer.poll(POLL);
    }
    drop(producer);
    drop(thread);
}

/// The clients in use, by their [`Batching`].
///
/// No order is lost between them: a lane has one unacknowledged record at a time from the forwarder, and the direct
/// publishes of one instance come one after the other, because GREEN-API has one notification of an instance in flight.
pub(super) struct Clients {
    pub(super) config: ClientConfig,
    context: Context,
    last_id: AtomicU64,
    threads: TaskTracker,
    in_use: RwLock<[Option<Arc<Client>>; Batching::ALL.len()]>,
}

impl Clients {
    /// Starts those that are always needed. `threads` tracks the thread of every client.
    pub(super) fn start(config: ClientConfig, context: Context, threads: TaskTracker) -> Result<Self, KafkaError> {
        let clients = Self { config, context, last_id: AtomicU64::new(0), threads, in_use: RwLock::default() };
        for batching in [Batching::Immediate, Batching::Lingering] {
            clients.get(batching)?;
        }
        Ok(clients)
    }

    /// A new client, not in use yet.
    pub(super) fn create(&self, batching: Batching) -> Result<Arc<Client>, KafkaError> {
        let id = ClientId(self.last_id.fetch_add(1, Ordering::Relaxed));
        Client::start(&batching.configure(&self.config), self.context.for_client(id), self.threads.token())
    }

    /// A client that reads the settings of topics.
    pub(super) fn create_admin(&self) -> Result<AdminClient<Context>, KafkaError> {
        let id = ClientId(self.last_id.fetch_add(1, Ordering::Relaxed));
        AdminClient::from_config_and_context(&self.config, self.context.for_client(id))
    }

    /// The client in use; creates it where there is none yet.
    pub(super) fn get(&self, batching: Batching) -> Result<Arc<Client>, KafkaError> {
        let in_use = self.in_use.read().unwrap_or_else(PoisonError::into_inner)[batching as usize].clone();
        if let Some(client) = in_use {
            return Ok(client);
        }
        let new = self.create(batching)?;
        let mut in_use = self.in_use.write().unwrap_or_else(PoisonError::into_inner);
        if self.threads.is_closed() {
            return Err(KafkaError::Canceled);
        }
        // another thread may have been faster
        Ok(in_use[batching as usize].get_or_insert(new).clone())
    }

    /// From now on records go through `new`, and the client before gives up its records.
    pub(super) fn replace(&self, batching: Batching, new: Arc<Client>) {
        let mut in_use = self.in_use.write().unwrap_or_else(PoisonError::into_inner);
        if !self.threads.is_closed() {
            in_use[batching as usize] = Some(new);
        }
    }

    /// Which client in use has this id.
    pub(super) fn batching_of(&self, id: ClientId) -> Option<Batching> {
        self.all().into_iter().find_map(|(batching, client)| (client.id == id).then_some(batching))
    }

    /// Every client in use.
    pub(super) fn all(&self) -> Vec<(Batching, Arc<Client>)> {
        let in_use = self.in_use.read().unwrap_or_else(PoisonError::into_inner);
        Batching::ALL
            .into_iter()
            .zip(in_use.iter())
            .filter_map(|(batching, client)| Some((batching, client.clone()?)))
            .collect()
    }

    /// Replacements for the clients in use that cannot reach the cluster although another client can: `fresh`, which just
    /// did, or new ones if one of them does. Empty where there is nothing to replace. Blocks the thread.
    pub(super) fn stale_replacements(
        &self,
        topic: &str,
        fresh: Option<Arc<Client>>,
    ) -> Result<Vec<(Batching, Arc<Client>)>, KafkaError> {
        let stale = self.stale(topic);
        if stale.is_empty() {
            return Ok(Vec::new());
        }
        let fresh = match fresh {
            Some(fresh) => fresh,
            None => self.create(Batching::Immediate)?,
        };
        // the brokers may have new addresses, which only the clients in use know
        if !fresh.can_reach(topic) {
            return Ok(Vec::new());
        }
        let replacement = |batching| match batching {
            Batching::Immediate => Ok((batching, fresh.clone())),
            other => Ok((other, self.create(other)?)),
        };
        stale.into_iter().map(replacement).collect()
    }

    fn stale(&self, topic: &str) -> Vec<Batching> {
        let all = self.all();
        thread::scope(|scope| {
            let probe = |client: &Arc<Client>| {
                let client = client.clone();
                thread::Builder::new().spawn_scoped(scope, move || client.can_reach(topic))
            };
            let probes: Vec<_> = all.iter().map(|(batching, client)| (*batching, probe(client))).collect();
            // a client that could not be probed counts as well
            let is_stale = |probe: io::Result<ScopedJoinHandle<'_, bool>>| {
                probe.is_ok_and(|probe| probe.join().is_ok_and(|reached| !reached))
            };
            let stale = probes.into_iter().filter_map(|(batching, probe)| is_stale(probe).then_some(batching));
            stale.collect()
        })
    }

    /// Gives up all clients; from now on there is none.
    pub(super) fn close(&self) {
        let mut in_use = self.in_use.write().unwrap_or_else(PoisonError::into_inner);
        self.threads.close();
        *in_use = Default::default();
    }
}

#[cfg(test)]
#[path = "clients_tests.rs"]
mod tests;
