//! Every configuration key with its default. Another test proves that the example holds every key of the code and every
//! default; this one, that the program takes each of its keys.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use toml::{Table, Value};

use super::program;
use crate::harness::assert_snapshot;

/// Keys that exclude each other: the ways to be known to a broker, and those in which a proxy names the sender. Together
/// the sets have all of them.
const ALTERNATIVES: [&[&str]; 4] = [
    &["nats.credentials_file", "kafka.token_file", "http.proxy.protocol"],
    &["nats.nkey_file", "kafka.secret_files", "http.proxy.header", "http.proxy.trusted_hops"],
    &["nats.user", "nats.password_file", "kafka.secret_files", "http.proxy.protocol"],
    &["nats.token_file", "kafka.secret_files", "http.proxy.header"],
];

fn example(wanted: impl Fn(&str) -> bool) -> Table {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/bridge.example.toml")).unwrap();
    let on = |line: &str| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') => key.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().filter(|line| wanted(line)).map(on).collect::<Vec<_>>().join("\n").parse().unwrap()
}

/// Every key with its value, a line each.
fn keys(table: &Table, before: &str) -> Vec<(String, String)> {
    let all = table.iter().flat_map(|(key, value)| {
        let key = if key.contains('.') { format!("{before}\"{key}\"") } else { format!("{before}{key}") };
        match value {
            Value::Table(inner) => keys(inner, &format!("{key}.")),
            value => vec![(key, value.to_string())],
        }
    });
    all.collect()
}

#[test]
fn config_keys() {
    let all = example(|_| true);
    let defaults = keys(&example(|line| !line.contains("# an example")), "");
    let mut lines: Vec<_> = keys(&all, "")
        .into_iter()
        .map(|(key, value)| match defaults.iter().find(|(known, _)| *known == key) {
            Some(_) => format!("{key} = {value}\n"),
            None => format!("{key}: no default\n"),
        })
        .collect();
    lines.sort_unstable();
    assert_snapshot("config_keys.txt", &lines.concat());
}

fn remove(table: &mut Table, key: &str) {
    match key.split_once('.') {
        Some((section, key)) => remove(table.get_mut(section).unwrap().as_table_mut().unwrap(), key),
        None => drop(table.remove(key)),
    }
}

/// The example with everything in it that goes together with these keys.
fn with_only(chosen: &[&str]) -> Table {
    let mut config = example(|_| true);
    let others = ALTERNATIVES.iter().copied().flatten().filter(|key| !chosen.contains(key));
    let mut others: Vec<_> = others.collect();
    others.sort_unstable();
    others.dedup();
    others.into_iter().for_each(|key| remove(&mut config, key));
    if chosen.contains(&"kafka.token_file") {
        config["kafka"]["properties"] =
            Value::Table(Table::from_iter([("sasl.mechanism".into(), "OAUTHBEARER".into())]));
    }
    config
}

#[test]
fn config_keys_are_taken_by_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let seed = nkeys::KeyPair::new_user().seed().unwrap();
    let creds = format!(
        "-----BEGIN NATS USER JWT-----\ne30.e30.e30\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    );
    std::fs::write(folder.path().join("nats.creds"), creds).unwrap();
    std::fs::write(folder.path().join("nats.nk"), &seed).unwrap();
    let secrets = "tokens admin-tokens nats.password nats.token kafka.password";
    for name in secrets.split(' ') {
        std::fs::write(folder.path().join(name), "a-token-for-everyone\n").unwrap();
    }
    // {"sub":"bridge","exp":4102444800}
    std::fs::write(folder.path().join("kafka.token"), "e30.eyJzdWIiOiJicmlkZ2UiLCJleHAiOjQxMDI0NDQ4MDB9.e30").unwrap();
    for name in ["ca.crt", "nats.crt", "nats.key"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    for name in ["tls", "admin"] {
        let certified = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
        std::fs::write(folder.path().join(format!("{name}.crt")), certified.cert.pem()).unwrap();
        let key = folder.path().join(format!("{name}.key"));
        std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    for chosen in ALTERNATIVES {
        let path = folder.path().join("bridge.toml");
        std::fs::write(&path, with_only(chosen).to_string()).unwrap();
        let output = program(&["check", "--offline", "--config", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{chosen:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
