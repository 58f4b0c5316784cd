//! The stop of the process: whether it has begun, and when it ends at the latest.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::units;

/// `[shutdown]`: how the process stops.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The longest time of a stop. Default 25 s: Kubernetes kills after 30.
    #[serde(deserialize_with = "units::duration")]
    pub grace: Duration,
    /// How long it still accepts connections while it is not ready. Default none.
    #[serde(deserialize_with = "units::duration")]
    pub delay: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { grace: Duration::from_secs(25), delay: Duration::ZERO }
    }
}

/// Whether the process is stopping. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    begun: CancellationToken,
    end: Arc<OnceLock<Instant>>,
}

/// The part of the grace in which the last answers and log lines are written.
const RESERVE: Duration = Duration::from_secs(1);

impl Shutdown {
    /// Begins the stop, which ends at `end` at the latest.
    pub fn begin(&self, end: Instant) {
        let _ = self.end.set(end);
        self.begun.cancel();
    }

    /// Whether the stop has begun.
    pub fn is_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits until the stop begins.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// The deadline, or an earlier one if the grace ends before it.
    pub fn cap(&self, deadline: Instant) -> Instant {
        self.end.get().map_or(deadline, |end| deadline.min(*end - RESERVE))
    }
}
