//! The content of files, by its digest.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Files that are loaded together, and what they held when they were last loaded.
///
/// The content is compared, not the time or the inode: Kubernetes swaps a symbolic link above the file, certbot replaces the
/// file, and an editor may do either.
#[derive(Debug, Clone)]
pub struct WatchedFiles {
    paths: Vec<PathBuf>,
    pub(super) loaded: Contents,
}

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
    let (mut file, mut hash, mut buffer) = (File::open(path)?, Sha256::new(), [0; 8192]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(length) => hash.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
