//! What a journal still owes a broker: a replay must not overtake it.

use tokio::time::Instant;

use crate::journal;
#[cfg(feature = "journal")]
use crate::journal::store::{Reader, queries::owes};
#[cfg(feature = "journal")]
use crate::journal::{Lane, OpenError};
use crate::message::{Broker, Message};

/// How often it is looked whether something is still owed.
#[cfg(feature = "journal")]
const EVERY: std::time::Duration = std::time::Duration::from_millis(100);

/// Tells what goes before a replay; by default nothing does.
#[derive(Debug, Default)]
pub struct Behind {
    #[cfg(feature = "journal")]
    journal: Option<Reader>,
}

impl Behind {
    /// What is in this journal, if there is one; a bridge may run on it.
    ///
    /// # Errors
    /// It cannot be read; in words.
    #[cfg_attr(not(feature = "journal"), allow(unused_variables, reason = "there is none"))]
    pub fn journal(config: Option<&journal::Config>) -> Result<Self, String> {
        #[cfg(feature = "journal")]
        match config.map(|config| Reader::open(&config.directory)).transpose() {
            Ok(journal) => return Ok(Self { journal }),
            // no bridge has run with it yet
            Err(OpenError::None { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
        Ok(Self::default())
    }

    /// Waits until `until` for nothing to be owed that goes where this one goes. Whether that came; what is kept later
    /// is younger.
    ///
    /// # Errors
    /// The journal cannot be read; in words.
    #[cfg_attr(not(feature = "journal"), allow(unused_variables, clippy::unused_async, reason = "nothing is owed"))]
    pub async fn wait(&self, message: &Message, broker: Broker, until: Instant) -> Result<bool, String> {
        #[cfg(feature = "journal")]
        if let Some(journal) = &self.journal {
            let lane = Lane::of(message, broker);
            while journal.read(move |db| owes(db, broker, lane)).await.map_err(|error| error.to_string())? {
                if Instant::now() >= until {
                    return Ok(false);
                }
                tokio::time::sleep(EVERY).await;
            }
        }
        Ok(true)
    }
}
