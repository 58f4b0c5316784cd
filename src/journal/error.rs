//! The errors of a journal.

use std::path::PathBuf;

use thiserror::Error;

/// What SQLite reports.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a journal cannot be opened, and what to do about it.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The folder cannot be used.
    #[error("{}: {source}; give a folder that this user can create and write", path.display())]
    Directory {
        /// `journal.directory`.
        path: PathBuf,
        /// Error of making or opening it.
        source: std::io::Error,
    },
    /// One of its files cannot be used.
    #[error("{}: {source}; give it to the user of the bridge with chown, or run this as its owner", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Error of creating or opening it.
        source: std::io::Error,
    },
    /// The folder is on a file system of other machines.
    #[error("{} is on a network file system ({name}), whose locks and syncs cannot be relied on; give a folder on a disk of this machine", path.display())]
    Network {
        /// `journal.directory`.
        path: PathBuf,
        /// The file system.
        name: &'static str,
    },
    /// The folder is in use for something else.
    #[error("{} is in use for something else: it has {file}, and no journal; name an empty folder, or one that does not exist", path.display())]
    Occupied {
        /// `journal.directory`.
        path: PathBuf,
        /// One of the files there.
        file: String,
    },
    /// The database is a symbolic link.
    #[error("{}: a symbolic link, whose target can change; set journal.directory to the folder of the database itself", path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// Another process writes it.
    #[error("{} is in use by another process; give each bridge a folder of its own, or stop the other", path.display())]
    InUse {
        /// `journal.directory`.
        path: PathBuf,
    },
    /// There is none.
    #[error("no journal in {}; give the configuration of the bridge that has one with --config, or its folder as journal.directory", path.display())]
    NoJournal {
        /// `journal.directory`.
        path: PathBuf,
    },
    /// Its schema has another version.
    #[error("{}: of version {found}, this program knows {known}; use the program that wrote it, or run the bridge once to bring it up to date", path.display())]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: usize,
        /// The version of this program.
        known: usize,
    },
    /// This program was built without the journal.
    #[error("this build has no journal; build with the feature `journal`")]
    NotBuilt,
    /// Its disk is full.
    #[error("{}: its disk is full; free at least {} MiB more there", path.display(), missing.div_ceil(1024 * 1024))]
    Full {
        /// The file.
        path: PathBuf,
        /// How many bytes the start needs that the disk does not have.
        missing: u64,
    },
    /// Another program made the database.
    #[error("{}: no journal, but the database of another program; give another folder", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a journal, or has lost a part of itself.
    #[error("{}: {source}; not a journal, or corrupt; restore a complete copy, or set journal.directory to another folder", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Error of SQLite or of the file system.
        source: Source,
    },
    /// SQLite reports another error.
    #[error("{}: {source}; see that its disk can be read and written, and that no other process has it open", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Error of SQLite or of the file system.
        source: Source,
    },
}

impl OpenError {
    /// Whether a later try may succeed although nobody changes the configuration.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::InUse { .. } | Self::Full { .. } => true,
            Self::Directory { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
            _ => false,
        }
    }
}

/// Why the journal does not store a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not stored in the journal: {}", self.as_str())]
pub enum JournalRefusal {
    /// It has as many bytes as `journal.max_bytes` permits.
    Full,
    /// Its write-ahead log cannot be emptied: something reads the database, and does not end.
    LogHeld,
    /// Its file system has too little left.
    NoSpace,
    /// Its file system is read-only.
    ReadOnly,
    /// Its disk returned another error.
    Failed,
    /// Its disk hangs.
    Stalled,
    /// Too many records wait for its disk.
    QueueFull,
    /// It is ephemeral, and the process stops.
    Stopping,
    /// Its disk lost what was written, or the journal is closed.
    Broken,
}

impl JournalRefusal {
    /// The label in logs, metrics and `/readyz`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::LogHeld => "log_held",
            Self::NoSpace => "no_space",
            Self::ReadOnly => "read_only",
            Self::Failed => "failed",
            Self::Stalled => "stalled",
            Self::QueueFull => "queue_full",
            Self::Stopping => "stopping",
            Self::Broken => "broken",
        }
    }
}

impl From<JournalRefusal> for &'static str {
    fn from(refusal: JournalRefusal) -> Self {
        refusal.as_str()
    }
}

/// Why a journal could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// SQLite reports an error.
    #[error("the journal cannot be read: {0}")]
    Sqlite(String),
    /// Too many others wait for it.
    #[error("the journal cannot be read now: too many wait for its disk")]
    Busy,
    /// The thread that reads has ended.
    #[error("the journal is closed")]
    Closed,
}

/// Why a batch of an edit changed nothing; earlier batches stay applied.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// The writer has ended.
    #[error("the journal is closed; nothing more was changed")]
    Closed,
    /// SQLite reports an error.
    #[error("the journal cannot be changed: {0}")]
    Sqlite(String),
}
