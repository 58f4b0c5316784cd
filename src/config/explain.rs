//! Errors of the TOML library in the words of a configuration: the library speaks of Rust's types.

use toml::{Table, Value};

use super::ConfigError;
use super::names::{elsewhere, variable};

/// A key and the value it was given.
struct Given<'g> {
    /// The key, without an index into a list.
    key: String,
    /// None means that there is no value, or that it may be a secret.
    value: Option<&'g Value>,
    /// The variable it comes from.
    variable: Option<String>,
}

/// Rewrites the library's message about a path.
pub(super) fn explain(table: &Table, path: &str, message: &str, from_environment: &[String]) -> ConfigError {
    let key = path.split('[').next().unwrap_or(path).to_owned();
    let value = get(table, path).filter(|value| !may_be_secret(&key, value));
    let variable = from_environment.iter().find(|known| **known == key).map(|key| variable(key));
    let given = Given { key, value, variable };
    let mut quoted = message.split('`').skip(1).step_by(2);
    match message.split_once(" `").map_or("", |(kind, _)| kind) {
        "unknown field" => unknown_key(given, quoted.next().unwrap_or_default(), &quoted.collect::<Vec<_>>()),
        "unknown variant" => unknown_word(given, quoted.next().unwrap_or_default(), &quoted.collect::<Vec<_>>()),
        "missing field" => {
            let key = format!("{}.{}", given.key, quoted.next().unwrap_or_default());
            ConfigError { key, value: None, problem: "is required in this section; set it".into() }
        }
        _ => {
            let problem = match message.rsplit_once("expected ") {
                Some((_, expected)) if message.starts_with("invalid ") => {
                    let problem = expected_form(&given, expected);
                    // what stands for a whole section may be a secret of it
                    let hides = is_section(expected) && given.value.is_some_and(Value::is_str);
                    return if hides { Given { value: None, ..given } } else { given }.fault(problem);
                }
                _ => own_message(message),
            };
            given.fault(problem)
        }
    }
}

impl Given<'_> {
    fn fault(self, problem: String) -> ConfigError {
        let value = self.value.filter(|value| !value.is_table()).map(ToString::to_string);
        ConfigError { key: self.key, value, problem }
    }
}

/// Messages of the parts' own deserializers are in plain words already.
fn own_message(message: &str) -> String {
    match message {
        _ if message.contains("socket address") => {
            "not an address and a port; give both, such as \"127.0.0.1:3000\"".into()
        }
        _ => message.into(),
    }
}

/// Whether a key expects a section.
fn is_section(expected: &str) -> bool {
    expected == "a map" || expected.starts_with("struct ")
}

/// The form that a key expects.
fn expected_form(given: &Given<'_>, expected: &str) -> String {
    match expected {
        "a boolean" => "give true or false".into(),
        "a sequence" => list(given),
        "socket address" => own_message(expected),
        "usize" | "u64" | "u32" | "u16" | "i64" => "give a whole number, 0 or more".into(),
        "a string" | "string" | "string only" | "path string" => text(given),
        section if is_section(section) => format!("give a section: [{}]", given.key),
        ours => format!("give {ours}"),
    }
}

fn list(given: &Given<'_>) -> String {
    let one = given.value.and_then(Value::as_str).unwrap_or("…");
    let entries: Vec<_> = one.split(',').map(|entry| format!("\"{}\"", entry.trim())).collect();
    match &given.variable {
        Some(variable) => format!("give a list: {variable}='[{}]'", entries.join(", ")),
        None => format!("give a list, such as [{}]", entries.join(", ")),
    }
}

fn text(given: &Given<'_>) -> String {
    match given.value {
        // `sasl.password = …` without quotes is a section `sasl`
        Some(Value::Table(_)) => "give a text; a name with dots in it stands in quotes, such as \"a.b\" = \"…\"".into(),
        Some(value @ (Value::Integer(_) | Value::Float(_) | Value::Boolean(_))) => {
            format!("give a text, such as \"{value}\"")
        }
        _ => "give a text, such as \"…\"".into(),
    }
}

/// The value is none of the allowed words.
fn unknown_word(given: Given<'_>, word: &str, known: &[&str]) -> ConfigError {
    // the path of a word that is a key itself ends in `?`
    if let Some(section) = given.key.strip_suffix(".?") {
        let problem = match nearest(word, known) {
            Some(near) => format!("unknown class; the nearest is {near}"),
            None => format!("unknown class; give one of {}", known.join(", ")),
        };
        return ConfigError { key: format!("{section}.{word}"), value: None, problem };
    }
    let words: Vec<_> = known.iter().map(|word| format!("\"{word}\"")).collect();
    let words = match words.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => words.concat(),
    };
    given.fault(format!("unknown value; give {words}"))
}

/// The key is unknown. If its name sounds like a secret, the error names the key for its file.
fn unknown_key(given: Given<'_>, word: &str, known: &[&str]) -> ConfigError {
    let section = given.key.rsplit_once('.').map_or("", |(section, _)| section);
    let key = if given.key.rsplit('.').next() == Some(word) { given.key.clone() } else { format!("{section}.{word}") };
    let files = Some(secret_file_keys(section, word, known)).filter(|files| names_secret(word) && !files.is_empty());
    let near = nearest(word, known);
    // what a key means that is like none known is not known: its value may be a secret
    let given = if near.is_none() { Given { value: None, ..given } } else { given };
    let problem = match (files, near) {
        (Some(files), _) => format!("unknown key; secrets come from files: {files}"),
        (None, Some(near)) => format!("unknown key; the nearest known one is `{near}`"),
        (None, None) => match elsewhere(&key) {
            places if places.is_empty() => format!("unknown key; known are {}", known.join(", ")),
            places => {
                format!("unknown key here; write {} instead; known here are {}", places.join(" or "), known.join(", "))
            }
        },
    };
    ConfigError { key, ..given.fault(problem) }
}

/// The keys that name files of secrets: the most similar one, or else all.
fn secret_file_keys(section: &str, word: &str, known: &[&str]) -> String {
    let files: Vec<_> = known.iter().filter_map(|known| known.strip_suffix("_file")).collect();
    let inside = |name: &str| if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
    if let Some(file) = nearest(word, &files) {
        return inside(&format!("{file}_file"));
    }
    if known.contains(&"secret_files") {
        return format!("[{}] \"sasl.password\" = \"…\"", inside("secret_files"));
    }
    let all = known.iter().filter(|known| known.ends_with("_file"));
    all.map(|known| inside(known)).collect::<Vec<_>>().join(", ")
}

/// The most similar known word, if it is similar enough.
fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let far = |known: &str| strsim::damerau_levenshtein(known, word);
    known.iter().copied().min_by_key(|known| far(known)).filter(|nearest| far(nearest) * 2 <= word.len())
}

/// Whether the value of a key, known or not, may be a secret.
fn may_be_secret(path: &str, value: &Value) -> bool {
    if path == "route.key" {
        return false;
    }
    let key = path.rsplit('.').next().unwrap_or(path).to_ascii_lowercase();
    // servers may be written with a user and a password
    names_secret(&key) || key.contains("server") && value.to_string().contains('@')
}

fn names_secret(key: &str) -> bool {
    let names = ["pass", "token", "secret", "seed", "nkey", "cred", "key"];
    let key = key.to_ascii_lowercase();
    !key.ends_with("_file") && names.iter().any(|name| key.contains(name))
}

/// The value at a path such as `nats.servers[0]`.
pub(super) fn get<'t>(table: &'t Table, path: &str) -> Option<&'t Value> {
    let mut keys = path.split('.').flat_map(|key| key.split('[')).map(|key| key.trim_end_matches(']'));
    let first = table.get(keys.next()?)?;
    keys.try_fold(first, |value, key| match value {
        Value::Array(list) => list.get(key.parse::<usize>().ok()?),
        value => value.as_table()?.get(key),
    })
}

#[cfg(test)]
mod tests {
    use crate::config::{load, names};

    fn fault(toml: &str, variables: &[(&str, &str)]) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), toml).unwrap();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load::read(Some(file.path()), variables).map(drop).unwrap_err().swap_remove(0).to_string()
    }

    #[test]
    fn errors_show_the_expected_form() {
        for (toml, says) in [
            ("publish.timeout = 12", "publish.timeout = 12: give a text with a unit, such as \"12s\""),
            ("http.max_body = 5", "http.max_body = 5: give a text with a unit, such as \"8MiB\""),
            ("http.workers = \"two\"", "http.workers = \"two\": give a whole number, 0 or more"),
            ("auth.allow_anonymous = \"yes\"", "auth.allow_anonymous = \"yes\": give true or false"),
            ("nats.user = 5", "nats.user = 5: give a text, such as \"5\""),
            ("route.key = 5", "route.key = 5: give a text, such as \"5\""),
            ("http = 5", "http = 5: give a section: [http]"),
            ("nats = \"hunter2\"", "nats: give a section: [nats]"),
            ("kafka.properties = \"hunter2\"", "kafka.properties: give a section: [kafka.properties]"),
            ("nats.servers = \"nats://h:1\"", "nats.servers = \"nats://h:1\": give a list, such as [\"nats://h:1\"]"),
            ("admin.hosts = 5", "admin.hosts = 5: give a list, such as [\"…\"]"),
            (
                "http.proxy.header = \"x-real-ip\"",
                "http.proxy.header = \"x-real-ip\": unknown value; give \"x-forwarded-for\" or \"forwarded\"",
            ),
            ("http.proxy.protocol = \"v2\"", "http.proxy.protocol = \"v2\": unknown value; give \"proxy\""),
            ("route.brokers = [\"rabbit\"]", "route.brokers = \"rabbit\": unknown value; give \"kafka\" or \"nats\""),
            ("route.classes.incomming = {}", "route.classes.incomming: unknown class; the nearest is incoming"),
            (
                "route.classes.x = {}",
                "route.classes.x: unknown class; give one of incoming, outgoing, state, device, other",
            ),
            ("probes = {}", "probes.listen: is required in this section; set it"),
            (
                "nats.provision.replicas = true",
                "nats.provision.replicas = true: give a number of replicas, or \"auto\"",
            ),
        ] {
            assert_eq!(fault(toml, &[]), says);
        }
        let range = fault("auth.allow_from = [\"10.0.0.0/8\", \"greenapi\"]", &[]);
        assert!(
            range.starts_with("auth.allow_from = \"greenapi\": ") && range.ends_with("nearest is green-api"),
            "{range}"
        );
        let unquoted = fault("[kafka.properties]\nsasl.username = \"u\"", &[]);
        assert!(unquoted.starts_with("kafka.properties.sasl: ") && unquoted.contains("in quotes"), "{unquoted}");
    }

    #[test]
    fn a_key_or_section_in_the_wrong_place_is_told_the_right_one() {
        for (toml, says) in [
            (
                "[tls]\nkey_file = \"a\"",
                "tls: unknown key here; write [http.tls] or [nats.tls] or [admin.tls] instead; ",
            ),
            (
                "http.certificate_file = \"a\"",
                "http.certificate_file: unknown key here; write http.tls.certificate_file instead; ",
            ),
            ("limits.idle = \"1m\"", "limits: unknown key here; write [http.limits] instead; "),
            ("http.idle = \"1m\"", "http.idle: unknown key here; write http.limits.idle instead; "),
            ("http.limits.path = \"/\"", "http.limits.path: unknown key here; write http.path instead; "),
            (
                "journal.dead_letter.retention = \"1d\"",
                "journal.dead_letter: unknown key here; write [dead_letter] instead; ",
            ),
            (
                "tokens_file = \"a\"",
                "tokens_file: unknown key here; write auth.tokens_file or admin.tokens_file instead; ",
            ),
            ("nats.tls.stream = \"A\"", "nats.tls.stream: unknown key here; write nats.stream instead; "),
        ] {
            let said = fault(toml, &[]);
            assert!(said.starts_with(says) && said.contains("known here are "), "{toml}: {said}");
        }
        let near = fault("http.limits.connection = 1", &[]);
        assert!(near.ends_with("the nearest known one is `connections`"), "a typing error stays one: {near}");
    }

    #[test]
    fn errors_show_how_to_write_a_variable() {
        for (name, value, says) in [
            (
                "BRIDGE_KAFKA__BOOTSTRAP_SERVERS",
                "h:9092, i:9092",
                "kafka.bootstrap_servers = \"h:9092, i:9092\": give a list: BRIDGE_KAFKA__BOOTSTRAP_SERVERS='[\"h:9092\", \"i:9092\"]'",
            ),
            (
                "BRIDGE_HTTP__WORKERS",
                "two",
                "http.workers = \"two\": give a whole number, 0 or more; it comes from BRIDGE_HTTP__WORKERS",
            ),
            (
                "BRIDGE_INSPECTOR__LISTEN",
                "x",
                "inspector: this version does not have it; remove it; it comes from BRIDGE_INSPECTOR__LISTEN",
            ),
            (
                "BRIDGE_VALIDATION__MODE",
                "lax",
                "validation.mode = \"lax\": unknown value; give \"tolerant\" or \"strict\"; it comes from BRIDGE_VALIDATION__MODE",
            ),
        ] {
            assert_eq!(fault("", &[(name, value)]), says);
        }
        let misplaced = fault("", &[("BRIDGE_HTTP_LIMITS__WAITING", "1")]);
        assert!(misplaced.ends_with("; it comes from BRIDGE_HTTP_LIMITS__WAITING"), "{misplaced}");
    }

    #[test]
    fn a_secret_under_a_wrong_key_is_not_shown_and_its_file_key_is_named() {
        for (key, file) in [
            ("nats.password", "nats.password_file"),
            ("nats.token", "nats.token_file"),
            ("nats.tls.key", "nats.tls.key_file"),
            ("auth.tokens", "auth.tokens_file"),
            ("kafka.password", "[kafka.secret_files] \"sasl.password\" = \"…\""),
        ] {
            let says = format!("{key}: unknown key; secrets come from files: {file}");
            assert_eq!(fault(&format!("{key} = \"hunter2\""), &[]), says);
        }
        let unlike = fault("nats.login = \"hunter2\"", &[]);
        assert!(unlike.starts_with("nats.login: unknown key; known are servers, "), "{unlike}");
        assert!(fault("route.keys = \"x\"", &[]).ends_with("nearest known one is `key`"));
        for key in ["nats.servers", "kafka.bootstrap_servers"] {
            for value in ["\"u:hunter2@h:1\"", "[[\"u:hunter2@h:1\"]]"] {
                let said = fault(&format!("{key} = {value}"), &[]);
                assert!(said.starts_with(&format!("{key}: give a ")) && !said.contains("hunter2"), "{said}");
            }
        }
    }

    #[test]
    fn errors_never_name_rust_types() {
        let (mut seen, keys) = (0, names::below(""));
        for key in keys.iter().filter(|key| !key.is_empty()) {
            for value in ["5", "-5", "0.5", "true", "\"x!\"", "[]", "[5]", "[[]]", "{ x = 5 }"] {
                let toml = format!("{key} = {value}");
                let file = tempfile::NamedTempFile::new().unwrap();
                std::fs::write(file.path(), &toml).unwrap();
                let Err(errors) = load::read(Some(file.path()), std::iter::empty()) else { continue };
                let said = errors[0].to_string();
                seen += 1;
                let rust = "usize u64 i64 integer string boolean sequence map struct variant enum untagged invalid";
                let words: Vec<_> = said.split(|c: char| !c.is_alphanumeric()).collect();
                assert!(!rust.split(' ').any(|rust| words.contains(&rust)), "{toml}: {said}");
                // a key may need another one beside it
                let named = if said.contains("is required") {
                    key.rsplit_once('.').map_or("", |(section, _)| section)
                } else {
                    key
                };
                assert!(
                    said.starts_with(named) && ["give", "key", "must", "set it"].iter().any(|word| said.contains(word)),
                    "{toml}: {said}"
                );
            }
        }
        assert!(seen > 400, "{seen}");
    }
}
