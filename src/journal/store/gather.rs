//! Gathering what waits for the writer into one transaction.

use super::super::Command;
use super::batch::Batch;
use super::fault::is_final;
use super::writer::Writer;

/// How often others may go first while more records are likely on their way.
const YIELDS: usize = 3;

impl Writer {
    /// Gathers this command and those that wait behind it. Whether it was the last.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(super) fn take(&mut self, batch: &mut Batch, first: Command) -> rusqlite::Result<bool> {
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Append { message, owed, unknown, of, done } => {
                    batch.bytes += message.body.len();
                    batch.appends.push((message, owed, unknown, of, done));
                }
                Command::Settle { seq, broker, bytes } => batch.settle(seq, broker, bytes),
                Command::Seen(ids, stream) => batch.saw(ids, stream),
                Command::Synced(told) => batch.told.push(told),
                Command::Change(change) => {
                    // in its own transaction: what came before it is written first
                    self.write(batch, true)?;
                    let _ = self.sync(true);
                    return match change(&mut self.connection).filter(is_final) {
                        Some(error) => Err(error),
                        None => Ok(false),
                    };
                }
                Command::Stop => return Ok(true),
            }
            next = if batch.is_full() { None } else { self.next(batch) };
        }
        Ok(false)
    }

    /// What waits. A commit of a few records costs hardly less than one of many, and takes the CPU from who brings them.
    fn next(&self, batch: &Batch) -> Option<Command> {
        let mut next = self.commands.try_recv().ok();
        for _ in 0..YIELDS {
            if next.is_some() || !batch.expects_more() {
                break;
            }
            std::thread::yield_now();
            next = self.commands.try_recv().ok();
        }
        next
    }
}
