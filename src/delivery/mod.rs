//! Stores each message once and within its time budget. Only this module decides what to retry, to journal or to
//! reject.
//!
//! A [`Message`](crate::message::Message) comes in, its [`Outcome`] goes out; `store` has the path: dedup window,
//! brokers, journal. What a broker never accepts goes to its dead letter (`target`). What has begun goes on until the
//! broker acks or fails it, also when the sender hangs up or has its answer: a late ack counts.
//!
//! Where there is a journal, `fallback` appends what a broker does not ack in time, and `forwarder` publishes this
//! backlog in order, lane by lane (`lanes`). `edit` changes the backlog by an operator's command. `outage` tells in the log
//! what a broker that is down means for notifications.

mod attempt;
mod backlog_metrics;
mod blocked_lanes;
mod config;
mod dedup;
mod dedup_window;
mod detach;
mod edit;
mod fallback;
mod forwarder;
mod import;
mod lanes;
mod outage;
mod outcome;
mod store;
mod target;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::journal::{Journal, Recovered};
use crate::message::Broker;
use crate::telemetry::Metrics;
pub use config::{DedupeConfig, PublishConfig};
use dedup::Dedup;
pub use edit::EditError;
use fallback::JournalFallback;
use forwarder::Forwarder;
pub use import::{ImportCounts, ImportedRecord};
pub use lanes::Backlog;
use outage::OutageLog;
pub use outcome::Outcome;
pub use target::Target;

/// How often a stop looks at the backlog that it waits for.
const DRAINED_POLL: Duration = Duration::from_millis(20);

/// Stores messages.
pub struct Delivery {
    targets: Vec<Arc<Target>>,
    /// `None` means that there is no journal.
    fallback: Option<JournalFallback>,
    dedup: Arc<Dedup>,
    tasks: TaskTracker,
    /// The forwarders' tasks, each with a lease on one lane.
    forwarding: TaskTracker,
    stop_forwarding: CancellationToken,
    runtime: Handle,
    publish_timeout: Duration,
    metrics: Arc<Metrics>,
}

impl Delivery {
    /// Stores in these brokers, and appends what they do not ack in time to the journal, if there is one. `tasks` has
    /// the messages that are not finished: wait for it before the process ends.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn new(
        targets: Vec<Target>,
        journal: Option<(Journal, Recovered)>,
        publish: &PublishConfig,
        dedupe: &DedupeConfig,
        tasks: TaskTracker,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let publish_timeout = publish.timeout(journal.is_some());
        let (journal, recovered) = journal.unzip();
        let Recovered { backlog, ids, stream, journal_only: _, unreadable: _ } = recovered.unwrap_or_default();
        let nats = targets.iter().find(|target| target.publisher.broker() == Broker::Nats);
        let dedup = Arc::new(Dedup::new(dedupe, journal.clone(), ids, nats.map(|nats| nats.stream.clone()), stream));
        if let Some(nats) = nats {
            let dedup = dedup.clone();
            nats.publisher.on_stream_created(move |created| dedup.apply_stream_created(created));
        }
        Arc::new(Self {
            targets: targets.into_iter().map(Arc::new).collect(),
            fallback: journal.map(|journal| JournalFallback::new(journal, backlog)),
            dedup,
            tasks,
            forwarding: TaskTracker::new(),
            stop_forwarding: CancellationToken::new(),
            runtime: Handle::current(),
            publish_timeout,
            metrics,
        })
    }

    /// Starts to forward the journal's backlog, until [`Self::close`].
    pub fn start_forwarding(&self) {
        let Some(fallback) = &self.fallback else { return };
        self.runtime.spawn(self.dedup.clone().flush_regularly());
        for target in &self.targets {
            let forwarder = Forwarder::new(target.clone(), fallback, self.metrics.clone());
            self.runtime.spawn(forwarder.run(self.forwarding.clone(), self.stop_forwarding.clone()));
        }
        self.runtime.spawn(backlog_metrics::update_regularly(fallback.clone(), self.metrics.clone()));
    }

    /// Logs the outages of every broker, until its publisher is closed.
    pub fn start_outage_log(&self) {
        let journal = self.fallback.as_ref().map(|fallback| fallback.journal.clone());
        for target in &self.targets {
            self.runtime.spawn(OutageLog::new(target.clone(), journal.clone()).run());
        }
    }

    /// From now on nothing is appended to the journal: what a broker does not ack in time is not stored.
    pub fn end_appends(&self) {
        self.fallback.iter().for_each(|fallback| fallback.appends_ended.cancel());
    }

    /// Waits until every broker has acked its backlog, and the disk has these acks.
    pub async fn wait_until_drained(&self) {
        let Some(fallback) = &self.fallback else { return };
        while !Broker::ALL.into_iter().all(|broker| fallback.lanes(broker).is_empty()) {
            sleep(DRAINED_POLL).await;
        }
    }

    /// Stops to forward, writes the last ids of the dedup window to the journal, and closes it.
    pub async fn close(&self) {
        let Some(JournalFallback { journal, .. }) = self.fallback.clone() else { return };
        self.stop_forwarding.cancel();
        self.forwarding.close();
        // what is in flight and not acked by then stays in the backlog
        let _ = timeout(forwarder::STOP_WITHIN, self.forwarding.wait()).await;
        self.dedup.flush();
        let _ = self.runtime.spawn_blocking(move || journal.close()).await;
    }

    /// Where it counts.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What each broker has not acked of the journal.
    pub fn backlog(&self) -> Vec<(Broker, Backlog)> {
        let of = |fallback: &JournalFallback| Broker::ALL.map(|broker| (broker, fallback.lanes(broker).backlog()));
        self.fallback.iter().flat_map(of).collect()
    }
}
