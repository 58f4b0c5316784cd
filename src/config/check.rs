//! What only shows across parts. Everything here is refused at start, with the remedy.

use super::{Config, ConfigError};
use crate::brokers::nats;
use crate::observe::AdminConfig;
use crate::route::Template;
use crate::units::show;

pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    listeners(config)?;
    limits(config)?;
    times(config)?;
    let Some(nats) = &config.nats else {
        let problem = "no broker: nothing could be stored; add the section with `servers`";
        return Err(ConfigError { key: "nats".into(), value: None, problem: problem.into() });
    };
    if config.route.brokers.as_ref().is_some_and(Vec::is_empty) {
        return Err(ConfigError::new("route.brokers", "[]", "no broker: nothing could be stored; name \"nats\""));
    }
    destinations(nats)?;
    secrets(nats)
}

fn listeners(config: &Config) -> Result<(), ConfigError> {
    let listen = config.http.listen;
    if config.auth.tokens_file.is_some() && config.auth.allow_anonymous {
        let problem = "with auth.tokens_file, one of the two has no meaning; remove one";
        return Err(ConfigError::new("auth.allow_anonymous", true, problem));
    }
    if !listen.ip().is_loopback() && config.auth.tokens_file.is_none() && !config.auth.allow_anonymous {
        let problem = "reachable beyond this machine without a token; set auth.tokens_file, or auth.allow_anonymous = true if anyone may send";
        return Err(ConfigError::new("http.listen", listen, problem));
    }
    let open = |admin: &&AdminConfig| !admin.listen.ip().is_loopback() && admin.tokens_file.is_none();
    if let Some(admin) = config.admin.as_ref().filter(open) {
        let problem = "reachable beyond this machine without a token; set admin.tokens_file, or give a loopback address such as 127.0.0.1:3001";
        return Err(ConfigError::new("admin.listen", admin.listen, problem));
    }
    Ok(())
}

fn limits(config: &Config) -> Result<(), ConfigError> {
    let (http, limits) = (&config.http, &config.http.limits);
    if !http.path.starts_with('/') {
        return Err(ConfigError::new("http.path", &http.path, "must begin with /"));
    }
    for (key, value) in [
        ("in_flight", limits.in_flight),
        ("waiting", limits.waiting),
        ("connections", limits.connections),
        ("connections_per_address", limits.connections_per_address),
    ] {
        if value == 0 {
            let problem = "would refuse every notification; give at least 1";
            return Err(ConfigError::new(&format!("http.limits.{key}"), value, problem));
        }
    }
    for (key, value) in [("head", limits.head), ("idle", limits.idle), ("write", limits.write)] {
        if value.is_zero() {
            let problem = "would close every connection; give a time such as \"10s\"";
            return Err(ConfigError::new(&format!("http.limits.{key}"), show(value), problem));
        }
    }
    if http.max_body > limits.in_flight_bytes {
        let problem = format!(
            "more than http.limits.in_flight_bytes = {}, so it could never be taken; lower it",
            limits.in_flight_bytes
        );
        return Err(ConfigError::new("http.max_body", http.max_body, problem));
    }
    Ok(())
}

fn times(config: &Config) -> Result<(), ConfigError> {
    let (publish, answer, grace) = (config.publish.timeout, config.http.answer_within, config.shutdown.grace);
    if publish.is_zero() {
        return Err(ConfigError::new(
            "publish.timeout",
            "0s",
            "means the journal first, and there is no journal; give a time such as \"12s\"",
        ));
    }
    if publish >= answer {
        let problem = format!("must be less than http.answer_within = {}; lower it", show(answer));
        return Err(ConfigError::new("publish.timeout", show(publish), problem));
    }
    if answer >= grace {
        let problem = format!("must be less than shutdown.grace = {}; lower it or raise the grace", show(grace));
        return Err(ConfigError::new("http.answer_within", show(answer), problem));
    }
    if config.shutdown.delay >= grace {
        let problem = format!("must be less than shutdown.grace = {}; lower it", show(grace));
        return Err(ConfigError::new("shutdown.delay", show(config.shutdown.delay), problem));
    }
    Ok(())
}

fn destinations(nats: &nats::Config) -> Result<(), ConfigError> {
    let (subject, dead) = (&nats.subject, &nats.dead_letter_subject);
    let template =
        Template::parse(subject).map_err(|error| ConfigError::new("nats.subject", subject, error.to_string()))?;
    for (key, value, rendered) in [
        ("nats.subject", subject, template.pattern().replace('*', "x")),
        ("nats.dead_letter_subject", dead, dead.clone()),
    ] {
        if !is_subject(&rendered) || value.contains('*') {
            let problem = "not a subject: words between dots, without spaces or wildcards, not beginning with $";
            return Err(ConfigError::new(key, value, problem));
        }
    }
    if template.can_render(dead) {
        let problem = format!("nats.subject = {subject} could send notifications there too; choose another");
        return Err(ConfigError::new("nats.dead_letter_subject", dead, problem));
    }
    Ok(())
}

fn is_subject(text: &str) -> bool {
    let token =
        |token: &str| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic() && !b"*>".contains(&byte));
    text.len() <= 255 && !text.starts_with('$') && text.split('.').all(token)
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
        return Err(ConfigError::new("nats", set.join(" and "), "two secret sources; keep one"));
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

    fn fault(toml: &str) -> String {
        let config: Config = toml::from_str(toml).unwrap();
        check(&config).unwrap_err().to_string()
    }

    #[test]
    fn each_refusal_names_its_key() {
        for (toml, begins) in [
            ("", "nats: no broker"),
            ("nats = {}\n[http]\nlisten = \"0.0.0.0:3000\"", "http.listen = 0.0.0.0:3000: reachable beyond"),
            ("nats = {}\n[admin]\nlisten = \"0.0.0.0:3001\"", "admin.listen = 0.0.0.0:3001: reachable beyond"),
            ("nats = {}\n[http]\npath = \"x\"", "http.path = x: must begin with /"),
            ("nats = {}\n[http]\nmax_body = \"65MiB\"", "http.max_body = 68157440: more than"),
            ("nats = {}\n[http.limits]\nin_flight = 0", "http.limits.in_flight = 0: would refuse"),
            ("nats = {}\n[http.limits]\nidle = \"0s\"", "http.limits.idle = 0s: would close"),
            ("nats = {}\n[publish]\ntimeout = \"15s\"", "publish.timeout = 15s: must be less than http.answer_within"),
            ("nats = {}\n[publish]\ntimeout = \"0s\"", "publish.timeout = 0s: means the journal first"),
            ("nats = {}\n[shutdown]\ngrace = \"15s\"", "http.answer_within = 15s: must be less than shutdown.grace"),
            ("[nats]\nsubject = \"greenapi.{type}\"", "nats.dead_letter_subject = greenapi.dead-letter: nats.subject"),
            ("[nats]\nsubject = \"greenapi..{type}\"", "nats.subject = greenapi..{type}: not a subject"),
            (
                "[nats]\nsubject = \"greenapi.{typ}\"",
                "nats.subject = greenapi.{typ}: unknown variable {typ}; the nearest is {type}",
            ),
            ("[nats]\nservers = [\"nats://u:secret@h:1\"]", "nats.servers = …@h:1: holds a user"),
            ("[nats]\nuser = \"u\"", "nats.user: user and password_file belong together"),
            (
                "[nats.tls]\nkey_file = \"k\"",
                "nats.tls.certificate_file: certificate_file and key_file belong together",
            ),
            ("[nats]\nnkey_file = \"a\"\ntoken_file = \"b\"", "nats = nkey_file and token_file: two secret sources"),
        ] {
            assert!(fault(toml).starts_with(begins), "{toml}: {}", fault(toml));
        }
    }

    #[test]
    fn the_defaults_with_a_broker_are_fine() {
        assert_eq!(check(&toml::from_str("nats = {}").unwrap()), Ok(()));
    }

    #[test]
    fn with_a_token_operators_may_come_from_elsewhere() {
        let toml = "nats = {}\n[admin]\nlisten = \"0.0.0.0:3001\"\ntokens_file = \"t\"";
        assert_eq!(check(&toml::from_str(toml).unwrap()), Ok(()));
    }
}
