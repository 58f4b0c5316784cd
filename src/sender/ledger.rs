//! The ledger: a line for each notification that was answered 200, written before the next is sent.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use crate::message::Id;

/// Where lines go. Each is written whole and at once, so that what a killed sender was told can be read.
pub struct Ledger(Mutex<Box<dyn Write + Send>>);

/// One line: tab between the fields, in the order they stand here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'w> {
    /// The instance.
    pub instance: u64,
    /// The place of the notification among those of its instance, from 1.
    pub sequence: u64,
    /// What the bridge calls it: `ce_id` and `ce-id`.
    pub id: Id,
    /// The status, 200.
    pub status: u16,
    /// The word the bridge said of it: `broker`, `duplicate`, `dead_letter`; `-` if it said none.
    pub stored: &'w str,
    /// When, Unix milliseconds.
    pub at: u128,
}

impl Ledger {
    /// A ledger that is written here, without a buffer between.
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
