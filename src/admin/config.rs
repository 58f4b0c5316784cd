//! `[admin]` and `[probes]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use hyper::http::uri::Authority;
use serde::{Deserialize, Deserializer, de::Error};

use crate::http_server::TlsConfig;
use crate::units;

/// `[admin]`: the listener for operators.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// The address it listens on. Default 127.0.0.1:3001. An address beyond loopback needs `tokens_file`.
    #[serde(deserialize_with = "units::listen_address")]
    pub listen: SocketAddr,
    /// The file of tokens that open it, in the form of `auth.tokens_file`; a token bound to an instance opens
    /// nothing here. `/livez` and `/readyz` need none. Default: no file; every user of this machine may ask.
    pub tokens_file: Option<PathBuf>,
    /// More names that `Host` may have, without port. Default none: on loopback a request must name `localhost`,
    /// `127.0.0.1`, `[::1]` or the address listened on, so that no web page can read it through a name of its own
    /// that resolves to this machine (DNS rebinding). Beyond loopback, where a token is needed, any name will do
    /// unless this list has one.
    pub hosts: Vec<Host>,
    /// `[admin.tls]`. Default none: plain HTTP.
    pub tls: Option<TlsConfig>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 3001)), tokens_file: None, hosts: Vec::new(), tls: None }
    }
}

/// `[probes]`: `/livez`, `/readyz` and `/metrics` for the kubelet and for Prometheus, without a token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbesConfig {
    /// The address it listens on. Any address may ask: it reads no more than the numbers in `/metrics`.
    #[serde(deserialize_with = "units::listen_address")]
    pub listen: SocketAddr,
}

/// One entry of `admin.hosts`: a name or an address as it stands in `Host`, without port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host(String);

impl Host {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Host {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let wrong = "not a host; give a name or an address without scheme and port, such as \"bridge.example\"";
        if without_port(&text).as_ref() == Some(&text) { Ok(Self(text)) } else { Err(D::Error::custom(wrong)) }
    }
}

/// `name:port` without its port. `None` means that the text is neither.
pub(super) fn without_port(authority: &str) -> Option<String> {
    let parsed: Authority = authority.parse().ok()?;
    let has_port = parsed.as_str().len() > parsed.host().len();
    let is_plain = !authority.contains('@') && (!has_port || parsed.port_u16().is_some());
    is_plain.then(|| parsed.host().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_no_scheme_and_no_port() {
        for wrong in ["http://a.example", "a.example:80", "::1", "a.example/", ""] {
            assert!(toml::from_str::<AdminConfig>(&format!("hosts = [\"{wrong}\"]")).is_err(), "{wrong}");
        }
        assert!(toml::from_str::<AdminConfig>("hosts = [\"[2001:db8::1]\"]").is_ok());
    }
}
