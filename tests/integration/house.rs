//! The house: which room may use which, and how large a room may grow.

use std::path::{Path, PathBuf};

/// Each room, and those it may name. A room not named here may be used by all.
const MAY_USE: [(&str, &[&str]); 17] = [
    ("message", &[]),
    ("units", &[]),
    ("relay", &[]),
    ("shutdown", &["units"]),
    ("notification", &[]),
    ("admit", &[]),
    ("serve", &["observe"]),
    ("observe", &["admit", "shutdown"]),
    ("brokers", &["message", "units", "observe", "relay"]),
    ("route", &["message", "notification"]),
    ("journal", &["message", "observe", "relay", "units"]),
    ("dead_letter", &["brokers", "journal", "message", "notification", "route"]),
    ("deliver", &["brokers", "journal", "message", "observe", "units"]),
    ("upkeep", &["dead_letter", "deliver", "journal", "message", "notification", "observe", "route"]),
    ("operate", &["journal", "message", "notification", "observe", "shutdown", "units"]),
    ("sender", &["message", "notification", "units"]),
    ("receive", &["admit", "deliver", "message", "notification", "observe", "route", "shutdown", "units"]),
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
fn rooms_use_only_the_rooms_they_may() {
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
fn each_library_has_one_room() {
    for (library, rooms) in [
        ("async_nats", "brokers/nats"),
        ("hyper::server", "serve"),
        ("hyper::client", "sender"),
        ("prometheus::", "observe"),
        ("rusqlite", "journal"),
    ] {
        for (file, source) in all() {
            let code = source.lines().filter(|line| !line.trim_start().starts_with("//") && !line.contains('"'));
            let named = code.filter(|line| line.contains(library)).count();
            assert!(named == 0 || file.starts_with(rooms), "{file} names {library}");
        }
    }
}

#[test]
fn no_file_is_too_long_to_know() {
    for (file, source) in all() {
        assert!(source.lines().count() <= 300, "{file} has {} lines", source.lines().count());
    }
}

#[test]
fn no_function_is_too_long_to_read() {
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
    let words = line.split_whitespace().take_while(|word| !word.starts_with("//"));
    words.take(4).any(|word| word == "fn")
}
