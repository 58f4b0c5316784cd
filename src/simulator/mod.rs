//! A double of GREEN-API for `send` and the tests: it sends notifications to a webhook URL as GREEN-API does.
//!
//! In: instances with [`Settings`], and notifications: pushed by a test, or samples. Out: HTTP requests, a [`Summary`],
//! and, with a [`Ledger`], a line for each 200.
//!
//! An instance queues in order what its settings ask for, `max_queued` at most and `retention` at longest; what is over
//! that is lost. One request is in flight. Only a 200 removes a notification; after anything else (a redirect, no answer
//! within `timeout`) it pauses for `pause` and sends the same bytes again. Without a URL it only queues. These are
//! GREEN-API's published rules; where those are silent, what its libraries expect.

mod counters;
mod instance;
mod ledger;
mod queue;
mod sample;
mod settings;
mod source;
mod worker;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use counters::{Latency, Summary};
pub use instance::{Instance, NotQueued};
pub use ledger::{Ledger, Line};
pub use sample::{Fields, Sample, UnknownName};
pub use settings::{Flag, Settings};

use crate::http_client::{Client, Connector, Target, TargetError, TlsError, Trust};
use counters::Counters;
use instance::target_of;
use queue::Queue;
use source::{LoadLimit, SampleSource, SharedQueue, Source};
use worker::{Context, Pace, Worker};

/// How GREEN-API behaves; the defaults are what it is documented to do.
#[derive(Debug)]
pub struct SimulatorConfig {
    /// How long an instance pauses after an answer that is not 200, or after none. Default 60 s.
    pub pause: Duration,
    /// How long it waits for an answer. Default 180 s.
    pub timeout: Duration,
    /// The minimum time between two requests of an instance. Default 20 ms. Zero means as fast as they are answered.
    pub gap: Duration,
    /// How long a notification stays in the queue. Default 24 h.
    pub retention: Duration,
    /// The most notifications in the queue of one instance; more are lost. Default 10,000.
    pub max_queued: usize,
    /// How often one is repeated before it is lost. None means until `retention` is over. Default None.
    pub max_repeats: Option<u32>,
    /// Which certificates are accepted.
    pub trust: Trust,
    /// Where each notification answered 200 is recorded.
    pub ledger: Option<Ledger>,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            pause: Duration::from_secs(60),
            timeout: Duration::from_secs(180),
            gap: Duration::from_millis(20),
            retention: Duration::from_secs(24 * 3600),
            max_queued: 10_000,
            max_repeats: None,
            trust: Trust::System,
            ledger: None,
        }
    }
}

/// Why the simulator cannot start, or had to stop.
#[derive(Debug, Error)]
pub enum SimulatorError {
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The ledger cannot be written, so nothing more was sent.
    #[error("--ledger: {0}; nothing more was sent, since it could not be recorded")]
    Ledger(String),
    /// Latencies cannot be counted.
    #[error("no histogram of latencies")]
    Histogram,
}

/// Runs any number of instances. Needs a tokio runtime.
pub struct Simulator {
    context: Arc<Context>,
    connector: Connector,
    workers: TaskTracker,
    run: u32,
}

/// Sample notifications, sent by many instances.
#[derive(Debug)]
pub struct Load {
    /// Where each instance sends to, on a connection of its own; as many instances send at once.
    pub targets: Vec<Arc<Target>>,
    /// The number of the first instance; the others follow.
    pub first_instance: u64,
    /// The samples, sent one after the other, and again from the first. Must not be empty.
    pub samples: Vec<Sample>,
    /// How many notifications in all. None means no limit.
    pub count: Option<u64>,
    /// How long new notifications are sent. None means no limit.
    pub duration: Option<Duration>,
    /// The minimum size of a body, bytes.
    pub min_size: usize,
}

impl Simulator {
    /// A simulator without instances.
    ///
    /// # Errors
    /// [`SimulatorError`]: the CA file cannot be used.
    pub fn new(config: SimulatorConfig) -> Result<Self, SimulatorError> {
        let connector = Connector::new(&config.trust)?;
        let context = Context {
            config,
            counters: Counters::new().ok_or(SimulatorError::Histogram)?,
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
            ledger_error: OnceLock::new(),
        };
        Ok(Self { context: Arc::new(context), connector, workers: TaskTracker::new(), run: source::run_number() })
    }

    /// Adds an instance with a queue.
    ///
    /// # Errors
    /// [`TargetError`]: a URL or token that cannot be used.
    pub fn add_instance(&self, id: u64, settings: Settings) -> Result<Instance, TargetError> {
        let config = &self.context.config;
        let queue = Arc::new(SharedQueue::new(Queue::new(config.max_queued, config.retention)));
        let (target, target_changes) = watch::channel(target_of(&settings)?);
        self.start(id, target_changes, Instant::now(), Source::Queue(queue.clone()));
        Ok(Instance { id, context: self.context.clone(), queue, settings, target, run: self.run, sequence: 0 })
    }

    /// Starts instances that send samples. Their starts are spread over one gap.
    pub fn start_load(&self, load: Load) {
        let limit = Arc::new(LoadLimit::new(load.count, load.duration));
        let (samples, count) = (Arc::new(load.samples), load.targets.len());
        for ((number, target), instance) in load.targets.into_iter().enumerate().zip(load.first_instance..) {
            let (_, target) = watch::channel(Some(target));
            let delay = self.context.config.gap.mul_f64(number as f64 / count as f64);
            let (samples, limit) = (samples.clone(), limit.clone());
            let source = SampleSource { samples, limit, instance, run: self.run, min_size: load.min_size, sequence: 0 };
            self.start(instance, target, Instant::now() + delay, Source::Samples(source));
        }
    }

    fn start(&self, instance: u64, target: watch::Receiver<Option<Arc<Target>>>, first: Instant, source: Source) {
        let pace = Pace::new(self.context.config.gap, first);
        let client = Client::new(self.connector.clone());
        self.workers.spawn(Worker { context: self.context.clone(), instance, target, client, pace }.run(source));
    }

    /// Waits until every notification is answered 200 or lost, or the simulator is stopped. Every [`Instance`] must be
    /// dropped before.
    ///
    /// # Errors
    /// [`SimulatorError::Ledger`].
    pub async fn finish(&self) -> Result<Summary, SimulatorError> {
        self.workers.close();
        self.workers.wait().await;
        self.context.ledger_error.get().map_or(Ok(self.summary()), |error| Err(SimulatorError::Ledger(error.clone())))
    }

    /// What became of the notifications so far.
    pub fn summary(&self) -> Summary {
        self.context.counters.summary()
    }

    /// Takes the last problem. None means there was none since the last call.
    pub fn take_problem(&self) -> Option<String> {
        self.context.counters.take_problem()
    }

    /// Starts no new requests; those in flight finish.
    pub fn stop(&self) {
        self.context.stop.cancel();
    }

    /// Ends requests in flight too; they count as faults.
    pub fn abort(&self) {
        self.stop();
        self.context.abort.cancel();
    }
}
