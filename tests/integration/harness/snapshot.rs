//! What the bridge shows to its users, compared with the files in `tests/integration/snapshots`.

use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Rewrites the files instead of comparing with them.
const ACCEPT: &str = "BRIDGE_TEST_ACCEPT";

/// Compares a text with the snapshot of this file name, and shows the lines that differ.
pub fn assert_snapshot(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/snapshots").join(name);
    let actual = format!("{}\n", actual.trim_end());
    if std::env::var_os(ACCEPT).is_some() {
        return std::fs::write(path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let shown = path.display();
    assert!(
        expected == actual,
        "{shown} (-) is not what the bridge shows (+):\n{}\n\
         If users are meant to see this change: {ACCEPT}=1 tests/run snapshots, and read the diff.",
        difference(&expected, &actual)
    );
}

/// The lines that only one of both has, with the line before and the number of each.
fn difference(expected: &str, actual: &str) -> String {
    let [old, new] = [expected, actual].map(|text| text.lines().collect::<Vec<_>>());
    // how many lines the longest common part of `old[i..]` and `new[j..]` has
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] =
                if old[i] == new[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut shown, mut before) = (0, 0, String::new(), None);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            before = Some(old[i]);
            (i, j) = (i + 1, j + 1);
            continue;
        }
        if let Some(line) = before.take() {
            shown += &format!("          {line}\n");
        }
        if j == new.len() || i < old.len() && common[i + 1][j] >= common[i][j + 1] {
            shown += &format!("{:6} -  {}\n", i + 1, old[i]);
            i += 1;
        } else {
            shown += &format!("{:6} +  {}\n", j + 1, new[j]);
            j += 1;
        }
    }
    shown
}

/// The id of a body as the contract defines it: the first 16 bytes of its SHA-256, in hex.
pub fn id_of(body: &[u8]) -> String {
    Sha256::digest(body).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A time as the bridge writes every time, such as 2026-01-31T10:00:00.000Z.
pub fn is_time(text: &str) -> bool {
    text.len() == 24 && text.ends_with('Z') && humantime::parse_rfc3339(text).is_ok()
}

/// A JSON value in which everything under these keys, at any depth, is replaced by its kind.
pub fn without_variable(mut value: Value, keys: &[&str]) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for (key, field) in fields.iter_mut() {
                let taken = field.take();
                *field = if keys.contains(&key.as_str()) { kind(&taken) } else { without_variable(taken, keys) };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = without_variable(item.take(), keys)),
        _ => {}
    }
    value
}

fn kind(value: &Value) -> Value {
    match value {
        Value::String(text) if is_time(text) => "<time>".into(),
        Value::String(_) => "<text>".into(),
        Value::Number(_) => "<number>".into(),
        other => other.clone(),
    }
}
