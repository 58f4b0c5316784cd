//! The clients that publish, one for each way a record travels, and what is done about one that finds the cluster no
//! more.

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{Producer as _, ThreadedProducer};

use super::report::Context;

/// `linger.ms` where records are gathered.
const LINGER: &str = "1";

/// librdkafka's own `batch.num.messages`.
const BATCH: &str = "10000";

/// How long a client may take to answer where another did a moment ago. It connects again within a second, unless the
/// operator chose `reconnect.backoff.max.ms`.
pub(super) const BRIEFLY: Duration = Duration::from_secs(2);

/// How long the cluster may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// One client. Dropping it gives up what it has: who waits for a report learns that the outcome is unknown.
pub(super) struct Client {
    producer: Arc<ThreadedProducer<Context>>,
    heard: Arc<AtomicBool>,
}

impl Client {
    /// Whether it is `heard` matters from the start: that a token cannot be made, it says at once and not again.
    fn new(
        config: &ClientConfig,
        context: &Context,
        [linger, batch]: [&str; 2],
        heard: bool,
    ) -> Result<Arc<Self>, KafkaError> {
        let mut config = config.clone();
        config.set("linger.ms", linger).set("batch.num.messages", batch);
        let (context, heard) = context.of_one(heard);
        let producer = ThreadedProducer::from_config_and_context(&config, context)?;
        Ok(Arc::new(Self { producer: Arc::new(producer), heard }))
    }

    pub(super) fn producer(&self) -> &ThreadedProducer<Context> {
        &self.producer
    }

    /// Asks for a topic, and waits for the answer in the thread that asks.
    pub(super) fn metadata(&self, topic: &str, patience: Duration) -> Result<Metadata, KafkaError> {
        self.producer.client().fetch_metadata(Some(topic), patience)
    }

    /// Whether it finds the cluster, which another found a moment ago.
    ///
    /// librdkafka forgets a broker that the cluster does not name, and where it is told of none, as by a cluster of one
    /// that stood still for longer than `broker.session.timeout.ms`, it may forget the last and look for no other:
    /// such a client neither sends nor gives up what it has. <https://github.com/confluentinc/librdkafka/issues/5301>
    /// A connection that something on the way forgot gives no answer either, but nor does one that is busy: there, what
    /// is on its way is left to librdkafka, which gives it up in time and connects again.
    fn finds(&self, topic: &str) -> bool {
        // or, where no answer came in time, whether it is busy
        let found = |answer: Result<Metadata, KafkaError>| match answer {
            Ok(answer) => Ok(!answer.brokers().is_empty()),
            Err(error) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::BrokerTransportFailure) => Ok(false),
                Some(RDKafkaErrorCode::OperationTimedOut) => Err(self.producer.in_flight_count() > 0),
                _ => Ok(true),
            },
        };
        match found(self.metadata(topic, BRIEFLY)) {
            Ok(found) | Err(found @ true) => found,
            Err(false) => found(self.metadata(topic, PATIENCE)).unwrap_or_else(|busy| busy),
        }
    }
}

impl Drop for Client {
    /// It waits for the threads of librdkafka, which may wait for a name server: not here, where others may wait too.
    fn drop(&mut self) {
        self.heard.store(false, Ordering::Relaxed);
        let producer = self.producer.clone();
        let end = move || {
            while Arc::strong_count(&producer) > 1 {
                thread::sleep(Duration::from_millis(1));
            }
            drop(producer);
            ENDING.fetch_sub(1, Ordering::Relaxed);
        };
        ENDING.fetch_add(1, Ordering::Relaxed);
        if thread::Builder::new().spawn(end).is_err() {
            // where there can be no more threads it ends here
            ENDING.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// How many clients were dropped and have not ended.
static ENDING: AtomicUsize = AtomicUsize::new(0);

/// Waits for the clients that were dropped, so that none is at work while the program ends, but no longer than this: one
/// that waits for a name server cannot be hurried.
pub fn let_clients_end(within: Duration) {
    let until = Instant::now() + within;
    while ENDING.load(Ordering::Relaxed) > 0 && Instant::now() < until {
        thread::sleep(Duration::from_millis(5));
    }
}

/// The same client up to three times: two differ in linger; the third, which is rarely needed, sends every record in a
/// batch of its own. No order is lost between them: GREEN-API has one notification of an instance in flight.
pub(super) struct Producers {
    config: ClientConfig,
    context: Context,
    quick: Arc<Client>,
    gathering: Arc<Client>,
    alone: OnceLock<Arc<Client>>,
}

impl Producers {
    pub(super) fn new(config: &ClientConfig, context: &Context) -> Result<Self, KafkaError> {
        Self::make(config, context, true)
    }

    fn make(config: &ClientConfig, context: &Context, heard: bool) -> Result<Self, KafkaError> {
        let [quick, gathering] = ["0", LINGER].map(|linger| Client::new(config, context, [linger, BATCH], heard));
        let (config, context) = (config.clone(), context.clone());
        Ok(Self { config, context, quick: quick?, gathering: gathering?, alone: OnceLock::new() })
    }

    /// Others, as these were at their start.
    pub(super) fn anew(&self) -> Result<Self, KafkaError> {
        Self::make(&self.config, &self.context, true)
    }

    /// The same, but what they say of themselves is not heard before they [take over](Self::take_over).
    pub(super) fn unheard(&self) -> Result<Self, KafkaError> {
        Self::make(&self.config, &self.context, false)
    }

    /// Sends at once.
    pub(super) fn quick(&self) -> &Arc<Client> {
        &self.quick
    }

    /// Waits a moment for others that go to the same partition.
    pub(super) fn gathering(&self) -> &Arc<Client> {
        &self.gathering
    }

    /// Sends each record in a batch of its own.
    pub(super) fn alone(&self) -> Result<&Arc<Client>, KafkaError> {
        if let Some(there) = self.alone.get() {
            return Ok(there);
        }
        let new = Client::new(&self.config, &self.context, ["0", "1"], true)?;
        Ok(self.alone.get_or_init(|| new))
    }

    fn all(&self) -> [Option<&Arc<Client>>; 3] {
        [Some(&self.quick), Some(&self.gathering), self.alone.get()]
    }

    /// From now on records go through these, and no more through `others`.
    pub(super) fn take_over(&self, others: &Self) {
        for (producers, heard) in [(others, false), (self, true)] {
            producers.all().into_iter().flatten().for_each(|one| one.heard.store(heard, Ordering::Relaxed));
        }
    }

    /// Why one of them will never produce again.
    pub(super) fn fatal_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.all().into_iter().flatten().find_map(|client| client.producer.client().fatal_error())
    }

    /// Asks with each for this topic. Where the cluster is there and some find it no more, these are replaced: by those
    /// of `new`, which found it, or by others if they find it. None where nothing is to be replaced.
    pub(super) fn mended(&self, topic: &str, new: Option<Self>) -> Result<Option<Self>, KafkaError> {
        let finds = thread::scope(|scope| {
            let ask = |client: Option<&Arc<Client>>| {
                let client = client.cloned();
                let finds = move || client.is_none_or(|client| client.finds(topic));
                thread::Builder::new().spawn_scoped(scope, finds)
            };
            // where it could not be asked nothing is known against it
            self.all().map(ask).map(|asked| asked.is_ok_and(|asked| asked.join().unwrap_or(true)))
        });
        if finds == [true; 3] {
            return Ok(None);
        }
        let new = match new {
            Some(new) => new,
            None => self.unheard()?,
        };
        Ok(new.quick.finds(topic).then(|| self.keeping(finds, new)))
    }

    /// The same without this client. None where it is not one of these.
    pub(super) fn without(&self, client: &Weak<Client>) -> Result<Option<Self>, KafkaError> {
        let others = self.all().map(|one| one.is_none_or(|one| !ptr::eq(Arc::as_ptr(one), client.as_ptr())));
        if others == [true; 3] { Ok(None) } else { Ok(Some(self.keeping(others, self.anew()?))) }
    }

    /// These, with what others are made from.
    #[cfg(test)]
    pub(super) fn that_make(&self, others: &Self) -> Self {
        let (config, context) = (others.config.clone(), others.context.clone());
        let (quick, gathering) = (self.quick.clone(), self.gathering.clone());
        Self { config, context, quick, gathering, alone: OnceLock::new() }
    }

    /// Those of these that are kept, and for the rest those of `new`.
    fn keeping(&self, [quick, gathering, alone]: [bool; 3], mut new: Self) -> Self {
        for (place, old, keep) in
            [(&mut new.quick, &self.quick, quick), (&mut new.gathering, &self.gathering, gathering)]
        {
            if keep {
                place.clone_from(old);
            }
        }
        if let Some(client) = self.alone.get().filter(|_| alone) {
            new.alone = client.clone().into();
        }
        new
    }
}

#[cfg(test)]
#[path = "producers_tests.rs"]
mod tests;
