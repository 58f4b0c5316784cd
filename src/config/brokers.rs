//! Checks of the brokers' own sections and of the destinations.

use super::{Config, ConfigError};
use crate::brokers::{Replicas, kafka, nats};
use crate::message::Broker;
use crate::route::{BrokerTemplate, ConfiguredTemplate, Routes};

pub(super) fn check(config: &Config, templates: &[BrokerTemplate]) -> Result<(), ConfigError> {
    let routes = Routes::new(&config.route, templates)?;
    destinations(&routes, templates)?;
    config.kafka.as_ref().map_or(Ok(()), kafka_section)?;
    config.nats.as_ref().map_or(Ok(()), nats_section)
}

/// Whether each broker's own library accepts its section. Reads the secret files; connects to nothing.
pub(super) fn accepted_by_clients(config: &Config) -> Result<(), ConfigError> {
    config.kafka.as_ref().map_or(Ok(()), kafka::validate).map_err(client_error)?;
    config.nats.as_ref().map_or(Ok(()), nats::validate).map_err(|error| {
        let nats::ConnectError { key, value, source } = error;
        ConfigError::new(&format!("nats.{key}"), value, source.to_string())
    })?;
    Ok(())
}

/// Whether each destination is a valid name at its broker.
fn destinations(routes: &Routes, templates: &[BrokerTemplate]) -> Result<(), ConfigError> {
    for ConfiguredTemplate { broker, key, text, template } in routes.templates() {
        name(*broker, key, text, &template.example())?;
    }
    for configured in templates {
        let key = match configured.broker {
            Broker::Kafka => "kafka.dead_letter_topic",
            Broker::Nats => "nats.dead_letter_subject",
        };
        name(configured.broker, key, &configured.dead_letter, &configured.dead_letter)?;
    }
    Ok(())
}

fn name(broker: Broker, key: &str, value: &str, example: &str) -> Result<(), ConfigError> {
    let (fine, form) = match broker {
        Broker::Kafka => (is_topic(example), "a topic: letters, digits, `.`, `_` and `-`, at most 249 characters"),
        Broker::Nats => {
            (is_subject(example), "a subject: words between dots, without spaces or wildcards, not beginning with $")
        }
    };
    if fine { Ok(()) } else { Err(ConfigError::new(key, value, format!("not {form}"))) }
}

/// Kafka's own rule (its `Topic` class).
fn is_topic(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    plain && (1..=249).contains(&text.len()) && ![".", ".."].contains(&text)
}

fn is_subject(text: &str) -> bool {
    let token =
        |token: &str| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic() && !b"*>".contains(&byte));
    text.len() <= 255 && !text.starts_with('$') && text.split('.').all(token)
}

fn addresses(key: &str, servers: &[String]) -> Result<(), ConfigError> {
    match servers.iter().find(|server| server.is_empty() || server.contains(char::is_whitespace)) {
        // the value may hold a password
        Some(wrong) if !wrong.contains('@') => {
            Err(ConfigError::new(key, format!("{wrong:?}"), "no address; give host and port"))
        }
        Some(_) => Err(ConfigError::new(key, "…", "no address; give host and port")),
        None => Ok(()),
    }
}

/// Checks `[nats]` alone.
fn nats_section(nats: &nats::Config) -> Result<(), ConfigError> {
    if nats.servers.is_empty() {
        return Err(ConfigError::new("nats.servers", "[]", "no server; give one, such as \"nats://127.0.0.1:4222\""));
    }
    addresses("nats.servers", &nats.servers)?;
    let name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() && !".*>/\\".contains(c));
    if !name(&nats.stream) {
        let problem = "no name of a stream; leave out spaces and . * > / \\";
        return Err(ConfigError::new("nats.stream", &nats.stream, problem));
    }
    if let Replicas::Count(count @ (0 | 6..)) = nats.provision.replicas {
        return Err(ConfigError::new("nats.provision.replicas", count, "JetStream has 1 to 5; give one of these"));
    }
    secrets(nats)
}

/// The form librdkafka accepts: a host, with an optional port after it and an optional security protocol before it.
fn is_kafka_server(text: &str) -> bool {
    let protocol = |(protocol, _): &(&str, &str)| ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"].contains(protocol);
    let rest = text.split_once("://").filter(protocol).map_or(text, |(_, rest)| rest);
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (rest, "9092"),
    };
    !host.is_empty() && !host.contains(['/', '@']) && port.parse::<std::num::NonZeroU16>().is_ok()
}

/// Checks `[kafka]` alone.
fn kafka_section(kafka: &kafka::Config) -> Result<(), ConfigError> {
    if kafka.bootstrap_servers.is_empty() {
        let problem = "no server; give one, such as \"127.0.0.1:9092\"";
        return Err(ConfigError::new("kafka.bootstrap_servers", "[]", problem));
    }
    addresses("kafka.bootstrap_servers", &kafka.bootstrap_servers)?;
    if let Some(server) = kafka.bootstrap_servers.iter().find(|server| !is_kafka_server(server)) {
        let problem = "no address; give host and port, such as \"127.0.0.1:9092\"";
        let shown = if server.contains('@') { "…" } else { server };
        return Err(ConfigError::new("kafka.bootstrap_servers", shown, problem));
    }
    let provision = &kafka.provision;
    if provision.partitions == 0 || provision.min_insync_replicas == 0 {
        let values = format!("{} and {}", provision.partitions, provision.min_insync_replicas);
        let key = "kafka.provision.partitions and min_insync_replicas";
        return Err(ConfigError::new(key, values, "give at least 1"));
    }
    if let Replicas::Count(count) = provision.replicas
        && count < provision.min_insync_replicas
    {
        let problem = "less than min_insync_replicas, so nothing would be acknowledged; raise it or lower the other";
        return Err(ConfigError::new("kafka.provision.replicas", count, problem));
    }
    Ok(())
}

/// Every property that may not be set.
pub(super) fn property_errors(kafka: &kafka::Config) -> Vec<ConfigError> {
    kafka::check_properties(kafka).into_iter().map(client_error).collect()
}

fn client_error(error: kafka::ClientError) -> ConfigError {
    ConfigError { key: format!("kafka.{}", error.key), value: None, problem: error.problem }
}

fn secrets(nats: &nats::Config) -> Result<(), ConfigError> {
    if let Some(server) = nats.servers.iter().find(|server| server.contains('@')) {
        let host = server.rsplit('@').next().unwrap_or_default();
        let problem = "holds a user or a secret; use user and password_file, or token_file";
        return Err(ConfigError::new("nats.servers", format!("…@{host}"), problem));
    }
    let sources = [
        ("credentials_file", nats.credentials_file.is_some()),
        ("nkey_file", nats.nkey_file.is_some()),
        ("user", nats.user.is_some()),
        ("token_file", nats.token_file.is_some()),
    ];
    let set: Vec<_> = sources.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect();
    if set.len() > 1 {
        let problem = format!("{} secret sources; keep one", ["two", "three", "four"][(set.len() - 2).min(2)]);
        let named = set.join(", ");
        let named = named.rsplit_once(", ").map_or(named.clone(), |(others, last)| format!("{others} and {last}"));
        return Err(ConfigError::new("nats", named, problem));
    }
    let certificate = nats.tls.as_ref().map(|tls| [tls.certificate_file.is_some(), tls.key_file.is_some()]);
    for (section, keys, [one, other]) in [
        ("nats", ["user", "password_file"], [nats.user.is_some(), nats.password_file.is_some()]),
        ("nats.tls", ["certificate_file", "key_file"], certificate.unwrap_or_default()),
    ] {
        if one != other {
            let problem = format!("{} belong together; set both or none", keys.join(" and "));
            return Err(ConfigError { key: format!("{section}.{}", keys[0]), value: None, problem });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafka_servers_have_the_form_librdkafka_accepts() {
        for server in ["kafka:9092", "kafka", "10.0.0.1:9092", "[::1]:9092", "[::1]", "SASL_SSL://kafka.example:9092"] {
            assert!(is_kafka_server(server), "{server}");
        }
        for wrong in ["kafka:99999", "kafka:0", "kafka:", "kafka:x", ":9092", "http://kafka:9092", "kafka:9092/"] {
            assert!(!is_kafka_server(wrong), "{wrong}");
        }
    }
}
