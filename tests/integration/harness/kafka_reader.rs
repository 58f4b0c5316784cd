//! Kafka's own client reads what the tests have stored: one process for all tests, because its start takes seconds.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

struct Reader {
    /// It ends by itself with the end of its input, which is the end of this process.
    process: Child,
    requests: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    errors: tempfile::NamedTempFile,
}

/// Every record of these topics. `java` is the command that has Kafka's libraries.
pub(super) fn read(java: Command, server: &str, topics: &[&str]) -> Vec<Value> {
    static READER: Mutex<Option<Reader>> = Mutex::new(None);
    let mut shared = READER.lock().unwrap_or_else(PoisonError::into_inner);
    // a reading that panics leaves no reader behind, so the next test starts another
    let mut reader = shared.take().unwrap_or_else(|| Reader::start(java));
    let (records, problem) = reader.read(server, topics);
    *shared = Some(reader);
    drop(shared);
    assert!(problem.is_null(), "{topics:?} on {server}: {problem}");
    records
}

impl Reader {
    fn start(mut java: Command) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers/KafkaRead.java");
        let errors = tempfile::NamedTempFile::new().unwrap();
        java.arg(source).arg("--serve").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = java.stderr(errors.reopen().unwrap()).spawn().unwrap();
        let requests = process.stdin.take().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, requests, lines, errors }
    }

    /// The records, and what went wrong; null where nothing did.
    fn read(&mut self, server: &str, topics: &[&str]) -> (Vec<Value>, Value) {
        let asked = writeln!(self.requests, "{server} {}", topics.join(" "));
        let mut records = Vec::new();
        while let Some(Ok(line)) = self.lines.next() {
            let mut line: Value = serde_json::from_str(&line).unwrap();
            if let Some(problem) = line.get_mut("end") {
                return (records, problem.take());
            }
            records.push(line);
        }
        let ended = self.process.wait();
        panic!("the reader ended: {ended:?}, {asked:?}: {}", std::fs::read_to_string(self.errors.path()).unwrap());
    }
}
