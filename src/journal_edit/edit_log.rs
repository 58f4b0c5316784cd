//! One log line and a count for each journal edit. Never a chat id or a phone number.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;
use tracing::info;

use super::{Edit, EditReport, EditRequest, ReplayResult};
use crate::delivery::ImportCounts;
use crate::journal::EditResult;
use crate::message::Broker;
use crate::telemetry::{JournalEdit, Metrics};

/// A command sends an import or a replay in pages, one after the other. After a pause this long the last one has come.
const LAST_PAGE_AFTER: Duration = Duration::from_secs(2);

/// Logs and counts the edits of one editor.
pub(super) struct EditLog {
    metrics: Arc<Metrics>,
    pages: Arc<Mutex<Pages>>,
}

/// The pages that are counted and not logged yet.
#[derive(Default)]
struct Pages {
    /// How many have come.
    received: u64,
    import: Option<(Option<Broker>, ImportCounts)>,
    replay: Option<ReplayCounts>,
}

#[derive(Default)]
struct ReplayCounts {
    replayed: u64,
    already_replayed: u64,
    not_replayable: u64,
}

impl EditLog {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, pages: Arc::default() }
    }

    /// Records were rerouted, dropped or erased.
    pub(super) fn edited(&self, request: &EditRequest, report: &EditReport) {
        let edit = match &request.edit {
            Edit::Reroute { .. } => JournalEdit::Reroute,
            Edit::Drop { .. } => JournalEdit::Drop,
            Edit::Erase { .. } => JournalEdit::Erase,
        };
        self.metrics.journal.edited(edit, report.changed());
        let filter = request.record_filter();
        let to = match &request.edit {
            Edit::Reroute { to, .. } => to.map(Broker::as_str),
            Edit::Drop { .. } | Edit::Erase { .. } => None,
        };
        let broker = filter.broker.map(Broker::as_str);
        let instance = filter.instance.map(|instance| instance.to_string());
        let (class, since, seq) = (filter.class, filter.since, filter.seq);
        let count = |result| (report.has(result)).then(|| report.count(result));
        info!(
            event = "journal_edited",
            edit = edit.as_str(),
            selected_by = selected_by(request),
            broker,
            to,
            instance,
            class,
            since,
            seq,
            rerouted = count(EditResult::Rerouted),
            already_there = count(EditResult::AlreadyThere),
            unchanged = count(EditResult::Unchanged),
            no_destination = count(EditResult::NoDestination),
            unreadable = count(EditResult::Unreadable),
            damaged = count(EditResult::Damaged),
            dropped = count(EditResult::Dropped),
            erased = count(EditResult::Erased),
            unrelated = count(EditResult::Unrelated),
            traces_left = report.traces_left.then_some(true),
            "journal edited"
        );
    }

    /// A page of records was imported.
    pub(super) fn imported(&self, to: Option<Broker>, page: ImportCounts) {
        self.metrics.journal.edited(JournalEdit::Import, page.added);
        let mut pages = self.pages.lock();
        let (last_to, counts) = pages.import.get_or_insert_default();
        *last_to = to;
        counts.added += page.added;
        counts.skipped += page.skipped;
        drop(pages);
        self.log_after_last_page();
    }

    /// A page of dead letters was replayed, if only up to an error.
    pub(super) fn replayed(&self, page: &[ReplayResult]) {
        let count = |matches: fn(&ReplayResult) -> bool| page.iter().filter(|one| matches(one)).count() as u64;
        let replayed = count(|one| matches!(one, ReplayResult::To(_)));
        self.metrics.journal.edited(JournalEdit::Replay, replayed);
        let mut pages = self.pages.lock();
        let counts = pages.replay.get_or_insert_default();
        counts.replayed += replayed;
        counts.already_replayed += count(|one| matches!(one, ReplayResult::Before));
        counts.not_replayable += count(|one| matches!(one, ReplayResult::NotReplayable(_)));
        drop(pages);
        self.log_after_last_page();
    }

    /// Logs what the pages did, once no more come.
    fn log_after_last_page(&self) {
        let pages = self.pages.clone();
        let page = {
            let mut pages = pages.lock();
            pages.received += 1;
            pages.received
        };
        tokio::spawn(async move {
            sleep(LAST_PAGE_AFTER).await;
            let mut pages = pages.lock();
            if pages.received == page {
                pages.log();
            }
        });
    }

    /// Logs what is not logged yet.
    pub(super) fn flush(&self) {
        self.pages.lock().log();
    }
}

impl Pages {
    fn log(&mut self) {
        if let Some((to, ImportCounts { added, skipped })) = self.import.take() {
            let (edit, to) = (JournalEdit::Import.as_str(), to.map(Broker::as_str));
            info!(event = "journal_edited", edit, selected_by = "file", to, added, skipped, "journal edited");
        }
        if let Some(ReplayCounts { replayed, already_replayed, not_replayable }) = self.replay.take() {
            let edit = JournalEdit::Replay.as_str();
            info!(
                event = "journal_edited",
                edit,
                selected_by = "seq",
                replayed,
                already_replayed,
                not_replayable,
                "journal edited"
            );
        }
    }
}

/// How the records were selected. A chat is a person, so it is not named.
fn selected_by(request: &EditRequest) -> &'static str {
    match &request.edit {
        Edit::Erase { chat: Some(_), instance: Some(_) } => "instance and chat",
        Edit::Erase { chat: Some(_), .. } => "chat",
        Edit::Erase { .. } => "instance",
        Edit::Reroute { .. } | Edit::Drop { broker: Some(_) } => "broker",
        Edit::Drop { broker: None } => "seq",
    }
}
