//! A disk that hangs: calls that write do not end, and no error is returned.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::harness::{Bridge, Nats, NotifySocket, eventually, not_tested, text};

/// A file system on a file, which can be frozen: calls that write to it wait until it thaws. Needs root.
struct Freezable(tempfile::TempDir);

impl Freezable {
    fn mount(image: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::File::create(image).unwrap().set_len(64 << 20).unwrap();
        let done = |command: &mut Command| command.status().is_ok_and(|status| status.success());
        let mounted = done(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image))
            && done(Command::new("mount").args(["-o", "loop"]).arg(image).arg(folder.path()));
        let disk = Self(folder);
        // one that cannot be frozen proves nothing
        let can_freeze = mounted && disk.fsfreeze("--freeze") && disk.fsfreeze("--unfreeze");
        if !can_freeze {
            not_tested("no file system can be mounted and frozen here");
        }
        can_freeze.then_some(disk)
    }

    fn config(&self) -> String {
        format!("journal.directory = {:?}\njournal.min_free = \"4MiB\"\n", self.0.path().join("data"))
    }

    fn fsfreeze(&self, how: &str) -> bool {
        Command::new("fsfreeze").arg(how).arg(self.0.path()).status().is_ok_and(|status| status.success())
    }

    /// Until the value is dropped, also by a panic.
    fn freeze(&self) -> Frozen<'_> {
        assert!(self.fsfreeze("--freeze"));
        Frozen(self)
    }
}

impl Drop for Freezable {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

struct Frozen<'d>(&'d Freezable);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.0.fsfreeze("--unfreeze");
    }
}

/// The bytes that a bridge has in memory.
fn memory(bridge: &Bridge) -> usize {
    let status = bridge.of_process("status");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn a_journal_on_a_disk_that_hangs_is_down_until_the_disk_answers_again() {
    let image = tempfile::tempdir().unwrap();
    let Some(disk) = Freezable::mount(&image.path().join("image")) else { return };
    let bridge = Bridge::with(&format!("{}http.answer_within = \"4s\"\n", disk.config()), false).ready();
    assert_eq!(bridge.post(&text(0)).0, 200);
    let frozen = disk.freeze();
    assert_eq!(bridge.post(&text(1)).0, 503, "nothing is on disk");
    eventually("the journal counts as down", Duration::from_secs(20), || bridge.journal_state() == "stalled");
    assert_eq!(bridge.get("/readyz").0, 503);
    assert_eq!((bridge.metric("journal_up"), bridge.metric("ready")), (0.0, 0.0));
    let is_refusal = |line: &str| line.contains("journal refuses records") && line.contains("stalled");
    assert!(bridge.log().lines().any(is_refusal), "{}", bridge.log());
    // of what comes now nothing waits for the disk: neither the sender nor memory
    let (length, before) = (bridge.metric("journal_queue_length"), memory(&bridge));
    let large = |number: usize| {
        let filler = "x".repeat(500_000);
        format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":7}},"n":{number},"f":"{filler}"}}"#)
    };
    for number in 0..200 {
        assert_eq!(bridge.post(large(number).as_bytes()).0, 503, "{number}");
    }
    assert_eq!(bridge.metric("journal_queue_length"), length);
    let grown = memory(&bridge).saturating_sub(before);
    assert!(grown < 50 << 20, "100 MB were refused, and {grown} bytes are in memory");
    drop(frozen);
    eventually("the journal is up", Duration::from_secs(20), || bridge.journal_state() == "up");
    assert_eq!((bridge.metric("journal_up"), bridge.metric("ready")), (1.0, 1.0));
    assert_eq!(bridge.post(&text(2)).0, 200);
    assert_eq!(bridge.metric("journal_queue_length"), 0.0);
    // it was in the queue when the disk hung, and is stored now
    assert_eq!(bridge.post(&text(1)), (200, r#"{"stored":"duplicate"}"#.into()));
    assert_eq!(bridge.terminate(), Some(0));
}

#[test]
fn acks_of_a_time_when_the_disk_hung_are_not_lost() {
    let image = tempfile::tempdir().unwrap();
    let Some(disk) = Freezable::mount(&image.path().join("image")) else { return };
    let mut nats = Nats::start();
    let mut bridge = Bridge::start(&nats, &disk.config());
    nats.kill();
    for number in 0..300 {
        assert_eq!(bridge.post(&text(number)).0, 200, "{number}");
    }
    let frozen = disk.freeze();
    nats.start_again();
    // the broker acks the backlog, or a part of it, while no ack can be written
    std::thread::sleep(Duration::from_secs(8));
    drop(frozen);
    eventually("the backlog is drained", Duration::from_secs(30), || {
        bridge.metric("journal_records{broker=\"nats\"}") == 0.0 && bridge.metric("journal_queue_length") == 0.0
    });
    bridge.signal("-KILL");
    bridge.exit_code();
    bridge.start_again();
    assert_eq!(bridge.metric("journal_records{broker=\"nats\"}"), 0.0, "an ack was lost");
    assert_eq!(nats.read().len(), 300, "each record arrived once");
}

#[test]
fn a_disk_that_hangs_does_not_end_the_bridge_by_its_watchdog() {
    let image = tempfile::tempdir().unwrap();
    let Some(disk) = Freezable::mount(&image.path().join("image")) else { return };
    let socket = NotifySocket::with_path();
    let bridge = Bridge::notifying(&socket, Duration::from_secs(1), &disk.config());
    let frozen = disk.freeze();
    let _waits = bridge.begin(&text(0));
    eventually("the journal counts as down", Duration::from_secs(20), || bridge.journal_state() == "stalled");
    socket.all();
    // with a broker it still stores; and a new process would wait for the disk too
    socket.stays_alive(5);
    drop(frozen);
    assert_eq!(bridge.terminate(), Some(0));
}
