//! The steps of a stop that take time. Each returns whether it finished in time, and logs what it did not finish.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::delivery::{Backlog, Delivery};
use crate::journal::{Counts, Journal};
use crate::message::Broker;
use crate::units::records;

/// The time limit for counting the records that are stored for no broker.
const COUNTED_WITHIN: Duration = Duration::from_millis(500);

/// Waits until the requests in flight are finished, at most until `end`.
pub(super) async fn finish_requests(webhook: JoinHandle<()>, tasks: &TaskTracker, end: Instant) -> bool {
    let finished = async {
        let _ = webhook.await;
        tasks.close();
        tasks.wait().await;
    };
    let in_time = timeout_at(end, finished).await.is_ok();
    if !in_time {
        error!(left = tasks.len(), "shutdown.grace exceeded: open requests were not answered 200");
    }
    in_time
}

/// Waits until the backlog of an ephemeral journal is forwarded, at most until `deadline`.
pub(super) async fn drain(delivery: &Delivery, journal: &Journal, deadline: Instant) -> bool {
    let _ = timeout_at(deadline, delivery.wait_until_drained()).await;
    let left: Vec<_> = delivery.backlog().into_iter().filter(|(_, backlog)| backlog.records > 0).collect();
    for (broker, Backlog { records, lanes, .. }) in &left {
        error!(
            event = "backlog_left",
            broker = broker.as_str(),
            records,
            lanes,
            "shutdown.grace exceeded: records in the ephemeral journal were not forwarded"
        );
    }
    // the bridge does not know which of them its consumers have read
    if let Ok(Ok(Counts { journal_only: records @ 1.., .. })) = timeout(COUNTED_WITHIN, journal.reader().counts()).await
    {
        warn!(event = "journal_only_left", records, "the ephemeral journal has records that no broker gets");
    }
    left.is_empty()
}

/// Closes the journal, and waits for that at most until `end`.
pub(super) async fn close(delivery: &Delivery, end: Instant) -> bool {
    let in_time = timeout_at(end, delivery.close()).await.is_ok();
    if !in_time {
        warn!("journal not closed within shutdown.grace: the next start recovers it");
    }
    match describe_backlog(&delivery.backlog()) {
        None => info!("stopped; no records pending in journal"),
        Some(pending) => info!(pending, "stopped; records pending in journal"),
    }
    in_time
}

/// The backlog of each broker in words, which the next start forwards. None means there is no backlog.
fn describe_backlog(backlog: &[(Broker, Backlog)]) -> Option<String> {
    let each = backlog.iter().filter(|(_, backlog)| backlog.records > 0);
    let each = each.map(|(broker, backlog)| format!("{} for {}", records(backlog.records), broker.as_str()));
    each.reduce(|all, one| format!("{all}, {one}"))
}
