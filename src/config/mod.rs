//! The configuration: each part's own, put together, read from a file and the environment, and checked for
//! what only shows across parts.

mod brokers;
mod check;
mod explain;
mod load;
mod names;

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

pub use names::overlooked;

use crate::admit::Tokens;
use crate::message::Broker;
use crate::route::{Place, RouteError};
use crate::{admit, brokers::kafka, brokers::nats, deliver, journal, observe, receive, route, shutdown};

/// All of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[http]`.
    pub http: receive::Config,
    /// `[auth]`.
    pub auth: admit::Config,
    /// `[route]`.
    pub route: route::Config,
    /// `[kafka]`; absent: no Kafka.
    pub kafka: Option<kafka::Config>,
    /// `[nats]`; absent: no NATS.
    pub nats: Option<nats::Config>,
    /// `[publish]`.
    pub publish: deliver::PublishConfig,
    /// `[journal]`; absent: no journal.
    pub journal: Option<journal::Config>,
    /// `[dead_letter]`.
    pub dead_letter: journal::DeadLetterConfig,
    /// `[dedupe]`.
    pub dedupe: deliver::DedupeConfig,
    /// `[admin]`; absent: no such listener.
    pub admin: Option<observe::AdminConfig>,
    /// `[probes]`; absent: no such listener.
    pub probes: Option<observe::ProbesConfig>,
    /// `[shutdown]`.
    pub shutdown: shutdown::Config,
}

/// A configuration that cannot be used: which key, its value, and what to do.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{key}{}: {problem}", value.as_ref().map(|value| format!(" = {value}")).unwrap_or_default())]
pub struct ConfigError {
    /// The key, with its section.
    pub key: String,
    /// Its value, unless it is a secret or there is none.
    pub value: Option<String>,
    /// What is wrong, and the remedy.
    pub problem: String,
}

impl From<RouteError> for ConfigError {
    fn from(error: RouteError) -> Self {
        Self { key: error.key, value: Some(error.value), problem: error.problem }
    }
}

impl ConfigError {
    fn new(key: &str, value: impl ToString, problem: impl Into<String>) -> Self {
        Self { key: key.into(), value: Some(value.to_string()), problem: problem.into() }
    }

    /// Names the variable, where one of these keys was set in the environment.
    fn said_of(mut self, from_environment: &[String]) -> Self {
        let unknown = ["unknown key", "this version"].iter().any(|begin| self.problem.starts_with(begin));
        let inside = |key: &str| key.strip_prefix(&self.key).is_some_and(|rest| unknown && rest.starts_with('.'));
        if let Some(key) = from_environment.iter().find(|key| **key == self.key || inside(key)) {
            let variable = names::variable(key);
            if !self.problem.contains(&variable) {
                self.problem += &format!("; it comes from {variable}");
            }
        }
        self
    }
}

impl Config {
    /// Reads, puts together and checks: the file, then `BRIDGE_<SECTION>__<KEY>` from `environment`. Relative
    /// paths in the file are relative to its folder.
    ///
    /// # Errors
    /// [`ConfigError`], for the first thing that is wrong.
    pub fn load(
        file: Option<&std::path::Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let environment: Vec<_> = environment.collect();
        // a name that was meant to be read is a configuration too
        let meant = !overlooked(environment.iter().map(|(name, _)| name.clone())).is_empty();
        let (mut config, from_environment) = load::read(file, environment.into_iter())?;
        if file.is_none() && from_environment.is_empty() && !meant {
            config.embed();
        }
        let folder = file.and_then(std::path::Path::parent).unwrap_or(std::path::Path::new(""));
        config.checked(folder).map_err(|error| error.said_of(&from_environment))
    }

    /// With no configuration at all: what comes is kept on this machine's disk, and read at the admin listener.
    fn embed(&mut self) {
        if cfg!(feature = "journal") {
            self.journal = Some(journal::Config::default());
            self.admin = Some(observe::AdminConfig::default());
        }
    }

    /// How long a broker gets.
    pub fn publish_timeout(&self) -> Duration {
        self.publish.timeout(self.journal.is_some())
    }

    fn checked(mut self, folder: &std::path::Path) -> Result<Self, ConfigError> {
        if let Some(journal) = &mut self.journal {
            journal.largest = self.http.max_body;
        }
        check::check(&self)?;
        for (key, path) in self.files() {
            *path = folder.join(&path);
            std::fs::File::open(&path).map_err(|error| ConfigError::new(key, path.display(), unreadable(&error)))?;
        }
        if let Some(journal) = &mut self.journal {
            journal.directory = folder.join(&journal.directory);
        }
        brokers::usable(&self)?;
        Ok(self)
    }

    /// Where each broker's own section sends messages.
    pub fn places(&self) -> Vec<Place> {
        let kafka = self.kafka.as_ref().map(|kafka| Place {
            broker: Broker::Kafka,
            key: "kafka.topic",
            template: kafka.topic.clone(),
            dead_letter: kafka.dead_letter_topic.clone(),
        });
        let nats = self.nats.as_ref().map(|nats| Place {
            broker: Broker::Nats,
            key: "nats.subject",
            template: nats.subject.clone(),
            dead_letter: nats.dead_letter_subject.clone(),
        });
        kafka.into_iter().chain(nats).collect()
    }

    /// The tokens of the endpoint, and those of the admin listener; none where there is no file.
    ///
    /// # Errors
    /// [`ConfigError`]: a file that cannot be read, or holds no tokens. Never shows one.
    pub fn tokens(&self) -> Result<[Option<Tokens>; 2], ConfigError> {
        let admin = self.admin.as_ref().and_then(|admin| admin.tokens_file.as_ref());
        Ok([read_tokens("auth.tokens_file", self.auth.tokens_file.as_ref())?, read_tokens("admin.tokens_file", admin)?])
    }

    /// Where nobody needs a token: who may send, and what to do about it.
    pub fn open_to(&self) -> Option<(String, &'static str)> {
        let listen = self.http.listen;
        let proxy = if listen.ip().is_loopback() { ", also through a proxy on this machine" } else { "" };
        let remedy = match self.auth.allow_anonymous {
            true => "set auth.tokens_file instead of auth.allow_anonymous",
            false => "set auth.tokens_file",
        };
        self.auth.tokens_file.is_none().then(|| (format!("anyone who reaches {listen} may send{proxy}"), remedy))
    }

    /// Every file it names, with its key.
    fn files(&mut self) -> Vec<(&'static str, &mut PathBuf)> {
        let mut files = vec![("auth.tokens_file", self.auth.tokens_file.as_mut())];
        if let Some(admin) = &mut self.admin {
            files.push(("admin.tokens_file", admin.tokens_file.as_mut()));
        }
        if let Some(nats) = &mut self.nats {
            files.extend([
                ("nats.credentials_file", nats.credentials_file.as_mut()),
                ("nats.nkey_file", nats.nkey_file.as_mut()),
                ("nats.password_file", nats.password_file.as_mut()),
                ("nats.token_file", nats.token_file.as_mut()),
            ]);
            if let Some(tls) = &mut nats.tls {
                files.extend([
                    ("nats.tls.ca_file", tls.ca_file.as_mut()),
                    ("nats.tls.certificate_file", tls.certificate_file.as_mut()),
                    ("nats.tls.key_file", tls.key_file.as_mut()),
                ]);
            }
        }
        if let Some(kafka) = &mut self.kafka {
            files.push(("kafka.token_file", kafka.token_file.as_mut()));
            files.extend(kafka.secret_files.values_mut().map(|file| ("kafka.secret_files", Some(file))));
        }
        files.into_iter().filter_map(|(key, file)| Some((key, file?))).collect()
    }
}

/// Why a file cannot be read, and what to do about it.
pub fn unreadable(error: &std::io::Error) -> String {
    let remedy = match error.kind() {
        std::io::ErrorKind::NotFound => "put the file there, or correct its name",
        std::io::ErrorKind::PermissionDenied => "let the user that runs this read it, and enter the folders above it",
        _ => "name a file that can be read",
    };
    format!("{error}; {remedy}")
}

fn read_tokens(key: &str, path: Option<&PathBuf>) -> Result<Option<Tokens>, ConfigError> {
    let Some(path) = path else { return Ok(None) };
    let read = || {
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
        Tokens::parse(&text).map_err(|error| error.to_string())
    };
    read().map(Some).map_err(|problem| ConfigError::new(key, path.display(), problem))
}

#[cfg(all(test, feature = "journal"))]
mod tests {
    use super::*;

    #[test]
    fn with_no_configuration_at_all_the_journal_is_on_and_with_any_it_is_not() {
        let load = |names: &[&str]| {
            let environment = names.iter().map(|name| ((*name).to_owned(), "127.0.0.1:2".to_owned()));
            Config::load(None, environment)
        };
        let config = load(&["PATH", "BRIDGE_PORT"]).unwrap();
        assert_eq!(config.journal.unwrap().directory, std::path::Path::new("data"));
        assert_eq!(config.admin.unwrap().listen, "127.0.0.1:3001".parse().unwrap());
        assert!(config.kafka.is_none() && config.nats.is_none());
        for name in ["BRIDGE_HTTP__LISTEN", "BRIDGE_NATS_SERVERS"] {
            assert_eq!(load(&[name]).unwrap_err().key, "route.brokers", "{name}");
        }
    }
}
