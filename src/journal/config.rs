//! `[journal]` and `[dead_letter]`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::units;

/// The log is brought into the database when it has about so many bytes; then it is written from its beginning again.
pub(super) const LOG: usize = 4 * 1024 * 1024;

/// `[journal]`: the durable store on this machine's disk.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Its folder, which no other process may write. Default `data`.
    pub directory: PathBuf,
    /// The most bytes it takes on disk, its log included. Beyond it notifications are refused (503): nothing that was
    /// answered 200 is deleted to make room. Default 1 GiB, over a million notifications of ordinary size.
    #[serde(deserialize_with = "units::size")]
    pub max_bytes: usize,
    /// What it leaves free on its file system, beside 8 MiB that it takes as a reserve, for a start on a full disk. Below
    /// it notifications are refused (503). Default 64 MiB.
    #[serde(deserialize_with = "units::size")]
    pub min_free: usize,
    /// How long notifications that are owed to no broker are kept. What was forwarded is deleted at once. Default 7 d.
    #[serde(deserialize_with = "units::duration")]
    pub retention: Duration,
    /// The largest body that comes: `http.max_body`. Default 8 MiB.
    #[serde(skip)]
    pub largest: usize,
}

impl Config {
    /// The bytes that the database leaves to the log: once its pages are there they stay, and the largest body must have
    /// room in the log too when all of them are empty.
    pub fn for_log(&self) -> usize {
        // it is cut off when it is twice as long as it should be
        (4 * LOG).max(2 * LOG + self.largest)
    }

    /// The least `max_bytes` with which the largest body can be kept at all.
    pub fn least_bytes(&self) -> usize {
        const TABLES: usize = 1024 * 1024;
        self.for_log() + self.largest + TABLES
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            directory: "data".into(),
            max_bytes: 1024 * 1024 * 1024,
            min_free: 64 * 1024 * 1024,
            retention: Duration::from_secs(7 * 24 * 3600),
            largest: 8 * 1024 * 1024,
        }
    }
}

/// `[dead_letter]`: those that are kept in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetterConfig {
    /// How long. Default 30 d: someone has to look at them.
    #[serde(deserialize_with = "units::duration")]
    pub retention: Duration,
}

impl Default for DeadLetterConfig {
    fn default() -> Self {
        Self { retention: Duration::from_secs(30 * 24 * 3600) }
    }
}
