//! No configuration makes the program panic, and no error shows a secret that stands under a key of a secret.
//!
//! The first byte chooses a line with a secret and the second where it is put into the rest, which is TOML.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use greenapi_bridge::config::Config;
use greenapi_bridge::route::Routes;
use libfuzzer_sys::fuzz_target;
use toml::{Table, Value};

const SECRET: &str = "hunter2";

/// Lines as people write them by mistake; the last ones are not even TOML.
const LINES: [&str; 12] = [
    "",
    "password = \"hunter2\"",
    "tokens = [\"hunter2\"]",
    "token = 'hunter2'",
    "\"sasl.password\" = \"hunter2\"",
    "password = { value = \"hunter2\" }",
    "servers = [\"nats://bridge:hunter2@broker:4222\"]",
    "nats.servers = [[\"nats://bridge:hunter2@broker:4222\"]]",
    "bootstrap_servers = [\"bridge:hunter2@broker:9092\"]",
    "[nats]\npassword = \"hunter2",
    "password = hunter2",
    "[password]hunter2",
];

/// A file of this process, in memory where there is such a file system.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("greenapi-bridge-fuzz-{}.toml", std::process::id()))
});

/// Whether the secret stands somewhere else than under the key of the line, such as inside another text.
fn is_elsewhere(value: &Value, key: &str) -> bool {
    let is_secret_key = ["password", "token", "tokens", "sasl.password", "servers", "bootstrap_servers"].contains(&key);
    match value {
        Value::Table(table) => {
            let in_a_key = table.keys().any(|key| key.contains(SECRET));
            in_a_key || table.iter().any(|(inner, value)| is_elsewhere(value, if is_secret_key { key } else { inner }))
        }
        Value::Array(list) => list.iter().any(|value| is_elsewhere(value, key)),
        Value::String(text) => text.contains(SECRET) && !is_secret_key,
        _ => false,
    }
}

fuzz_target!(|input: (u8, u8, &str)| {
    let (line, at, text) = input;
    if text.contains(SECRET) {
        return;
    }
    let line = LINES[usize::from(line) % LINES.len()];
    let mut lines: Vec<_> = text.split('\n').collect();
    lines.insert(usize::from(at) % (lines.len() + 1), line);
    let whole = lines.join("\n");
    std::fs::write(&*FILE, &whole).unwrap();
    match Config::load(Some(&FILE), std::iter::empty()) {
        Ok(config) => drop(Routes::new(&config.route, &config.broker_templates())),
        Err(error) => {
            let error = error.to_string();
            let elsewhere = whole.parse::<Table>().is_ok_and(|table| is_elsewhere(&Value::Table(table), ""));
            assert!(elsewhere || !error.contains(SECRET), "{whole}\n{error}");
        }
    }
});
