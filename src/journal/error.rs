//! What can be wrong of a journal.

use std::path::PathBuf;

use thiserror::Error;

/// Why a journal cannot be opened, and what to do about it.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Its folder.
    #[error("{}: {source}; give a folder this user can make and write", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file system of other machines.
    #[error("{} is on a network file system ({name}), whose locks and syncs cannot be relied on; give a folder on a disk of this machine", path.display())]
    Network {
        /// The folder.
        path: PathBuf,
        /// The file system.
        name: &'static str,
    },
    /// Another process writes it.
    #[error("{} is written by another process; give each bridge a folder of its own, or stop the other", path.display())]
    Taken {
        /// The folder.
        path: PathBuf,
    },
    /// There is none.
    #[error("no journal in {}; give the configuration of the bridge that has one with --config, or its folder as journal.directory", path.display())]
    None {
        /// The folder.
        path: PathBuf,
    },
    /// Of another version.
    #[error("{}: of version {found}, this program knows {known}; use the program that wrote it, or run the bridge once to bring it up to date", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: usize,
        /// Ours.
        known: usize,
    },
    /// This build has none.
    #[error("this build has no journal; build with the feature `journal`")]
    NotBuilt,
    /// Its disk is full.
    #[cfg(feature = "journal")]
    #[error("{}: {source}; its disk is full: make room there, 16 MiB at least", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A database that something else made.
    #[error("{}: no journal, but the database of another program; give another folder", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is none, or one that lost a part of itself.
    #[cfg(feature = "journal")]
    #[error("{}: {source}; this is no journal, or a broken one: give journal.directory another folder, or put a whole copy of it there", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// SQLite says no.
    #[cfg(feature = "journal")]
    #[error("{}: {source}; see that its disk can be read and written, and that nothing else holds it", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

#[cfg(feature = "journal")]
impl OpenError {
    /// What SQLite says of this file.
    pub(super) fn of(path: PathBuf, source: rusqlite::Error) -> Self {
        use rusqlite::{Error, ErrorCode, ffi};
        // what it knows no code for is a table or a column that is not there
        let (Error::SqliteFailure(ffi::Error { code, .. }, _)
        | Error::SqlInputError { error: ffi::Error { code, .. }, .. }) = &source
        else {
            return Self::Database { path, source };
        };
        match code {
            ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::Unknown => Self::Broken { path, source },
            _ => Self::Database { path, source },
        }
    }
}

/// Why a record was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not kept: {reason}")]
pub struct Refused {
    /// A bounded tag.
    pub reason: &'static str,
}

/// Why a journal was not changed.
#[cfg(feature = "journal")]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// The writer is gone.
    #[error("the journal is closed; nothing more was changed")]
    Gone,
    /// SQLite says no.
    #[error("the journal cannot be changed: {0}")]
    Sqlite(String),
}
