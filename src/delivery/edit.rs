//! Edits of the journal by an operator's command, also while its backlog is forwarded.
//!
//! All lanes are paused meanwhile: an edit waits for what is in flight, nothing else begins, and new messages join the
//! backlog. A record that moves to another destination is therefore never sent to both, and neither overtakes a record of
//! the journal nor is overtaken by one. The journal itself is blocked only while one batch is edited.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tokio::time::{Instant, sleep};

use super::Delivery;
use super::fallback::JournalFallback;
use super::lanes::{Lanes, PausedLanes};
use crate::journal::{ChangeError, EditPlan, EditResult, EditScope, Lane, Record, RecordFilter};
use crate::message::{Broker, PerBroker};

/// How long an edit waits for acks of what is in flight: longer than any broker takes.
const IDLE_WITHIN: Duration = Duration::from_secs(40);

/// The paused lanes of each broker.
type AllPaused = PerBroker<PausedLanes>;

/// Why the journal was not edited, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EditError {
    /// There is none.
    #[error("this bridge has no journal")]
    NoJournal,
    /// Another edit has paused the lanes.
    #[error("another edit is running; nothing was changed, try again when it is done")]
    Busy,
    /// A broker has neither acked nor failed what was sent.
    #[error("a broker has not acked yet what was sent to it; nothing was changed, try again")]
    InFlight,
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] ChangeError),
    /// It is full, or cannot be written.
    #[error("not stored: {reason}; raise journal.max_bytes or repair its disk, then try again")]
    Refused {
        /// A bounded tag.
        reason: &'static str,
    },
    /// The edit failed, perhaps after some records: what failed, and what was done before.
    #[error("{0}")]
    Failed(String),
}

/// The error of an edit that stopped after some records.
fn stopped_after(counts: &BTreeMap<EditResult, u64>, error: ChangeError) -> EditError {
    let done: Vec<_> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    if done.is_empty() {
        return error.into();
    }
    EditError::Failed(format!(
        "{error}; done before: {}; repair that, and repeat the edit for the rest",
        done.join(", ")
    ))
}

impl Delivery {
    /// Applies a plan to every matching record, and returns how many had which result. Records that are appended later
    /// are left alone. Those that cannot be read stay, or are deleted too. An edit that has begun goes on when the caller
    /// is gone.
    ///
    /// # Errors
    /// [`EditError`].
    pub async fn edit(
        self: &Arc<Self>,
        filter: RecordFilter,
        plan: Arc<EditPlan<EditResult>>,
        delete_unreadable: bool,
    ) -> Result<BTreeMap<EditResult, u64>, EditError> {
        let this = self.clone();
        self.run_to_end(async move { this.edit_all(this.fallback()?, filter, plan, delete_unreadable).await }).await
    }

    /// Removes what was deleted from the journal's files. False means that pieces may be left: it is too large to rewrite
    /// while others wait (`at_rest` means that none do), or a reader prevents it.
    ///
    /// # Errors
    /// [`EditError`].
    pub async fn scrub(&self, at_rest: bool) -> Result<bool, EditError> {
        Ok(self.fallback()?.journal.scrub(at_rest).await?)
    }

    /// The name of the journal; empty without a journal.
    pub fn journal_name(&self) -> &str {
        self.fallback.as_ref().map_or("", |fallback| fallback.journal.name())
    }

    /// The dead letter with this sequence number in the journal. `None` means that there is none.
    ///
    /// # Errors
    /// [`EditError`].
    pub async fn dead_letter(&self, seq: i64) -> Result<Option<Record>, EditError> {
        let record = self.fallback()?.journal.record(seq).await;
        let record = record.map_err(|error| EditError::Failed(error.to_string()))?;
        Ok(record.filter(|record| record.backlog.is_empty() && record.message.is_dead_letter()))
    }

    pub(super) fn fallback(&self) -> Result<&JournalFallback, EditError> {
        self.fallback.as_ref().ok_or(EditError::NoJournal)
    }

    /// Runs work that must not stop halfway when its caller is gone.
    pub(super) async fn run_to_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, EditError>> + Send + 'static,
    ) -> Result<T, EditError> {
        self.runtime.spawn(work).await.unwrap_or_else(|error| Err(EditError::Failed(error.to_string())))
    }

    async fn edit_all(
        &self,
        fallback: &JournalFallback,
        filter: RecordFilter,
        plan: Arc<EditPlan<EditResult>>,
        delete_unreadable: bool,
    ) -> Result<BTreeMap<EditResult, u64>, EditError> {
        let unreadable_result = if delete_unreadable { EditResult::Dropped } else { EditResult::Damaged };
        let paused = fallback.pause()?;
        let (until, acked) = fallback.wait_until_idle(&paused).await?;
        let acked = Arc::new(acked);
        let dedup_since = SystemTime::now().checked_sub(self.dedup.window()).unwrap_or(SystemTime::UNIX_EPOCH);
        let (mut counts, mut after) = (BTreeMap::new(), 0);
        let mut changed = PerBroker::<HashSet<Lane>>::default();
        loop {
            let (filter, acked) = (filter.clone(), acked.clone());
            let scope = EditScope { filter, after, until, acked, dedup_since, delete_unreadable };
            let batch = fallback.journal.edit_batch(scope, plan.clone()).await;
            let batch = batch.map_err(|error| stopped_after(&counts, error))?;
            self.dedup.replace_brokers(&batch.ids);
            for (name, count) in batch.counts {
                *counts.entry(name).or_default() += count;
            }
            if batch.unreadable > 0 {
                *counts.entry(unreadable_result).or_default() += batch.unreadable;
            }
            for broker in Broker::ALL {
                for (lane, delta) in &batch.lanes[broker] {
                    paused[broker].apply(*lane, *delta);
                    changed[broker].insert(*lane);
                }
            }
            match batch.next {
                Some(next) => after = next,
                None => break,
            }
        }
        fallback.update_since(&paused, changed).await?;
        Ok(counts)
    }
}

impl JournalFallback {
    /// Pauses the lanes of all brokers.
    fn pause(&self) -> Result<AllPaused, EditError> {
        self.lanes.each_ref().map(Lanes::pause).transpose().ok_or(EditError::Busy)
    }

    /// Waits until nothing is in flight. Returns the last record there is then, and the records that were acked and may
    /// still be on disk.
    async fn wait_until_idle(&self, paused: &AllPaused) -> Result<(i64, PerBroker<HashSet<i64>>), EditError> {
        let end = Instant::now() + IDLE_WITHIN;
        loop {
            // first: a record that is appended later may be in flight again
            let until = *self.journal.appended().borrow();
            if let Some(acked) = paused.each_ref().map(PausedLanes::acked_if_idle).transpose() {
                return Ok((until, acked));
            }
            if Instant::now() > end {
                return Err(EditError::InFlight);
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Updates since when the changed lanes have a backlog.
    async fn update_since(&self, paused: &AllPaused, changed: PerBroker<HashSet<Lane>>) -> Result<(), EditError> {
        for broker in Broker::ALL {
            let lanes: Vec<_> = changed[broker].iter().copied().collect();
            for (lane, since) in self.journal.oldest_of(broker, &lanes).await? {
                paused[broker].set_since(lane, since);
            }
        }
        Ok(())
    }
}
