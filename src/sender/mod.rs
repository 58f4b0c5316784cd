//! A double of GREEN-API: it behaves towards a webhook URL as GREEN-API does.
//!
//! Each instance has [`Settings`] and a queue. What its flags ask for is queued, in order, at most
//! [`Config::queue`] of them, and what is older than [`Config::retention`] is lost. One request is in flight at a
//! time; exactly the status 200 takes its notification out of the queue. Anything else, a fault of the connection,
//! or no answer within [`Config::timeout`] pauses the instance for [`Config::pause`], and then the same bytes are
//! sent again. While there is no URL, everything is held. Redirects are not followed: they are no 200.
//!
//! After GREEN-API's published recommendations, and where those are silent (a queue that is full, a token with a
//! scheme of its own) after what its own libraries expect.

mod ask;
mod client;
mod instance;
mod ledger;
mod queue;
mod read;
mod sample;
mod settings;
mod source;
mod tally;
mod target;
#[cfg(feature = "tls")]
mod tls;
mod worker;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use ask::Asker;
pub use instance::{Instance, NotQueued};
pub use ledger::{Ledger, Line};
pub use read::Reading;
pub use sample::{Fields, Sample, Unnamed};
pub use settings::{Flag, Settings};
pub use tally::{Latency, Summary};
pub use target::{Target, TargetError};

use client::{Client, Connector};
use instance::target_of;
use queue::Queue;
use source::{Made, Shared, Source, Tickets};
use tally::Tally;
use worker::{Common, Pace, Worker};

/// How GREEN-API behaves; the defaults are what it is documented to do.
#[derive(Debug)]
pub struct Config {
    /// How long an instance pauses after anything but a 200. Default 60 s.
    pub pause: Duration,
    /// How long it waits for an answer. Default 180 s.
    pub timeout: Duration,
    /// From one request of an instance to its next, at least. Default 20 ms; zero: as fast as they are answered.
    pub gap: Duration,
    /// How long a notification is kept. Default 24 h.
    pub retention: Duration,
    /// The most notifications in the queue of one instance; more are lost. Default 10,000.
    pub queue: usize,
    /// How often one is sent again before it is given up as lost. Default: as long as it is kept.
    pub give_up: Option<u32>,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// Where notifications answered 200 are written down.
    pub ledger: Option<Ledger>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pause: Duration::from_secs(60),
            timeout: Duration::from_secs(180),
            gap: Duration::from_millis(20),
            retention: Duration::from_secs(24 * 3600),
            queue: 10_000,
            give_up: None,
            trust: Trust::System,
            ledger: None,
        }
    }
}

/// Whose certificates are believed.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// The authorities of this system.
    #[default]
    System,
    /// The authorities in this PEM file, and no others.
    File(PathBuf),
    /// Anyone's.
    Anyone,
}

/// Why it cannot send, or had to stop.
#[derive(Debug, Error)]
pub enum SenderError {
    /// A CA file that is of no use.
    #[error("--ca-file = {path}: {problem}")]
    CaFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Encryption cannot be set up.
    #[error("no TLS: {0}")]
    Tls(String),
    /// The ledger cannot be written, so nothing more was sent.
    #[error("--ledger: {0}; nothing more was sent, since it could not be written down")]
    Ledger(String),
    /// Latencies cannot be counted.
    #[error("no histogram of latencies")]
    Histogram,
}

/// GREEN-API, as many instances as are asked for. Needs a tokio runtime.
pub struct Sender {
    common: Arc<Common>,
    connector: Connector,
    workers: TaskTracker,
    run: u32,
}

/// What a load is made of.
#[derive(Debug)]
pub struct Load {
    /// Where it goes.
    pub target: Target,
    /// How many instances send at once, each on a connection of its own.
    pub instances: u64,
    /// The number of the first; the others follow.
    pub first_instance: u64,
    /// What is sent, in turn; must not be empty.
    pub samples: Vec<Sample>,
    /// How many in all; none: no end.
    pub count: Option<u64>,
    /// How long new ones are begun; none: no end.
    pub time: Option<Duration>,
    /// The least size of a body, bytes.
    pub size: usize,
}

impl Sender {
    /// A sender without instances.
    ///
    /// # Errors
    /// [`SenderError`]: the CA file is of no use.
    pub fn new(config: Config) -> Result<Self, SenderError> {
        let connector = Connector::new(&config.trust)?;
        let common = Common {
            config,
            tally: Tally::new().ok_or(SenderError::Histogram)?,
            stop: CancellationToken::new(),
            cut: CancellationToken::new(),
            failed: OnceLock::new(),
        };
        Ok(Self { common: Arc::new(common), connector, workers: TaskTracker::new(), run: source::run_number() })
    }

    /// One more instance, with a queue.
    ///
    /// # Errors
    /// [`TargetError`]: a URL or token that cannot be used.
    pub fn instance(&self, id: u64, settings: Settings) -> Result<Instance, TargetError> {
        let config = &self.common.config;
        let shared = Arc::new(Shared::new(Queue::new(config.queue, config.retention)));
        let (target, seen) = watch::channel(target_of(&settings)?);
        self.start(id, seen, Instant::now(), Source::Queue(shared.clone()));
        Ok(Instance { id, common: self.common.clone(), shared, settings, target, run: self.run, sequence: 0 })
    }

    /// Instances that send samples, begun one after the other within one gap.
    pub fn load(&self, load: Load) {
        let tickets = Arc::new(Tickets::new(load.count, load.time));
        let (samples, target) = (Arc::new(load.samples), Arc::new(load.target));
        for (number, instance) in (0..load.instances).zip(load.first_instance..) {
            let (_, seen) = watch::channel(Some(target.clone()));
            let delay = self.common.config.gap.mul_f64(number as f64 / load.instances as f64);
            let (samples, tickets) = (samples.clone(), tickets.clone());
            let made = Made { samples, tickets, instance, run: self.run, size: load.size, made: 0 };
            self.start(instance, seen, Instant::now() + delay, Source::Made(made));
        }
    }

    fn start(&self, instance: u64, target: watch::Receiver<Option<Arc<Target>>>, first: Instant, source: Source) {
        let pace = Pace::new(self.common.config.gap, first);
        let post = Client::new(self.connector.clone());
        self.workers.spawn(Worker { common: self.common.clone(), instance, target, post, pace }.run(source));
    }

    /// Waits until everything is answered 200 or lost, or it was stopped; every [`Instance`] must be dropped.
    ///
    /// # Errors
    /// [`SenderError::Ledger`].
    pub async fn finish(&self) -> Result<Summary, SenderError> {
        self.workers.close();
        self.workers.wait().await;
        self.common.failed.get().map_or(Ok(self.summary()), |error| Err(SenderError::Ledger(error.clone())))
    }

    /// What became of what was sent so far.
    pub fn summary(&self) -> Summary {
        self.common.tally.summary()
    }

    /// What went wrong since this was asked last, the latest of it.
    pub fn trouble(&self) -> Option<String> {
        self.common.tally.take_trouble()
    }

    /// Begins nothing more; what is in flight is finished.
    pub fn stop(&self) {
        self.common.stop.cancel();
    }

    /// Ends what is in flight too; it counts as a fault.
    pub fn cut(&self) {
        self.stop();
        self.common.cut.cancel();
    }
}
