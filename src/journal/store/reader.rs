//! Reading, in a thread of its own, in transactions that are over before anything is waited for: while one is open the
//! log can only grow.

use std::path::Path;
use std::sync::mpsc;

use rusqlite::Connection;
use thiserror::Error;
use tokio::sync::oneshot;

use super::super::OpenError;
use super::{directory, readable, schema};

/// What is read, and where it is told.
type Job = Box<dyn FnOnce(&Connection) + Send>;

/// Why something could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// SQLite says no.
    #[error("the journal cannot be read: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The reading thread is gone.
    #[error("the journal is closed")]
    Closed,
}

/// Reads a journal. Cheap to clone; one thing after the other is read for all clones.
#[derive(Debug, Clone)]
pub struct Reader(mpsc::Sender<Job>);

impl Reader {
    /// Reads the journal in this folder, also while another process writes it.
    ///
    /// # Errors
    /// [`OpenError`]: there is none, or one of another version.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let path = directory::database(directory);
        let unusable = |source| OpenError::of(path.clone(), source);
        if !path.exists() {
            return Err(OpenError::None { path: directory.into() });
        }
        let connection = readable(&path).map_err(unusable)?;
        let found = schema::version(&connection).map_err(unusable)?;
        if found != schema::VERSION {
            return Err(OpenError::Newer { path, found, known: schema::VERSION });
        }
        let (jobs, received) = mpsc::channel::<Job>();
        let read = move || received.into_iter().for_each(|job| job(&connection));
        let thread = std::thread::Builder::new().name("journal-read".into()).spawn(read);
        thread.map_err(|source| OpenError::Directory { path: directory.into(), source })?;
        Ok(Self(jobs))
    }

    /// Reads something, in one short transaction.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // who gave up has nothing to hear
            let _ = tell.send(what(connection));
        });
        self.0.send(job).map_err(|_| ReadError::Closed)?;
        Ok(told.await.map_err(|_| ReadError::Closed)??)
    }
}
