//! Where a configuration came from, to load it again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{Config, ConfigErrors};
use crate::reload::WatchedFiles;

/// Where a configuration came from, and the values that it had.
pub struct ConfigSource {
    file: Option<PathBuf>,
    environment: Vec<(String, String)>,
    files: WatchedFiles,
    /// The value of each key at the first load. They may be secrets, so they are only compared.
    values: BTreeMap<String, Value>,
}

impl ConfigSource {
    /// As [`Config::load`], and remembers the source.
    ///
    /// # Errors
    /// [`ConfigErrors`].
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<(Config, Self), ConfigErrors> {
        let (files, environment) = (WatchedFiles::read(file.map(Into::into)), environment.collect::<Vec<_>>());
        let (config, table) = Config::load_with_values(file, environment.iter().cloned())?;
        let source = Self { file: file.map(Into::into), environment, files, values: flattened(&table) };
        Ok((config, source))
    }

    /// The file, if there is one, as it was before it was loaded.
    pub fn files(&self) -> WatchedFiles {
        self.files.clone()
    }

    /// Loads it again. The keys are those whose value is another than at the first load.
    ///
    /// # Errors
    /// [`ConfigErrors`].
    pub fn load_again(&self) -> Result<(Config, Vec<String>), ConfigErrors> {
        let (config, table) = Config::load_with_values(self.file.as_deref(), self.environment.iter().cloned())?;
        let (old, new) = (&self.values, flattened(&table));
        let changed = old.iter().filter(|(key, value)| new.get(*key) != Some(value));
        let added = new.iter().filter(|(key, _)| !old.contains_key(*key));
        let mut keys: Vec<_> = changed.chain(added).map(|(key, _)| key.clone()).collect();
        keys.sort();
        Ok((config, keys))
    }
}

/// Each key with its sections, and its value. An empty section is a value: `[journal]` alone switches the journal on.
fn flattened(table: &Table) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    for (name, value) in table {
        let bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let key = if bare { name.clone() } else { format!("{name:?}") };
        match value {
            Value::Table(inner) if !inner.is_empty() => {
                values.extend(flattened(inner).into_iter().map(|(below, value)| (format!("{key}.{below}"), value)));
            }
            value => drop(values.insert(key, value.clone())),
        }
    }
    values
}

#[cfg(test)]
#[cfg(feature = "nats")]
mod tests {
    use super::*;

    const CONFIG: &str = "nats.servers = [\"nats://127.0.0.1:1\"]\nlog.level = \"info\"\n";

    /// The keys that a change of the file names, with these variables.
    fn changed(from: &str, to: &str, environment: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{CONFIG}{from}")).unwrap();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let (_, source) = ConfigSource::load(Some(file.path()), environment).unwrap();
        std::fs::write(file.path(), format!("{CONFIG}{to}")).unwrap();
        source.load_again().map(|(_, keys)| keys).map_err(|errors| errors.to_string())
    }

    #[test]
    fn changed_added_and_removed_keys_are_named() {
        let none: [&str; 0] = [];
        assert_eq!(changed("# a\nhttp.workers = 1\n", "[http]\n# b\nworkers = 1\n", &[]).unwrap(), none);
        assert_eq!(changed("http.workers = 1\n", "http.workers = 2\n", &[]).unwrap(), ["http.workers"]);
        assert_eq!(changed("", "http.limits.idle = \"1m\"\n", &[]).unwrap(), ["http.limits.idle"]);
        assert_eq!(changed("[nats.provision]\n", "", &[]).unwrap(), ["nats.provision"]);
        let two = changed("dedupe.window = \"1m\"\n", "http.workers = 2\n", &[]).unwrap();
        assert_eq!(two, ["dedupe.window", "http.workers"]);
        let free = changed("", "[route.types]\n\"a.b\" = \"incoming\"\n", &[]).unwrap();
        assert_eq!(free, ["route.types.\"a.b\""]);
    }

    #[test]
    fn a_key_that_a_variable_overrides_has_not_changed() {
        let variables = [("BRIDGE_HTTP__WORKERS", "3")];
        let none: [&str; 0] = [];
        assert_eq!(changed("http.workers = 1\n", "http.workers = 2\n", &variables).unwrap(), none);
    }

    #[test]
    fn a_configuration_that_a_start_would_refuse_is_refused() {
        let refused = changed("", "http.workers = 0\n", &[]).unwrap_err();
        assert!(refused.starts_with("http.workers = 0: not a number of threads"), "{refused}");
    }
}
