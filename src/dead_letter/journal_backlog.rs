//! The journal's backlog for a broker: a replay must not overtake it.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::journal::{self, JournalReader, Lane, OpenError};
use crate::message::{Broker, Message};

/// How often the backlog is counted.
const POLL_EVERY: Duration = Duration::from_millis(100);

/// Reads the backlog of a journal. The default has none.
#[derive(Debug, Default)]
pub struct JournalBacklog {
    /// `None` means that there is no journal.
    journal: Option<JournalReader>,
}

impl JournalBacklog {
    /// Opens the journal of a configuration, if it has one; a bridge may run on it.
    ///
    /// # Errors
    /// The journal cannot be read: why, in words.
    pub fn open(config: Option<&journal::Config>) -> Result<Self, String> {
        match config.map(|config| JournalReader::open(&config.directory)).transpose() {
            Ok(journal) => Ok(Self { journal }),
            // no bridge has run with this configuration yet
            Err(OpenError::NoJournal { .. }) => Ok(Self::default()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Waits until the lane of a message has no backlog at a broker, or until `until`. False means that it still has
    /// one. Records that join the lane later are younger than the message.
    ///
    /// # Errors
    /// The journal cannot be read: why, in words.
    pub async fn wait_until_empty(&self, message: &Message, broker: Broker, until: Instant) -> Result<bool, String> {
        let Some(journal) = &self.journal else { return Ok(true) };
        let lane = Lane::of(message, broker);
        while journal.has_backlog(broker, lane).await.map_err(|error| error.to_string())? {
            if Instant::now() >= until {
                return Ok(false);
            }
            sleep(POLL_EVERY).await;
        }
        Ok(true)
    }
}
