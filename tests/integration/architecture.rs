//! The architecture: which module may use which, and how large files and functions may grow.

use std::path::{Path, PathBuf};

/// Each module, and those it may name. A module without an entry may be used by all.
const MAY_USE: &[(&str, &[&str])] = &[
    ("backoff", &[]),
    ("message", &[]),
    ("units", &[]),
    ("completion_queue", &[]),
    ("reloadable", &[]),
    ("reload", &["reloadable", "telemetry"]),
    ("service_manager", &["units"]),
    ("shutdown", &["units"]),
    ("notification", &[]),
    ("auth", &[]),
    ("http_server", &["telemetry", "units"]),
    ("telemetry", &["message", "notification", "reloadable", "shutdown"]),
    ("brokers", &["backoff", "message", "units", "telemetry", "completion_queue"]),
    ("route", &["message", "notification"]),
    ("journal", &["message", "telemetry", "completion_queue", "units"]),
    ("dead_letter", &["backoff", "brokers", "journal", "message", "notification", "route"]),
    ("delivery", &["backoff", "brokers", "journal", "message", "telemetry", "units"]),
    ("journal_edit", &["dead_letter", "delivery", "journal", "message", "notification", "telemetry", "route"]),
    (
        "admin",
        &[
            "auth",
            "delivery",
            "http_server",
            "journal",
            "journal_edit",
            "message",
            "notification",
            "reload",
            "reloadable",
            "telemetry",
            "route",
            "shutdown",
            "units",
        ],
    ),
    ("asyncapi", &["brokers", "config", "message", "notification", "route"]),
    ("http_client", &[]),
    ("simulator", &["http_client", "message", "notification", "units"]),
    (
        "webhook",
        &[
            "auth",
            "delivery",
            "http_server",
            "message",
            "notification",
            "reloadable",
            "telemetry",
            "route",
            "shutdown",
            "units",
        ],
    ),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

fn all() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let named = |path: &PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
    sources(&root).iter().map(|path| (named(path), std::fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn modules_use_only_the_modules_they_may() {
    for (file, source) in all() {
        let room = file.split(['/', '.']).next().unwrap().to_owned();
        let Some((_, may)) = MAY_USE.iter().find(|(name, _)| *name == room) else { continue };
        for used in source.split("crate::").skip(1) {
            let used = used.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
            assert!(used == room || used.is_empty() || may.contains(&used), "{file} uses {used}");
        }
    }
}

#[test]
fn each_library_is_used_by_one_module() {
    for (library, rooms) in [
        ("async_nats", "brokers/nats"),
        ("hyper::server", "http_server"),
        ("hyper::client", "http_client"),
        ("prometheus::", "telemetry"),
        ("rusqlite", "journal"),
        ("jsonschema", "notification"),
    ] {
        for (file, source) in all() {
            let code = source.lines().filter(|line| !line.trim_start().starts_with("//") && !line.contains('"'));
            let named = code.filter(|line| line.contains(library)).count();
            assert!(named == 0 || file.starts_with(rooms), "{file} names {library}");
        }
    }
}

#[test]
fn no_file_is_too_long() {
    for (file, source) in all() {
        assert!(source.lines().count() <= 400, "{file} has {} lines", source.lines().count());
    }
}

#[test]
fn no_function_is_too_long() {
    for (file, source) in all() {
        let lines: Vec<_> = source.lines().collect();
        for (start, line) in lines.iter().enumerate().filter(|(_, line)| is_function(line)) {
            // formatted code closes a function where its line began
            let indent = line.len() - line.trim_start().len();
            let closing = format!("{}}}", " ".repeat(indent));
            let length = lines[start..].iter().position(|line| *line == closing).map_or(1, |end| end + 1);
            assert!(length <= 50, "{file}:{} has {length} lines", start + 1);
        }
    }
}

fn is_function(line: &str) -> bool {
    // the declaration of a trait has no body
    if line.ends_with(';') {
        return false;
    }
    let words = line.split_whitespace().take_while(|word| !word.starts_with("//"));
    words.take(4).any(|word| word == "fn")
}
