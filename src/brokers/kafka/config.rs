//! The section `[kafka]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::brokers::Replicas;
use crate::units;

/// `[kafka]`: the cluster to publish to.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Some brokers of the cluster, `host:port`; the rest are learned from them.
    pub bootstrap_servers: Vec<String>,
    /// The topic template.
    pub topic: String,
    /// The topic of dead letters.
    pub dead_letter_topic: String,
    /// Properties of librdkafka, such as `"security.protocol" = "SASL_SSL"`: all but those the bridge owns.
    pub properties: BTreeMap<String, Property>,
    /// Properties whose values are read from files, such as `"sasl.password" = "/run/secrets/kafka"`.
    pub secret_files: BTreeMap<String, PathBuf>,
    /// The file of the token (a JWT) for `"sasl.mechanism" = "OAUTHBEARER"`; read again before the token expires.
    pub token_file: Option<PathBuf>,
    /// Allows `acks` weaker than `all`: then a 200 no longer means stored. Default false.
    pub allow_unsafe_acks: bool,
    /// `[kafka.provision]`.
    pub provision: ProvisionConfig,
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
    /// Partitions of a topic. Default 6: enough for six consumers; each more costs a request in every burst.
    pub partitions: usize,
    /// Replicas, or `"auto"` (default): 3 where the cluster has 3 brokers, else 1.
    pub replicas: Replicas,
    /// How many replicas must have a record before the cluster acknowledges it. Default 2, at most the replicas.
    pub min_insync_replicas: usize,
    /// How long the topic retains records. Default 7 d.
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

/// The value of a property: librdkafka wants text, TOML also has numbers and booleans.
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
    Boolean(bool),
}

impl std::fmt::Display for Property {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => out.write_str(text),
            Self::Number(number) => number.fmt(out),
            Self::Boolean(boolean) => boolean.fmt(out),
        }
    }
}
