//! The folder of a journal: for one process alone, on a disk of this machine.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, FallocateFlags, fallocate};
use rustix::io::Errno;
use tracing::warn;

use super::super::{OpenError, Risk};

/// The file of the database in its folder.
const DATABASE: &str = "journal.db";
/// The size of the reserve, a file that is deleted once nothing else can be written: enough to checkpoint the WAL, and
/// for the WAL of what is forwarded then.
pub(super) const RESERVE: u64 = 8 * 1024 * 1024;

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

/// File systems that end with the machine or with the container (`linux/magic.h`).
const VOLATILE: [(i64, &str); 3] = [(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs"), (0x794c_7630, "overlay")];

/// File systems on which nothing can be allocated for a later change, by the number `statfs` gives.
const COPY_ON_WRITE: [(i64, &str); 2] = [(0x9123_683e, "btrfs"), (0x2fc1_2fc1, "ZFS")];

/// The folder of a journal. After [`Self::lock`] no other process writes it for as long as this lives.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Which file the database is.
    inode: u64,
    /// The database, open for as long as SQLite has it open: to close a file releases the locks that this process has on
    /// it, those of SQLite too. Another program that looks into the journal would then remove the WAL in use.
    database: Option<File>,
    /// The WAL in use.
    wal: Option<File>,
    _lock: Option<File>,
}

impl Directory {
    /// Creates the folder if there is none, and locks it.
    pub(super) fn lock(path: &Path) -> Result<Self, OpenError> {
        let unusable = |source| OpenError::Directory { path: path.into(), source };
        check_contents(path)?;
        if !path.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        }
        if let Some(name) = network(path).map_err(unusable)? {
            return Err(OpenError::Network { path: path.into(), name });
        }
        let lock = private(&path.join("lock"))?;
        match try_lock(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: path.into() }),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let database = private(&path.join(DATABASE))?;
        let inode = database.metadata().map_err(unusable)?.ino();
        let taken = Self { path: path.into(), inode, database: Some(database), wal: None, _lock: Some(lock) };
        taken.sync().map_err(unusable)?;
        Ok(taken)
    }

    /// The folder of a journal that another process may write.
    pub(super) fn without_lock(path: &Path) -> Self {
        let inode = std::fs::metadata(database(path)).map_or(0, |file| file.ino());
        Self { path: path.into(), inode, database: None, wal: None, _lock: None }
    }

    pub(super) fn database(&self) -> PathBuf {
        database(&self.path)
    }

    /// Whether the database or its WAL was removed from its folder: what is written to it then is lost.
    pub(super) fn is_removed(&self) -> bool {
        let wal_is_removed = self.wal.as_ref().and_then(|wal| wal.metadata().ok()).is_some_and(|wal| wal.nlink() == 0);
        match std::fs::metadata(self.database()) {
            Ok(there) => there.ino() != self.inode || wal_is_removed,
            Err(error) => error.kind() == io::ErrorKind::NotFound || wal_is_removed,
        }
    }

    /// The bytes of the WAL, which is not part of the database yet.
    pub(super) fn wal_bytes(&self) -> u64 {
        std::fs::metadata(self.wal()).map_or(0, |file| file.len())
    }

    fn wal(&self) -> PathBuf {
        self.path.join("journal.db-wal")
    }

    fn reserve(&self) -> PathBuf {
        self.path.join("reserve")
    }

    /// Deletes the reserve; whether there was one.
    pub(super) fn release_reserve(&self) -> bool {
        let released = std::fs::remove_file(self.reserve()).is_ok();
        if released {
            let path = self.path.display();
            warn!(%path, "journal disk full: its reserve is used to forward what it has; free space on this disk");
        }
        released
    }

    /// Creates the reserve if there is none, and this many bytes are left beside it.
    pub(super) fn ensure_reserve(&self, left: u64) {
        let missing = self.missing_reserve();
        if missing == 0 || self.free() < left.saturating_add(missing) {
            return;
        }
        if let Ok(file) = private(&self.reserve())
            && fill_reserve(file).is_err()
        {
            let _ = std::fs::remove_file(self.reserve());
        }
    }

    /// The bytes of the reserve that are not allocated.
    pub(super) fn missing_reserve(&self) -> u64 {
        let there = std::fs::metadata(self.reserve()).map_or(0, |file| file.len());
        RESERVE.saturating_sub(there)
    }

    /// Allocates this many bytes for the WAL, though it is shorter: deletions go there first.
    pub(super) fn allocate_wal(&mut self, bytes: u64) {
        if self.wal.is_none() {
            self.wal = OpenOptions::new().write(true).open(self.wal()).ok();
        }
        // without them the WAL takes what the file system has left
        let _ = self.wal.as_ref().is_some_and(|wal| allocate(wal, bytes));
    }

    /// The same for the database: a checkpoint moves what is in the WAL there, behind its end. False means that the file
    /// system has too little left.
    pub(super) fn allocate_database(&self, bytes: u64) -> bool {
        self.database.as_ref().is_none_or(|database| allocate(database, bytes))
    }

    pub(super) fn database_bytes(&self) -> u64 {
        std::fs::metadata(self.database()).map_or(0, |file| file.len())
    }

    /// The bytes of the database that are allocated.
    pub(super) fn database_blocks(&self) -> u64 {
        // `stat` counts in 512 bytes, whatever the file system does
        std::fs::metadata(self.database()).map_or(0, |file| file.blocks() * 512)
    }

    /// The bytes the file system has left for this process.
    pub(super) fn free(&self) -> u64 {
        free(&self.path)
    }

    /// Whether the file system is read-only. After a fault of its device the kernel may not report it as such, but
    /// opens no file for writing.
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

/// Tries some times: a process that only asks whether the journal is in use has the lock for a moment.
fn try_lock(lock: &File) -> Result<(), TryLockError> {
    for _ in 0..5 {
        if lock.try_lock().is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    lock.try_lock()
}

/// Refuses a folder that is in use for something else: one that has files, and none of a journal. A fresh volume has
/// `lost+found`.
fn check_contents(path: &Path) -> Result<(), OpenError> {
    let database = database(path);
    match std::fs::symlink_metadata(&database) {
        Ok(file) if file.is_symlink() => return Err(OpenError::Link { path: database }),
        Ok(_) => return Ok(()),
        Err(_) => {}
    }
    let Ok(entries) = std::fs::read_dir(path) else { return Ok(()) };
    let ours = ["lost+found", "lock", "reserve"];
    let foreign = entries.flatten().map(|entry| entry.file_name()).find(|name| !ours.iter().any(|ours| name == ours));
    match foreign {
        Some(name) => Err(OpenError::Occupied { path: path.into(), file: name.to_string_lossy().into_owned() }),
        None => Ok(()),
    }
}

/// Gives the reserve its bytes: written, where a file system such as ext3 cannot allocate them.
fn fill_reserve(mut file: File) -> io::Result<()> {
    match fallocate(&file, FallocateFlags::empty(), 0, RESERVE) {
        Err(Errno::OPNOTSUPP) => {}
        allocated => return Ok(allocated?),
    }
    file.set_len(0)?;
    let zeros = vec![0; 64 * 1024];
    for _ in 0..RESERVE / zeros.len() as u64 {
        file.write_all(&zeros)?;
    }
    file.sync_data()
}

/// What an operator should know of the folder of a journal, each with its remedy.
pub(super) fn risks(path: &Path) -> Vec<Risk> {
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "its type differs between machines")]
    let magic = rustix::fs::statfs(existing(path)).map_or(0, |of| of.f_type as i64) & 0xffff_ffff;
    let volatile = VOLATILE.into_iter().find(|(known, _)| *known == magic).map(|(_, name)| Risk {
        problem: format!("on {name}: what it has ends with the machine or the container"),
        remedy: "give a folder on a disk or a volume",
    });
    let mode = std::fs::metadata(path).map_or(0, |folder| folder.permissions().mode() & 0o777);
    let open = (mode & 0o077 != 0).then(|| Risk {
        problem: format!("its mode is {mode:04o}: other users can enter it"),
        remedy: "chmod 700; its files are 0600 anyway",
    });
    let copying = COPY_ON_WRITE.into_iter().find(|(known, _)| *known == magic).map(|(_, name)| Risk {
        problem: format!("on {name}: each change takes new space, so that a full disk can end the process"),
        remedy: "give a folder on ext4 or XFS",
    });
    volatile.into_iter().chain(copying).chain(open).collect()
}

/// The path, or the nearest folder above it that exists.
fn existing(path: &Path) -> &Path {
    let there = path.ancestors().find(|above| above.exists()).unwrap_or(Path::new("."));
    if there.as_os_str().is_empty() { Path::new(".") } else { there }
}

/// The folder of a journal, or the folder in which it can be created. Changes nothing.
pub(super) fn usable(path: &Path) -> Result<&Path, OpenError> {
    let unusable = |source| OpenError::Directory { path: path.into(), source };
    let there = existing(path);
    if !there.is_dir() {
        return Err(unusable(Errno::NOTDIR.into()));
    }
    if let Some(name) = network(there).map_err(unusable)? {
        return Err(OpenError::Network { path: path.into(), name });
    }
    check_contents(path)?;
    let written = Access::WRITE_OK | Access::EXEC_OK;
    rustix::fs::access(there, written).map_err(|error| unusable(error.into()))?;
    for file in [path.join("lock"), database(path)].iter().filter(|file| file.exists()) {
        OpenOptions::new().read(true).write(true).open(file).map_err(|source| unopened(file, source))?;
    }
    Ok(there)
}

/// The bytes the file system of this folder has left for this process.
pub(super) fn free(path: &Path) -> u64 {
    // if it cannot be asked, a write that fails will show it
    rustix::fs::statvfs(path).map_or(u64::MAX, |of| of.f_bavail.saturating_mul(of.f_frsize))
}

/// The path of a journal's database.
pub(super) fn database(directory: &Path) -> PathBuf {
    directory.join(DATABASE)
}

/// Allocates the first bytes of a file; its length stays. False means that the file system has too little left. One that
/// cannot allocate counts as if it had: a write that fails will show it.
fn allocate(file: &File, bytes: u64) -> bool {
    let allocated = fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes);
    !matches!(allocated, Err(Errno::NOSPC | Errno::DQUOT))
}

/// Opens a file of a journal, which only its owner may read, and creates it if there is none.
///
/// What root creates belongs to the owner of the folder: a command that root runs must not make a journal that the bridge,
/// as its own user, cannot open. SQLite does the same for its other files.
pub(super) fn private(path: &Path) -> Result<File, OpenError> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let owned = opened.and_then(|file| {
        let folder = std::fs::metadata(path.parent().unwrap_or(path))?;
        if rustix::process::geteuid().is_root() && file.metadata()?.uid() != folder.uid() {
            fchown(&file, Some(folder.uid()), Some(folder.gid()))?;
        }
        Ok(file)
    });
    owned.map_err(|source| unopened(path, source))
}

/// Another user's file has another remedy than a folder.
fn unopened(path: &Path, source: io::Error) -> OpenError {
    match source.kind() {
        io::ErrorKind::PermissionDenied if path.exists() => OpenError::File { path: path.into(), source },
        _ => OpenError::Directory { path: path.into(), source },
    }
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
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn the_folder_is_private_and_has_one_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/data");
        let taken = Directory::lock(&path).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&taken.database()), mode(&path.join("lock"))), (0o700, 0o600, 0o600));
        assert!(matches!(Directory::lock(&path), Err(OpenError::InUse { .. })));
        drop(taken);
        Directory::lock(&path).unwrap();
    }

    #[test]
    fn a_folder_in_use_for_something_else_is_refused_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mode) = (folder.path().join("data"), |path: &Path| path.metadata().unwrap().permissions().mode());
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o1777)).unwrap();
        std::fs::create_dir(path.join("lost+found")).unwrap();
        drop(Directory::lock(&path).unwrap());
        assert_eq!(mode(&path) & 0o7777, 0o1777, "somebody else made it");
        std::fs::remove_file(path.join(DATABASE)).unwrap();
        std::fs::write(path.join("notes.txt"), "").unwrap();
        for refused in [Directory::lock(&path).unwrap_err(), usable(&path).unwrap_err()] {
            let said = refused.to_string();
            assert!(said.contains("notes.txt") && said.contains("name an empty folder"), "{said}");
        }
        assert!(!path.join(DATABASE).exists());
        std::fs::remove_file(path.join("notes.txt")).unwrap();
        std::fs::write(folder.path().join("elsewhere.db"), "").unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere.db"), path.join(DATABASE)).unwrap();
        assert!(matches!(Directory::lock(&path), Err(OpenError::Link { .. })));
    }

    #[test]
    fn network_file_systems_are_recognised() {
        assert_eq!(network_name(0x6969), Some("nfs"));
        // CIFS, as a machine shows it whose word is 32 bits with a sign
        assert_eq!(network_name(i64::from(0xff53_4d42_u32.cast_signed())), Some("cifs"));
        assert_eq!(network_name(0xef53), None, "ext4");
        let here = network(Path::new(".")).unwrap();
        assert_eq!(here, None);
    }
}
