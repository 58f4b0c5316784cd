//! Which properties of librdkafka an operator may set.

use thiserror::Error;

use super::Config;

/// Why no client could be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("kafka.{key}: {problem}")]
pub struct ClientError {
    /// The key inside `[kafka]`, with its value unless that is a secret.
    pub key: String,
    /// What is wrong, and the remedy.
    pub problem: String,
}

/// Properties the bridge owns, and why; each with its other name.
const OWNED: [(&str, &str); 20] = [
    ("bootstrap.servers", "it is bootstrap_servers"),
    ("metadata.broker.list", "it is bootstrap_servers"),
    ("enable.idempotence", "it follows acks"),
    ("enable.gapless.guarantee", "one lost record must not stop all others"),
    ("transactional.id", "each notification stands alone"),
    ("batch.num.messages", "it is part of how linger is chosen"),
    ("linger.ms", "it is chosen for each record by what is in flight"),
    ("queue.buffering.max.ms", "it is chosen for each record by what is in flight"),
    ("message.timeout.ms", "a report must come before GREEN-API repeats"),
    ("delivery.timeout.ms", "a report must come before GREEN-API repeats"),
    ("topic.metadata.propagation.max.ms", "a topic that is not there must be found out in time"),
    ("allow.auto.create.topics", "a topic made by accident has one copy; run `greenapi-bridge provision`"),
    ("queue.buffering.max.messages", "it follows http.limits"),
    ("queue.buffering.max.kbytes", "it follows http.limits"),
    ("queue.buffering.backpressure.threshold", "it is part of how linger is chosen"),
    ("partitioner", "keys must land where Java clients put them"),
    ("partitioner_cb", "keys must land where Java clients put them"),
    ("consistent_random", "keys must land where Java clients put them"),
    ("delivery.report.only.error", "every report is needed"),
    ("produce.offset.report", "it has no use here"),
];

/// What stands in the name of a property that holds a secret. A name that is not librdkafka's may be a slip for one.
const SECRET: [&str; 7] = ["pass", "secret", "private.key", "key.pem", "jaas", "oauthbearer.config", "token"];

/// Whether a property holds a secret, and not just the place of one.
pub(super) fn is_secret(name: &str) -> bool {
    let place = [".location", ".url", ".file", ".id"].iter().any(|end| name.ends_with(end));
    !place && SECRET.iter().any(|part| name.contains(part))
}

/// The properties that set acknowledgements.
pub(super) const ACKS: [&str; 2] = ["acks", "request.required.acks"];

/// Whether every property may be set as it is. Reads no file.
///
/// # Errors
/// The first that may not, with the reason.
pub fn may_be_set(config: &Config) -> Result<(), ClientError> {
    let wrong = |key: String, problem: String| Err(ClientError { key, problem });
    for (name, value) in &config.properties {
        if is_secret(name) {
            let problem = format!("secrets come from files: [kafka.secret_files] \"{name}\" = \"…\"");
            return wrong(format!("properties.\"{name}\""), problem);
        }
        if config.secret_files.contains_key(name) {
            return wrong(format!("secret_files.\"{name}\""), "two sources, here and in properties; keep one".into());
        }
        let safe = ["all", "-1"].contains(&value.to_string().as_str());
        if ACKS.contains(&name.as_str()) && !safe && !config.allow_unsafe_acks {
            let problem = "a 200 would no longer mean stored; leave it out, or set allow_unsafe_acks = true";
            return wrong(format!("properties.\"{name}\" = {value}"), problem.into());
        }
    }
    let names = config.properties.keys().map(|name| ("properties", name));
    for (section, name) in names.chain(config.secret_files.keys().map(|name| ("secret_files", name))) {
        if section == "secret_files" && ACKS.contains(&name.as_str()) {
            return wrong(
                format!("{section}.\"{name}\""),
                "no secret, and a 200 rests on it; set it in properties".into(),
            );
        }
        if let Some((_, why)) = OWNED.iter().find(|(owned, _)| owned == name) {
            return wrong(format!("{section}.\"{name}\""), format!("the bridge owns it: {why}; leave it out"));
        }
    }
    tokens(config)?;
    password(config)
}

/// Whether who logs in with a password has one.
fn password(config: &Config) -> Result<(), ClientError> {
    let set = |name: &str| config.properties.get(name).map(ToString::to_string);
    let mechanism = set("sasl.mechanism").or_else(|| set("sasl.mechanisms")).unwrap_or_default().to_ascii_uppercase();
    let wanted = mechanism == "PLAIN" || mechanism.starts_with("SCRAM-");
    let user = "sasl.username";
    let user_set = config.properties.contains_key(user) || config.secret_files.contains_key(user);
    if wanted && user_set && !config.secret_files.contains_key("sasl.password") {
        let problem = "there is no password; name its file: [kafka.secret_files] \"sasl.password\" = \"…\"";
        return Err(ClientError { key: format!("properties.\"{user}\""), problem: problem.into() });
    }
    Ok(())
}

/// Whether tokens have one source, where there are any.
fn tokens(config: &Config) -> Result<(), ClientError> {
    let wrong = |key: &str, problem: &str| Err(ClientError { key: key.into(), problem: problem.into() });
    let set = |name: &str| config.properties.get(name).map(ToString::to_string);
    let mechanism = set("sasl.mechanism").or_else(|| set("sasl.mechanisms"));
    let by_token = mechanism.is_some_and(|mechanism| mechanism.eq_ignore_ascii_case("OAUTHBEARER"));
    let unsigned = set(UNSIGNED).is_some_and(|unsigned| unsigned == "true");
    let other = config.secret_files.keys().find(|name| name.starts_with("sasl."));
    match (&config.token_file, by_token, other) {
        (Some(_), false, _) => wrong(
            "token_file",
            "of use only with properties.\"sasl.mechanism\" = \"OAUTHBEARER\"; set that, or remove it",
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

/// With it librdkafka makes tokens that nobody has signed, for tests.
const UNSIGNED: &str = "enable.sasl.oauthbearer.unsecure.jwt";

/// The most bytes of a record the client takes, where the operator says so.
#[cfg(feature = "kafka")]
pub(super) fn takes(config: &Config) -> Option<usize> {
    config.properties.get("message.max.bytes")?.to_string().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(toml: &str) -> String {
        may_be_set(&toml::from_str(toml).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_the_operators_to_choose_is_refused_with_the_reason() {
        for (toml, begins) in [
            ("properties.\"linger.ms\" = 5", "kafka.properties.\"linger.ms\": the bridge owns it: it is chosen"),
            ("secret_files.\"bootstrap.servers\" = \"x\"", "kafka.secret_files.\"bootstrap.servers\": the bridge owns"),
            ("properties.acks = 1", "kafka.properties.\"acks\" = 1: a 200 would no longer mean stored"),
            ("secret_files.acks = \"x\"", "kafka.secret_files.\"acks\": no secret, and a 200 rests on it"),
            (
                "properties.\"sasl.oauthbearer.assertion.private.key.passphrase\" = \"hush\"",
                "kafka.properties.\"sasl.oauthbearer.assertion.private.key.passphrase\": secrets come from files",
            ),
            ("properties.\"sasl.password\" = \"hush\"", "kafka.properties.\"sasl.password\": secrets come from files"),
        ] {
            let fault = fault(toml);
            assert!(fault.starts_with(begins), "{fault}");
            assert!(!fault.contains("hush"), "{fault}");
        }
        assert_eq!(may_be_set(&toml::from_str("properties.acks = 1\nallow_unsafe_acks = true").unwrap()), Ok(()));
        assert_eq!(may_be_set(&toml::from_str("properties.\"security.protocol\" = \"SSL\"").unwrap()), Ok(()));
    }

    #[test]
    fn a_user_of_a_mechanism_with_passwords_has_one() {
        let user = "properties.\"sasl.username\" = \"u\"\n";
        let file = "secret_files.\"sasl.password\" = \"x\"\n";
        for (mechanism, refused) in [("PLAIN", true), ("scram-sha-512", true), ("GSSAPI", false)] {
            let toml = format!("{user}properties.\"sasl.mechanism\" = \"{mechanism}\"\n");
            let said = may_be_set(&toml::from_str(&toml).unwrap());
            let names_file = |error: ClientError| error.to_string().contains("[kafka.secret_files] \"sasl.password\"");
            assert_eq!(said.is_err_and(names_file), refused, "{mechanism}");
            assert_eq!(may_be_set(&toml::from_str(&format!("{toml}{file}")).unwrap()), Ok(()));
        }
    }

    #[test]
    fn a_token_has_one_source_and_is_of_use() {
        let bearer = "properties.\"sasl.mechanism\" = \"OAUTHBEARER\"\n";
        let (file, unsigned) = ("token_file = \"x\"\n", format!("properties.\"{UNSIGNED}\" = true\n"));
        let config = "secret_files.\"sasl.oauthbearer.config\" = \"x\"\n";
        for (toml, begins) in [
            (file.to_owned(), "kafka.token_file: of use only with"),
            (format!("{file}properties.\"sasl.mechanisms\" = \"PLAIN\"\n"), "kafka.token_file: of use only with"),
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
            assert_eq!(may_be_set(&toml::from_str(&toml).unwrap()), Ok(()), "{toml}");
        }
    }
}
