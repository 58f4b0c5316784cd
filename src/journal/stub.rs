//! The journal of a build without the feature `journal`: opening it fails, so that none of the rest is ever called.

use std::convert::Infallible;
use std::future::Ready;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

use super::counts::{Backwards, Resume};
use super::{
    AppendResult, ChangeError, Config, Counts, DeadLetterConfig, DedupLimits, EditBatch, EditPlan, EditScope,
    EventFilter, Files, JournalRefusal, Lane, LaneBatch, Matching, OpenError, Page, PageLimit, Preflight, ReadError,
    Record, RecordFilter, RecordId, Recovered, SeqRange, Totals, Usage,
};
use crate::message::{Broker, Brokers, Message};
use crate::telemetry::Dated;

/// An open journal: this build has none. The field is private, so that callers compile as with a journal.
#[derive(Clone)]
pub struct Journal(Infallible);

/// Reads a journal: there is none in this build.
#[derive(Debug, Clone)]
pub struct JournalReader(Infallible);

#[allow(missing_docs, clippy::missing_errors_doc, reason = "see the journal in SQLite")]
impl Journal {
    pub fn open(_: &Config, _: &DeadLetterConfig, _: DedupLimits) -> Result<(Self, Recovered), OpenError> {
        Err(OpenError::NotBuilt)
    }

    pub fn preflight(_: &Config) -> Result<Preflight, OpenError> {
        Err(OpenError::NotBuilt)
    }

    pub fn files(_: &Path) -> std::io::Result<Files> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    pub fn name(&self) -> &str {
        match self.0 {}
    }

    pub fn reader(&self) -> &JournalReader {
        match self.0 {}
    }

    pub fn open_reader(&self, _: &Path) -> Result<JournalReader, OpenError> {
        match self.0 {}
    }

    pub fn state(&self) -> watch::Receiver<Dated<JournalRefusal>> {
        match self.0 {}
    }

    pub fn appended(&self) -> watch::Receiver<i64> {
        match self.0 {}
    }

    pub fn usage(&self) -> &Usage {
        match self.0 {}
    }

    pub fn queue_length(&self) -> usize {
        match self.0 {}
    }

    pub async fn wait_until_failed(&self) {
        match self.0 {}
    }

    pub fn append(&self, _: Message, _: Brokers, _: Brokers) -> Ready<AppendResult> {
        match self.0 {}
    }

    pub fn replay(&self, _: Message, _: Brokers, _: i64) -> Ready<AppendResult> {
        match self.0 {}
    }

    pub fn ack(&self, _: i64, _: Broker, _: usize) {
        match self.0 {}
    }

    pub fn append_dedup_ids(&self, _: Vec<u8>, _: Option<i64>) {
        match self.0 {}
    }

    pub async fn synced(&self) -> bool {
        match self.0 {}
    }

    pub async fn batch(&self, _: Broker, _: Lane, _: usize) -> Result<LaneBatch, ReadError> {
        match self.0 {}
    }

    pub async fn record(&self, _: i64) -> Result<Option<Record>, ReadError> {
        match self.0 {}
    }

    pub async fn edit_batch<R: Ord + Send + 'static>(
        &self,
        _: EditScope,
        _: Arc<EditPlan<R>>,
    ) -> Result<EditBatch<R>, ChangeError> {
        match self.0 {}
    }

    pub async fn oldest_of(&self, _: Broker, _: &[Lane]) -> Result<Vec<(Lane, SystemTime)>, ChangeError> {
        match self.0 {}
    }

    pub async fn scrub(&self, _: bool) -> Result<bool, ChangeError> {
        match self.0 {}
    }

    pub fn close(&self) {
        match self.0 {}
    }
}

#[allow(missing_docs, clippy::missing_errors_doc, reason = "see the journal in SQLite")]
impl JournalReader {
    pub fn open(_: &Path) -> Result<Self, OpenError> {
        Err(OpenError::NotBuilt)
    }

    pub async fn name(&self) -> Result<String, ReadError> {
        match self.0 {}
    }

    pub async fn version(&self) -> Result<usize, ReadError> {
        match self.0 {}
    }

    pub async fn range(&self) -> Result<Option<SeqRange>, ReadError> {
        match self.0 {}
    }

    pub async fn record(&self, _: i64) -> Result<Option<Record>, ReadError> {
        match self.0 {}
    }

    pub async fn batch(&self, _: Broker, _: Lane, _: usize) -> Result<LaneBatch, ReadError> {
        match self.0 {}
    }

    pub async fn unreadable(&self) -> Result<Vec<i64>, ReadError> {
        match self.0 {}
    }

    pub async fn page(&self, _: &EventFilter, _: i64, _: PageLimit) -> Result<Page, ReadError> {
        match self.0 {}
    }

    pub async fn matching(&self, _: &RecordFilter, _: i64, _: i64) -> Result<Matching, ReadError> {
        match self.0 {}
    }

    pub async fn ids_after(&self, _: i64) -> Result<Vec<RecordId>, ReadError> {
        match self.0 {}
    }

    pub async fn has_backlog(&self, _: Broker, _: Lane) -> Result<bool, ReadError> {
        match self.0 {}
    }

    pub async fn is_drained(&self) -> Result<bool, ReadError> {
        match self.0 {}
    }

    pub async fn count_dead_letters(&self) -> Result<u64, ReadError> {
        match self.0 {}
    }

    pub async fn counts(&self) -> Result<Counts, ReadError> {
        match self.0 {}
    }

    pub async fn totals(&self) -> Result<Totals, ReadError> {
        match self.0 {}
    }

    pub(super) async fn before(&self, _: SystemTime) -> Result<i64, ReadError> {
        match self.0 {}
    }

    pub(super) async fn backwards(&self, _: &EventFilter, _: i64, _: usize, _: usize) -> Result<Backwards, ReadError> {
        match self.0 {}
    }

    pub(super) async fn resume(&self, _: i64) -> Result<Resume, ReadError> {
        match self.0 {}
    }
}
