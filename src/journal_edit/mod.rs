//! Journal edits: what an operator changes in a journal. The edits are reroute, drop, erase, import, and the replay of
//! dead letters that the journal stores.
//!
//! In: a request ([`EditRequest`], [`ImportRequest`], [`ReplayRequest`]), from a command or from the admin listener.
//! Out: an [`EditReport`], counts of the import, or one [`ReplayResult`] for each dead letter.
//!
//! [`plan_edit`] decides what becomes of one record; [`Delivery`] pauses the lanes, applies the plans and resumes. The
//! same editor works in a running bridge and on a journal that no bridge runs on.

mod edit_log;
mod plan;
mod replay;
mod report;
mod request;

use std::sync::Arc;

use thiserror::Error;
use tokio_util::task::TaskTracker;

use crate::delivery::{DedupeConfig, Delivery, EditError, ImportCounts, PublishConfig};
use crate::journal::{self, Journal, OpenError, Record};
use crate::message::Broker;
use crate::notification::Validation;
use crate::route::Routes;
use crate::telemetry::Metrics;
use edit_log::EditLog;
pub use plan::plan_edit;
pub use replay::{ReplayRequest, ReplayResult, describe_destinations};
pub use report::EditReport;
pub use request::{Edit, EditRequest, ImportRequest};

/// The most lines of one import request.
pub const PAGE: usize = 500;
/// About the most bytes of one import request.
pub const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Why an edit was not made, or not for all records.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JournalEditError {
    /// The request asks for something that this journal or these routes do not allow; nothing was changed.
    #[error("{0}")]
    Invalid(String),
    /// The edit failed, perhaps halfway; the text says how far it came.
    #[error(transparent)]
    Failed(#[from] EditError),
}

/// Edits a journal that is open in this process.
pub struct JournalEditor {
    delivery: Arc<Delivery>,
    routes: Arc<Routes>,
    validation: Validation,
    /// Whether no bridge runs on the journal, so that an edit may take its time.
    offline: bool,
    log: EditLog,
}

impl JournalEditor {
    /// Edits the journal of a running bridge.
    pub fn new(delivery: Arc<Delivery>, routes: Arc<Routes>, validation: Validation) -> Self {
        let log = EditLog::new(delivery.metrics().clone());
        Self { delivery, routes, validation, offline: false, log }
    }

    /// Opens a journal that no bridge runs on, until [`Self::close`].
    ///
    /// # Errors
    /// [`OpenError`]: `InUse` where a bridge runs on it.
    pub fn open_offline(
        config: &journal::Config,
        dead_letter: &journal::DeadLetterConfig,
        dedupe: &DedupeConfig,
        routes: Arc<Routes>,
        validation: Validation,
        metrics: Arc<Metrics>,
    ) -> Result<Self, OpenError> {
        let opened = Journal::open(config, dead_letter, dedupe.limits())?;
        let publish = PublishConfig::default();
        let delivery = Delivery::new(Vec::new(), Some(opened), &publish, dedupe, TaskTracker::new(), metrics);
        Ok(Self { offline: true, ..Self::new(delivery, routes, validation) })
    }

    /// Closes the journal, once everything is on disk.
    pub async fn close(&self) {
        self.log.flush();
        self.delivery.close().await;
    }

    /// The name of the journal.
    pub fn journal(&self) -> &str {
        self.delivery.journal_name()
    }

    /// Reroutes, drops or erases records.
    ///
    /// # Errors
    /// [`JournalEditError`]: no record was changed, or not every one.
    pub async fn edit(&self, request: EditRequest) -> Result<EditReport, JournalEditError> {
        request.check(&self.routes).map_err(JournalEditError::Invalid)?;
        let (filter, routes, edit) = (request.record_filter(), self.routes.clone(), request.edit.clone());
        let plan = Arc::new(move |record: &Record| plan_edit(&routes, &edit, record));
        let counts = self.delivery.edit(filter, plan, request.deletes_unreadable()).await?;
        let mut report = EditReport::of(&request.edit);
        counts.into_iter().for_each(|(result, count)| report.add(result, count));
        if matches!(request.edit, Edit::Erase { .. }) {
            // the records are gone, whatever becomes of their traces
            let scrubbed = self.delivery.scrub(self.offline).await;
            report.traces_left = !matches!(scrubbed, Ok(true));
            self.log.edited(&request, &report);
            scrubbed?;
        } else {
            self.log.edited(&request, &report);
        }
        Ok(report)
    }

    /// Imports records into the backlog they were exported from, or into that of the broker `to`.
    ///
    /// # Errors
    /// [`JournalEditError`]: no record was imported, or not every one.
    pub async fn import(&self, records: Vec<Record>, to: Option<Broker>) -> Result<ImportCounts, JournalEditError> {
        let each = records.into_iter().map(|record| request::imported(&self.routes, record, to));
        let records = each.collect::<Result<_, _>>().map_err(JournalEditError::Invalid)?;
        let counts = self.delivery.import(records).await?;
        self.log.imported(to, counts);
        Ok(counts)
    }
}
