//! Messages that were sent and whose ack is due.

use std::collections::HashMap;

use async_nats::Subject;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::ack::Ack;
use super::stream_continuity::StreamContinuity;
use crate::brokers::Fault;

/// What became of one message.
pub(super) type AckResult = Result<(), Fault>;

/// The messages in flight, by the last token of their reply subject.
///
/// An own table instead of the client's request futures: those leak about 360 bytes for every ack that does not come,
/// and lose acks that come late.
#[derive(Debug, Default)]
pub(super) struct PendingAcks {
    table: Mutex<Table>,
    /// Notified when the stream must be inspected again before acks count.
    pub(super) suspected: Notify,
}

#[derive(Debug, Default)]
struct Table {
    last_token: u64,
    in_flight: HashMap<u64, PendingAck>,
    continuity: StreamContinuity,
}

#[derive(Debug)]
struct PendingAck {
    subject: Subject,
    /// The stream's last sequence number that was known when the message was sent.
    floor: u64,
    waiter: oneshot::Sender<AckResult>,
}

/// Removes its message from the table when dropped.
pub(super) struct WaiterGuard<'t> {
    pending: &'t PendingAcks,
    pub(super) token: u64,
}

impl PendingAcks {
    /// Registers a message that is about to be sent.
    pub(super) fn register(&self, subject: Subject) -> (WaiterGuard<'_>, oneshot::Receiver<AckResult>) {
        let (waiter, receiver) = oneshot::channel();
        let mut table = self.table.lock();
        table.last_token += 1;
        let (token, floor) = (table.last_token, table.continuity.last_sequence());
        table.in_flight.insert(token, PendingAck { subject, floor, waiter });
        drop(table);
        (WaiterGuard { pending: self, token }, receiver)
    }

    /// Hands the stream's answer to the message that awaits it.
    pub(super) fn complete(&self, token: u64, answer: Result<Ack, Fault>) {
        let mut table = self.table.lock();
        let Some(PendingAck { floor, waiter, .. }) = table.in_flight.remove(&token) else { return };
        let was_suspect = table.continuity.is_suspect();
        let outcome = answer.and_then(|ack| table.continuity.accept(ack, floor));
        let newly_suspect = table.continuity.is_suspect() != was_suspect;
        drop(table);
        if newly_suspect {
            self.suspected.notify_one();
        }
        // the caller may have given up
        let _ = waiter.send(outcome);
    }

    /// Reads or changes what is known of the stream's continuity.
    pub(super) fn continuity<R>(&self, act: impl FnOnce(&mut StreamContinuity) -> R) -> R {
        act(&mut self.table.lock().continuity)
    }

    /// No ack counts until the stream was inspected again.
    pub(super) fn suspect(&self) {
        self.table.lock().continuity.suspect();
        self.suspected.notify_one();
    }

    /// Ends the wait of every message in flight with this fault: no ack will come.
    pub(super) fn fail_all(&self, fault: &Fault) {
        self.fail_where(|_| true, fault);
    }

    /// Ends the wait of every message in flight on this subject with this fault: no ack will come.
    pub(super) fn fail_subject(&self, subject: &str, fault: &Fault) {
        self.fail_where(|message| message.subject.as_str() == subject, fault);
    }

    fn fail_where(&self, fails: impl Fn(&PendingAck) -> bool, fault: &Fault) {
        let failed: Vec<_> = self.table.lock().in_flight.extract_if(|_, message| fails(message)).collect();
        for (_, message) in failed {
            let _ = message.waiter.send(Err(fault.clone()));
        }
    }
}

impl Drop for WaiterGuard<'_> {
    fn drop(&mut self) {
        self.pending.table.lock().in_flight.remove(&self.token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brokers::FaultReason;

    #[tokio::test]
    async fn each_ack_reaches_its_own_message() {
        let pending = PendingAcks::default();
        let (first, first_outcome) = pending.register("a".into());
        let (second, second_outcome) = pending.register("b".into());
        pending.complete(second.token, Ok(Ack { seq: 1, duplicate: false }));
        pending.fail_subject("b", &Fault::maybe_stored(FaultReason::Closed, ""));
        pending.fail_subject("a", &Fault::maybe_stored(FaultReason::Disconnected, ""));
        assert_eq!(second_outcome.await.unwrap(), Ok(()));
        assert_eq!(first_outcome.await.unwrap().unwrap_err().reason, FaultReason::Disconnected);
        drop((first, second));
    }

    #[test]
    fn dropped_wait_leaves_nothing_in_the_table() {
        let pending = PendingAcks::default();
        drop(pending.register("a".into()));
        assert!(pending.table.lock().in_flight.is_empty());
    }
}
