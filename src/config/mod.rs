//! The configuration: composes each part's own `Config`, loads file, environment and token files, and checks what only
//! shows across parts.
//!
//! In: a TOML file and `BRIDGE_<SECTION>__<KEY>` variables. Out: a [`Config`] that can be used, or the first
//! [`ConfigError`] with key, value and remedy. Unknown keys are refused; a renamed key answers with its new name.

mod brokers;
mod check;
mod explain;
mod load;
mod mistakes;
mod names;
mod renamed;
mod source;
mod syntax;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

pub use mistakes::ConfigErrors;
pub use names::{known_parts, misspelt_variables};
pub use source::ConfigSource;

use crate::auth::Tokens;
use crate::http_server::{CertificateError, Tls, TlsConfig};
use crate::message::Broker;
use crate::route::{BrokerTemplate, RouteError};
use crate::units::{open_to_every_user, unreadable};
use crate::{
    admin, auth, brokers::kafka, brokers::nats, delivery, journal, notification, route, shutdown, telemetry, webhook,
};

/// The whole configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[http]`.
    pub http: webhook::Config,
    /// `[auth]`.
    pub auth: auth::Config,
    /// `[validation]`.
    pub validation: notification::ValidationConfig,
    /// `[route]`.
    pub route: route::Config,
    /// `[kafka]`. None means no Kafka.
    pub kafka: Option<kafka::Config>,
    /// `[nats]`. None means no NATS.
    pub nats: Option<nats::Config>,
    /// `[publish]`.
    pub publish: delivery::PublishConfig,
    /// `[journal]`. None means no journal.
    pub journal: Option<journal::Config>,
    /// `[dead_letter]`.
    pub dead_letter: journal::DeadLetterConfig,
    /// `[dedupe]`.
    pub dedupe: delivery::DedupeConfig,
    /// `[admin]`. None means no admin listener.
    pub admin: Option<admin::AdminConfig>,
    /// `[probes]`. None means no listener for probes.
    pub probes: Option<admin::ProbesConfig>,
    /// `[log]`.
    pub log: telemetry::logging::LogConfig,
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

    /// An error of the certificate of a section such as `http.tls`.
    pub(crate) fn of_certificate(section: &str, config: &TlsConfig, error: CertificateError) -> Self {
        let key = format!("{section}.{}", error.file.key());
        Self::new(&key, error.file.path(config).display(), error.problem)
    }

    /// Whether it is said to come from the environment.
    fn is_of_variable(&self) -> bool {
        self.problem.contains(&names::variable(&self.key))
    }

    /// Adds the name of the environment variable, if the key was set there.
    fn naming_variable(mut self, from_environment: &[String]) -> Self {
        let unknown =
            ["unknown key", "this version", "was renamed"].iter().any(|begin| self.problem.starts_with(begin));
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

fn naming_variables(errors: Vec<ConfigError>, from_environment: &[String]) -> Vec<ConfigError> {
    errors.into_iter().map(|error| error.naming_variable(from_environment)).collect()
}

impl Config {
    /// Loads the file, then `BRIDGE_<SECTION>__<KEY>` from `environment`, and checks the result. Relative paths are
    /// relative to the folder of the file.
    ///
    /// # Errors
    /// [`ConfigErrors`].
    pub fn load(
        file: Option<&std::path::Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        Self::load_with_values(file, environment).map(|(config, _)| config)
    }

    /// The same, with the values as they are written in the file and the environment.
    fn load_with_values(
        file: Option<&std::path::Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<(Self, toml::Table), ConfigErrors> {
        Self::read_and_check(file, environment).map_err(|errors| ConfigErrors::new(errors, file))
    }

    fn read_and_check(
        file: Option<&std::path::Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<(Self, toml::Table), Vec<ConfigError>> {
        let environment: Vec<_> = environment.collect();
        // a misspelt variable means that somebody wanted to configure something
        let misspelt = !misspelt_variables(environment.iter().map(|(name, _)| name.clone())).is_empty();
        let load::Read { mut config, values, from_environment } = load::read(file, environment.into_iter())?;
        // how much is logged says nothing of what is stored where
        let unconfigured = from_environment.iter().all(|key| key.starts_with("log."));
        if file.is_none() && unconfigured && !misspelt {
            config.use_embedded_journal();
        }
        let folder = file.and_then(std::path::Path::parent).unwrap_or(std::path::Path::new(""));
        let checked = config.checked(folder).map_err(|errors| naming_variables(errors, &from_environment))?;
        Ok((checked, values))
    }

    /// The default without any configuration: a journal in `./data`, read at the admin listener.
    fn use_embedded_journal(&mut self) {
        if cfg!(feature = "journal") {
            self.journal = Some(journal::Config::default());
            self.admin = Some(admin::AdminConfig::default());
        }
    }

    /// The wait for a broker's ack: `publish.timeout`, or its default with or without a journal.
    pub fn publish_timeout(&self) -> Duration {
        self.publish.timeout(self.journal.is_some())
    }

    fn checked(mut self, folder: &std::path::Path) -> Result<Self, Vec<ConfigError>> {
        if let Some(journal) = &mut self.journal {
            journal.max_body = self.http.max_body;
        }
        let mut mistakes = check::check(&self);
        for (key, path) in self.files() {
            *path = folder.join(&path);
            mistakes.extend(opened(path).err().map(|error| ConfigError::new(key, path.display(), unreadable(&error))));
        }
        if let Some(journal) = &mut self.journal {
            journal.directory = folder.join(&journal.directory);
        }
        // a client reads the files, and says of them what is said above
        if mistakes.is_empty() {
            mistakes.extend(brokers::accepted_by_clients(&self).err());
        }
        if mistakes.is_empty() { Ok(self) } else { Err(mistakes) }
    }

    /// The destination templates of each broker's own section.
    pub fn broker_templates(&self) -> Vec<BrokerTemplate> {
        let kafka = self.kafka.as_ref().map(|kafka| BrokerTemplate {
            broker: Broker::Kafka,
            key: "kafka.topic",
            template: kafka.topic.clone(),
            dead_letter: kafka.dead_letter_topic.clone(),
        });
        let nats = self.nats.as_ref().map(|nats| BrokerTemplate {
            broker: Broker::Nats,
            key: "nats.subject",
            template: nats.subject.clone(),
            dead_letter: nats.dead_letter_subject.clone(),
        });
        kafka.into_iter().chain(nats).collect()
    }

    /// Reads the tokens of `auth.tokens_file`. None means there is no such file.
    ///
    /// # Errors
    /// [`ConfigError`]: the file cannot be read, or holds no tokens. The error never shows one.
    pub fn webhook_tokens(&self) -> Result<Option<Tokens>, ConfigError> {
        self.auth.tokens_file.as_ref().map(|path| read_tokens("auth.tokens_file", path)).transpose()
    }

    /// Reads the tokens of `admin.tokens_file`. None means there is no such file.
    ///
    /// # Errors
    /// As [`Self::webhook_tokens`].
    pub fn admin_tokens(&self) -> Result<Option<Tokens>, ConfigError> {
        let path = self.admin.as_ref().and_then(|admin| admin.tokens_file.as_ref());
        path.map(|path| read_tokens("admin.tokens_file", path)).transpose()
    }

    /// Loads the certificate of `[http.tls]`. None means plain HTTP.
    ///
    /// # Errors
    /// [`ConfigError`]: a file cannot be read, or the two do not fit.
    pub fn webhook_tls(&self) -> Result<Option<Tls>, ConfigError> {
        load_tls("http.tls", self.http.tls.as_ref())
    }

    /// Loads the certificate of `[admin.tls]`. None means plain HTTP.
    ///
    /// # Errors
    /// As [`Self::webhook_tls`].
    pub fn admin_tls(&self) -> Result<Option<Tls>, ConfigError> {
        load_tls("admin.tls", self.admin.as_ref().and_then(|admin| admin.tls.as_ref()))
    }

    /// Which senders need no token, and the remedy. None means that every sender needs a token.
    pub fn anonymous_access(&self) -> Option<(String, &'static str)> {
        let listen = self.http.listen;
        let proxy = if listen.ip().is_loopback() { ", also through a proxy on this machine" } else { "" };
        let remedy = match self.auth.allow_anonymous {
            true => "set auth.tokens_file instead of auth.allow_anonymous",
            false => "set auth.tokens_file",
        };
        self.auth.tokens_file.is_none().then(|| (format!("anyone who reaches {listen} may send{proxy}"), remedy))
    }

    /// The tokens files that every user of this machine can read or change: their key, the problem, and the remedy. Other than
    /// the key of a certificate they are not refused: tokens only let a sender in, and a cluster mounts them so by default.
    pub fn open_tokens_files(&self) -> Vec<(&'static str, String, &'static str)> {
        let admin = self.admin.as_ref().and_then(|admin| admin.tokens_file.as_ref());
        let files = [("auth.tokens_file", self.auth.tokens_file.as_ref()), ("admin.tokens_file", admin)];
        let open = files.into_iter().filter_map(|(key, path)| {
            let mode = std::fs::metadata(path?).ok()?.permissions().mode();
            let (problem, remedy) = open_to_every_user(mode)?;
            Some((key, problem, remedy))
        });
        open.collect()
    }

    /// Whether a client could name any address as its own, and the remedy. None means that `[http.proxy]` is absent, or that
    /// only this machine reaches the port.
    pub fn proxy_bypass(&self) -> Option<(String, &'static str)> {
        let listen = self.http.listen;
        let is_open = self.http.proxy.is_some() && !listen.ip().is_loopback();
        let problem =
            format!("http.proxy is believed, and a client that reaches {listen} past the proxy can name any address");
        is_open.then_some((problem, "listen on loopback, or let a firewall allow only the proxy"))
    }

    /// Every file the configuration names, with its key.
    fn files(&mut self) -> Vec<(&'static str, &mut PathBuf)> {
        let mut files = vec![("auth.tokens_file", self.auth.tokens_file.as_mut())];
        if let Some(tls) = &mut self.http.tls {
            files.extend([
                ("http.tls.certificate_file", Some(&mut tls.certificate_file)),
                ("http.tls.key_file", Some(&mut tls.key_file)),
            ]);
        }
        if let Some(admin) = &mut self.admin {
            files.push(("admin.tokens_file", admin.tokens_file.as_mut()));
            if let Some(tls) = &mut admin.tls {
                files.extend([
                    ("admin.tls.certificate_file", Some(&mut tls.certificate_file)),
                    ("admin.tls.key_file", Some(&mut tls.key_file)),
                ]);
            }
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

/// Opens a file to see whether it can be read. To open a pipe may take for ever.
fn opened(path: &std::path::Path) -> std::io::Result<()> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("not a file"));
    }
    std::fs::File::open(path).map(drop)
}

/// The text of a file, without a byte-order mark; or why it cannot be read, and what to do.
fn read_text(path: &std::path::Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| unreadable(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| syntax::not_utf8(error.as_bytes()))?;
    Ok(text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), Into::into))
}

/// Reads the tokens file that a key names.
///
/// # Errors
/// As [`Config::webhook_tokens`].
pub fn read_tokens(key: &str, path: &std::path::Path) -> Result<Tokens, ConfigError> {
    let read = || {
        let text = read_text(path)?;
        Tokens::parse(&text).map_err(|error| error.to_string())
    };
    read().map_err(|problem| ConfigError::new(key, path.display(), problem))
}

fn load_tls(section: &str, config: Option<&TlsConfig>) -> Result<Option<Tls>, ConfigError> {
    let Some(config) = config else { return Ok(None) };
    Tls::load(config).map(Some).map_err(|error| ConfigError::of_certificate(section, config, error))
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
        let logged = [("BRIDGE_LOG__LEVEL".to_owned(), "warn".to_owned())];
        assert!(Config::load(None, logged.into_iter()).unwrap().journal.is_some(), "a log level configures no storage");
        for name in ["BRIDGE_HTTP__LISTEN", "BRIDGE_NATS_SERVERS"] {
            assert_eq!(load(&[name]).unwrap_err().to_string().split(':').next(), Some("route.brokers"), "{name}");
        }
    }
}
