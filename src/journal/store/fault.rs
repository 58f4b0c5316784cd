//! What the disk says.

use rusqlite::{ErrorCode, ffi};

use super::directory::Directory;

/// A sync that failed may have lost what was written before it, and a second one would not say so; what is corrupt
/// was not kept. See the PostgreSQL project's "fsync errors" for how kernels answer a second sync.
pub(super) fn is_final(error: &rusqlite::Error) -> bool {
    let extended = error.sqlite_error().map(|error| error.extended_code);
    let of_a_sync = [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC].map(Some).contains(&extended);
    let corrupt = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase].map(Some).contains(&error.sqlite_error_code());
    of_a_sync || corrupt
}

/// A bounded tag for the others. SQLite does not say which fault of reading or writing it was: the file system is asked.
pub(super) fn reason(error: &rusqlite::Error, directory: &Directory) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "no_space",
        Some(ErrorCode::ReadOnly) => "read_only",
        Some(ErrorCode::SystemIoFailure) if directory.is_read_only() => "read_only",
        _ => "failed",
    }
}

/// Lets go of what may be tried again.
pub(super) fn only_final(done: rusqlite::Result<()>) -> rusqlite::Result<()> {
    done.or_else(|error| if is_final(&error) { Err(error) } else { Ok(()) })
}
