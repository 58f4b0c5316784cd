//! Who may ask on the admin listener: the `Host` a request names, then its token.

use std::net::SocketAddr;
use std::path::PathBuf;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST, HeaderName};
use hyper::http::uri::Authority;
use serde::{Deserialize, Deserializer, de::Error};

use crate::admit::{Binding, Tokens};

/// `[admin]`: the listener for operators.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Where to listen. Default 127.0.0.1:3001; beyond loopback only with `tokens_file`.
    pub listen: SocketAddr,
    /// The file of tokens that open it, in the form of `auth.tokens_file`; a token bound to an instance opens
    /// nothing here. `/livez` and `/readyz` need none. Default: no file, whoever is on this machine may look.
    pub tokens_file: Option<PathBuf>,
    /// More names to answer to, without port. Default none: on loopback a request must name `localhost`,
    /// `127.0.0.1`, `[::1]` or the address listened on, so that no web page can read it through a name of its own
    /// that leads here (DNS rebinding). Beyond loopback, where a token is needed, any name will do unless some
    /// are given.
    pub hosts: Vec<Host>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 3001)), tokens_file: None, hosts: Vec::new() }
    }
}

/// One entry of `admin.hosts`: a name or an address as it stands in `Host`, without port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host(String);

impl<'de> Deserialize<'de> for Host {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let wrong = "not a host; give a name or an address without scheme and port, such as \"bridge.example\"";
        if host(&text).as_ref() == Some(&text) { Ok(Self(text)) } else { Err(D::Error::custom(wrong)) }
    }
}

/// What a request must show. The default asks for nothing: the kubelet probes by the pod's address, with no token.
#[derive(Debug, Default)]
pub struct Guard {
    tokens: Option<Tokens>,
    /// None: any.
    hosts: Option<Vec<String>>,
}

impl Guard {
    /// The guard of this admin listener, with the tokens of its file.
    pub fn new(config: &AdminConfig, tokens: Option<Tokens>) -> Self {
        let any = !config.listen.ip().is_loopback() && config.hosts.is_empty();
        let own = ["localhost".into(), "127.0.0.1".into(), "[::1]".into()].into_iter();
        let own = own.chain(host(&config.listen.to_string()));
        let hosts = (!any).then(|| own.chain(config.hosts.iter().map(|host| host.0.clone())).collect());
        Self { tokens, hosts }
    }

    /// Whether the request names a host that is meant to be this one.
    pub(super) fn knows_host(&self, headers: &HeaderMap) -> bool {
        let Some(known) = &self.hosts else { return true };
        let asked = one(headers, HOST).and_then(host);
        asked.is_some_and(|asked| known.iter().any(|known| known.eq_ignore_ascii_case(&asked)))
    }

    /// Whether the request has a token, where one is needed.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(tokens) = &self.tokens else { return true };
        one(headers, AUTHORIZATION).and_then(|value| tokens.look_up(value)) == Some(&Binding::Any)
    }
}

/// The value of a header that is there once.
fn one(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}

/// `name:port` without its port.
fn host(authority: &str) -> Option<String> {
    authority.parse::<Authority>().ok().map(|authority| authority.host().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knows(config: &str, host: &str) -> bool {
        let headers = [(HOST, host.parse().unwrap())].into_iter().collect();
        Guard::new(&toml::from_str(config).unwrap(), None).knows_host(&headers)
    }

    #[test]
    fn on_loopback_only_its_own_names_and_those_given_lead_here() {
        for host in ["localhost", "LocalHost:3001", "127.0.0.1:1", "[::1]", "[::1]:3001", "127.0.0.9", "a.example:80"] {
            assert!(knows("listen = \"127.0.0.9:3001\"\nhosts = [\"a.example\"]", host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "::1", "", "127.0.0.2"] {
            assert!(!knows("", host), "{host}");
        }
        assert!(!Guard::new(&AdminConfig::default(), None).knows_host(&HeaderMap::new()));
        let twice = [(HOST, "localhost".parse().unwrap()), (HOST, "evil.example".parse().unwrap())];
        assert!(!Guard::new(&AdminConfig::default(), None).knows_host(&twice.into_iter().collect()));
    }

    #[test]
    fn beyond_loopback_any_name_leads_here_unless_some_are_given() {
        assert!(knows("listen = \"0.0.0.0:3001\"", "any.example"));
        let given = "listen = \"0.0.0.0:3001\"\nhosts = [\"a.example\"]";
        assert!(knows(given, "a.example") && knows(given, "localhost:3001") && !knows(given, "any.example"));
    }

    #[test]
    fn a_host_has_no_scheme_and_no_port() {
        for wrong in ["http://a.example", "a.example:80", "::1", "a.example/", ""] {
            assert!(toml::from_str::<AdminConfig>(&format!("hosts = [\"{wrong}\"]")).is_err(), "{wrong}");
        }
        assert!(toml::from_str::<AdminConfig>("hosts = [\"[2001:db8::1]\"]").is_ok());
    }
}
