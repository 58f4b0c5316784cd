//! Stopping: who is told, and how much time is left.

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
    /// All of it takes at most this long. Default 25 s: Kubernetes kills after 30.
    #[serde(deserialize_with = "units::duration")]
    pub grace: Duration,
    /// How long it keeps serving, not ready, before it stops to accept. Default none.
    #[serde(deserialize_with = "units::duration")]
    pub delay: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { grace: Duration::from_secs(25), delay: Duration::ZERO }
    }
}

/// Whether the process is about to stop. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    begun: CancellationToken,
    end: Arc<OnceLock<Instant>>,
}

/// What is kept of the grace for the last answer to be written and the last log line to be said.
const RESERVE: Duration = Duration::from_secs(1);

impl Shutdown {
    /// Begins to stop; everything is over at `end`.
    pub fn begin(&self, end: Instant) {
        let _ = self.end.set(end);
        self.begun.cancel();
    }

    /// Whether it has begun.
    pub fn is_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits until it begins.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// The deadline, or an earlier one that the grace leaves.
    pub fn cap(&self, deadline: Instant) -> Instant {
        self.end.get().map_or(deadline, |end| deadline.min(*end - RESERVE))
    }
}
