//! The folder of a journal: ours alone, on a disk of this machine.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, FallocateFlags, fallocate};
use rustix::io::Errno;
use tracing::warn;

use super::super::OpenError;

/// The file of the database in its folder.
const DATABASE: &str = "journal.db";
/// What is given up where a start finds the disk full: enough to bring the log into the database, and for the log of
/// what is forwarded then.
const RESERVE: u64 = 8 * 1024 * 1024;

/// File systems whose locks and syncs cannot be relied on (`linux/magic.h`, and their own sources).
const NETWORK: [(i64, &str); 9] = [
    (0x6969, "nfs"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x517b, "smb"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "ceph"),
    (0x0bd0_0bd0, "lustre"),
    (0x5346_414f, "afs"),
    (0x7461_636f, "ocfs2"),
];

/// A folder that no other process writes for as long as this lives, if it was taken.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Which file the database is.
    inode: u64,
    _lock: Option<File>,
}

impl Directory {
    /// Makes the folder where there is none, and takes it.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        let unusable = |source| OpenError::Directory { path: path.into(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        // a volume that is not ours to change is guarded by who mounted it
        let _ = std::fs::set_permissions(path, Permissions::from_mode(0o700));
        if let Some(name) = network(path).map_err(unusable)? {
            return Err(OpenError::Network { path: path.into(), name });
        }
        let lock = private(&path.join("lock")).map_err(unusable)?;
        match take(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Taken { path: path.into() }),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let inode = private(&path.join(DATABASE)).and_then(|file| file.metadata()).map_err(unusable)?.ino();
        let taken = Self { path: path.into(), inode, _lock: Some(lock) };
        taken.sync().map_err(unusable)?;
        Ok(taken)
    }

    /// A folder that is only looked at.
    pub(super) fn beside(path: &Path) -> Self {
        let inode = std::fs::metadata(database(path)).map_or(0, |file| file.ino());
        Self { path: path.into(), inode, _lock: None }
    }

    pub(super) fn database(&self) -> PathBuf {
        database(&self.path)
    }

    /// Whether the database was taken away: what is written to it then is nowhere.
    pub(super) fn is_gone(&self) -> bool {
        match std::fs::metadata(self.database()) {
            Ok(there) => there.ino() != self.inode,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// The bytes of the log, which is not part of the database yet.
    pub(super) fn log_bytes(&self) -> u64 {
        std::fs::metadata(self.log()).map_or(0, |file| file.len())
    }

    fn log(&self) -> PathBuf {
        self.path.join("journal.db-wal")
    }

    fn reserve(&self) -> PathBuf {
        self.path.join("reserve")
    }

    /// Gives up the reserve if the disk is full.
    pub(super) fn use_reserve(&self) {
        if self.free() < RESERVE && std::fs::remove_file(self.reserve()).is_ok() {
            warn!(path = %self.path.display(), "the disk of the journal is full; its reserve is used to start");
        }
    }

    /// Keeps room for a start on a disk that is full, if so many bytes are left beside it.
    pub(super) fn keep_reserve(&self, left: u64) {
        let lacks = self.lacks_reserve();
        if lacks == 0 || self.free() < left.saturating_add(lacks) {
            return;
        }
        let kept = private(&self.reserve()).map(|file| fallocate(file, FallocateFlags::empty(), 0, RESERVE));
        // where nothing can be set aside, an empty one says that it was tried
        if let Ok(Err(Errno::NOSPC)) = kept {
            let _ = std::fs::remove_file(self.reserve());
        }
    }

    /// What the reserve would take that is not there.
    pub(super) fn lacks_reserve(&self) -> u64 {
        if self.reserve().exists() { 0 } else { RESERVE }
    }

    /// Sets room aside for so many bytes of the log, though it is shorter: what is deleted goes there first.
    pub(super) fn keep_log(&self, bytes: u64) {
        let log = OpenOptions::new().write(true).open(self.log());
        // without it the log takes what is left
        let _ = log.and_then(|file| Ok(fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes)?));
    }

    /// The bytes the file system has left for this process.
    pub(super) fn free(&self) -> u64 {
        free(&self.path)
    }

    /// Whether nothing can be written there. One that its kernel no longer writes, after a fault of its device, may
    /// not say so of itself, but nothing can be opened for writing.
    pub(super) fn is_read_only(&self) -> bool {
        let opened = OpenOptions::new().write(true).open(self.path.join("lock"));
        opened.is_err_and(|error| error.kind() == io::ErrorKind::ReadOnlyFilesystem)
    }

    /// The names of new files must be on disk before what is in them counts.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()?;
        let above = self.path.parent().filter(|above| !above.as_os_str().is_empty());
        File::open(above.unwrap_or(Path::new(".")))?.sync_all()
    }
}

/// Who only asks whether it is taken has it for a moment.
fn take(lock: &File) -> Result<(), TryLockError> {
    for _ in 0..5 {
        if lock.try_lock().is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    lock.try_lock()
}

/// Where a journal is, or the folder above it that there is: one could be made there. Changes nothing.
pub(super) fn usable(path: &Path) -> Result<&Path, OpenError> {
    let unusable = |source| OpenError::Directory { path: path.into(), source };
    let there = path.ancestors().find(|above| above.exists()).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    if !there.is_dir() {
        return Err(unusable(Errno::NOTDIR.into()));
    }
    if let Some(name) = network(there).map_err(unusable)? {
        return Err(OpenError::Network { path: path.into(), name });
    }
    let written = Access::WRITE_OK | Access::EXEC_OK;
    rustix::fs::access(there, written).map_err(|error| unusable(error.into()))?;
    for file in [path.join("lock"), database(path)].iter().filter(|file| file.exists()) {
        let opened = OpenOptions::new().read(true).write(true).open(file);
        opened.map_err(|source| OpenError::Directory { path: file.clone(), source })?;
    }
    Ok(there)
}

/// The bytes the file system of this folder has left for this process.
pub(super) fn free(path: &Path) -> u64 {
    // of what cannot be asked nothing is assumed; a write that fails says so
    rustix::fs::statvfs(path).map_or(u64::MAX, |of| of.f_bavail.saturating_mul(of.f_frsize))
}

/// Where the database of a journal is.
pub(super) fn database(directory: &Path) -> PathBuf {
    directory.join(DATABASE)
}

fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn network(path: &Path) -> io::Result<Option<&'static str>> {
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "its type differs between machines")]
    let magic = rustix::fs::statfs(path)?.f_type as i64;
    Ok(network_name(magic))
}

fn network_name(magic: i64) -> Option<&'static str> {
    // 32 bits of it count; some machines extend the sign
    NETWORK.into_iter().find(|(known, _)| *known == magic & 0xffff_ffff).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_owner_can_read_it_and_only_one_can_write_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/data");
        let taken = Directory::take(&path).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&taken.database()), mode(&path.join("lock"))), (0o700, 0o600, 0o600));
        assert!(matches!(Directory::take(&path), Err(OpenError::Taken { .. })));
        drop(taken);
        Directory::take(&path).unwrap();
    }

    #[test]
    fn file_systems_of_other_machines_are_known() {
        assert_eq!(network_name(0x6969), Some("nfs"));
        // CIFS, as a machine shows it whose word is 32 bits with a sign
        assert_eq!(network_name(i64::from(0xff53_4d42_u32.cast_signed())), Some("cifs"));
        assert_eq!(network_name(0xef53), None, "ext4");
        let here = network(Path::new(".")).unwrap();
        assert_eq!(here, None);
    }
}
