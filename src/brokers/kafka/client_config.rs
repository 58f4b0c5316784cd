//! The configuration of librdkafka's clients: the operator's properties, and the bridge's own.

use std::path::Path;
use std::time::Duration;

use super::Config;
use super::properties::{ACKS, ClientError, is_secret};
use super::token::TokenFile;
use rdkafka::ClientConfig;
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaConfRes, RDKafkaType};

/// A client's properties. `delivery_timeout` limits how long a record may wait for its delivery report.
///
/// # Errors
/// A secret file that cannot be read.
pub(super) fn properties(config: &Config, delivery_timeout: Duration) -> Result<ClientConfig, ClientError> {
    let mut client = ClientConfig::new();
    client
        .set("client.id", "greenapi-bridge")
        .set("acks", "all")
        // finds dead connections, and opens closed ones again soon
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.max.ms", "500")
        // finds a new leader soon
        .set("retry.backoff.max.ms", "250");
    // The OpenSSL that is compiled in looks for authorities where no distribution has them, unless these variables tell it.
    if ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().all(|name| std::env::var_os(name).is_none()) {
        client.set("ssl.ca.location", "probe");
    }
    for (name, value) in &config.properties {
        client.set(name, value.to_string());
    }
    for (name, path) in &config.secret_files {
        client.set(name, secret(name, path)?);
    }
    let acks = ACKS.iter().any(|name| client.get(name).is_some_and(|acks| !["all", "-1"].contains(&acks)));
    client
        .set("bootstrap.servers", config.bootstrap_servers.join(","))
        .set("enable.idempotence", if acks { "false" } else { "true" })
        .set("allow.auto.create.topics", "false")
        .set("partitioner", "murmur2_random")
        .set("message.timeout.ms", delivery_timeout.as_millis().to_string())
        .set("topic.metadata.propagation.max.ms", "1000")
        .set("queue.buffering.max.messages", "100000")
        .set("queue.buffering.max.kbytes", "262144")
        .set_log_level(log_level());
    Ok(client)
}

/// librdkafka passes on as much as is logged, so that the property `debug` has an effect.
fn log_level() -> RDKafkaLogLevel {
    match tracing::enabled!(target: "librdkafka", tracing::Level::DEBUG) {
        true => RDKafkaLogLevel::Debug,
        false => RDKafkaLogLevel::Error,
    }
}

/// Checks that librdkafka accepts this configuration. Reads the secrets; connects to nothing.
///
/// # Errors
/// The first thing librdkafka does not accept.
pub fn validate(config: &Config) -> Result<(), ClientError> {
    if let Some(path) = &config.token_file {
        // an expired token is not an error here: a new one may come later, and the cluster checks it
        TokenFile::new(path.clone()).token()?;
    }
    let mut client = properties(config, Duration::from_secs(30))?;
    // without servers the client connects to nothing
    client.remove("bootstrap.servers");
    let native = client.create_native_config().map_err(|error| explain(config, &error))?;
    let client = Client::new(&client, native, RDKafkaType::RD_KAFKA_PRODUCER, DefaultClientContext);
    client.map(drop).map_err(|error| explain(config, &error))
}

/// librdkafka's error as `key = value: problem`. Hides a value that may be a secret: from a file, under a secret's name,
/// or under a name that librdkafka does not know, which may be a misspelt secret.
pub(super) fn explain(config: &Config, error: &KafkaError) -> ClientError {
    let (code, problem, name, value) = match error {
        KafkaError::ClientConfig(code, problem, name, value) => (code, problem, name, value),
        KafkaError::ClientCreation(why) => {
            let problem = format!("librdkafka cannot create a client: {why}; correct what it names");
            return ClientError { key: "properties".into(), problem };
        }
        other => return ClientError { key: "properties".into(), problem: other.to_string() },
    };
    let unknown = *code == RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN;
    let from_file = config.secret_files.contains_key(name);
    let section = if from_file { "secret_files" } else { "properties" };
    let key = format!("{section}.\"{name}\"");
    match (unknown, from_file || is_secret(name)) {
        (true, _) => ClientError { key, problem: "librdkafka has no such property; correct its name".into() },
        (false, true) => ClientError { key, problem: "librdkafka does not accept this value; correct it".into() },
        (false, false) => ClientError { key: format!("{key} = {value}"), problem: problem.clone() },
    }
}

fn secret(name: &str, path: &Path) -> Result<String, ClientError> {
    let unreadable = |error: std::io::Error| ClientError {
        key: format!("secret_files.\"{name}\" = {}", path.display()),
        problem: error.to_string(),
    };
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn librdkafka_knows_every_property_the_bridge_sets() {
        let defaults = properties(&Config::default(), Duration::from_secs(30)).unwrap();
        assert_eq!(defaults.get("enable.idempotence"), Some("true"));
        assert!(defaults.create_native_config().is_ok());
    }

    #[test]
    fn the_operators_property_overrides_the_bridges_default() {
        let names = ["client.id", "socket.keepalive.enable", "reconnect.backoff.max.ms", "retry.backoff.max.ms"];
        for (name, value) in names.into_iter().zip(["mine", "false", "1234", "345"]) {
            let config = toml::from_str(&format!("properties.\"{name}\" = \"{value}\"")).unwrap();
            let client = properties(&config, Duration::from_secs(30)).unwrap();
            assert_eq!(client.create_native_config().unwrap().get(name).unwrap(), value);
        }
    }

    #[test]
    fn a_value_that_may_be_a_secret_is_not_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2").unwrap();
        let path = file.path().display();
        for (toml, begins) in [
            (
                "properties.\"sasl.pasword\" = \"hunter2\"".into(),
                "kafka.properties.\"sasl.pasword\": librdkafka has no",
            ),
            (
                format!("secret_files.\"sasl.pasword\" = \"{path}\""),
                "kafka.secret_files.\"sasl.pasword\": librdkafka has no",
            ),
            (format!("secret_files.\"linger\" = \"{path}\""), "kafka.secret_files.\"linger\": librdkafka has no"),
            (
                format!("secret_files.\"socket.timeout.ms\" = \"{path}\""),
                "kafka.secret_files.\"socket.timeout.ms\": librdkafka does not",
            ),
            (
                "properties.\"socket.timeout.ms\" = \"soon\"".into(),
                "kafka.properties.\"socket.timeout.ms\" = soon: Invalid value",
            ),
        ] {
            let config: Config = toml::from_str(&toml).unwrap();
            let client = properties(&config, Duration::from_secs(30)).unwrap();
            let said = explain(&config, &client.create_native_config().map(drop).unwrap_err()).to_string();
            assert!(said.starts_with(begins) && !said.contains("hunter2"), "{said}");
        }
    }
}
