//! The backlog in numbers: how much, how old, and how long until it is drained.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::interval;
use tracing::info;

use super::fallback::JournalFallback;
use super::lanes::Backlog;
use crate::message::{Broker, PerBroker};
use crate::telemetry::Metrics;

/// Updates the metrics of the backlog until the process ends.
pub(super) async fn update_regularly(fallback: JournalFallback, metrics: Arc<Metrics>) {
    let scraped = fallback.clone();
    metrics.journal.on_scrape(move |shown| {
        let usage = scraped.journal.usage();
        shown.bytes(usage.used(), usage.capacity().saturating_sub(usage.wal_share()));
        shown.queue_length(scraped.journal.queue_length());
        shown.unreadable(usage.unreadable().len());
        for broker in Broker::ALL {
            let backlog = scraped.lanes(broker).backlog();
            shown.backlog(broker, backlog.records, backlog.lanes, age(&backlog));
        }
    });
    let mut due = interval(Duration::from_secs(1));
    let mut rates = PerBroker::<Rate>::default();
    let mut outages = PerBroker::from_fn(|broker| Outage { ongoing: fallback.lanes(broker).backlog().records > 0 });
    loop {
        due.tick().await;
        for broker in Broker::ALL {
            let backlog = fallback.lanes(broker).backlog();
            metrics.journal.seconds_left(broker, rates[broker].seconds_left(backlog.records));
            if outages[broker].is_over(backlog.records, age(&backlog)) {
                info!(event = "backlog_drained", broker = broker.as_str(), "journal backlog drained");
            }
        }
    }
}

fn age(backlog: &Backlog) -> Duration {
    backlog.since.and_then(|since| SystemTime::now().duration_since(since).ok()).unwrap_or_default()
}

/// How old the oldest record is when the backlog is worth a log entry: where the journal comes first, there is a short
/// backlog most of the time.
const OLD: Duration = Duration::from_secs(5);

/// Whether a broker did not ack what came for it.
struct Outage {
    ongoing: bool,
}

impl Outage {
    /// Whether the backlog of an outage is drained. Call it each second.
    fn is_over(&mut self, records: u64, age: Duration) -> bool {
        let before = self.ongoing;
        self.ongoing = records > 0 && (before || age >= OLD);
        before && !self.ongoing
    }
}

/// How fast the backlog shrinks.
#[derive(Debug, Default, Clone, Copy)]
struct Rate {
    before: u64,
    /// Records a second, averaged over the last seconds.
    shrinks: f64,
}

impl Rate {
    /// Estimated seconds until the backlog is drained; infinite while it does not shrink. Call it each second.
    fn seconds_left(&mut self, records: u64) -> f64 {
        let shrank = self.before as f64 - records as f64;
        self.before = records;
        // restart the average when the backlog starts to shrink
        self.shrinks =
            if self.shrinks <= 0.0 && shrank > 0.0 { shrank } else { self.shrinks + (shrank - self.shrinks) / 5.0 };
        match records {
            0 => {
                self.shrinks = 0.0;
                0.0
            }
            _ if self.shrinks > 0.0 => records as f64 / self.shrinks,
            _ => f64::INFINITY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outage_is_over_once_and_a_short_backlog_is_none() {
        let mut outage = Outage { ongoing: false };
        let mut over = |records, seconds| outage.is_over(records, Duration::from_secs(seconds));
        assert!([(3, 0), (0, 0), (2, 1), (1, 4), (0, 0)].iter().all(|(records, age)| !over(*records, *age)));
        let drained = [(9, 5), (4, 6), (4, 1), (0, 0), (0, 0), (1, 0), (0, 0)].map(|(records, age)| over(records, age));
        assert_eq!(drained, [false, false, false, true, false, false, false]);
        assert!(Outage { ongoing: true }.is_over(0, Duration::ZERO), "recovered, and acked at once");
    }

    #[test]
    fn seconds_left_are_the_backlog_by_how_fast_it_shrinks() {
        let mut rate = Rate::default();
        assert_eq!(rate.seconds_left(1000), f64::INFINITY, "it grew");
        let mut left = 0.0;
        for records in (0..60).map(|second| 10_000 - second * 100) {
            left = rate.seconds_left(records);
        }
        assert!((39.0..=45.0).contains(&left), "4100 at about 100 a second: {left}");
        assert_eq!(rate.seconds_left(0), 0.0);
        assert_eq!([500, 2000, 1900].map(|records| rate.seconds_left(records)), [f64::INFINITY, f64::INFINITY, 19.0]);
    }
}
