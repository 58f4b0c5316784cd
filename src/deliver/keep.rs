//! Keeping in the journal what a broker does not take in time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, interval, timeout, timeout_at};
use tracing::{debug, warn};

use super::attempt::{Attempt, Owing};
use crate::journal::{Journal, Kept, Lanes, Record, seen_as};
use crate::message::{Broker, Brokers, Id, Message};

/// How long it is waited for that what is settled is on disk.
pub(super) const SYNCED_WITHIN: Duration = Duration::from_secs(5);
/// How often ids that went past the journal are written down.
const WRITTEN_EVERY: Duration = Duration::from_millis(100);

/// The journal, and what it owes each broker. Cheap to clone.
#[derive(Clone)]
pub(super) struct Keeper {
    pub(super) journal: Journal,
    pub(super) lanes: [Arc<Lanes>; Broker::ALL.len()],
    /// Ids that are to be written down, 17 bytes each.
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Keeper {
    pub(super) fn new(journal: Journal, owed: [Vec<crate::journal::Owed>; Broker::ALL.len()]) -> Self {
        Self { journal, lanes: owed.map(|owed| Arc::new(Lanes::new(owed))), seen: Arc::default() }
    }

    pub(super) fn lanes(&self, broker: Broker) -> &Arc<Lanes> {
        &self.lanes[broker as usize]
    }

    /// These brokers have this id, which is to be known after a restart too.
    pub(super) fn saw(&self, id: Id, by: Brokers) {
        seen_as(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner), id, by);
    }

    /// Writes down what was seen, until the process ends.
    pub(super) async fn write_down(self) {
        let mut due = interval(WRITTEN_EVERY);
        loop {
            due.tick().await;
            self.write_now();
        }
    }

    pub(super) fn write_now(&self) {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        if !seen.is_empty() {
            self.journal.seen(seen, None);
        }
    }

    /// What is stored from now on is in what was made then; and a broker may have lost all it had before. In the order it
    /// happened, no id at all stands for all before it.
    pub(super) fn stores_in(&self, created: i64, lost: Option<Broker>) {
        self.write_now();
        let mut forget = Vec::new();
        lost.iter().for_each(|broker| seen_as(&mut forget, Id::NONE, Brokers::NONE.with(*broker)));
        self.journal.seen(forget, Some(created));
    }

    /// Keeps a message that is owed to these brokers, or for its own sake if there is none; `late` is called at
    /// `deadline` if that takes longer.
    pub(super) async fn keep(&self, message: &Message, owing: &[Owing], deadline: Instant, late: impl Fn()) -> Kept {
        let owed: Brokers = owing.iter().map(|owing| owing.broker).collect();
        let unknown = owing.iter().filter(|owing| owing.unknown).map(|owing| owing.broker).collect();
        // before it is written: what comes for its lane from now on is behind it
        for Owing { broker, lane, held, .. } in owing {
            self.lanes(*broker).enter(*lane, *held, SystemTime::now());
        }
        let owed = if owed.is_empty() { Brokers::JOURNAL } else { owed };
        let kept = self.journal.append(message.clone(), owed, unknown);
        tokio::pin!(kept);
        let kept = match timeout_at(deadline, &mut kept).await {
            Ok(kept) => kept,
            Err(_) => {
                late();
                kept.await
            }
        };
        for Owing { broker, lane, held, .. } in owing {
            let record = |seq| (!held).then_some(move || Record { seq, message: message.clone(), owed, unknown });
            match kept {
                Ok(seq) => self.lanes(*broker).kept(*lane, seq, record(seq)),
                Err(_) => self.lanes(*broker).refused(*lane, *held),
            }
        }
        let (id, instance) = (message.event.id, message.event.instance);
        match &kept {
            Ok(seq) => debug!(%id, seq, "kept in the journal"),
            Err(refused) => warn!(%id, instance, reason = refused.reason, "not kept in the journal"),
        }
        kept
    }

    /// Hears a report that comes after the record was kept.
    pub(super) async fn hear(&self, attempt: Attempt<'_>, seq: i64) {
        let (broker, lane, bytes) = (attempt.broker(), attempt.lane(), attempt.bytes());
        let taken = attempt.report().await.is_ok();
        if taken {
            self.journal.settle(seq, broker, bytes);
            // a lane that owes nothing more is forgotten, and with it what may still be read
            let _ = timeout(SYNCED_WITHIN, self.journal.synced()).await;
        }
        self.lanes(broker).reported(lane, seq, taken);
    }
}
