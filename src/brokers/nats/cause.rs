//! Why there is no connection, in words that say what to correct. The client tells its servers' last errors as text
//! only; the words it does not know are passed on.

use async_nats::Server;

use super::Config;

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cause {
    /// What is wrong.
    pub(super) found: String,
    /// What to do.
    pub(super) remedy: String,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}; {}", self.found, self.remedy)
    }
}

impl Cause {
    /// From what became of the last attempts; none where none failed.
    pub(super) fn of(servers: &[Server], config: &Config) -> Option<Self> {
        let failed =
            servers.iter().filter_map(|server| Some((server.addr.as_url_str(), server.last_error.as_deref()?)));
        Self::new(failed, config)
    }

    fn new<'s>(failed: impl Iterator<Item = (&'s str, &'s str)>, config: &Config) -> Option<Self> {
        let mut causes: Vec<(Said, Vec<&str>)> = Vec::new();
        for (server, error) in failed {
            let said = say(error, config);
            match causes.iter_mut().find(|(before, _)| *before == said) {
                Some((_, servers)) => servers.push(server),
                None => causes.push((said, vec![server])),
            }
        }
        // the server that answers something else than the others tells more than one that is not there
        causes.sort_by_key(|(said, _)| !said.answered);
        let remedy = causes.first()?.0.remedy.clone();
        let found = causes.into_iter().map(|(said, servers)| format!("{}: {}", servers.join(", "), said.found));
        Some(Self { found: format!("nats.servers = {}", found.collect::<Vec<_>>().join("; ")), remedy })
    }

    /// Nothing is heard at all.
    pub(super) fn unknown(config: &Config) -> Self {
        Self::of_all(config, "no connection", UNREACHED)
    }

    /// The names of the servers have no address.
    pub(super) fn unresolved(config: &Config) -> Self {
        Self::of_all(config, "no address is known for that name", "correct nats.servers, or see to DNS")
    }

    fn of_all(config: &Config, found: &str, remedy: &str) -> Self {
        Self { found: format!("nats.servers = {}: {found}", config.servers.join(", ")), remedy: remedy.into() }
    }
}

const UNREACHED: &str = "start it, or correct nats.servers";

/// An error in our words.
#[derive(PartialEq, Eq)]
struct Said {
    found: String,
    remedy: String,
    /// Whether there is a server that says so.
    answered: bool,
}

fn say(error: &str, config: &Config) -> Said {
    let error = plain(error);
    let has = |word: &str| error.contains(word);
    let said = |found: String, remedy: &str| Said { found, remedy: remedy.into(), answered: true };
    // an "authorization violation", or an "authentication expired" or "timeout"
    if has("uthorization") || has("uthentication") || has("failed signing nonce") {
        return refused(&error, config);
    }
    if has("InvalidContentType") {
        let remedy = "remove [nats.tls] and `tls://`, or enable TLS at the server";
        return said("it answers without TLS".into(), remedy);
    }
    if has("expected INFO") {
        return said("it does not answer as a nats-server".into(), "correct nats.servers");
    }
    if has("UnknownIssuer") {
        return said(error, "name the authority that signed the server's certificate in nats.tls.ca_file");
    }
    if has("CertificateRequired") {
        let remedy = "set nats.tls.certificate_file and nats.tls.key_file";
        return said(format!("{error}: it asks for a client certificate"), remedy);
    }
    if has("certificate") || has("TLS") || has("fatal alert") {
        return said(error, "correct [nats.tls], nats.servers, or the server's certificate");
    }
    Said { found: error, remedy: UNREACHED.into(), answered: false }
}

/// The server does not take us for who we say we are.
fn refused(error: &str, config: &Config) -> Said {
    let with = login(config);
    let (found, remedy) = match with.as_str() {
        "" => (
            format!("{error}, and no login is set"),
            "set nats.credentials_file, nats.nkey_file, nats.token_file, or nats.user with nats.password_file",
        ),
        with => (format!("{error} with {with}"), "correct that, or what the server allows"),
    };
    Said { found, remedy: remedy.into(), answered: true }
}

/// How we make ourselves known: keys and paths, never what is in the files.
fn login(config: &Config) -> String {
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

/// Without the client's own kinds, and the number of an operating system's error.
fn plain(error: &str) -> String {
    let kinds = ["IO error: ", "authorization violation: ", "nats: "];
    let error = kinds.iter().fold(error, |error, kind| error.strip_prefix(kind).unwrap_or(error));
    let error = error.split_once(" (os error").map_or(error, |(words, _)| words);
    error.strip_prefix("Connection refused").map_or_else(|| error.into(), |rest| format!("connection refused{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(failed: &[(&str, &str)], config: &str) -> Cause {
        Cause::new(failed.iter().copied(), &toml::from_str(config).unwrap()).unwrap()
    }

    #[test]
    fn a_login_that_is_refused_is_named_by_its_keys() {
        let violation = ("nats://a:1", "authorization violation: nats: authorization violation");
        for (config, found) in [
            ("user = \"u\"\npassword_file = \"p\"", "with nats.user = u, nats.password_file = p"),
            ("credentials_file = \"c\"", "with nats.credentials_file = c"),
            ("nkey_file = \"n\"", "with nats.nkey_file = n"),
            ("token_file = \"t\"", "with nats.token_file = t"),
            ("", "and no login is set"),
        ] {
            let Cause { found: said, remedy } = cause(&[violation], config);
            let start = said.strip_prefix("nats.servers = nats://a:1: authorization violation").unwrap();
            assert_eq!(start.trim_start_matches([' ', ',']), found);
            assert_eq!(remedy.contains("nats.nkey_file"), config.is_empty(), "{remedy}");
        }
        let expired =
            cause(&[("nats://a:1", "IO error: nats: User Authentication Expired")], "credentials_file = \"c\"");
        assert!(expired.found.ends_with(": User Authentication Expired with nats.credentials_file = c"), "{expired}");
    }

    #[test]
    fn each_server_is_named_and_the_one_that_answers_says_what_to_do() {
        let refused = "IO error: Connection refused (os error 111)";
        let tls = "IO error: received corrupt message of type InvalidContentType";
        let all = cause(&[("nats://a:1", refused), ("nats://b:2", refused)], "");
        assert_eq!(all.found, "nats.servers = nats://a:1, nats://b:2: connection refused");
        assert_eq!(all.remedy, "start it, or correct nats.servers");
        let one = cause(&[("nats://a:1", refused), ("nats://b:2", tls)], "");
        assert_eq!(one.found, "nats.servers = nats://b:2: it answers without TLS; nats://a:1: connection refused");
        assert!(one.remedy.starts_with("remove [nats.tls]"), "{one}");
        assert_eq!(Cause::new(std::iter::empty(), &Config::default()), None);
    }

    #[test]
    fn what_is_wrong_with_certificates_is_passed_on_with_the_keys() {
        for (error, key) in [
            ("IO error: invalid peer certificate: UnknownIssuer", "nats.tls.ca_file"),
            ("IO error: invalid peer certificate: certificate not valid for name \"a\"", "[nats.tls]"),
            ("IO error: received fatal alert: CertificateRequired", "nats.tls.certificate_file"),
            ("TLS error: No such file or directory (os error 2)", "[nats.tls]"),
        ] {
            let Cause { found, remedy } = cause(&[("nats://a:1", error)], "");
            assert!(remedy.contains(key) && !found.contains("IO error"), "{error}: {found}; {remedy}");
        }
    }
}
