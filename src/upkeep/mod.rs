//! Changing by hand what is in a journal: another way for what is owed, giving it up, erasing a person's data, bringing
//! in what another journal held, replaying dead letters that it keeps. The same for a journal that a bridge runs on, and for one at rest.

mod again;
mod answer;
mod asked;
mod judge;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::deliver::{DedupeConfig, Deliver, Imported, NotChanged, PublishConfig};
use crate::journal::{self, Journal, OpenError, Record};
use crate::message::Broker;
use crate::observe::Metrics;
use crate::route::Routes;
pub use again::{Replay, Replayed, destinations};
pub use asked::{Asked, Change, Import};
pub use judge::{judge, rendered};

/// The most lines that are brought in at once, and about how many bytes.
pub const PAGE: usize = 500;
/// See [`PAGE`].
pub const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// How many records became what.
pub type Counts = BTreeMap<&'static str, u64>;

/// Changes a journal that is open in this process.
pub struct Upkeep {
    deliver: Deliver,
    routes: Arc<Routes>,
    /// The most bytes that are taken of a request.
    most: usize,
    /// Whether nobody waits for the journal meanwhile.
    at_rest: bool,
    /// Held by the one change that is under way.
    alone: Arc<Mutex<()>>,
}

impl Upkeep {
    /// Of the journal of a bridge that runs, and takes bodies of so many bytes.
    pub fn new(deliver: Deliver, routes: Arc<Routes>, max_body: usize) -> Self {
        // a page, and the line that fills it: in base64, and with what stands beside it
        let most = max_body.saturating_mul(2).saturating_add(PAGE_BYTES * 2);
        Self { deliver, routes, most, at_rest: false, alone: Arc::default() }
    }

    /// Opens a journal that no bridge runs on, until [`Self::close`].
    ///
    /// # Errors
    /// [`OpenError`]: `Taken`, where one does.
    pub fn at_rest(
        config: &journal::Config,
        dead_letter: &journal::DeadLetterConfig,
        dedupe: &DedupeConfig,
        routes: Arc<Routes>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, OpenError> {
        let opened = Journal::open(config, dead_letter, (dedupe.window, dedupe.max_ids))?;
        let publish = PublishConfig::default();
        let deliver = Deliver::new(Vec::new(), Some(opened), &publish, dedupe, TaskTracker::new(), metrics);
        Ok(Self { at_rest: true, ..Self::new(deliver, routes, 0) })
    }

    /// Lets go of the journal, once all is on disk.
    pub async fn close(&self) {
        self.deliver.close().await;
    }

    /// Changes what is there.
    ///
    /// # Errors
    /// [`NotChanged`]: all or some of it.
    pub async fn change(&self, asked: Asked) -> Result<Counts, NotChanged> {
        asked.possible(&self.routes).map_err(NotChanged::Otherwise)?;
        let erases = matches!(asked.change, Change::Erase { .. });
        let (choice, routes) = (asked.choice(), self.routes.clone());
        let change = asked.change;
        let mut counts = self.deliver.change(choice, Arc::new(move |record| judge(&routes, &change, record))).await?;
        if erases && !self.deliver.leave_no_trace(self.at_rest).await? {
            counts.insert("traces", 1);
        }
        Ok(counts)
    }

    /// Brings in records, owed as they are or to one broker.
    ///
    /// # Errors
    /// [`NotChanged`]: all or some of it.
    pub async fn import(&self, records: Vec<Record>, to: Option<Broker>) -> Result<Imported, NotChanged> {
        let each = records.into_iter().map(|record| asked::imported(&self.routes, record, to));
        self.deliver.import(each.collect::<Result<_, _>>().map_err(NotChanged::Otherwise)?).await
    }
}
