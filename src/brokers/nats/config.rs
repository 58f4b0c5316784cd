//! `[nats]`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use crate::brokers::Replicas;
use crate::units;

/// `[nats]`: the JetStream that stores notifications.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Servers of one cluster, `nats://host:4222` or `tls://…`.
    pub servers: Vec<String>,
    /// The stream.
    pub stream: String,
    /// The subject template.
    pub subject: String,
    /// The subject of dead letters.
    pub dead_letter_subject: String,
    /// A `.creds` file.
    pub credentials_file: Option<PathBuf>,
    /// A file with an nkey seed.
    pub nkey_file: Option<PathBuf>,
    /// A user name; needs `password_file`.
    pub user: Option<String>,
    /// A file with the password of `user`.
    pub password_file: Option<PathBuf>,
    /// A file with a token.
    pub token_file: Option<PathBuf>,
    /// The JetStream domain.
    pub domain: Option<String>,
    /// The first tokens of reply subjects. Default `_INBOX`.
    pub inbox_prefix: Option<String>,
    /// `[nats.tls]`.
    pub tls: Option<Tls>,
    /// `[nats.provision]`.
    pub provision: ProvisionConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            servers: vec!["nats://127.0.0.1:4222".into()],
            stream: "GREENAPI".into(),
            subject: "greenapi.{class}.{instance}.{type}".into(),
            dead_letter_subject: "greenapi.dead-letter".into(),
            credentials_file: None,
            nkey_file: None,
            user: None,
            password_file: None,
            token_file: None,
            domain: None,
            inbox_prefix: None,
            tls: None,
            provision: ProvisionConfig::default(),
        }
    }
}

/// `[nats.tls]`: TLS towards the server.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The authority that signed the server's certificate, PEM. Default: the system's.
    pub ca_file: Option<PathBuf>,
    /// The client certificate, PEM; needs `key_file`.
    pub certificate_file: Option<PathBuf>,
    /// Its key, PEM.
    pub key_file: Option<PathBuf>,
    /// Whether TLS begins before the server speaks, as `handshake_first` of nats-server wants it. Default: false.
    pub handshake_first: bool,
}

/// `[nats.provision]`: the stream as `provision` creates it; always on file, and it refuses new messages when full.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProvisionConfig {
    /// Replicas, 1 to 5, or `"auto"`: 3 where the cluster has them, else 1.
    pub replicas: Replicas,
    /// The age at which the stream deletes messages. Default 7 d.
    #[serde(deserialize_with = "units::duration")]
    pub max_age: Duration,
    /// The most bytes the stream may have. Default: no limit of its own.
    #[serde(deserialize_with = "units::optional_size")]
    pub max_bytes: Option<usize>,
}

impl Default for ProvisionConfig {
    fn default() -> Self {
        Self { replicas: Replicas::default(), max_age: Duration::from_secs(7 * 24 * 3600), max_bytes: None }
    }
}

/// Why no attempt to connect could be made.
#[derive(Debug, Error)]
#[error("nats.{key} = {value}: {source}")]
pub struct ConnectError {
    /// The key inside `[nats]`.
    pub key: &'static str,
    /// Its value, which is not a secret: a path, or servers.
    pub value: String,
    /// What is wrong.
    pub source: std::io::Error,
}
