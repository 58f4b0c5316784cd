//! Checks across the parts of a configuration. What they refuse stops the start, with the remedy.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Config, ConfigError, brokers};
use crate::admin::AdminConfig;
use crate::units::show;
use crate::{journal, telemetry};

/// An upper bound for every count: one process cannot have more.
const MAX_COUNT: usize = 10_000_000;

/// More threads than this are a typing error.
const MAX_WORKERS: usize = 64;

/// The least and the most headers of a request.
const MIN_HEADERS: usize = 16;
const MAX_HEADERS: usize = 1024;

/// The least and the most bytes of a request head: hyper accepts no less.
const MIN_HEAD: usize = 8 * 1024;
const MAX_HEAD: usize = 1024 * 1024;

/// The least time that a sender gets: a round trip around the world takes a third of a second, one in a city some milliseconds.
const MIN_TIME: Duration = Duration::from_millis(100);

/// The least size of a body: the smallest notification has about 150 bytes.
const MIN_BODY: usize = 1024;

type Check = fn(&Config) -> Result<(), ConfigError>;

/// One for each kind of mistake, so that none hides another.
const CHECKS: [Check; 20] = [
    log_level,
    distinct_listeners,
    anonymous_beside_tokens,
    webhook_listener,
    allowed_addresses,
    proxy,
    admin_listener,
    path_and_workers,
    counts,
    headers,
    times,
    sizes,
    journal_first,
    publish_timeout,
    answer_within,
    shutdown_delay,
    dead_letter_retention,
    built,
    journal,
    destinations,
];

/// What is wrong: one mistake of each kind, and every property of Kafka's client that may not be set.
pub(super) fn check(config: &Config) -> Vec<ConfigError> {
    let properties = config.kafka.iter().flat_map(brokers::property_errors);
    CHECKS.iter().filter_map(|check| check(config).err()).chain(properties).collect()
}

fn log_level(config: &Config) -> Result<(), ConfigError> {
    let level = &config.log.level;
    telemetry::logging::filter(level).map(drop).map_err(|error| ConfigError::new("log.level", level, error.to_string()))
}

fn destinations(config: &Config) -> Result<(), ConfigError> {
    let templates = config.broker_templates();
    let none_named = config.route.brokers.as_ref().is_some_and(Vec::is_empty);
    if config.journal.is_none() && none_named {
        let problem = "no broker and no journal: nothing could be stored; name one, or add the section [journal]";
        return Err(ConfigError::new("route.brokers", "[]", problem));
    }
    if config.journal.is_none() && templates.is_empty() {
        let problem = "no broker and no journal: nothing could be stored; add the section [nats], [kafka] or [journal]";
        return Err(ConfigError { key: "route.brokers".into(), value: None, problem: problem.into() });
    }
    brokers::check(config, &templates)
}

fn journal(config: &Config) -> Result<(), ConfigError> {
    let Some(journal) = &config.journal else { return Ok(()) };
    let least = journal.least_bytes();
    if journal.max_bytes < least {
        let problem = format!(
            "too small for its log and one notification of http.max_body; give at least \"{}MiB\"",
            least.div_ceil(1024 * 1024)
        );
        return Err(ConfigError::new("journal.max_bytes", journal.max_bytes, problem));
    }
    if journal.min_free < journal::Config::MIN_FREE {
        let least = journal::Config::MIN_FREE / (1024 * 1024);
        let problem = format!(
            "too small for the journal's log, without which nothing can be forwarded on a full disk; give at least \"{least}MiB\""
        );
        return Err(ConfigError::new("journal.min_free", journal.min_free, problem));
    }
    retention("journal.retention", journal.retention)
}

fn dead_letter_retention(config: &Config) -> Result<(), ConfigError> {
    if config.journal.is_none() {
        return Ok(());
    }
    retention("dead_letter.retention", config.dead_letter.retention)
}

fn retention(key: &str, retention: Duration) -> Result<(), ConfigError> {
    let problem = "would delete what was answered 200 at once; give a time such as \"7d\"";
    if retention.is_zero() { Err(ConfigError::new(key, "0s", problem)) } else { Ok(()) }
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
        ("http.tls", "tls", config.http.tls.is_some(), cfg!(feature = "tls")),
        ("admin.tls", "tls", config.admin.as_ref().is_some_and(|admin| admin.tls.is_some()), cfg!(feature = "tls")),
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

/// Whether two listeners overlap. The IPv6 wildcard address includes IPv4.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let takes = |any: IpAddr, ip: IpAddr| any.is_unspecified() && (any.is_ipv6() || ip.is_ipv4());
    let (a, b) = (one.ip(), other.ip());
    one.port() == other.port()
        && one.port() != 0
        && (a.to_canonical() == b.to_canonical() || takes(a, b) || takes(b, a))
}

/// Refuses listeners that overlap.
fn distinct_listeners(config: &Config) -> Result<(), ConfigError> {
    let mut known = vec![("http.listen", config.http.listen)];
    let admin = config.admin.as_ref().map(|admin| ("admin.listen", admin.listen));
    let probes = config.probes.as_ref().map(|probes| ("probes.listen", probes.listen));
    for (key, listen) in admin.into_iter().chain(probes) {
        if let Some((other, at)) = known.iter().find(|(_, at)| overlap(*at, listen)) {
            return Err(ConfigError::new(key, listen, format!("taken by {other} = {at}; choose another port")));
        }
        known.push((key, listen));
    }
    Ok(())
}

fn anonymous_beside_tokens(config: &Config) -> Result<(), ConfigError> {
    if config.auth.tokens_file.is_some() && config.auth.allow_anonymous {
        let problem = "with auth.tokens_file, one of the two has no meaning; remove one";
        return Err(ConfigError::new("auth.allow_anonymous", true, problem));
    }
    Ok(())
}

fn webhook_listener(config: &Config) -> Result<(), ConfigError> {
    let listen = config.http.listen;
    if !listen.ip().is_loopback() && config.auth.tokens_file.is_none() && !config.auth.allow_anonymous {
        let problem = "reachable beyond this machine without a token; set auth.tokens_file, or auth.allow_anonymous = true if anyone may send";
        return Err(ConfigError::new("http.listen", listen, problem));
    }
    Ok(())
}

fn allowed_addresses(config: &Config) -> Result<(), ConfigError> {
    if config.auth.allow_from.as_ref().is_some_and(Vec::is_empty) {
        let problem = "would refuse everyone; name addresses, or leave it out to take any";
        return Err(ConfigError::new("auth.allow_from", "[]", problem));
    }
    Ok(())
}

/// One way to learn the sender's address, and no key of another.
fn proxy(config: &Config) -> Result<(), ConfigError> {
    let Some(proxy) = &config.http.proxy else { return Ok(()) };
    match (proxy.header, proxy.protocol, proxy.trusted_hops) {
        (None, None, _) => {
            let problem = "says nothing of how the proxy names the sender; set header = \"x-forwarded-for\" or \"forwarded\", or protocol = \"proxy\", or remove the section";
            Err(ConfigError { key: "http.proxy".into(), value: None, problem: problem.into() })
        }
        (Some(_), Some(_), _) => {
            Err(ConfigError::new("http.proxy", "header and protocol", "two sources of the sender's address; keep one"))
        }
        (None, Some(_), Some(hops)) => {
            let problem = "has a meaning with header only: the PROXY protocol names one address; remove it";
            Err(ConfigError::new("http.proxy.trusted_hops", hops, problem))
        }
        (Some(_), None, Some(0)) => {
            let problem = "names no proxy; give how many stand between the senders and the bridge, at least 1, or remove the section";
            Err(ConfigError::new("http.proxy.trusted_hops", 0, problem))
        }
        _ => Ok(()),
    }
}

fn admin_listener(config: &Config) -> Result<(), ConfigError> {
    let without_token = |admin: &&AdminConfig| !admin.listen.ip().is_loopback() && admin.tokens_file.is_none();
    if let Some(admin) = config.admin.as_ref().filter(without_token) {
        let problem = "reachable beyond this machine without a token; set admin.tokens_file, or give a loopback address such as 127.0.0.1:3001";
        return Err(ConfigError::new("admin.listen", admin.listen, problem));
    }
    Ok(())
}

fn path_and_workers(config: &Config) -> Result<(), ConfigError> {
    let http = &config.http;
    let path = http.path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte));
    if !http.path.starts_with('/') || !path {
        let problem = "not a path of a request; begin with /, leave out spaces, ? and #, percent-encode the rest";
        return Err(ConfigError::new("http.path", &http.path, problem));
    }
    if !(1..=MAX_WORKERS).contains(&http.workers) {
        let problem = format!("not a number of threads; give 1 to {MAX_WORKERS}, at most one for each core");
        return Err(ConfigError::new("http.workers", http.workers, problem));
    }
    Ok(())
}

fn counts(config: &Config) -> Result<(), ConfigError> {
    let limits = &config.http.limits;
    for (key, value) in [
        ("in_flight", limits.in_flight),
        ("waiting", limits.waiting),
        ("connections", limits.connections),
        ("connections_per_address", limits.connections_per_address),
        ("handshakes", limits.handshakes),
        ("requests_per_connection", limits.requests_per_connection),
    ] {
        if !(1..=MAX_COUNT).contains(&value) {
            let problem =
                format!("would refuse every notification, or bound nothing; give at least 1, at most {MAX_COUNT}");
            return Err(ConfigError::new(&format!("http.limits.{key}"), value, problem));
        }
    }
    if config.dedupe.max_ids > MAX_COUNT {
        let problem = format!("more ids than one process can hold; give at most {MAX_COUNT}");
        return Err(ConfigError::new("dedupe.max_ids", config.dedupe.max_ids, problem));
    }
    Ok(())
}

fn headers(config: &Config) -> Result<(), ConfigError> {
    let headers = config.http.limits.headers;
    if (MIN_HEADERS..=MAX_HEADERS).contains(&headers) {
        return Ok(());
    }
    let problem = format!("GREEN-API sends about ten, and a proxy adds some; give {MIN_HEADERS} to {MAX_HEADERS}");
    Err(ConfigError::new("http.limits.headers", headers, problem))
}

fn times(config: &Config) -> Result<(), ConfigError> {
    let (http, limits) = (&config.http, &config.http.limits);
    for (key, value) in [
        ("http.limits.handshake", limits.handshake),
        ("http.limits.head", limits.head),
        ("http.limits.idle", limits.idle),
        ("http.limits.write", limits.write),
        ("http.body_time", http.body_time),
        ("http.answer_within", http.answer_within),
    ] {
        if value < MIN_TIME {
            let problem = format!(
                "too short for almost any sender; give at least \"{}\", better a time such as \"10s\"",
                show(MIN_TIME)
            );
            return Err(ConfigError::new(key, show(value), problem));
        }
    }
    Ok(())
}

fn sizes(config: &Config) -> Result<(), ConfigError> {
    let (http, limits) = (&config.http, &config.http.limits);
    if !(MIN_HEAD..=MAX_HEAD).contains(&limits.head_bytes) {
        let problem = "not a size of a request head; give \"8KiB\" to \"1MiB\"";
        return Err(ConfigError::new("http.limits.head_bytes", limits.head_bytes, problem));
    }
    if limits.min_body_rate == 0 {
        let problem = "bounds nothing; give a size for each second, such as \"1KiB\"";
        return Err(ConfigError::new("http.limits.min_body_rate", 0, problem));
    }
    if http.max_body < MIN_BODY {
        let problem = "would refuse almost every notification; give at least \"1KiB\", better a size such as \"8MiB\"";
        return Err(ConfigError::new("http.max_body", http.max_body, problem));
    }
    if http.max_body > limits.in_flight_bytes {
        let problem = format!(
            "more than http.limits.in_flight_bytes = {}, so such a body could never be accepted; lower it, or raise the other",
            limits.in_flight_bytes
        );
        return Err(ConfigError::new("http.max_body", http.max_body, problem));
    }
    Ok(())
}

fn journal_first(config: &Config) -> Result<(), ConfigError> {
    if config.publish_timeout().is_zero() && config.journal.is_none() {
        return Err(ConfigError::new(
            "publish.timeout",
            "0s",
            "means the journal first, and there is no journal; give a time such as \"12s\"",
        ));
    }
    Ok(())
}

fn publish_timeout(config: &Config) -> Result<(), ConfigError> {
    let (publish, answer) = (config.publish_timeout(), config.http.answer_within);
    if publish >= answer {
        let problem = format!("must be less than http.answer_within = {}; lower it", show(answer));
        return Err(ConfigError::new("publish.timeout", show(publish), problem));
    }
    Ok(())
}

fn answer_within(config: &Config) -> Result<(), ConfigError> {
    let (answer, grace) = (config.http.answer_within, config.shutdown.grace);
    if answer >= grace {
        let problem = format!("must be less than shutdown.grace = {}; lower it or raise the grace", show(grace));
        return Err(ConfigError::new("http.answer_within", show(answer), problem));
    }
    Ok(())
}

fn shutdown_delay(config: &Config) -> Result<(), ConfigError> {
    let grace = config.shutdown.grace;
    if config.shutdown.delay >= grace {
        let problem = format!("must be less than shutdown.grace = {}; lower it", show(grace));
        return Err(ConfigError::new("shutdown.delay", show(config.shutdown.delay), problem));
    }
    Ok(())
}

#[cfg(test)]
#[cfg(all(feature = "kafka", feature = "nats"))]
#[path = "check_tests.rs"]
mod tests;
