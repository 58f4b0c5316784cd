//! The journal as the fallback for what a broker does not ack in time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::attempt::{LateAck, Unacked};
use super::lanes::{DirectAck, Lanes};
use crate::journal::{AppendResult, Journal, JournalRefusal, LaneBacklog, Record};
use crate::message::{Broker, Brokers, Message, PerBroker};

/// How long to wait until the disk has what a broker acked.
pub(super) const SYNCED_WITHIN: Duration = Duration::from_secs(5);

/// The journal, and its backlog at each broker. Cheap to clone.
#[derive(Clone)]
pub(super) struct JournalFallback {
    pub(super) journal: Journal,
    pub(super) lanes: PerBroker<Arc<Lanes>>,
    /// Cancelled means that nothing more is appended: it would be lost with the folder.
    pub(super) appends_ended: CancellationToken,
}

impl JournalFallback {
    pub(super) fn new(journal: Journal, backlog: PerBroker<Vec<LaneBacklog>>) -> Self {
        let lanes = backlog.map(|lanes| Arc::new(Lanes::new(lanes)));
        Self { journal, lanes, appends_ended: CancellationToken::new() }
    }

    pub(super) fn lanes(&self, broker: Broker) -> &Arc<Lanes> {
        &self.lanes[broker]
    }

    /// Appends a message that these brokers have not acked. With no broker at all, the journal is its destination.
    pub(super) async fn append(&self, message: &Message, unacked: &[Unacked]) -> AppendResult {
        let brokers: Brokers = unacked.iter().map(|unacked| unacked.broker).collect();
        let backlog = if brokers.is_empty() { Brokers::JOURNAL } else { brokers };
        let maybe_stored =
            unacked.iter().filter(|unacked| unacked.maybe_stored).map(|unacked| unacked.broker).collect();
        // before it is written, so that what comes for its lane from now on goes behind it
        for Unacked { broker, lane, direct_ack, .. } in unacked {
            self.lanes(*broker).begin_append(*lane, *direct_ack, SystemTime::now());
        }
        let appended = match self.appends_ended.is_cancelled() {
            true => Err(JournalRefusal::Stopping),
            false => self.journal.append(message.clone(), backlog, maybe_stored).await,
        };
        for Unacked { broker, lane, direct_ack, .. } in unacked {
            let lanes = self.lanes(*broker);
            match appended {
                Ok(seq) => {
                    let record = move || Record { seq, message: message.clone(), backlog, maybe_stored };
                    lanes.finish_append(*lane, seq, (*direct_ack == DirectAck::NotAwaited).then_some(record));
                }
                Err(_) => lanes.cancel_append(*lane, *direct_ack),
            }
        }
        let (ce_id, instance) = (message.event.id, || message.event.instance_text());
        match &appended {
            Ok(seq) => debug!(%ce_id, seq, "appended to the journal"),
            Err(refused) => {
                warn!(%ce_id, instance = instance(), reason = refused.as_str(), "journal refused the record")
            }
        }
        appended
    }

    /// Waits for an ack that comes after the record was appended. The record then leaves the backlog.
    pub(super) async fn wait_for_late_ack(self, late: LateAck, seq: i64) {
        let (broker, lane, body_len) = (late.broker(), late.lane(), late.body_len());
        if late.wait().await.is_none() {
            return self.lanes(broker).direct_fault(lane);
        }
        self.journal.ack(seq, broker, body_len);
        // a lane without a backlog is forgotten, and with it that this record may still be read
        let _ = timeout(SYNCED_WITHIN, self.journal.synced()).await;
        self.lanes(broker).direct_ack(lane, seq);
    }
}
