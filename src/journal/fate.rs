//! What can become of a record by hand.

use std::time::SystemTime;

use crate::message::{Brokers, Message};

/// What becomes of a record.
#[derive(Debug)]
pub enum Fate {
    /// Nothing.
    Stays,
    /// It goes another way, at its old place among all records.
    Becomes {
        /// What it is now.
        message: Box<Message>,
        /// Whom it is owed to.
        owed: Brokers,
        /// Those of them that may have it all the same.
        unknown: Brokers,
    },
    /// It is deleted.
    Goes,
}

/// How a lane was changed.
#[derive(Debug, Clone, Copy)]
pub struct Moved {
    /// So many records more, or less.
    pub records: i64,
    /// The last that came to it; 0: none did.
    pub last: i64,
    /// When the first of all these was received.
    pub since: SystemTime,
}
