//! Starting: what may take long is not in the way of a signal.

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{LOOPBACK, eventually, free_port};

/// A bridge that opens a journal for as long as the test keeps that from it, five seconds at most.
struct Opening {
    child: Child,
    kept: rusqlite::Connection,
    _folder: tempfile::TempDir,
}

impl Opening {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let kept = rusqlite::Connection::open(data.join("journal.db")).unwrap();
        kept.execute_batch("CREATE TABLE other (x); BEGIN EXCLUSIVE").unwrap();
        let listeners = [(); 2].map(|()| SocketAddr::new(LOOPBACK, free_port()));
        let child = run(&data, listeners);
        eventually("it opens the journal", Duration::from_secs(5), || {
            File::open(data.join("lock")).is_ok_and(|lock| lock.try_lock_shared().is_err())
        });
        Self { child, kept, _folder: folder }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(data: &std::path::Path, [http, admin]: [SocketAddr; 2]) -> Child {
    let config = data.with_file_name("bridge.toml");
    let text = format!("http.listen = \"{http}\"\nadmin.listen = \"{admin}\"\njournal.directory = {data:?}\n");
    std::fs::write(&config, text).unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_greenapi-bridge"));
    run.args(["run", "--config"]).arg(&config).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_signal_ends_it_cleanly_while_it_opens_a_journal() {
    for signal in ["-TERM", "-INT"] {
        let mut opening = Opening::start();
        let asked = Instant::now();
        assert!(Command::new("kill").args([signal, &opening.child.id().to_string()]).status().unwrap().success());
        assert_eq!(opening.child.wait().unwrap().code(), Some(0), "{signal}");
        assert!(asked.elapsed() < Duration::from_secs(3), "{signal}: after {:?}", asked.elapsed());
        opening.kept.execute_batch("ROLLBACK").unwrap();
    }
}
