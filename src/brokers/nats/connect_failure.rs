//! Why there is no connection, in words that say what to correct. The client gives the last error of each server as text
//! only; text that is not known here is passed on.

use async_nats::Server;

use super::Config;
use crate::brokers::FaultReason;

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConnectFailure {
    /// What is wrong.
    pub(super) found: String,
    /// What to do.
    pub(super) remedy: String,
    /// What it counts as.
    pub(super) reason: FaultReason,
}

impl std::fmt::Display for ConnectFailure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}; {}", self.found, self.remedy)
    }
}

impl ConnectFailure {
    /// From the last attempts. `None` means that none failed.
    pub(super) fn from_attempts(servers: &[Server], config: &Config) -> Option<Self> {
        let failed =
            servers.iter().filter_map(|server| Some((server.addr.as_url_str(), server.last_error.as_deref()?)));
        Self::new(failed, config)
    }

    fn new<'s>(failed: impl Iterator<Item = (&'s str, &'s str)>, config: &Config) -> Option<Self> {
        let mut causes: Vec<(Explanation, Vec<&str>)> = Vec::new();
        for (server, error) in failed {
            let cause = explain(error, config);
            match causes.iter_mut().find(|(known, _)| *known == cause) {
                Some((_, servers)) => servers.push(server),
                None => causes.push((cause, vec![server])),
            }
        }
        // a server that answered says more than one that did not
        causes.sort_by_key(|(cause, _)| !cause.answered);
        let Explanation { remedy, reason, .. } = causes.first()?.0.clone();
        let found = causes.into_iter().map(|(cause, servers)| format!("{}: {}", servers.join(", "), cause.found));
        Some(Self { found: format!("nats.servers = {}", found.collect::<Vec<_>>().join("; ")), remedy, reason })
    }

    /// No server answers, and no error is known.
    pub(super) fn unknown(config: &Config) -> Self {
        Self::of_all_servers(config, "no connection", UNREACHABLE)
    }

    /// The names of the servers have no address.
    pub(super) fn unresolved(config: &Config) -> Self {
        Self::of_all_servers(config, "the host name does not resolve", "correct nats.servers, or check DNS")
    }

    fn of_all_servers(config: &Config, found: &str, remedy: &str) -> Self {
        let found = format!("nats.servers = {}: {found}", config.servers.join(", "));
        Self { found, remedy: remedy.into(), reason: FaultReason::Disconnected }
    }
}

const UNREACHABLE: &str = "start it, or correct nats.servers";

/// What an error of the client means.
#[derive(Clone, PartialEq, Eq)]
struct Explanation {
    found: String,
    remedy: String,
    /// True if the error is the answer of a server.
    answered: bool,
    reason: FaultReason,
}

fn explain(error: &str, config: &Config) -> Explanation {
    let error = shorten(error);
    let has = |word: &str| error.contains(word);
    let answered = |found: String, remedy: &str| Explanation {
        found,
        remedy: remedy.into(),
        answered: true,
        reason: FaultReason::Disconnected,
    };
    // an "authorization violation", or an "authentication expired" or "timeout"
    if has("uthorization") || has("uthentication") || has("failed signing nonce") {
        return explain_login(&error, config);
    }
    let is_first = config.tls.as_ref().is_some_and(|tls| tls.handshake_first);
    if has("InvalidContentType") && is_first {
        return answered("it speaks before TLS begins".into(), "remove nats.tls.handshake_first");
    }
    if has("InvalidContentType") {
        let remedy = "remove [nats.tls] and `tls://`, or enable TLS at the server";
        return answered("it answers without TLS".into(), remedy);
    }
    if has("expected INFO, got nothing") && !is_first {
        let remedy =
            "correct nats.servers; or, for a server with `handshake_first`, set nats.tls.handshake_first = true";
        return answered("it closes the connection without a word".into(), remedy);
    }
    if has("expected INFO") {
        return answered("it does not answer as a nats-server".into(), "correct nats.servers");
    }
    if has("UnknownIssuer") {
        return answered(error, "name the authority that signed the server's certificate in nats.tls.ca_file");
    }
    if has("CertificateRequired") {
        let remedy = "set nats.tls.certificate_file and nats.tls.key_file";
        return answered(format!("{error}: it asks for a client certificate"), remedy);
    }
    if has("certificate") || has("TLS") || has("fatal alert") {
        return answered(error, "correct [nats.tls], nats.servers, or the server's certificate");
    }
    Explanation { found: error, remedy: UNREACHABLE.into(), answered: false, reason: FaultReason::Disconnected }
}

/// The server refused the login.
fn explain_login(error: &str, config: &Config) -> Explanation {
    let login = login_keys(config);
    let (found, remedy) = match login.as_str() {
        "" => (
            format!("{error}, and no login is set"),
            "set nats.credentials_file, nats.nkey_file, nats.token_file, or nats.user with nats.password_file",
        ),
        login => (format!("{error} with {login}"), "correct that, or what the server allows"),
    };
    Explanation { found, remedy: remedy.into(), answered: true, reason: FaultReason::NotAuthenticated }
}

/// The configured login: keys and paths, never what is in the files.
fn login_keys(config: &Config) -> String {
    let files = [
        ("credentials_file", &config.credentials_file),
        ("nkey_file", &config.nkey_file),
        ("token_file", &config.token_file),
        ("password_file", &config.password_file),
    ];
    let user = config.user.iter().map(|user| format!("nats.user = {user}"));
    let files = files.into_iter().filter_map(|(key, path)| Some(format!("nats.{key} = {}", path.as_ref()?.display())));
    user.chain(files).collect::<Vec<_>>().join(", ")
}

/// Without the client's own kinds, and without the number of an operating system's error.
fn shorten(error: &str) -> String {
    let kinds = ["IO error: ", "authorization violation: ", "nats: "];
    let error = kinds.iter().fold(error, |error, kind| error.strip_prefix(kind).unwrap_or(error));
    let error = error.split_once(" (os error").map_or(error, |(words, _)| words);
    error.strip_prefix("Connection refused").map_or_else(|| error.into(), |rest| format!("connection refused{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(attempts: &[(&str, &str)], config: &str) -> ConnectFailure {
        ConnectFailure::new(attempts.iter().copied(), &toml::from_str(config).unwrap()).unwrap()
    }

    #[test]
    fn refused_login_is_named_by_its_keys() {
        let violation = ("nats://a:1", "authorization violation: nats: authorization violation");
        for (config, login) in [
            ("user = \"u\"\npassword_file = \"p\"", "with nats.user = u, nats.password_file = p"),
            ("credentials_file = \"c\"", "with nats.credentials_file = c"),
            ("nkey_file = \"n\"", "with nats.nkey_file = n"),
            ("token_file = \"t\"", "with nats.token_file = t"),
            ("", "and no login is set"),
        ] {
            let ConnectFailure { found, remedy, reason } = failure(&[violation], config);
            assert_eq!(reason, FaultReason::NotAuthenticated);
            let shown = found.strip_prefix("nats.servers = nats://a:1: authorization violation").unwrap();
            assert_eq!(shown.trim_start_matches([' ', ',']), login);
            assert_eq!(remedy.contains("nats.nkey_file"), config.is_empty(), "{remedy}");
        }
        let expired =
            failure(&[("nats://a:1", "IO error: nats: User Authentication Expired")], "credentials_file = \"c\"");
        assert!(expired.found.ends_with(": User Authentication Expired with nats.credentials_file = c"), "{expired}");
    }

    #[test]
    fn each_server_is_named_and_the_one_that_answers_gives_the_remedy() {
        let refused = "IO error: Connection refused (os error 111)";
        let tls = "IO error: received corrupt message of type InvalidContentType";
        let all = failure(&[("nats://a:1", refused), ("nats://b:2", refused)], "");
        assert_eq!(all.found, "nats.servers = nats://a:1, nats://b:2: connection refused");
        assert_eq!(all.remedy, "start it, or correct nats.servers");
        let one = failure(&[("nats://a:1", refused), ("nats://b:2", tls)], "");
        assert_eq!(one.found, "nats.servers = nats://b:2: it answers without TLS; nats://a:1: connection refused");
        assert!(one.remedy.starts_with("remove [nats.tls]"), "{one}");
        assert_eq!(ConnectFailure::new(std::iter::empty(), &Config::default()), None);
    }

    #[test]
    fn certificate_errors_are_passed_on_with_their_keys() {
        for (error, key) in [
            ("IO error: invalid peer certificate: UnknownIssuer", "nats.tls.ca_file"),
            ("IO error: invalid peer certificate: certificate not valid for name \"a\"", "[nats.tls]"),
            ("IO error: received fatal alert: CertificateRequired", "nats.tls.certificate_file"),
            ("TLS error: No such file or directory (os error 2)", "[nats.tls]"),
        ] {
            let ConnectFailure { found, remedy, .. } = failure(&[("nats://a:1", error)], "");
            assert!(remedy.contains(key) && !found.contains("IO error"), "{error}: {found}; {remedy}");
        }
    }
}
