//! The ledger: a line for each notification answered 200, written before the instance sends its next one.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use crate::message::Id;

/// A writer of lines. Each line is written at once and without a buffer, so that the ledger of a killed process is complete.
pub struct Ledger(Mutex<Box<dyn Write + Send>>);

/// One line: the fields in this order, separated by tabs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'w> {
    /// The instance.
    pub instance: u64,
    /// The number of the notification among those of its instance, from 1.
    pub sequence: u64,
    /// The id the bridge gives it: `ce_id` in Kafka, `ce-id` in NATS.
    pub id: Id,
    /// The status, 200.
    pub status: u16,
    /// The value of `stored` in the answer: `broker`, `journal`, `duplicate`, `dead_letter`; `-` if it had none.
    pub stored: &'w str,
    /// When it was answered, Unix milliseconds.
    pub at: u128,
}

impl Ledger {
    /// A ledger that writes to `to`, without a buffer.
    pub fn new(to: impl Write + Send + 'static) -> Self {
        Self(Mutex::new(Box::new(to)))
    }

    pub(super) fn write(&self, line: &Line<'_>) -> io::Result<()> {
        let text = format!("{line}\n");
        let mut to = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        to.write_all(text.as_bytes())?;
        to.flush()
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Ledger")
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { instance, sequence, id, status, stored, at } = self;
        write!(out, "{instance}\t{sequence}\t{id}\t{status}\t{stored}\t{at}")
    }
}
