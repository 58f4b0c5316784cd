//! What can be said of a journal without taking it.

use super::{Config, Journal, OpenError};
use crate::message::Broker;

/// How a journal stands, or one would that is not there yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// The bytes its file system has left, beside those it still sets aside.
    pub free: u64,
    /// The bytes it still sets aside at a start: its reserve, and those of its log.
    pub aside: u64,
    /// Records that are owed to each broker, by its place.
    pub owed: [u64; Broker::ALL.len()],
    /// The bytes of its database that something is in.
    pub used: u64,
    /// Whether a notification of 256 KiB has room, or why not, as a bounded tag: `full`, `no_space`.
    pub room: Result<(), &'static str>,
}

/// How much is taken of the room a journal has for records, in words: of the most bytes, the log's are kept for it.
pub fn taken(used: u64, most: u64, for_log: u64) -> String {
    let shown = |bytes: u64| bytesize::ByteSize::b(bytes).display().iec().to_string();
    let [used, room, log] = [used, most.saturating_sub(for_log), for_log].map(shown);
    format!("{used} of {room} taken, {log} more are kept for its log")
}

impl Journal {
    /// Looks at the journal there is, or would be made, as a bridge would that starts with it. Changes nothing, asks for
    /// no lock, and blocks: what is owed is counted.
    ///
    /// # Errors
    /// [`OpenError`]: a bridge would not start with it.
    pub fn look_at(config: &Config) -> Result<Outlook, OpenError> {
        #[cfg(feature = "journal")]
        return super::store::look_at(config);
        #[cfg(not(feature = "journal"))]
        {
            let _ = config;
            Err(OpenError::NotBuilt)
        }
    }
}
