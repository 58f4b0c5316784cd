//! `deploy/bridge.example.toml` is what the code has: every key, with its default.

use std::path::Path;

use greenapi_bridge::config::Config;
use toml::{Table, Value};

fn example() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/bridge.example.toml")).unwrap()
}

/// The example with what is commented out switched on: examples too, or only what has a default.
fn switched_on(examples: bool) -> Table {
    let wanted = |line: &&str| examples || !line.contains("# an example");
    let on = |line: &str| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') => key.to_owned(),
        _ => line.to_owned(),
    };
    example().lines().filter(wanted).map(on).collect::<Vec<_>>().join("\n").parse().unwrap()
}

fn typed(table: Table) -> Result<Config, String> {
    table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
}

#[test]
fn the_example_is_a_valid_configuration() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bridge.toml"), example()).unwrap();
    Config::load(Some(&folder.path().join("bridge.toml")), std::iter::empty()).unwrap();
    typed(switched_on(true)).unwrap();
}

#[test]
fn every_default_in_it_is_the_codes() {
    let empty = "[nats]\n[kafka]\n[journal]\n[admin]\n".parse().unwrap();
    assert_eq!(format!("{:#?}", typed(switched_on(false)).unwrap()), format!("{:#?}", typed(empty).unwrap()));
}

/// A section says which keys it has when it is given one it has not.
#[test]
fn every_key_of_the_code_is_in_it() {
    let all = switched_on(true);
    let sections = "http http.tls http.limits http.proxy auth validation route route.classes.incoming nats nats.tls \
        nats.provision kafka kafka.provision publish journal dead_letter dedupe admin admin.tls probes log shutdown";
    let mut seen = 0;
    for section in sections.split_whitespace().chain([""]) {
        let mut asked = all.clone();
        let path = section.split('.').filter(|name| !name.is_empty());
        let here = path.fold(&mut asked, |table, name| table[name].as_table_mut().unwrap());
        let has = here.clone();
        here.insert("nonsense".into(), Value::Boolean(true));
        let answer = typed(asked).unwrap_err();
        assert!(answer.starts_with("unknown field `nonsense`"), "{section}: {answer}");
        for key in answer.split('`').skip(3).step_by(2) {
            assert!(has.contains_key(key), "[{section}] {key} is not in the example");
            seen += 1;
        }
    }
    assert!(seen > 60, "only {seen} keys");
}
