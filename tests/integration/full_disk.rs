//! Disks that others have filled, or that a fault has made read-only.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::harness::{Bridge, Nats, body, command, eventually};

/// A small file system that can be filled to its last byte. Needs root.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=32m", "tmpfs"]).arg(folder.path());
        let mounted = mount.status().is_ok_and(|status| status.success());
        if !mounted {
            eprintln!("not tested: a file system cannot be mounted here");
        }
        mounted.then(|| Self(folder))
    }

    fn config(&self) -> String {
        format!("journal.directory = {:?}\njournal.min_free = \"0B\"\n", self.0.path().join("data"))
    }

    fn filler(&self) -> std::path::PathBuf {
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

/// Ends the bridge, fills its disk, and starts it again.
fn starts_on_a_full_disk(bridge: &mut Bridge, disk: &Small, signal: &str) {
    bridge.signal(signal);
    bridge.exit_code();
    disk.fill();
    bridge.start_again();
}

#[test]
fn a_start_on_a_full_disk_serves_and_forwards_what_is_owed() {
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
        assert!(status == 503 && said.contains(r#""journal":{"state":"no_space"}"#), "{signal}: {said}");
        // others go on filling it
        disk.fill();
        assert_eq!(bridge.post(&late), (503, r#"{"error":"not_stored"}"#.into()));
        assert!(bridge.log().contains("the disk of the journal is full"), "{}", bridge.log());
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
fn once_there_is_room_again_it_is_ready_for_the_next_full_disk() {
    let Some(disk) = Small::mount() else { return };
    let nats = Nats::start();
    let mut bridge = Bridge::start(&nats, &disk.config());
    for round in 0..2 {
        starts_on_a_full_disk(&mut bridge, &disk, "-TERM");
        disk.empty();
        eventually("it keeps again", Duration::from_secs(10), || {
            bridge.get("/readyz").1.contains(r#""journal":{"state":"up"}"#)
        });
        assert_eq!(bridge.post(&large(round)).0, 200, "{round}");
    }
    assert_eq!(bridge.log().matches("the disk of the journal is full").count(), 2);
}

#[test]
fn what_check_says_of_room_is_what_a_bridge_would_find() {
    let Some(disk) = Small::mount() else { return };
    std::fs::write(disk.filler(), vec![0; 6 << 20]).unwrap();
    let text = disk.config().replace("\"0B\"", "\"16MiB\"");
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), &text).unwrap();
    let is_fine = || crate::harness::command("check --offline", config.path()).status.code() == Some(0);
    // of 26 MiB, 8 are for a start on a full disk, and 4 for the log
    assert!(!is_fine() && !disk.0.path().join("data").exists());
    let bridge = Bridge::with(&text, false);
    let is_stored = || bridge.get("/readyz").0 == 200;
    assert!(!is_stored() && !is_fine(), "{}", bridge.get("/readyz").1);
    disk.empty();
    eventually("there is room", Duration::from_secs(5), is_stored);
    assert!(is_fine());
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_with_what_to_do() {
    let Some(disk) = Small::mount() else { return };
    let mut bridge = Bridge::with(&disk.config(), false).ready();
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));
    remount(disk.0.path(), "ro");
    let said = crate::harness::command("run", bridge.config.path());
    let (code, said) = (said.status.code(), String::from_utf8(said.stderr).unwrap());
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("journal.directory") && said.contains("give a folder this user can make and write"),
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
            eprintln!("not tested: no ext4 can be made to fail here");
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
fn a_disk_that_became_read_only_is_called_so() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Failing::mount(&folder.path().join("image")) else { return };
    let bridge = Bridge::with(
        &format!("journal.directory = {:?}\njournal.min_free = \"0B\"\n", disk.folder.path().join("data")),
        false,
    )
    .ready();
    assert_eq!(bridge.post(&large(0)).0, 200);
    std::fs::write(&disk.trigger, "1").unwrap();
    assert_eq!(bridge.post(&large(1)).0, 503);
    let (status, said) = bridge.get("/readyz");
    assert!(status == 503 && said.contains(r#""journal":{"state":"read_only"}"#), "{said}");
    assert!(bridge.log().contains(r#""reason":"read_only""#), "{}", bridge.log());
    // who only reads can still look
    let status = command("journal status", bridge.config.path());
    let said = String::from_utf8(status.stdout).unwrap();
    assert!(status.status.success() && said.contains("kept          1 record"), "{said}");
}
