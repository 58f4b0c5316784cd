//! `[publish]` and `[dedupe]`.

use std::time::Duration;

use serde::Deserialize;

use crate::units;

/// `[publish]`: how long a broker gets.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PublishConfig {
    /// Default 2 s where there is a journal; then the message is kept there. `"0s"`: the journal first, always. Without
    /// one 12 s: an ordinary failover of a broker takes up to 11 s.
    #[serde(deserialize_with = "units::optional_duration")]
    pub timeout: Option<Duration>,
}

impl PublishConfig {
    /// How long a broker gets, with or without a journal.
    pub fn timeout(&self, journal: bool) -> Duration {
        self.timeout.unwrap_or(Duration::from_secs(if journal { 2 } else { 12 }))
    }
}

/// `[dedupe]`: how long a stored notification is remembered.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DedupeConfig {
    /// Default 15 m: many of GREEN-API's repeats, which come a minute apart. `"0s"`: no repeat is known, and each is
    /// stored again unless the stream's own window (2 m where none is asked for) knows it.
    #[serde(deserialize_with = "units::duration")]
    pub window: Duration,
    /// Default 250,000, which take less than 10 MB.
    pub max_ids: usize,
}

impl Default for DedupeConfig {
    fn default() -> Self {
        Self { window: Duration::from_secs(15 * 60), max_ids: 250_000 }
    }
}
