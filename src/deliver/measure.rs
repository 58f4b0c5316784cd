//! What is owed, in numbers.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::interval;
use tracing::info;

use super::keep::Keeper;
use crate::message::Broker;
use crate::observe::Metrics;

/// Shows in the metrics what is owed, how old it is, and when it will be forwarded, until the process ends.
pub(super) async fn measure(keeper: Keeper, metrics: Arc<Metrics>) {
    let now = keeper.clone();
    metrics.journal.refreshed_by(move |shown| {
        let usage = now.journal.usage();
        shown.bytes(usage.bytes(), usage.capacity());
        for broker in Broker::ALL {
            let (owed, since) = now.lanes(broker).owed();
            let age = since.and_then(|since| SystemTime::now().duration_since(since).ok()).unwrap_or_default();
            shown.owed(broker as usize, owed, age);
        }
    });
    let mut due = interval(Duration::from_secs(1));
    let mut rates = [Rate::default(); Broker::ALL.len()];
    let mut backlogs = Broker::ALL.map(|broker| Backlog(keeper.lanes(broker).owed().0 > 0));
    loop {
        due.tick().await;
        for broker in Broker::ALL {
            let (owed, since) = keeper.lanes(broker).owed();
            let left = rates[broker as usize].left(owed);
            metrics.journal.left(broker as usize, left);
            let age = since.and_then(|since| SystemTime::now().duration_since(since).ok()).unwrap_or_default();
            if backlogs[broker as usize].is_over(owed, age) {
                info!(broker = broker.as_str(), "nothing is owed any more");
            }
        }
    }
}

/// How long the oldest record waits before it is a backlog: where all goes through the journal first, something is owed
/// at most times.
const BACKLOG: Duration = Duration::from_secs(5);

/// Whether a broker is owed what it did not take when it came.
struct Backlog(bool);

impl Backlog {
    /// Whether there was one, and is none any more. To be asked each second.
    fn is_over(&mut self, owed: u64, age: Duration) -> bool {
        let was = self.0;
        self.0 = owed > 0 && (was || age >= BACKLOG);
        was && !self.0
    }
}

/// How fast what is owed becomes less.
#[derive(Debug, Default, Clone, Copy)]
struct Rate {
    before: u64,
    /// Records a second, of the last seconds.
    falls: f64,
}

impl Rate {
    /// Seconds until nothing is owed; infinite while it does not become less. To be asked each second.
    fn left(&mut self, owed: u64) -> f64 {
        let fell = self.before as f64 - owed as f64;
        self.before = owed;
        // once it falls, how fast it rose before says nothing any more
        self.falls = if self.falls <= 0.0 && fell > 0.0 { fell } else { self.falls + (fell - self.falls) / 5.0 };
        match owed {
            0 => {
                self.falls = 0.0;
                0.0
            }
            _ if self.falls > 0.0 => owed as f64 / self.falls,
            _ => f64::INFINITY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_over_once_and_what_passes_through_is_none() {
        let mut backlog = Backlog(false);
        let mut over = |owed, seconds| backlog.is_over(owed, Duration::from_secs(seconds));
        assert!([(3, 0), (0, 0), (2, 1), (1, 4), (0, 0)].iter().all(|(owed, age)| !over(*owed, *age)));
        let outage = [(9, 5), (4, 6), (4, 1), (0, 0), (0, 0), (1, 0), (0, 0)].map(|(owed, age)| over(owed, age));
        assert_eq!(outage, [false, false, false, true, false, false, false]);
        assert!(Backlog(true).is_over(0, Duration::ZERO), "owed from before, and taken at once");
    }

    #[test]
    fn the_time_left_is_what_is_owed_by_how_fast_it_falls() {
        let mut rate = Rate::default();
        assert_eq!(rate.left(1000), f64::INFINITY, "it rose");
        let mut left = 0.0;
        for owed in (0..60).map(|second| 10_000 - second * 100) {
            left = rate.left(owed);
        }
        assert!((39.0..=45.0).contains(&left), "4100 at about 100 a second: {left}");
        assert_eq!(rate.left(0), 0.0);
        assert_eq!([500, 2000, 1900].map(|owed| rate.left(owed)), [f64::INFINITY, f64::INFINITY, 19.0]);
    }
}
