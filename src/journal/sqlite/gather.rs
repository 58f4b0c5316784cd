//! Gathering commands for one transaction.

use super::batch::WriteBatch;
use super::fault::is_failed_sync;
use super::queue::{Command, Job};
use super::writer::Writer;

/// How often other threads may run first while more appends are likely on their way.
const YIELDS: usize = 3;

/// Whether the writer goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Continue,
    Stop,
}

impl Writer {
    /// Gathers this command and those that wait behind it.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(super) fn gather(&mut self, batch: &mut WriteBatch, first: Command) -> rusqlite::Result<Next> {
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Append(append) => batch.add_append(append),
                Command::Ack(ack) => batch.add_ack(ack),
                Command::Ids => batch.ids.add(self.load.take_ids()),
                Command::Sync(synced) => batch.synced.push(synced),
                Command::Edit(job) => {
                    self.before_edit(batch)?;
                    return self.edit(job);
                }
                Command::LongEdit(job) => {
                    self.before_edit(batch)?;
                    self.activity.mark_idle();
                    return self.edit(job);
                }
                Command::Stop => return Ok(Next::Stop),
            }
            next = if batch.is_full() { None } else { self.next(batch) };
        }
        Ok(Next::Continue)
    }

    /// Writes everything that came before an edit.
    fn before_edit(&mut self, batch: &mut WriteBatch) -> rusqlite::Result<()> {
        self.write(batch, true)?;
        // if it is not possible now, the edit's own transaction fails
        let _ = self.sync(true);
        Ok(())
    }

    /// Runs an edit in transactions of its own. One that damage prevents has changed nothing.
    fn edit(&mut self, job: Job) -> rusqlite::Result<Next> {
        let failed = job(&mut self.connection).filter(is_failed_sync);
        // some edits checkpoint
        self.capacity.forget_allocated();
        match failed {
            Some(error) => Err(error),
            None => Ok(Next::Continue),
        }
    }

    /// The next command that waits. A commit of a few records costs hardly less than one of many, and takes the CPU from
    /// the threads that bring them.
    fn next(&self, batch: &WriteBatch) -> Option<Command> {
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
