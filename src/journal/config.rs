//! `[journal]` and `[dead_letter]`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::units;

/// Size in bytes of the write-ahead log from which it is checkpointed and restarted.
pub(super) const WAL_BYTES: usize = 4 * 1024 * 1024;

/// `[journal]`: the durable store on this machine's disk.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Its folder, which no other process may write. Default `data`.
    pub directory: PathBuf,
    /// The most bytes on disk, its WAL included. Beyond it notifications are refused (503): nothing that was answered 200
    /// is deleted to make space. Default 1 GiB, over a million notifications of ordinary size.
    #[serde(deserialize_with = "units::size")]
    pub max_bytes: usize,
    /// The bytes it leaves free on its file system, beside a reserve of 8 MiB for a full disk. Below it notifications are
    /// refused (503). Default 64 MiB; at least 4 MiB, the size of its log.
    #[serde(deserialize_with = "units::size")]
    pub min_free: usize,
    /// Whether the folder goes with the process, as a volume of a pod does. Then a stop forwards the backlog as long as
    /// `shutdown.grace` allows, logs what is left, and appends nothing more. Default false: the next start forwards it.
    pub ephemeral: bool,
    /// How long notifications for the journal alone are stored. What all brokers acked is deleted at once. Default 7 d.
    #[serde(deserialize_with = "units::duration")]
    pub retention: Duration,
    /// The largest body: `http.max_body`. Default 8 MiB.
    #[serde(skip)]
    pub max_body: usize,
}

impl Config {
    /// The bytes of `max_bytes` that are for the WAL. The database file never shrinks, so the WAL must fit the
    /// largest body even if all pages are free.
    pub fn wal_share(&self) -> usize {
        // the WAL is truncated at twice [`WAL_BYTES`]
        (4 * WAL_BYTES).max(2 * WAL_BYTES + self.max_body)
    }

    /// The smallest `min_free`: the WAL must have room also on a file system that cannot allocate it beforehand.
    pub const MIN_FREE: usize = WAL_BYTES;

    /// The smallest `max_bytes` with which the largest body fits.
    pub fn least_bytes(&self) -> usize {
        const TABLES: usize = 1024 * 1024;
        self.wal_share() + self.max_body + TABLES
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            directory: "data".into(),
            max_bytes: 1024 * 1024 * 1024,
            min_free: 64 * 1024 * 1024,
            ephemeral: false,
            retention: Duration::from_secs(7 * 24 * 3600),
            max_body: 8 * 1024 * 1024,
        }
    }
}

/// Which ids the journal stores for the dedup window (`[dedupe]`).
#[derive(Debug, Clone, Copy)]
pub struct DedupLimits {
    /// Ids younger than this.
    pub window: Duration,
    /// At most this many, the youngest.
    pub max_ids: usize,
}

/// `[dead_letter]`: dead letters in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetterConfig {
    /// How long they are stored. Default 30 d: someone has to read them.
    #[serde(deserialize_with = "units::duration")]
    pub retention: Duration,
}

impl Default for DeadLetterConfig {
    fn default() -> Self {
        Self { retention: Duration::from_secs(30 * 24 * 3600) }
    }
}
