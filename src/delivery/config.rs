//! `[publish]` and `[dedupe]`.

use std::time::Duration;

use serde::Deserialize;

use crate::journal::DedupLimits;
use crate::units;

/// `[publish]`: how long a broker has to ack.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PublishConfig {
    /// How long a publish waits for the broker's ack. Then the message goes to the journal, or without a journal the
    /// answer is 503. Default 2 s with a journal, 12 s without one: an ordinary failover of a broker takes up to 11 s.
    /// `"0s"` needs a journal: every message is journaled first.
    #[serde(deserialize_with = "units::optional_duration")]
    pub timeout: Option<Duration>,
}

impl PublishConfig {
    /// How long a broker has to ack, with or without a journal.
    pub fn timeout(&self, journal: bool) -> Duration {
        self.timeout.unwrap_or(Duration::from_secs(if journal { 2 } else { 12 }))
    }
}

/// `[dedupe]`: how long a stored notification is remembered.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DedupeConfig {
    /// How long the id of a stored notification stays in the dedup window. Default 15 m: many of GREEN-API's repeats,
    /// which come a minute apart. `"0s"`: no repeat is known, and each is stored again unless the stream's own window
    /// (2 m by default) knows it.
    #[serde(deserialize_with = "units::duration")]
    pub window: Duration,
    /// The most ids in the dedup window. Default 250,000, which take less than 10 MB.
    pub max_ids: usize,
}

impl DedupeConfig {
    /// Which ids the journal stores for the window.
    pub fn limits(&self) -> DedupLimits {
        DedupLimits { window: self.window, max_ids: self.max_ids }
    }
}

impl Default for DedupeConfig {
    fn default() -> Self {
        Self { window: Duration::from_secs(15 * 60), max_ids: 250_000 }
    }
}
