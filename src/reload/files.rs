//! The content of files, by its digest.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Files that are loaded together, and their content when they were last loaded.
///
/// The content is compared, not the time or the inode: Kubernetes swaps a symbolic link above the file, certbot replaces the
/// file, and an editor may do either.
#[derive(Debug, Clone)]
pub struct WatchedFiles {
    paths: Vec<PathBuf>,
    pub(super) loaded: Contents,
}

/// The largest file that is read: more than a tokens file of 100,000 instances has.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// What each of the files holds.
pub(super) type Contents = Vec<Content>;

/// What one file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Read([u8; 32]),
    Unreadable(io::ErrorKind),
}

impl WatchedFiles {
    /// Reads the files. The caller does so before it loads them: a change in between must not be missed.
    pub fn read(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let paths: Vec<_> = paths.into_iter().collect();
        let loaded = contents(&paths);
        Self { paths, loaded }
    }

    /// Why the files may not be loaded: to open a pipe, or to read a device, may take for ever.
    pub(super) fn problem(&self) -> Option<String> {
        let is_odd = |path: &&PathBuf| {
            std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() || metadata.len() > MAX_FILE)
        };
        let odd = self.paths.iter().find(is_odd)?;
        Some(format!("{}: no file, or larger than {} MiB; put a file there", odd.display(), MAX_FILE >> 20))
    }

    /// What the files hold now.
    pub(super) fn contents(&self) -> Contents {
        contents(&self.paths)
    }
}

fn contents(paths: &[PathBuf]) -> Contents {
    let content = |path: &PathBuf| digest(path).map_or_else(|error| Content::Unreadable(error.kind()), Content::Read);
    paths.iter().map(content).collect()
}

fn digest(path: &Path) -> io::Result<[u8; 32]> {
    // to open a pipe, or to read a device, may take for ever
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut hash = Sha256::new();
    hash.update(std::fs::read(path)?);
    Ok(hash.finalize().into())
}
