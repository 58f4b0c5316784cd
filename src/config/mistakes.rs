//! All that is wrong with a configuration, each with its place in the file.

use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use toml::de::{DeTable, DeValue};

use super::ConfigError;

/// What is wrong with a configuration, and what to do: one line for each.
#[derive(Debug, Error, PartialEq, Eq)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
    /// The file, and the line that each error is about, if it is about one.
    file: Option<PathBuf>,
    lines: Vec<Option<usize>>,
}

impl ConfigErrors {
    /// `file` is where the configuration comes from.
    pub(super) fn new(errors: Vec<ConfigError>, file: Option<&Path>) -> Self {
        let text = file.and_then(|file| super::read_text(file).ok()).unwrap_or_default();
        let line = |error: &ConfigError| line_of(&text, &error.key).filter(|_| !error.is_of_variable());
        let lines = errors.iter().map(line).collect();
        Self { errors, file: file.map(Into::into), lines }
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self::new(vec![error], None)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (error, line)) in self.errors.iter().zip(&self.lines).enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(out, "{end}{error}")?;
            if let (Some(file), Some(line)) = (&self.file, line) {
                write!(out, " ({}, line {line})", file.display())?;
            }
        }
        Ok(())
    }
}

/// The line of a key such as `nats.servers`, or of the section that it should be in.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let mut table = table.get_ref();
    let mut at = None;
    for name in names(key) {
        let Some((found, value)) = table.iter().find(|(known, _)| known.get_ref().as_ref() == name) else { break };
        at = Some(found.span().start);
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    Some(text.get(..at?)?.matches('\n').count() + 1)
}

/// The names of a key; one in quotes may have dots.
fn names(key: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut quoted = false;
    for character in key.chars() {
        match character {
            '"' => quoted = !quoted,
            '.' if !quoted => names.push(String::new()),
            ' ' if !quoted => break,
            other => names.last_mut().into_iter().for_each(|name| name.push(other)),
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_where_it_stands() {
        let text = "http.listen = \"x\"\n\n[nats]\nstream = \"A\"\nservers = [\n  \"b\",\n]\n\n[kafka.properties]\n\"security.protocol\" = \"X\"\n";
        for (key, line) in [
            ("http.listen", Some(1)),
            ("nats.stream", Some(4)),
            ("nats.servers", Some(5)),
            ("nats.absent", Some(3)),
            ("kafka.properties.\"security.protocol\" = X", Some(10)),
            ("kafka.topic", Some(9)),
            ("probes.listen", None),
            ("--config", None),
        ] {
            assert_eq!(line_of(text, key), line, "{key}");
        }
        assert_eq!(line_of("no toml", "http"), None);
    }
}
