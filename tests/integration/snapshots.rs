//! What users of the bridge see, frozen in a text file for each surface: a change that is not meant for users changes
//! none of them. The tests know the program alone, none of its names.
//!
//! `BRIDGE_TEST_ACCEPT=1 tests/run snapshots` rewrites the files.

#[cfg(all(feature = "journal", feature = "nats"))]
mod admin;
#[cfg(all(feature = "journal", feature = "nats"))]
mod answers;
#[cfg(all(feature = "journal", feature = "kafka", feature = "nats"))]
mod commands;
#[cfg(all(feature = "journal", feature = "kafka", feature = "nats"))]
mod config;
mod headers;
#[cfg(all(feature = "journal", feature = "kafka", feature = "nats"))]
mod json;
#[cfg(all(feature = "journal", feature = "kafka", feature = "nats"))]
mod metrics;
#[cfg(feature = "journal")]
mod schema;

use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{Answer, free_port, nats_servers};

/// A file with this text.
fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

/// The program with these arguments and no variables, run to its end.
fn program(words: &[&str]) -> Output {
    let mut program = Command::new("timeout");
    program.args(["60", env!("CARGO_BIN_EXE_greenapi-bridge")]).args(words);
    program.env_clear().env("PATH", "/usr/bin:/bin").output().unwrap()
}

/// What a command prints that ends well.
fn printed(words: &[&str]) -> String {
    let output = program(words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a configuration says to use a journal in this folder.
fn journal_in(folder: &Path) -> String {
    format!("journal.directory = {:?}\n", folder.join("data"))
}

/// What a configuration says to use a NATS server that is not there.
fn no_nats() -> String {
    nats_servers(&[free_port()])
}

/// An answer without its date; header fields in the order of their names.
fn without_date(answer: &Answer) -> String {
    let mut lines = answer.head.lines().filter(|line| !line.is_empty());
    let status = lines.next().unwrap().to_owned();
    let mut fields: Vec<_> = lines.filter(|line| !line.starts_with("date: ")).collect();
    fields.sort_unstable();
    let body = Some(answer.body.as_str()).filter(|body| !body.is_empty());
    let parts = [status.as_str()].into_iter().chain(fields).chain(body);
    parts.map(|line| format!("  {line}\n")).collect()
}
