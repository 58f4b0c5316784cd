//! Disks that others have filled, or that a fault has made read-only.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::{Bridge, Nats, body, command, eventually, not_tested};

/// A small file system that can be filled to its last byte. Needs root.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Option<Self> {
        Self::tmpfs("32m")
    }

    fn tmpfs(size: &str) -> Option<Self> {
        Self::mounted(|mount| mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]))
    }

    /// An ext4 in a file, which lies in this folder.
    fn ext4(folder: &Path, bytes: u64) -> Option<Self> {
        Self::made_by("mkfs.ext4", folder, bytes)
    }

    /// An ext3, which can allocate nothing ahead.
    fn ext3(folder: &Path, bytes: u64) -> Option<Self> {
        Self::made_by("mkfs.ext3", folder, bytes)
    }

    fn made_by(program: &str, folder: &Path, bytes: u64) -> Option<Self> {
        let image = folder.join("image");
        std::fs::File::create(&image).unwrap().set_len(bytes).unwrap();
        let made = Command::new(program).args(["-q", "-F", "-m", "0"]).arg(&image).status();
        if !made.is_ok_and(|status| status.success()) {
            not_tested(&format!("{program} makes no file system here"));
            return None;
        }
        Self::mounted(|mount| mount.args(["-o", "loop"]).arg(&image))
    }

    fn mounted(arguments: impl FnOnce(&mut Command) -> &mut Command) -> Option<Self> {
        let (folder, mut mount) = (tempfile::tempdir().unwrap(), Command::new("mount"));
        let mounted = arguments(&mut mount).arg(folder.path()).status().is_ok_and(|status| status.success());
        if !mounted {
            not_tested("a file system cannot be mounted here");
        }
        mounted.then(|| Self(folder))
    }

    fn config(&self) -> String {
        format!("journal.directory = {:?}\njournal.min_free = \"4MiB\"\n", self.data())
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }

    fn fill(&self) {
        let mut filler = std::fs::OpenOptions::new().append(true).create(true).open(self.filler()).unwrap();
        for size in [1 << 20, 1 << 12, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

fn large(number: usize) -> Vec<u8> {
    let filler = "x".repeat(20_000);
    format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":7}},"n":{number},"f":"{filler}"}}"#).into()
}

fn of_size(number: usize, bytes: usize) -> Vec<u8> {
    let filler = "x".repeat(bytes);
    format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":7}},"n":{number},"f":"{filler}"}}"#).into()
}

/// Waits until everything is forwarded, and compares it with what was answered 200.
fn all_is_forwarded(nats: &Nats, bridge: &Bridge, answered: &[Vec<u8>]) {
    eventually("all is forwarded", Duration::from_secs(30), || {
        bridge.metric("journal_records{broker=\"nats\"}") == 0.0
    });
    let arrived: Vec<_> = nats.read().iter().map(body).collect();
    assert!(arrived == answered, "{} of {} arrived", arrived.len(), answered.len());
}

/// Posts bodies while the broker is down, until one is refused, and returns those that were answered 200.
fn until_refused(bridge: &Bridge, bytes: usize, most: usize) -> Vec<Vec<u8>> {
    let bodies = (0..most).map(|number| of_size(number, bytes));
    bodies.take_while(|body| bridge.post(body).0 == 200).collect()
}

const JOURNAL_FIRST: &str = "publish.timeout = \"0s\"\n";

#[test]
fn a_journal_on_a_small_full_disk_forwards_without_a_restart() {
    // with the log as long as it gets before a checkpoint, and with the disk full of the journal itself
    for most in [35, 500] {
        let Some(disk) = Small::tmpfs("24m") else { return };
        let mut nats = Nats::start();
        let bridge = Bridge::start(&nats, &format!("{JOURNAL_FIRST}{}", disk.config()));
        nats.kill();
        let answered = until_refused(&bridge, 100_000, most);
        assert!(answered.len() == 35 || (50..500).contains(&answered.len()), "{}", answered.len());
        disk.fill();
        nats.start_again();
        all_is_forwarded(&nats, &bridge, &answered);
        disk.empty();
        assert_eq!(bridge.terminate(), Some(0));
    }
}

type MakeDisk = fn(&Path, u64) -> Option<Small>;

#[test]
fn a_disk_that_others_fill_does_not_stop_the_forwarder() {
    let (allocating, other): (MakeDisk, MakeDisk) = (Small::ext4, Small::ext3);
    for (make, bytes, count) in [(allocating, 300, 3000), (allocating, 100_000, 300), (other, 300, 1000)] {
        let folder = tempfile::tempdir().unwrap();
        let Some(disk) = make(folder.path(), 256 << 20) else { return };
        let mut nats = Nats::start();
        let config = disk.config().replace("4MiB", "64MiB");
        let bridge = Bridge::start(&nats, &format!("{JOURNAL_FIRST}{config}"));
        nats.kill();
        let answered = until_refused(&bridge, bytes, count);
        assert_eq!(answered.len(), count);
        disk.fill();
        eventually("it is full", Duration::from_secs(5), || bridge.get("/readyz").1.contains("no_space"));
        nats.start_again();
        all_is_forwarded(&nats, &bridge, &answered);
        let log = bridge.log();
        assert!(log.matches("\"journal_refuses\"").count() == 1, "{log}");
        disk.empty();
        eventually("it stores again", Duration::from_secs(5), || bridge.get("/readyz").1.contains(r#""state":"up""#));
        assert_eq!(bridge.terminate(), Some(0));
    }
}

#[test]
fn with_the_journal_first_and_full_a_lane_without_backlog_is_published_directly() {
    let Some(disk) = Small::mount() else { return };
    let mut nats = Nats::start();
    let bridge = Bridge::start(&nats, &format!("{JOURNAL_FIRST}{}", disk.config()));
    assert_eq!(bridge.post(&of_size(0, 300)), (200, r#"{"stored":"journal"}"#.into()));
    disk.fill();
    eventually("it is full", Duration::from_secs(5), || bridge.get("/readyz").1.contains("no_space"));
    for number in 1..21 {
        assert_eq!(bridge.post(&of_size(number, 300)), (200, r#"{"stored":"broker"}"#.into()), "{number}");
    }
    assert_eq!(bridge.get("/readyz").0, 200);
    assert_eq!(nats.read().iter().map(body).collect::<Vec<_>>(), (0..21).map(|n| of_size(n, 300)).collect::<Vec<_>>());
    // with neither, nothing is answered 200, and the log says both
    nats.kill();
    eventually("not ready", Duration::from_secs(20), || bridge.get("/readyz").0 == 503);
    assert_eq!(bridge.post(&of_size(99, 300)).0, 503);
    assert!(bridge.log().contains("the broker is down, and the journal refused it"), "{}", bridge.log());
}

#[test]
fn a_body_larger_than_the_log_is_forwarded_on_a_full_disk_with_the_reserve() {
    let Some(disk) = Small::tmpfs("64m") else { return };
    let mut nats = Nats::start();
    let bridge = Bridge::start(&nats, &format!("{JOURNAL_FIRST}{}", disk.config()));
    nats.kill();
    // nats-server takes 1 MB at most: it goes to the dead letter in parts
    let answered = until_refused(&bridge, 6_000_000, 2);
    assert_eq!(answered.len(), 2);
    // the log is truncated to its limit, which is less
    assert_eq!(until_refused(&bridge, 100_000, 100).len(), 100);
    let log = std::fs::metadata(disk.data().join("journal.db-wal")).unwrap().len();
    assert!(log < 6_000_000, "{log}");
    disk.fill();
    nats.start_again();
    eventually("all is forwarded", Duration::from_secs(30), || {
        bridge.metric("journal_records{broker=\"nats\"}") == 0.0
    });
    disk.empty();
    eventually("the reserve is there again", Duration::from_secs(5), || disk.data().join("reserve").exists());
    assert_eq!(bridge.terminate(), Some(0));
}

#[test]
fn a_start_on_a_full_disk_with_a_long_log_says_how_much_it_needs_and_keeps_the_reserve() {
    let Some(disk) = Small::tmpfs("96m") else { return };
    let (folder, mut nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let config = |data: &Path| format!("{JOURNAL_FIRST}journal.directory = {data:?}\njournal.min_free = \"4MiB\"\n");
    let mut bridge = Bridge::start(&nats, &config(folder.path()));
    nats.kill();
    // a reader that stays open keeps the log from its beginning
    let only_read = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let reader = rusqlite::Connection::open_with_flags(folder.path().join("journal.db"), only_read).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM record;").unwrap();
    let answered = until_refused(&bridge, 100_000, 400);
    bridge.signal("-KILL");
    bridge.exit_code();
    drop(reader);
    // a copy on another disk has no blocks allocated for the database
    std::fs::create_dir(disk.data()).unwrap();
    for name in ["journal.db", "journal.db-wal", "reserve"] {
        std::fs::copy(folder.path().join(name), disk.data().join(name)).unwrap();
    }
    let log = std::fs::metadata(disk.data().join("journal.db-wal")).unwrap().len();
    assert!(log > 38 << 20, "{log}");
    let text = std::fs::read_to_string(bridge.config.path()).unwrap();
    let moved = text.replace(folder.path().to_str().unwrap(), disk.data().to_str().unwrap());
    std::fs::write(bridge.config.path(), moved).unwrap();
    disk.fill();
    for _ in 0..2 {
        let refused = command("run", bridge.config.path());
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("its disk is full; free at least 31 MiB more there"), "{said}");
        assert!(disk.data().join("reserve").exists(), "{said}");
    }
    disk.empty();
    nats.start_again();
    bridge.start_again();
    all_is_forwarded(&nats, &bridge, &answered);
    assert_eq!(bridge.terminate(), Some(0));
}

#[test]
fn a_journal_larger_than_its_lowered_limit_is_usable_again_once_it_is_drained() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("{JOURNAL_FIRST}journal.directory = {:?}\n", folder.path().join("data"));
    let mut nats = Nats::start();
    let mut bridge = Bridge::start(&nats, &config);
    nats.kill();
    let mut answered = until_refused(&bridge, 100_000, 400);
    assert_eq!(answered.len(), 400);
    let text = std::fs::read_to_string(bridge.config.path()).unwrap();
    std::fs::write(bridge.config.path(), format!("journal.max_bytes = \"32MiB\"\n{text}")).unwrap();
    bridge.signal("-TERM");
    bridge.exit_code();
    bridge.start_again();
    assert!(bridge.journal_state() == "full", "{}", bridge.get("/readyz").1);
    nats.start_again();
    all_is_forwarded(&nats, &bridge, &answered);
    eventually("it stores again", Duration::from_secs(5), || bridge.get("/readyz").1.contains(r#""state":"up""#));
    nats.kill();
    // of 32 MiB, 16 are for the log
    let more = (400..500).map(|number| of_size(number, 100_000));
    let more: Vec<_> = more.take_while(|body| bridge.post(body).0 == 200).collect();
    assert_eq!(more.len(), 100);
    nats.start_again();
    answered.extend(more);
    all_is_forwarded(&nats, &bridge, &answered);
    assert_eq!(bridge.terminate(), Some(0));
}

/// Ends the bridge, fills its disk, and starts it again.
fn starts_on_a_full_disk(bridge: &mut Bridge, disk: &Small, signal: &str) {
    bridge.signal(signal);
    bridge.exit_code();
    disk.fill();
    bridge.start_again();
}

#[test]
fn a_start_on_a_full_disk_serves_and_forwards_the_backlog() {
    // after a crash the log is there; after an ordinary end it is not, and must be made
    for signal in ["-KILL", "-TERM"] {
        let Some(disk) = Small::mount() else { return };
        let mut nats = Nats::start();
        let mut bridge = Bridge::start(&nats, &disk.config());
        nats.kill();
        // more than the database has pages for: some of it is in the log alone
        let (kept, late) = (150, large(1000));
        for number in 0..kept {
            assert_eq!(bridge.post(&large(number)).0, 200, "{number}");
        }
        starts_on_a_full_disk(&mut bridge, &disk, signal);
        let (status, said) = bridge.get("/readyz");
        assert!(status == 503 && said.contains(r#""state":"no_space""#), "{signal}: {said}");
        // others go on filling it
        disk.fill();
        assert_eq!(bridge.post(&late), (503, r#"{"error":"not_stored"}"#.into()));
        assert!(bridge.log().contains("journal disk full"), "{}", bridge.log());
        nats.start_again();
        eventually("all is forwarded", Duration::from_secs(30), || {
            bridge.metric("journal_records{broker=\"nats\"}") == 0.0
        });
        assert_eq!(bridge.post(&late), (200, r#"{"stored":"broker"}"#.into()));
        let expected: Vec<_> = (0..kept).map(large).chain([late]).collect();
        let arrived: Vec<_> = nats.read().iter().map(body).collect();
        assert!(arrived == expected, "{signal}: {} arrived", arrived.len());
        disk.empty();
        assert_eq!(bridge.terminate(), Some(0));
    }
}

#[test]
fn once_there_is_room_again_the_journal_survives_the_next_full_disk() {
    let Some(disk) = Small::mount() else { return };
    let nats = Nats::start();
    let mut bridge = Bridge::start(&nats, &disk.config());
    for round in 0..2 {
        starts_on_a_full_disk(&mut bridge, &disk, "-TERM");
        disk.empty();
        eventually("it keeps again", Duration::from_secs(10), || bridge.journal_state() == "up");
        assert_eq!(bridge.post(&large(round)).0, 200, "{round}");
    }
    assert_eq!(bridge.log().matches("journal disk full").count(), 2);
}

#[test]
fn check_reports_the_same_capacity_as_a_running_bridge() {
    let Some(disk) = Small::mount() else { return };
    std::fs::write(disk.filler(), vec![0; 6 << 20]).unwrap();
    let text = disk.config().replace("\"4MiB\"", "\"16MiB\"");
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), &text).unwrap();
    let is_fine = || crate::harness::command("check --offline", config.path()).status.code() == Some(0);
    // of 26 MiB, 8 are for a start on a full disk, and 4 for the log
    assert!(!is_fine() && !disk.data().exists());
    let bridge = Bridge::with(&text, false);
    let is_stored = || bridge.get("/readyz").0 == 200;
    assert!(!is_stored() && !is_fine(), "{}", bridge.get("/readyz").1);
    disk.empty();
    eventually("there is room", Duration::from_secs(5), is_stored);
    assert!(is_fine());
}

#[test]
fn a_read_only_folder_is_refused_with_the_remedy() {
    let Some(disk) = Small::mount() else { return };
    let mut bridge = Bridge::with(&disk.config(), false).ready();
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));
    remount(disk.0.path(), "ro");
    let said = crate::harness::command("run", bridge.config.path());
    let (code, said) = (said.status.code(), String::from_utf8(said.stderr).unwrap());
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("journal.directory") && said.contains("give a folder that this user can create and write"),
        "{said}"
    );
    remount(disk.0.path(), "rw");
    bridge.start_again();
}

fn remount(at: &Path, how: &str) {
    let mut mount = Command::new("mount");
    assert!(mount.args(["-o", &format!("remount,{how}")]).arg(at).status().unwrap().success());
}

/// An ext4 that its kernel makes read-only, as it does after a fault of the device. Needs root.
struct Failing {
    folder: tempfile::TempDir,
    trigger: std::path::PathBuf,
}

impl Failing {
    fn mount(image: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::File::create(image).unwrap().set_len(64 << 20).unwrap();
        let done = |command: &mut Command| command.status().is_ok_and(|status| status.success());
        let mounted = done(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image))
            && done(Command::new("mount").args(["-o", "loop,errors=remount-ro"]).arg(image).arg(folder.path()));
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let mount = mounts.lines().find(|line| line.split(' ').nth(1) == folder.path().to_str());
        let device = mount.unwrap_or_default().split(' ').next().unwrap().trim_start_matches("/dev/");
        let failing = Self { folder, trigger: format!("/sys/fs/ext4/{device}/trigger_fs_error").into() };
        let can_fail = mounted && failing.trigger.exists();
        if !can_fail {
            not_tested("no ext4 can be made to fail here");
        }
        can_fail.then_some(failing)
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.folder.path()).status();
    }
}

#[test]
fn a_disk_that_became_read_only_is_reported_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Failing::mount(&folder.path().join("image")) else { return };
    let bridge = Bridge::with(
        &format!("journal.directory = {:?}\njournal.min_free = \"4MiB\"\n", disk.folder.path().join("data")),
        false,
    )
    .ready();
    assert_eq!(bridge.post(&large(0)).0, 200);
    std::fs::write(&disk.trigger, "1").unwrap();
    assert_eq!(bridge.post(&large(1)).0, 503);
    let (status, said) = bridge.get("/readyz");
    assert!(status == 503 && said.contains(r#""state":"read_only""#), "{said}");
    assert!(bridge.log().contains(r#""reason":"read_only""#), "{}", bridge.log());
    // commands that only read still work
    let status = command("journal status", bridge.config.path());
    let said = String::from_utf8(status.stdout).unwrap();
    assert!(status.status.success() && said.contains("journal only  1 record"), "{said}");
}
