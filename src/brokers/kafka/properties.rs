//! Which properties of librdkafka the operator may set.

use thiserror::Error;

use super::Config;

/// Why no client can be created.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("kafka.{key}: {problem}")]
pub struct ClientError {
    /// The key inside `[kafka]`, with its value unless the value is a secret.
    pub key: String,
    /// What is wrong, and the remedy.
    pub problem: String,
}

/// The properties that the bridge owns, and why; each also under its alias.
const OWNED: [(&str, &str); 20] = [
    ("bootstrap.servers", "set kafka.bootstrap_servers"),
    ("metadata.broker.list", "set kafka.bootstrap_servers"),
    ("enable.idempotence", "the bridge derives it from acks"),
    ("enable.gapless.guarantee", "one lost record must not stop all others"),
    ("transactional.id", "the bridge uses no transactions"),
    ("batch.num.messages", "the bridge chooses how records are batched"),
    ("linger.ms", "the bridge chooses it for each record"),
    ("queue.buffering.max.ms", "the bridge chooses it for each record"),
    ("message.timeout.ms", "a delivery report must come before GREEN-API repeats"),
    ("delivery.timeout.ms", "a delivery report must come before GREEN-API repeats"),
    ("topic.metadata.propagation.max.ms", "a missing topic must be noticed in time"),
    ("allow.auto.create.topics", "a topic created by accident has one replica; run `greenapi-bridge provision`"),
    ("queue.buffering.max.messages", "the bridge derives it from http.limits"),
    ("queue.buffering.max.kbytes", "the bridge derives it from http.limits"),
    ("queue.buffering.backpressure.threshold", "the bridge chooses how records are batched"),
    ("partitioner", "a key must go to the partition where Java clients expect it"),
    ("partitioner_cb", "a key must go to the partition where Java clients expect it"),
    ("consistent_random", "a key must go to the partition where Java clients expect it"),
    ("delivery.report.only.error", "every delivery report is needed"),
    ("produce.offset.report", "the bridge does not read offsets"),
];

/// Properties of Kafka's Java clients that librdkafka does not have, and what takes their place.
const JAVA: [(&str, &str); 13] = [
    ("sasl.jaas.config", "set \"sasl.mechanism\" and \"sasl.username\", and [kafka.secret_files] \"sasl.password\""),
    (
        "sasl.login.callback.handler.class",
        "set kafka.token_file, or sasl.oauthbearer.method = \"oidc\" and its properties",
    ),
    ("sasl.client.callback.handler.class", "set \"sasl.mechanism\" and the properties of that mechanism"),
    ("ssl.truststore.location", "set \"ssl.ca.location\" to a file of certificates in PEM"),
    ("ssl.truststore.password", "set \"ssl.ca.location\" to a file of certificates in PEM, which needs no password"),
    ("ssl.truststore.type", "set \"ssl.ca.location\" to a file of certificates in PEM"),
    ("ssl.truststore.certificates", "set \"ssl.ca.pem\", or \"ssl.ca.location\" to a file of them"),
    (
        "ssl.keystore.type",
        "set \"ssl.keystore.location\" to a file in PKCS#12, or \"ssl.certificate.location\" and \"ssl.key.location\" to files in PEM",
    ),
    ("key.serializer", "leave it out: keys and values are bytes"),
    ("value.serializer", "leave it out: keys and values are bytes"),
    ("max.request.size", "set \"message.max.bytes\""),
    ("buffer.memory", "leave it out: http.limits bounds what is in memory"),
    ("max.block.ms", "leave it out: publish.timeout bounds the wait"),
];

/// Properties of the client whose own names begin with `topic.`.
const TOPIC_NAMES: [&str; 2] = ["topic.metadata.", "topic.blacklist"];

/// Parts of the names of properties that are secrets. They also find a misspelt name.
const SECRET: [&str; 7] = ["pass", "secret", "private.key", "key.pem", "jaas", "oauthbearer.config", "token"];

/// Whether the property's value is a secret, and not only where to find one.
pub(super) fn is_secret(name: &str) -> bool {
    let location = [".location", ".url", ".file", ".id"].iter().any(|end| name.ends_with(end));
    !location && SECRET.iter().any(|part| name.contains(part))
}

/// The properties that set acknowledgements.
pub(super) const ACKS: [&str; 2] = ["acks", "request.required.acks"];

/// Checks that the operator may set every property as it is, and returns those that may not, with the reason. Reads no file.
pub fn check_properties(config: &Config) -> Vec<ClientError> {
    let properties = config.properties.keys().map(|name| ("properties", name));
    let secrets = config.secret_files.keys().map(|name| ("secret_files", name));
    let each = properties.chain(secrets).filter_map(|(section, name)| {
        let problem = problem_of(config, section, name)?;
        // what an acknowledgement is depends on this value
        let value = config.properties.get(name).filter(|_| ACKS.contains(&name.as_str()) && section == "properties");
        let value = value.map(|value| format!(" = {value}")).unwrap_or_default();
        Some(ClientError { key: format!("{section}.\"{name}\"{value}"), problem })
    });
    let wrong: Vec<_> = each.collect();
    if !wrong.is_empty() {
        return wrong;
    }
    let logins = [check_token_source(config), check_password(config)];
    logins.into_iter().filter_map(Result::err).collect()
}

/// Why a property may not be set so.
fn problem_of(config: &Config, section: &str, name: &str) -> Option<String> {
    if let Some((_, instead)) = JAVA.iter().find(|(java, _)| *java == name) {
        return Some(format!("only Kafka's Java clients have it, and the bridge uses librdkafka: {instead}"));
    }
    if section == "properties" {
        if is_secret(name) {
            return Some(format!("secrets come from files: [kafka.secret_files] \"{name}\" = \"…\""));
        }
        let safe = config.properties.get(name).is_some_and(|value| ["all", "-1"].contains(&value.to_string().as_str()));
        if ACKS.contains(&name) && !safe && !config.allow_unsafe_acks {
            let problem = "a 200 would no longer mean stored; leave it out, or set allow_unsafe_acks = true";
            return Some(problem.into());
        }
    } else if config.properties.contains_key(name) {
        return Some("two sources, here and in properties; keep one".into());
    } else if ACKS.contains(&name) {
        return Some("not a secret, and what a 200 promises depends on it; set it in properties".into());
    }
    if name.starts_with("topic.") && !TOPIC_NAMES.iter().any(|begin| name.starts_with(begin)) {
        // librdkafka knows each property of a topic by both names, and the order decides which one counts
        return Some(format!("write it without `topic.`: \"{}\"", &name["topic.".len()..]));
    }
    if name.starts_with("test.mock.") {
        return Some("it replaces the brokers by a mock, which stores nothing; leave it out".into());
    }
    let owned = OWNED.iter().find(|(owned, _)| *owned == name);
    owned.map(|(_, why)| format!("the bridge owns it: {why}; leave it out"))
}

/// A login with a user name needs a password.
fn check_password(config: &Config) -> Result<(), ClientError> {
    let set = |name: &str| config.properties.get(name).map(ToString::to_string);
    let mechanism = set("sasl.mechanism").or_else(|| set("sasl.mechanisms")).unwrap_or_default().to_ascii_uppercase();
    let by_password = mechanism == "PLAIN" || mechanism.starts_with("SCRAM-");
    let user = "sasl.username";
    let user_set = config.properties.contains_key(user) || config.secret_files.contains_key(user);
    if by_password && user_set && !config.secret_files.contains_key("sasl.password") {
        let problem = "there is no password; name its file: [kafka.secret_files] \"sasl.password\" = \"…\"";
        return Err(ClientError { key: format!("properties.\"{user}\""), problem: problem.into() });
    }
    Ok(())
}

/// Tokens come from exactly one source.
fn check_token_source(config: &Config) -> Result<(), ClientError> {
    let wrong = |key: &str, problem: &str| Err(ClientError { key: key.into(), problem: problem.into() });
    let set = |name: &str| config.properties.get(name).map(ToString::to_string);
    let mechanism = set("sasl.mechanism").or_else(|| set("sasl.mechanisms"));
    let by_token = mechanism.is_some_and(|mechanism| mechanism.eq_ignore_ascii_case("OAUTHBEARER"));
    let unsigned = set(UNSIGNED).is_some_and(|unsigned| unsigned == "true");
    let other = config.secret_files.keys().find(|name| name.starts_with("sasl."));
    match (&config.token_file, by_token, other) {
        (Some(_), false, _) => wrong(
            "token_file",
            "works only with properties.\"sasl.mechanism\" = \"OAUTHBEARER\"; set that, or remove it",
        ),
        (Some(_), true, Some(other)) => {
            wrong(&format!("secret_files.\"{other}\""), "two sources of a secret, this and token_file; keep one")
        }
        (Some(_), true, None) if unsigned => {
            wrong(&format!("properties.\"{UNSIGNED}\""), "two sources of a token, this and token_file; keep one")
        }
        (None, true, _) if !unsigned => wrong(
            "properties.\"sasl.mechanism\" = OAUTHBEARER",
            "there is no token; set token_file to the file that holds it",
        ),
        _ => Ok(()),
    }
}

/// With this property librdkafka creates unsigned tokens, for tests.
const UNSIGNED: &str = "enable.sasl.oauthbearer.unsecure.jwt";

/// The operator's `message.max.bytes`, if set.
#[cfg(feature = "kafka")]
pub(super) fn max_message_bytes(config: &Config) -> Option<usize> {
    config.properties.get("message.max.bytes")?.to_string().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(toml: &str) -> String {
        check_properties(&toml::from_str(toml).unwrap()).remove(0).to_string()
    }

    #[test]
    fn a_property_the_operator_may_not_set_is_refused_with_the_reason() {
        for (toml, begins) in [
            ("properties.\"linger.ms\" = 5", "kafka.properties.\"linger.ms\": the bridge owns it: the bridge chooses"),
            ("secret_files.\"bootstrap.servers\" = \"x\"", "kafka.secret_files.\"bootstrap.servers\": the bridge owns"),
            (
                "properties.\"sasl.jaas.config\" = \"hush\"",
                "kafka.properties.\"sasl.jaas.config\": only Kafka's Java clients have it",
            ),
            (
                "secret_files.\"ssl.truststore.password\" = \"x\"",
                "kafka.secret_files.\"ssl.truststore.password\": only Kafka's Java clients have it",
            ),
            ("properties.acks = 1", "kafka.properties.\"acks\" = 1: a 200 would no longer mean stored"),
            ("secret_files.acks = \"x\"", "kafka.secret_files.\"acks\": not a secret, and what a 200 promises"),
            (
                "properties.\"sasl.oauthbearer.assertion.private.key.passphrase\" = \"hush\"",
                "kafka.properties.\"sasl.oauthbearer.assertion.private.key.passphrase\": secrets come from files",
            ),
            (
                "properties.\"topic.partitioner\" = \"random\"",
                "kafka.properties.\"topic.partitioner\": write it without `topic.`: \"partitioner\"",
            ),
            ("properties.\"topic.acks\" = 1", "kafka.properties.\"topic.acks\": write it without `topic.`"),
            ("properties.\"test.mock.num.brokers\" = 3", "kafka.properties.\"test.mock.num.brokers\": it replaces the"),
            (
                "properties.\"topic.metadata.propagation.max.ms\" = 3",
                "kafka.properties.\"topic.metadata.propagation.max.ms\": the bridge owns it",
            ),
            ("properties.\"sasl.password\" = \"hush\"", "kafka.properties.\"sasl.password\": secrets come from files"),
        ] {
            let fault = fault(toml);
            assert!(fault.starts_with(begins), "{fault}");
            assert!(!fault.contains("hush"), "{fault}");
        }
        assert_eq!(check_properties(&toml::from_str("properties.acks = 1\nallow_unsafe_acks = true").unwrap()), []);
        assert_eq!(check_properties(&toml::from_str("properties.\"security.protocol\" = \"SSL\"").unwrap()), []);
    }

    #[test]
    fn a_password_mechanism_with_a_user_needs_a_password() {
        let user = "properties.\"sasl.username\" = \"u\"\n";
        let file = "secret_files.\"sasl.password\" = \"x\"\n";
        for (mechanism, refused) in [("PLAIN", true), ("scram-sha-512", true), ("GSSAPI", false)] {
            let toml = format!("{user}properties.\"sasl.mechanism\" = \"{mechanism}\"\n");
            let said = check_properties(&toml::from_str(&toml).unwrap());
            let names_file = |error: &ClientError| error.to_string().contains("[kafka.secret_files] \"sasl.password\"");
            assert_eq!(said.first().is_some_and(names_file), refused, "{mechanism}");
            assert_eq!(check_properties(&toml::from_str(&format!("{toml}{file}")).unwrap()), []);
        }
    }

    #[test]
    fn a_token_has_exactly_one_source_and_its_mechanism() {
        let bearer = "properties.\"sasl.mechanism\" = \"OAUTHBEARER\"\n";
        let (file, unsigned) = ("token_file = \"x\"\n", format!("properties.\"{UNSIGNED}\" = true\n"));
        let config = "secret_files.\"sasl.oauthbearer.config\" = \"x\"\n";
        for (toml, begins) in [
            (file.to_owned(), "kafka.token_file: works only with"),
            (format!("{file}properties.\"sasl.mechanisms\" = \"PLAIN\"\n"), "kafka.token_file: works only with"),
            (bearer.to_owned(), "kafka.properties.\"sasl.mechanism\" = OAUTHBEARER: there is no token"),
            (
                format!("{file}{bearer}{config}"),
                "kafka.secret_files.\"sasl.oauthbearer.config\": two sources of a secret",
            ),
            (
                format!("{file}{bearer}{unsigned}"),
                "kafka.properties.\"enable.sasl.oauthbearer.unsecure.jwt\": two sources of a token",
            ),
        ] {
            assert!(fault(&toml).starts_with(begins), "{toml}: {}", fault(&toml));
        }
        for toml in [format!("{file}{bearer}"), format!("{bearer}{unsigned}{config}")] {
            assert_eq!(check_properties(&toml::from_str(&toml).unwrap()), [], "{toml}");
        }
    }
}
