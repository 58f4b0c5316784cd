//! `[kafka]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::brokers::Replicas;
use crate::units;

/// `[kafka]`: the cluster that stores.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Some brokers of the cluster, `host:port`; the rest are learned from them.
    pub bootstrap_servers: Vec<String>,
    /// The topic template.
    pub topic: String,
    /// Where dead letters go.
    pub dead_letter_topic: String,
    /// Properties of librdkafka, such as `"security.protocol" = "SASL_SSL"`: any but those the bridge owns.
    pub properties: BTreeMap<String, Property>,
    /// Properties whose value stands in a file, such as `"sasl.password" = "/run/secrets/kafka"`.
    pub secret_files: BTreeMap<String, PathBuf>,
    /// A file with a token for `"sasl.mechanism" = "OAUTHBEARER"`, a JWT; read again before each has expired.
    pub token_file: Option<PathBuf>,
    /// Whether `acks` may be weaker than `all`: then a 200 no longer means stored. Default false.
    pub allow_unsafe_acks: bool,
    /// `[kafka.provision]`.
    pub provision: ProvisionConfig,
}

impl Config {
    /// Who the cluster knows us as, where a token or a property says so.
    #[cfg(feature = "kafka")]
    pub(super) fn user(&self) -> Option<String> {
        match &self.token_file {
            Some(path) => super::token::TokenFile::new(path.clone()).user(),
            None => self.properties.get("sasl.username").map(ToString::to_string),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bootstrap_servers: vec!["127.0.0.1:9092".into()],
            topic: "greenapi.{class}".into(),
            dead_letter_topic: "greenapi.dead-letter".into(),
            properties: BTreeMap::new(),
            secret_files: BTreeMap::new(),
            token_file: None,
            allow_unsafe_acks: false,
            provision: ProvisionConfig::default(),
        }
    }
}

/// `[kafka.provision]`: topics as `provision` creates them.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProvisionConfig {
    /// Partitions of a topic. Default 6: enough for six consumers, and more cost a request each in every burst.
    pub partitions: usize,
    /// Copies, or `"auto"`: 3 where the cluster has as many brokers, else 1.
    pub replicas: Replicas,
    /// How many copies must have a record before it is acknowledged. Default 2, where there are as many copies.
    pub min_insync_replicas: usize,
    /// How long records are kept. Default 7 d.
    #[serde(deserialize_with = "units::duration")]
    pub retention: Duration,
}

impl Default for ProvisionConfig {
    fn default() -> Self {
        Self {
            partitions: 6,
            replicas: Replicas::default(),
            min_insync_replicas: 2,
            retention: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// The value of a property: librdkafka takes text, TOML also has numbers and truth values.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "give a text, a number, or true or false; a name with dots in it stands in quotes, such as \"a.b\" = \"…\""
)]
pub enum Property {
    /// Text.
    Text(String),
    /// A number.
    Number(i64),
    /// `true` or `false`.
    Truth(bool),
}

impl std::fmt::Display for Property {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => out.write_str(text),
            Self::Number(number) => number.fmt(out),
            Self::Truth(truth) => truth.fmt(out),
        }
    }
}
