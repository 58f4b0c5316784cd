//! The properties of a client: the operator's, and the bridge's own.

use std::path::Path;
use std::time::Duration;

use super::Config;
use super::properties::{ACKS, ClientError, SECRET};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

/// A client's properties; `report_within` bounds how long a record may wait for its report.
///
/// # Errors
/// A secret file that cannot be read.
pub(super) fn properties(config: &Config, report_within: Duration) -> Result<ClientConfig, ClientError> {
    let mut client = ClientConfig::new();
    client
        .set("client.id", "greenapi-bridge")
        .set("acks", "all")
        // dead connections are found out, and closed ones opened again soon
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.max.ms", "2000")
        // a new leader is found soon after it is there
        .set("retry.backoff.max.ms", "250");
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
        .set("message.timeout.ms", report_within.as_millis().to_string())
        .set("topic.metadata.propagation.max.ms", "1000")
        .set("queue.buffering.max.messages", "100000")
        .set("queue.buffering.max.kbytes", "262144");
    Ok(client)
}

/// What librdkafka says of a property, in our words; of a secret only its name.
pub(super) fn explain(error: &KafkaError) -> ClientError {
    match error {
        KafkaError::ClientConfig(_, problem, name, _) if SECRET.contains(&name.as_str()) => ClientError {
            key: format!("secret_files.\"{name}\""),
            problem: problem.replace(|c: char| c.is_control(), " "),
        },
        KafkaError::ClientConfig(_, problem, name, value) => {
            ClientError { key: format!("properties.\"{name}\" = {value}"), problem: problem.clone() }
        }
        other => ClientError { key: "properties".into(), problem: other.to_string() },
    }
}

fn secret(name: &str, path: &Path) -> Result<String, ClientError> {
    let wrong = |error: std::io::Error| ClientError {
        key: format!("secret_files.\"{name}\" = {}", path.display()),
        problem: error.to_string(),
    };
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_the_bridge_owns_is_one_of_librdkafka() {
        let safe = properties(&Config::default(), Duration::from_secs(30)).unwrap();
        assert_eq!(safe.get("enable.idempotence"), Some("true"));
        assert!(safe.create_native_config().is_ok());
    }
}
