//! What only shows across parts. Everything here is refused at start, with the remedy.

use std::net::{IpAddr, SocketAddr};

use super::{Config, ConfigError, brokers};
use crate::observe::AdminConfig;
use crate::units::show;

/// The most of anything one process can have at once.
const MOST_AT_ONCE: usize = 10_000_000;

/// The most threads worth having; more is a slip of the keyboard.
const MOST_WORKERS: usize = 64;

pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    listeners(config)?;
    limits(config)?;
    times(config)?;
    built(config)?;
    journal(config)?;
    let places = config.places();
    let none_named = config.route.brokers.as_ref().is_some_and(Vec::is_empty);
    if config.journal.is_none() && none_named {
        let problem = "no broker and no journal: nothing could be stored; name one, or add the section [journal]";
        return Err(ConfigError::new("route.brokers", "[]", problem));
    }
    if config.journal.is_none() && places.is_empty() {
        let problem = "no broker and no journal: nothing could be stored; add the section [nats], [kafka] or [journal]";
        return Err(ConfigError { key: "route.brokers".into(), value: None, problem: problem.into() });
    }
    brokers::check(config, &places)
}

/// What a journal takes whatever is in it: its log, and its tables.
const LEAST_JOURNAL: usize = 16 * 1024 * 1024;

fn journal(config: &Config) -> Result<(), ConfigError> {
    let Some(journal) = &config.journal else { return Ok(()) };
    let least = LEAST_JOURNAL + config.http.max_body;
    if journal.max_bytes < least {
        let problem = format!(
            "no room for its log and one notification of http.max_body; give at least \"{}MiB\"",
            least.div_ceil(1024 * 1024)
        );
        return Err(ConfigError::new("journal.max_bytes", journal.max_bytes, problem));
    }
    for (key, retention) in [("journal", journal.retention), ("dead_letter", config.dead_letter.retention)] {
        if retention.is_zero() {
            let problem = "would delete what was answered 200 at once; give a time such as \"7d\"";
            return Err(ConfigError::new(&format!("{key}.retention"), "0s", problem));
        }
    }
    Ok(())
}

/// Whether this build has what is asked for.
fn built(config: &Config) -> Result<(), ConfigError> {
    let nats = config.nats.as_ref();
    let tls_url = nats.is_some_and(|nats| nats.servers.iter().any(|server| server.starts_with("tls://")));
    let asked = [
        ("journal", "journal", config.journal.is_some(), cfg!(feature = "journal")),
        ("kafka", "kafka", config.kafka.is_some(), cfg!(feature = "kafka")),
        ("nats", "nats", nats.is_some(), cfg!(feature = "nats")),
        ("nats.tls", "tls", nats.is_some_and(|nats| nats.tls.is_some()), cfg!(feature = "tls")),
        ("nats.servers", "tls", tls_url, cfg!(feature = "tls")),
    ];
    match asked.into_iter().find(|(.., asked, built)| *asked && !built) {
        None => Ok(()),
        Some((key, feature, ..)) => {
            let problem = format!("this build does not have it; build with the feature `{feature}`, or remove it");
            Err(ConfigError { key: key.into(), value: None, problem })
        }
    }
}

/// Whether one socket would take what is meant for the other. The IPv6 wildcard takes IPv4 too.
fn same_place(one: SocketAddr, other: SocketAddr) -> bool {
    let takes = |any: IpAddr, ip: IpAddr| any.is_unspecified() && (any.is_ipv6() || ip.is_ipv4());
    let (a, b) = (one.ip(), other.ip());
    one.port() == other.port()
        && one.port() != 0
        && (a.to_canonical() == b.to_canonical() || takes(a, b) || takes(b, a))
}

/// Whether each listener has a place of its own.
fn places_of_listeners(config: &Config) -> Result<(), ConfigError> {
    let mut known = vec![("http.listen", config.http.listen)];
    let admin = config.admin.as_ref().map(|admin| ("admin.listen", admin.listen));
    let probes = config.probes.as_ref().map(|probes| ("probes.listen", probes.listen));
    for (key, listen) in admin.into_iter().chain(probes) {
        if let Some((other, at)) = known.iter().find(|(_, at)| same_place(*at, listen)) {
            return Err(ConfigError::new(key, listen, format!("taken by {other} = {at}; choose another port")));
        }
        known.push((key, listen));
    }
    Ok(())
}

fn listeners(config: &Config) -> Result<(), ConfigError> {
    places_of_listeners(config)?;
    let listen = config.http.listen;
    if config.auth.tokens_file.is_some() && config.auth.allow_anonymous {
        let problem = "with auth.tokens_file, one of the two has no meaning; remove one";
        return Err(ConfigError::new("auth.allow_anonymous", true, problem));
    }
    if !listen.ip().is_loopback() && config.auth.tokens_file.is_none() && !config.auth.allow_anonymous {
        let problem = "reachable beyond this machine without a token; set auth.tokens_file, or auth.allow_anonymous = true if anyone may send";
        return Err(ConfigError::new("http.listen", listen, problem));
    }
    if config.auth.allow_from.as_ref().is_some_and(Vec::is_empty) {
        let problem = "would refuse everyone; name addresses, or leave it out to take any";
        return Err(ConfigError::new("auth.allow_from", "[]", problem));
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
    let path = http.path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte));
    if !http.path.starts_with('/') || !path {
        let problem = "no path a request can have; begin with /, leave out spaces, ? and #, percent-encode the rest";
        return Err(ConfigError::new("http.path", &http.path, problem));
    }
    if !(1..=MOST_WORKERS).contains(&http.workers) {
        let problem = format!("not a number of threads; give 1 to {MOST_WORKERS}, at most one for each core");
        return Err(ConfigError::new("http.workers", http.workers, problem));
    }
    for (key, value) in [
        ("in_flight", limits.in_flight),
        ("waiting", limits.waiting),
        ("connections", limits.connections),
        ("connections_per_address", limits.connections_per_address),
    ] {
        if !(1..=MOST_AT_ONCE).contains(&value) {
            let problem =
                format!("would refuse every notification, or bound nothing; give at least 1, at most {MOST_AT_ONCE}");
            return Err(ConfigError::new(&format!("http.limits.{key}"), value, problem));
        }
    }
    for (key, value) in [("head", limits.head), ("idle", limits.idle), ("write", limits.write)] {
        if value.is_zero() {
            let problem = "would close every connection; give a time such as \"10s\"";
            return Err(ConfigError::new(&format!("http.limits.{key}"), show(value), problem));
        }
    }
    if config.dedupe.max_ids > MOST_AT_ONCE {
        let problem = format!("more than one process can remember; give at most {MOST_AT_ONCE}");
        return Err(ConfigError::new("dedupe.max_ids", config.dedupe.max_ids, problem));
    }
    if http.max_body == 0 || http.body_time.is_zero() {
        let problem = "would refuse every notification; give a size such as \"8MiB\" and a time such as \"10s\"";
        let values = format!("{} and {}", http.max_body, show(http.body_time));
        return Err(ConfigError::new("http.max_body and http.body_time", values, problem));
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
    let (publish, answer, grace) = (config.publish_timeout(), config.http.answer_within, config.shutdown.grace);
    if publish.is_zero() && config.journal.is_none() {
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

#[cfg(test)]
#[cfg(all(feature = "kafka", feature = "nats"))]
mod tests {
    use super::*;

    fn fault(toml: &str) -> String {
        let config: Config = toml::from_str(toml).unwrap();
        check(&config).unwrap_err().to_string()
    }

    #[test]
    fn each_refusal_names_its_key() {
        for (toml, begins) in [
            ("", "route.brokers: no broker and no journal"),
            ("nats = {}\nroute.brokers = []", "route.brokers = []: no broker and no journal"),
            ("journal.max_bytes = \"1MiB\"", "journal.max_bytes = 1048576: no room for its log"),
            ("journal.retention = \"0s\"", "journal.retention = 0s: would delete"),
            ("nats = {}\n[http]\nlisten = \"0.0.0.0:3000\"", "http.listen = 0.0.0.0:3000: reachable beyond"),
            ("nats = {}\n[admin]\nlisten = \"0.0.0.0:3001\"", "admin.listen = 0.0.0.0:3001: reachable beyond"),
            ("nats = {}\n[http]\nworkers = 0", "http.workers = 0: not a number of threads"),
            ("nats = {}\n[http]\npath = \"x\"", "http.path = x: no path a request can have"),
            ("nats = {}\n[http]\npath = \"/a?b\"", "http.path = /a?b: no path a request can have"),
            ("nats = {}\n[auth]\nallow_from = []", "auth.allow_from = []: would refuse everyone"),
            ("nats.servers = []", "nats.servers = []: no server"),
            ("nats.stream = \"A.B\"", "nats.stream = A.B: no name of a stream"),
            ("nats.provision.replicas = 9", "nats.provision.replicas = 9: JetStream has 1 to 5"),
            ("kafka.bootstrap_servers = []", "kafka.bootstrap_servers = []: no server"),
            ("kafka.provision.replicas = 1", "kafka.provision.replicas = 1: less than min_insync_replicas"),
            ("nats = {}\ndedupe.max_ids = 10000000000", "dedupe.max_ids = 10000000000: more than one process"),
            ("nats = {}\n[http]\nmax_body = \"65MiB\"", "http.max_body = 68157440: more than"),
            ("nats = {}\n[http.limits]\nin_flight = 0", "http.limits.in_flight = 0: would refuse"),
            (
                "nats = {}\n[http]\nbody_time = \"0s\"",
                "http.max_body and http.body_time = 8388608 and 0s: would refuse",
            ),
            (
                "nats = {}\n[http.limits]\nconnections = 9223372036854775807",
                "http.limits.connections = 9223372036854775807",
            ),
            ("nats.servers = [\"\"]", "nats.servers = \"\": no address"),
            ("kafka.bootstrap_servers = [\"a b\"]", "kafka.bootstrap_servers = \"a b\": no address"),
            ("nats = {}\n[route.instances.007]\nsubject = \"x\"", "route.instances.007 = 007: not an instance"),
            ("nats = {}\n[http.limits]\nidle = \"0s\"", "http.limits.idle = 0s: would close"),
        ] {
            assert!(fault(toml).starts_with(begins), "{toml}: {}", fault(toml));
        }
    }

    #[test]
    fn so_does_each_that_shows_only_across_parts() {
        for (toml, begins) in [
            ("nats = {}\n[publish]\ntimeout = \"15s\"", "publish.timeout = 15s: must be less than http.answer_within"),
            ("nats = {}\n[publish]\ntimeout = \"0s\"", "publish.timeout = 0s: means the journal first"),
            ("nats = {}\n[shutdown]\ngrace = \"15s\"", "http.answer_within = 15s: must be less than shutdown.grace"),
            (
                "[nats]\nsubject = \"greenapi.{type}\"",
                "nats.subject = greenapi.{type}: could send notifications to the dead letter",
            ),
            ("[nats]\nsubject = \"greenapi..{type}\"", "nats.subject = greenapi..{type}: not a subject"),
            (
                "[nats]\nsubject = \"greenapi.{typ}\"",
                "nats.subject = greenapi.{typ}: unknown variable {typ}; the nearest is {type}",
            ),
            ("[nats]\nservers = [\"nats://u:secret@h:1\"]", "nats.servers = …@h:1: holds a user"),
            ("[kafka]\ntopic = \"a b\"", "kafka.topic = a b: not a topic"),
            ("[kafka]\nproperties.\"linger.ms\" = 1", "kafka.properties.\"linger.ms\": the bridge owns it"),
            ("[nats]\nuser = \"u\"", "nats.user: user and password_file belong together"),
            (
                "[nats.tls]\nkey_file = \"k\"",
                "nats.tls.certificate_file: certificate_file and key_file belong together",
            ),
            ("[nats]\nnkey_file = \"a\"\ntoken_file = \"b\"", "nats = nkey_file and token_file: two secret sources"),
            (
                "[nats]\nnkey_file = \"a\"\ntoken_file = \"b\"\nuser = \"u\"\npassword_file = \"p\"",
                "nats = nkey_file, user and token_file: three secret sources; keep one",
            ),
        ] {
            assert!(fault(toml).starts_with(begins), "{toml}: {}", fault(toml));
        }
    }

    #[test]
    fn no_two_listeners_have_one_place() {
        for (one, other, same) in [
            ("127.0.0.1:3000", "127.0.0.1:3000", true),
            ("127.0.0.1:3000", "0.0.0.0:3000", true),
            ("[::]:3000", "127.0.0.1:3000", true),
            ("[::ffff:127.0.0.1]:3000", "127.0.0.1:3000", true),
            ("127.0.0.1:3000", "127.0.0.1:3001", false),
            ("127.0.0.1:3000", "127.0.0.2:3000", false),
            ("[::1]:3000", "0.0.0.0:3000", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            let [one, other] = [one, other].map(|at| at.parse().unwrap());
            assert_eq!((same_place(one, other), same_place(other, one)), (same, same), "{one} {other}");
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
