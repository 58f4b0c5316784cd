//! Appending to the journal by an operator's command: records of an export, and replays of its dead letters.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;

use super::attempt::Acks;
use super::dedup::InFlightGuard;
use super::dedup_window::{DedupState, OutcomeReceiver};
use super::edit::EditError;
use super::fallback::JournalFallback;
use super::lanes::DirectAck;
use super::store::or_journal;
use super::{Delivery, Outcome};
use crate::journal::{AppendResult, JournalRefusal, Lane, Record};
use crate::message::{Broker, Brokers, Message};

/// How long an import waits for a request with the same notification: as long as such a request may take by default.
const IN_FLIGHT_WITHIN: Duration = Duration::from_secs(15);

/// How many records an import has added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImportCounts {
    /// The journal has them now.
    pub added: u64,
    /// They were stored before.
    pub skipped: u64,
}

/// One record of an import.
pub struct ImportedRecord {
    /// The message.
    pub message: Message,
    /// The brokers that have not acked it.
    pub backlog: Brokers,
    /// Those of them that may have it all the same.
    pub maybe_stored: Brokers,
}

/// What is to be done with one record of an import.
enum ImportStep {
    /// Append it for the brokers in `missing`. `in_flight` is `None` if the dedup window has no part in it.
    Append {
        missing: Brokers,
        maybe_stored: Brokers,
        in_flight: Option<InFlightGuard>,
    },
    AlreadyStored,
    /// A request with the same notification is not finished.
    InFlight(OutcomeReceiver),
}

/// A record of an import that is being appended.
struct Importing<F> {
    append: F,
    missing: Brokers,
    outcome: Outcome,
    /// `None` means that the dedup window has no part in it.
    in_flight: Option<InFlightGuard>,
}

impl Delivery {
    /// Appends records that were not stored lately. They are on disk when this returns.
    ///
    /// # Errors
    /// [`EditError`]: some may be appended; it is safe to import the same records again.
    pub async fn import(self: &Arc<Self>, records: Vec<ImportedRecord>) -> Result<ImportCounts, EditError> {
        let this = self.clone();
        self.run_to_end(async move { this.import_all(this.fallback()?, records).await }).await
    }

    /// Appends the replay of a dead letter of the journal behind the backlog. It is on disk when this returns, and so is
    /// that the dead letter was replayed.
    ///
    /// # Errors
    /// [`EditError`].
    pub async fn replay(self: &Arc<Self>, message: Message, dead_letter: i64) -> Result<(), EditError> {
        let this = self.clone();
        let replay = async move {
            let (fallback, brokers) = (this.fallback()?, message.brokers());
            let append = |message| fallback.journal.replay(message, or_journal(brokers), dead_letter);
            let appended = fallback.append_behind(message, brokers, append).await;
            appended.map(drop).map_err(|refused| EditError::Refused { reason: refused.as_str() })
        };
        self.run_to_end(replay).await
    }

    fn begin_import(self: &Arc<Self>, record: &ImportedRecord) -> ImportStep {
        let ImportedRecord { message, backlog, maybe_stored } = record;
        let (id, required, maybe_stored) = (message.event.id, or_journal(*backlog), *maybe_stored);
        // a replay is stored also by the brokers that have its dead letter
        if message.earlier_replays().is_some() {
            return ImportStep::Append { missing: required, maybe_stored, in_flight: None };
        }
        let in_flight = || Some(InFlightGuard::new(self.clone(), id));
        match self.dedup.begin(id, required) {
            DedupState::Missing(missing) => ImportStep::Append { missing, maybe_stored, in_flight: in_flight() },
            DedupState::Unverified => {
                // its stream may be gone: the forwarder looks it up before it publishes
                let unverified = Brokers::NONE.with(Broker::Nats);
                let missing = self.dedup.missing(id, required).and(unverified);
                ImportStep::Append { missing, maybe_stored: maybe_stored.and(unverified), in_flight: in_flight() }
            }
            DedupState::Stored => ImportStep::AlreadyStored,
            DedupState::InFlight(outcome) => ImportStep::InFlight(outcome),
        }
    }

    async fn import_all(
        self: &Arc<Self>,
        fallback: &JournalFallback,
        records: Vec<ImportedRecord>,
    ) -> Result<ImportCounts, EditError> {
        let (mut counts, mut importing) = (ImportCounts::default(), Vec::new());
        let mut in_flight_elsewhere = Vec::new();
        for record in records {
            let (missing, maybe_stored, in_flight) = match self.begin_import(&record) {
                ImportStep::Append { missing, maybe_stored, in_flight } => (missing, maybe_stored, in_flight),
                ImportStep::AlreadyStored => {
                    counts.skipped += 1;
                    continue;
                }
                ImportStep::InFlight(outcome) => {
                    in_flight_elsewhere.push(outcome);
                    continue;
                }
            };
            let outcome = Outcome::appended(&record.message);
            // all begin before the first is awaited, so that they share transactions
            let append = move |message| fallback.journal.append(message, missing, maybe_stored);
            let append = fallback.append_behind(record.message, missing, append);
            importing.push(Importing { append, missing, outcome, in_flight });
        }
        let mut refused = None;
        for Importing { append, missing, outcome, in_flight } in importing {
            match append.await {
                Ok(_) => {
                    in_flight.map(|in_flight| in_flight.finish(Acks::default(), missing, outcome));
                    counts.added += 1;
                }
                Err(error) => refused = Some(EditError::Refused { reason: error.as_str() }),
            }
        }
        for outcome in in_flight_elsewhere {
            match timeout(IN_FLIGHT_WITHIN, outcome).await {
                Ok(Ok(outcome)) if outcome != Outcome::NotStored => counts.skipped += 1,
                _ => {
                    let problem = "a record of it was being sent as a new notification, and is not stored";
                    refused = Some(EditError::Failed(format!("{problem}; import the same file again")));
                }
            }
        }
        refused.map_or(Ok(counts), Err)
    }
}

impl JournalFallback {
    /// Appends a message behind the backlog of these brokers; `append`, which writes it, has begun when this returns.
    fn append_behind<F: Future<Output = AppendResult>>(
        &self,
        message: Message,
        brokers: Brokers,
        append: impl FnOnce(Message) -> F,
    ) -> impl Future<Output = AppendResult> {
        let lanes = brokers.each().map(|broker| (self.lanes(broker).clone(), Lane::of(&message, broker)));
        let lanes: Vec<_> = lanes.collect();
        lanes.iter().for_each(|(lanes, lane)| lanes.begin_append(*lane, DirectAck::NotAwaited, SystemTime::now()));
        let append = (!self.appends_ended.is_cancelled()).then(|| append(message));
        async move {
            let appended = match append {
                Some(append) => append.await,
                None => Err(JournalRefusal::Stopping),
            };
            for (lanes, lane) in lanes {
                match appended {
                    Ok(seq) => lanes.finish_append(lane, seq, None::<fn() -> Record>),
                    Err(_) => lanes.cancel_append(lane, DirectAck::NotAwaited),
                }
            }
            appended
        }
    }
}
