//! The servers of the configured brokers.

use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::message::Broker;

/// Every server of these brokers under its name.
pub(super) fn servers(config: &Config, brokers: &[Broker]) -> Map<String, Value> {
    let mut servers = Map::new();
    for broker in brokers {
        for (name, host) in names(config, *broker).into_iter().zip(hosts(config, *broker)) {
            servers.insert(name, server(config, *broker, &host));
        }
    }
    servers
}

/// The names of a broker's servers.
pub(super) fn names(config: &Config, broker: Broker) -> Vec<String> {
    let broker_name = broker.as_str();
    match hosts(config, broker).len() {
        1 => vec![broker_name.into()],
        several => (1..=several).map(|number| format!("{broker_name}-{number}")).collect(),
    }
}

fn server(config: &Config, broker: Broker, host: &str) -> Value {
    match broker {
        Broker::Kafka => {
            let protocol = if has_tls(config) { "kafka-secure" } else { "kafka" };
            json!({"host": host, "protocol": protocol, "title": "Apache Kafka"})
        }
        Broker::Nats => json!({"host": host, "protocol": "nats", "title": "NATS JetStream"}),
    }
}

fn has_tls(config: &Config) -> bool {
    let properties = config.kafka.iter().flat_map(|kafka| &kafka.properties);
    let mut protocols = properties.filter(|(name, _)| *name == "security.protocol");
    protocols.any(|(_, value)| value.to_string().to_ascii_uppercase().ends_with("SSL"))
}

/// `host:port` of each server.
fn hosts(config: &Config, broker: Broker) -> Vec<String> {
    match broker {
        Broker::Kafka => {
            let texts = config.kafka.iter().flat_map(|kafka| &kafka.bootstrap_servers);
            // one text may have several, each with a protocol before it
            texts.flat_map(|text| text.split(',')).map(|address| host(address.trim())).collect()
        }
        Broker::Nats => config.nats.iter().flat_map(|nats| nats.servers.iter().map(|url| host(url))).collect(),
    }
}

/// What stands between the scheme and the path; an address may contain a user and a password.
fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default().into()
}
