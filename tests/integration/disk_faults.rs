//! A disk that fails: what cannot be synced ends the bridge, what cannot be written is refused for as long as that lasts.

use std::path::Path;
use std::time::Duration;

use crate::harness::{Bridge, eventually};

const DUPLICATE: &str = r#"{"stored":"duplicate"}"#;

fn config(folder: &Path) -> String {
    format!("journal.directory = {:?}\njournal.min_free = \"4MiB\"\n", folder.join("data"))
}

fn body(number: usize) -> Vec<u8> {
    let filler = "x".repeat(60_000);
    format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":7}},"n":{number},"f":"{filler}"}}"#).into()
}

/// A bridge on a journal that is there already; these calls on this file of it fail so, in the order of the calls.
fn failing(folder: &Path, file: &str, calls: &str, fault: &str) -> Bridge {
    assert_eq!(Bridge::with(&config(folder), false).ready().terminate(), Some(0));
    let path = folder.canonicalize().unwrap().join("data").join(file);
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:{fault}"));
    let arguments = ["-o", "/dev/null", "-P", path.to_str().unwrap(), "-e", &trace, "-e", &inject];
    Bridge::traced(&arguments, &config(folder)).ready()
}

#[test]
fn a_failed_sync_exits_with_1_and_every_answered_record_is_stored() {
    // the log of a transaction, the log and the database when the one is brought into the other
    for (file, when) in [("journal.db-wal", 1), ("journal.db-wal", 5), ("journal.db", 1)] {
        let folder = tempfile::tempdir().unwrap();
        let fault = format!("error=EIO:when={when}");
        let mut bridge = failing(folder.path(), file, "fsync,fdatasync", &fault);
        // enough for the log to be brought into the database
        let answered = (0..200).take_while(|number| bridge.try_post(&body(*number)) == Some(200)).count();
        assert!(answered < 200, "{file} {when}: nothing failed");
        assert_eq!(bridge.exit_code(), Some(1), "{file} {when}");
        assert!(bridge.log().contains("journal failed: records are no longer acknowledged"), "{}", bridge.log());
        bridge.start_again();
        for number in 0..answered {
            assert_eq!(bridge.post(&body(number)), (200, DUPLICATE.into()), "{file} {when}: {number} of {answered}");
        }
    }
}

#[test]
fn failed_writes_are_refused_until_the_disk_works_again() {
    for (error, reason) in [("EIO", "failed"), ("EROFS", "failed"), ("ENOSPC", "no_space")] {
        let folder = tempfile::tempdir().unwrap();
        // each try ends with its first call that fails
        let fault = format!("error={error}:when=30..42");
        let bridge = failing(folder.path(), "journal.db-wal", "pwrite64", &fault);
        let mut answers = Vec::new();
        eventually("it goes on", Duration::from_secs(60), || {
            answers.push(bridge.try_post(&body(answers.len())).unwrap());
            if *answers.last().unwrap() == 503 && answers.iter().filter(|status| **status == 503).count() == 1 {
                let (status, said) = bridge.get("/readyz");
                assert_eq!(status, 503, "{said}");
                assert!(said.contains(reason), "{said}");
            }
            answers.contains(&503) && *answers.last().unwrap() == 200
        });
        assert!(answers.iter().all(|status| [200, 503].contains(status)), "{answers:?}");
        assert!(bridge.log().contains("journal refuses records"), "{}", bridge.log());
        for number in (0..answers.len()).filter(|number| answers[*number] == 200) {
            assert_eq!(bridge.post(&body(number)), (200, DUPLICATE.into()), "{error}: {number}");
        }
        assert_eq!(bridge.get("/readyz").0, 200);
        assert_eq!(bridge.terminate(), Some(0));
    }
}

#[test]
fn a_journal_whose_file_was_removed_stores_nothing() {
    for name in ["journal.db", "journal.db-wal"] {
        let folder = tempfile::tempdir().unwrap();
        let mut bridge = Bridge::with(&config(folder.path()), false).ready();
        assert_eq!(bridge.post(&body(0)).0, 200);
        std::fs::remove_file(folder.path().join("data").join(name)).unwrap();
        assert_eq!(bridge.exit_code(), Some(1), "{name}");
        assert!(bridge.log().contains("was removed from its folder"), "{}", bridge.log());
    }
}

#[test]
fn a_crash_writes_no_core_dump() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = Bridge::with(&config(folder.path()), false).ready();
    let limits = bridge.of_process("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["1", "1"]);
}
