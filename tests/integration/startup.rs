//! Startup: slow steps do not block a signal, and no client connects before a step that may fail.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::harness::{LOOPBACK, eventually, free_port, post, signal, text};

/// A bridge that opens a journal for as long as the test keeps that from it, five seconds at most.
struct Opening {
    child: Child,
    listeners: [SocketAddr; 2],
    kept: rusqlite::Connection,
    _folder: tempfile::TempDir,
}

impl Opening {
    fn start(extra: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let kept = rusqlite::Connection::open(data.join("journal.db")).unwrap();
        kept.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let listeners = [(); 2].map(|()| SocketAddr::new(LOOPBACK, free_port()));
        let child = run(&data, listeners, extra);
        eventually("it opens the journal", Duration::from_secs(5), || {
            File::open(data.join("lock")).is_ok_and(|lock| lock.try_lock_shared().is_err())
        });
        Self { child, listeners, kept, _folder: folder }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(data: &std::path::Path, [http, admin]: [SocketAddr; 2], extra: &str) -> Child {
    let config = data.with_file_name("bridge.toml");
    let text = format!("http.listen = \"{http}\"\nadmin.listen = \"{admin}\"\njournal.directory = {data:?}\n{extra}");
    std::fs::write(&config, text).unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_greenapi-bridge"));
    run.args(["run", "--config"]).arg(&config).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_signal_while_opening_the_journal_ends_cleanly() {
    for name in ["-TERM", "-INT"] {
        let mut opening = Opening::start("");
        signal(&opening.child, name);
        // the journal stays locked meanwhile
        eventually("it ends", Duration::from_secs(3), || opening.child.try_wait().unwrap().is_some());
        assert_eq!(opening.child.wait().unwrap().code(), Some(0), "{name}");
        opening.kept.execute_batch("ROLLBACK").unwrap();
    }
}

#[test]
fn an_ephemeral_journal_is_opened_although_a_signal_came() {
    let mut opening = Opening::start("journal.ephemeral = true\n");
    signal(&opening.child, "-TERM");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(opening.child.try_wait().unwrap(), None, "its backlog would be lost");
    opening.kept.execute_batch("ROLLBACK").unwrap();
    eventually("it ends", Duration::from_secs(10), || opening.child.try_wait().unwrap().is_some());
    assert_eq!(opening.child.wait().unwrap().code(), Some(0));
    let mut hurried = Opening::start("journal.ephemeral = true\n");
    for _ in 0..2 {
        signal(&hurried.child, "-TERM");
        std::thread::sleep(Duration::from_millis(300));
    }
    eventually("it ends", Duration::from_secs(3), || hurried.child.try_wait().unwrap().is_some());
    assert_eq!(hurried.child.wait().unwrap().code(), Some(3));
    hurried.kept.execute_batch("ROLLBACK").unwrap();
}

#[test]
fn nobody_can_connect_before_the_journal_is_open() {
    let mut opening = Opening::start("");
    for listener in opening.listeners {
        let refused = TcpStream::connect(listener).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{listener}");
    }
    assert_eq!(opening.child.try_wait().unwrap(), None, "it still opens it");
    opening.kept.execute_batch("ROLLBACK").unwrap();
    for listener in opening.listeners {
        eventually("it listens", Duration::from_secs(10), || TcpStream::connect(listener).is_ok());
    }
    assert_eq!(post(opening.listeners[0], "", &text(1)), (200, r#"{"stored":"journal"}"#.into()));
}

#[test]
fn an_address_in_use_is_reported_before_the_journal_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let taken = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let listeners = [SocketAddr::new(LOOPBACK, free_port()), taken.local_addr().unwrap()];
    let answer = run(&data, listeners, "").wait_with_output().unwrap();
    let said = String::from_utf8(answer.stderr).unwrap();
    assert_eq!(answer.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("admin.listen = {}: address already in use", listeners[1])), "{said}");
    assert!(!data.exists());
}
