//! Loading: the TOML file and the environment become a [`Config`].

use std::path::Path;

use toml::{Table, Value};

use super::explain::{explain, get};
use super::renamed::{self, RENAMED, Renamed};
use super::{Config, ConfigError, syntax};

/// Sections whose keys are names of other systems. Environment variables cannot set them: those have no small letters.
const FREE_FORM: [&str; 3] = ["route.types", "kafka.properties", "kafka.secret_files"];

/// What was read.
pub(super) struct Read {
    pub(super) config: Config,
    /// The values as they are written in the file and the environment.
    pub(super) values: Table,
    /// The keys that were set in the environment.
    pub(super) from_environment: Vec<String>,
}

/// Reads the file, if there is one, and the environment.
pub(super) fn read(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Read, Vec<ConfigError>> {
    read_with(file, environment, RENAMED)
}

fn read_with(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    renamed_keys: &[Renamed],
) -> Result<Read, Vec<ConfigError>> {
    let (values, from_environment) = merged(file, environment).map_err(|error| vec![error])?;
    let config = renamed::refuse(&values, renamed_keys)
        .map_err(|error| vec![error])
        .and_then(|()| typed(values.clone(), &from_environment))
        .map_err(|errors| super::naming_variables(errors, &from_environment))?;
    Ok(Read { config, values, from_environment })
}

/// The table of the file with the keys of the environment, and the names of the latter.
fn merged(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<(Table, Vec<String>), ConfigError> {
    let mut table = file.map(read_file).transpose()?.unwrap_or_default();
    let mut from_environment = Vec::new();
    for (name, value) in environment {
        if let Some(path) = name.strip_prefix("BRIDGE_").filter(|rest| rest.contains("__")) {
            let path: Vec<_> = path.split("__").map(str::to_ascii_lowercase).collect();
            let key = path.join(".");
            if let Some(section) = FREE_FORM.iter().find(|section| key.starts_with(&format!("{section}."))) {
                let problem = format!("names in [{section}] are not all upper-case letters; set it in the file");
                return Err(ConfigError { key, value: None, problem });
            }
            if !set(&mut table, &path, Value::String(value)) {
                let problem = "a key above it has a value of its own; remove one of the two".into();
                return Err(ConfigError { key, value: None, problem });
            }
            from_environment.push(key);
        }
    }
    Ok((table, from_environment))
}

fn read_file(path: &Path) -> Result<Table, ConfigError> {
    let refused = |problem| ConfigError::new("--config", path.display(), problem);
    let text = super::read_text(path).map_err(refused)?;
    text.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        // the library's own text quotes the line, which may hold a secret under a wrong key
        refused(syntax::explain(&text, at, error.message()))
    })
}

/// Environment values are text. A value whose key has another type is parsed again as TOML. Every mistake is found: one is
/// taken out of the table, and the rest is read again.
fn typed(mut table: Table, from_environment: &[String]) -> Result<Config, Vec<ConfigError>> {
    let (mut as_text, mut mistakes) = (from_environment.to_vec(), Vec::new());
    loop {
        let error = match serde_path_to_error::deserialize(table.clone()) {
            Ok(config) if mistakes.is_empty() => return Ok(config),
            Ok(_) => return Err(mistakes),
            Err(error) => error,
        };
        let (path, message) = (error.path().to_string(), error.inner().message());
        if let Some(read) = parsed_again(&table, &path, &mut as_text) {
            let keys: Vec<_> = path.split('.').map(str::to_owned).collect();
            set(&mut table, &keys, read);
            continue;
        }
        let mistake = explain(&table, &path, message, from_environment);
        let taken_out = take_out(&mut table, &mistake.key);
        mistakes.push(mistake);
        if !taken_out {
            return Err(mistakes);
        }
    }
}

/// The value of a text from the environment, read as TOML. `None` means that it is not, or is no longer one of those.
fn parsed_again(table: &Table, path: &str, as_text: &mut Vec<String>) -> Option<Value> {
    let index = as_text.iter().position(|known| known == path)?;
    as_text.swap_remove(index);
    let text = get(table, path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut read = format!("value = {text}").parse::<Table>().ok()?;
    Some(read.remove("value").unwrap_or(Value::String(text)))
}

/// Takes a key out, or the section that lacks it. Whether anything was.
fn take_out(table: &mut Table, key: &str) -> bool {
    let Some((section, rest)) = key.split_once('.') else { return table.remove(key).is_some() };
    let inner = table.get_mut(section).and_then(Value::as_table_mut);
    inner.is_some_and(|inner| take_out(inner, rest)) || table.remove(section).is_some()
}

/// False means that a key above it is not a section.
fn set(table: &mut Table, path: &[String], value: Value) -> bool {
    match path {
        [] => false,
        [key] => {
            table.insert(key.clone(), value);
            true
        }
        [section, rest @ ..] => match table.entry(section.clone()).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(inner) => set(inner, rest, value),
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(errors: &[ConfigError]) -> String {
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    fn from(toml: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), toml).unwrap();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        read(Some(file.path()), environment).map(|read| read.config).map_err(|errors| joined(&errors))
    }

    #[test]
    fn the_environment_wins_and_is_read_as_the_key_wants_it() {
        let environment = [
            ("BRIDGE_HTTP__LISTEN", "127.0.0.1:1"),
            ("BRIDGE_NATS__USER", "123"),
            ("BRIDGE_NATS__SERVERS", "[\"nats://a:4222\"]"),
            ("BRIDGE_HTTP__LIMITS__IN_FLIGHT", "7"),
            ("BRIDGE_AUTH__ALLOW_ANONYMOUS", "true"),
            ("BRIDGE_PORT", "ignored"),
            ("BRIDGE_ROUTE__TYPES", "{ newThing = \"incoming\" }"),
        ];
        let config = from("[http]\nlisten = \"127.0.0.1:2\"\nmax_body = \"1MiB\"\n", &environment).unwrap();
        assert_eq!((config.http.listen.port(), config.http.max_body, config.http.limits.in_flight), (1, 1 << 20, 7));
        assert!(config.auth.allow_anonymous);
        let placed: crate::notification::TypeTable = toml::from_str("newThing = \"incoming\"").unwrap();
        assert_eq!(format!("{:?}", config.route.types), format!("{placed:?}"));
        let fault = from("", &[("BRIDGE_ROUTE__TYPES__NEWTHING", "incoming")]).unwrap_err();
        assert!(fault.starts_with("route.types.newthing: names in [route.types] are not"), "{fault}");
        let nats = config.nats.unwrap();
        assert_eq!((nats.user.as_deref(), nats.servers), (Some("123"), vec!["nats://a:4222".to_owned()]));
    }

    #[test]
    fn a_renamed_key_answers_with_its_new_name() {
        let renamed = [Renamed { old: "http.port", new: "http.listen" }];
        let loaded = |toml: &str, environment: &[(&str, &str)]| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), toml).unwrap();
            let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            read_with(Some(file.path()), environment, &renamed).map(drop).map_err(|errors| joined(&errors))
        };
        let says = "http.port: was renamed; write http.listen instead, with the same value";
        assert_eq!(loaded("http.port = 3000", &[]).unwrap_err(), says);
        let variable = loaded("", &[("BRIDGE_HTTP__PORT", "3000")]).unwrap_err();
        assert_eq!(variable, format!("{says}; it comes from BRIDGE_HTTP__PORT"));
        assert_eq!(loaded("http.listen = \"127.0.0.1:3000\"", &[]), Ok(()));
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let fault =
            from("[http]\nlisen = \"x\"\nmax_body = \"8 MB!\"\n[nast]\n[publish]\ntimeout = 12\n[probes]\n", &[]);
        let fault = fault.unwrap_err();
        for begins in [
            "http.lisen = \"x\": unknown key",
            "http.max_body = ",
            "nast: unknown key",
            "publish.timeout = 12: ",
            "probes.listen: is required",
        ] {
            assert!(fault.lines().any(|line| line.starts_with(begins)), "{begins} in {fault}");
        }
        assert_eq!(fault.lines().count(), 5, "{fault}");
    }

    #[test]
    fn errors_name_key_value_and_remedy() {
        let fault = |toml| from(toml, &[]).unwrap_err();
        assert_eq!(
            fault("[http]\nlisen = \"x\""),
            "http.lisen = \"x\": unknown key; the nearest known one is `listen`"
        );
        assert_eq!(fault("[nast]\nx = 1"), "nast: unknown key; the nearest known one is `nats`");
        assert!(fault("[zzz]\nx = 1").starts_with("zzz: unknown key; known are http, auth, validation, route,"));
        assert!(fault("[http]\nlisten = \"bridge:1\"").ends_with("such as \"127.0.0.1:3000\" or \":3000\""));
        assert!(fault("[nats]\nprovision.replicas = \"three\"").contains("a number of replicas, or \"auto\""));
        assert!(fault("[http]\nbody_time = \"10\"").starts_with("http.body_time = \"10\": not a duration"));
        assert!(
            fault("[http.limits]\nin_flight = \"x\"").starts_with("http.limits.in_flight = \"x\": give a whole number")
        );
        let secrets = [
            "[nats]\npassword = \"hunter2\"",
            "[auth]\ntokens = [\"hunter2\"]",
            "[nats]\npassword = \"hunter2\" x",
            "[nats]\nservers = \"nats://u:hunter2@h\"",
        ];
        assert!(
            fault("[route]\nkey = \"phone\"").starts_with("route.key = \"phone\": unknown value; give \"instance\"")
        );
        for secret in secrets {
            assert!(!fault(secret).contains("hunter2"), "{}", fault(secret));
        }
        assert!(fault("\n[nats\n").contains("line 2"), "{}", fault("\n[nats\n"));
        assert_eq!(fault("[tracing]\n"), "tracing: this version does not have it; remove it");
    }
}
