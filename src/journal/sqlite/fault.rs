//! The faults of a disk, as SQLite reports them.

use std::path::PathBuf;

use rusqlite::{ErrorCode, ffi};

use super::super::{JournalRefusal, OpenError};
use super::directory::Directory;

/// Whether the disk cannot be trusted after this error. A sync that failed may have lost what was written before it,
/// and a second sync would not report that; a corrupt file lost something too. See the PostgreSQL project's "fsync
/// errors" for how kernels answer a second sync.
pub(super) fn is_final(error: &rusqlite::Error) -> bool {
    let corrupt = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase].map(Some).contains(&error.sqlite_error_code());
    corrupt || is_failed_sync(error)
}

/// Whether a sync failed.
pub(super) fn is_failed_sync(error: &rusqlite::Error) -> bool {
    let extended = error.sqlite_error().map(|error| error.extended_code);
    [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC].map(Some).contains(&extended)
}

/// Why the journal refuses records after any other error. SQLite does not distinguish faults of reading and writing, so
/// this asks the file system.
pub(super) fn refusal(error: &rusqlite::Error, directory: &Directory) -> JournalRefusal {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => JournalRefusal::NoSpace,
        Some(ErrorCode::ReadOnly) => JournalRefusal::ReadOnly,
        Some(ErrorCode::SystemIoFailure) if directory.is_read_only() => JournalRefusal::ReadOnly,
        _ => JournalRefusal::Failed,
    }
}

/// Whether the file system has no blocks left.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

/// Ignores every error after which the same can be tried again.
pub(super) fn only_final(done: rusqlite::Result<()>) -> rusqlite::Result<()> {
    done.or_else(|error| if is_final(&error) { Err(error) } else { Ok(()) })
}

impl OpenError {
    /// Why this file cannot be opened, by the error that SQLite reports.
    pub(super) fn of(path: PathBuf, source: rusqlite::Error) -> Self {
        use rusqlite::Error;
        // SQLite has no code of its own for a table or a column that is missing
        let (Error::SqliteFailure(ffi::Error { code, .. }, _)
        | Error::SqlInputError { error: ffi::Error { code, .. }, .. }) = &source
        else {
            return Self::Database { path, source: source.into() };
        };
        match code {
            ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::Unknown => {
                Self::Broken { path, source: source.into() }
            }
            _ => Self::Database { path, source: source.into() },
        }
    }
}
