//! Messages whose report is outstanding.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_nats::Subject;
use tokio::sync::{Notify, oneshot};

use super::ack::Ack;
use super::sequence::Sequence;
use crate::brokers::Fault;

/// What became of one message.
pub(super) type Report = Result<(), Fault>;

/// Who waits for which report, by the last token of the reply subject.
///
/// An own table instead of the client's request futures: those leak about 360 bytes for every report that
/// does not come, and lose reports that come late.
#[derive(Debug, Default)]
pub(super) struct Pending {
    table: Mutex<Table>,
    /// Told when the stream must be looked at before it is believed again.
    pub(super) doubted: Notify,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    waiting: HashMap<u64, Waiting>,
    sequence: Sequence,
}

#[derive(Debug)]
struct Waiting {
    subject: Subject,
    /// What the stream had counted when the message was sent.
    floor: u64,
    waiter: oneshot::Sender<Report>,
}

/// A place in the table; leaves it when dropped.
pub(super) struct Place<'t> {
    table: &'t Pending,
    pub(super) token: u64,
}

impl Pending {
    pub(super) fn enter(&self, subject: Subject) -> (Place<'_>, oneshot::Receiver<Report>) {
        let (waiter, receiver) = oneshot::channel();
        let token = self.with(|table| {
            table.next += 1;
            let floor = table.sequence.floor();
            table.waiting.insert(table.next, Waiting { subject, floor, waiter });
            table.next
        });
        (Place { table: self, token }, receiver)
    }

    /// Hands what the stream says to whoever waits for it.
    pub(super) fn settle(&self, token: u64, said: Result<Ack, Fault>) {
        let settled = self.with(|table| {
            let Waiting { floor, waiter, .. } = table.waiting.remove(&token)?;
            let before = table.sequence.doubted();
            let report = said.and_then(|ack| table.sequence.take(ack, floor));
            Some((waiter, report, table.sequence.doubted() != before))
        });
        let Some((waiter, report, doubted)) = settled else { return };
        if doubted {
            self.doubted.notify_one();
        }
        // a waiter that gave up has nothing to hear
        let _ = waiter.send(report);
    }

    /// Acts on what the stream has told of its numbers.
    pub(super) fn sequence<R>(&self, act: impl FnOnce(&mut Sequence) -> R) -> R {
        self.with(|table| act(&mut table.sequence))
    }

    /// Believes no report until the stream was looked at.
    pub(super) fn doubt(&self) {
        self.with(|table| table.sequence.doubt());
        self.doubted.notify_one();
    }

    /// Ends every wait on `subject`, or all of them: no report will come.
    pub(super) fn fail(&self, subject: Option<&str>, fault: &Fault) {
        let gone: Vec<_> = self.with(|table| {
            let hit = |_: &u64, at: &mut Waiting| subject.is_none_or(|subject| at.subject.as_str() == subject);
            table.waiting.extract_if(hit).map(|(_, at)| at.waiter).collect()
        });
        for waiter in gone {
            let _ = waiter.send(Err(fault.clone()));
        }
    }

    fn with<R>(&self, act: impl FnOnce(&mut Table) -> R) -> R {
        act(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.table.with(|table| table.waiting.remove(&self.token));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_report_reaches_its_own_waiter() {
        let pending = Pending::default();
        let (first, first_report) = pending.enter("a".into());
        let (second, second_report) = pending.enter("b".into());
        pending.settle(second.token, Ok(Ack { seq: 1, duplicate: false }));
        pending.fail(Some("b"), &Fault::unknown("x", ""));
        pending.fail(Some("a"), &Fault::unknown("lost", ""));
        assert_eq!(second_report.await.unwrap(), Ok(()));
        assert_eq!(first_report.await.unwrap().unwrap_err().reason, "lost");
        drop((first, second));
    }

    #[test]
    fn a_wait_given_up_leaves_nothing_behind() {
        let pending = Pending::default();
        drop(pending.enter("a".into()));
        assert!(pending.table.lock().unwrap().waiting.is_empty());
    }
}
