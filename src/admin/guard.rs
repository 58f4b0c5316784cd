//! What a request must show before it is answered: a known `Host`, then a token.

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};

use super::AdminConfig;
use super::config::without_port;
use super::response::Refusal;
use crate::auth::{Binding, Tokens};
use crate::http_server::only_value;
use crate::reloadable::Reloadable;

/// Which requests a route accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Those without a token too.
    Open,
    /// Those with a token, where the listener has tokens.
    Token,
}

/// What a listener asks of requests. The default asks for nothing: the kubelet probes by the pod's address, without a
/// token.
#[derive(Debug, Default)]
pub struct Guard {
    /// `None` means no request needs a token.
    tokens: Option<Reloadable<Tokens>>,
    /// `None` means any host.
    hosts: Option<Vec<String>>,
}

impl Guard {
    /// The guard of this admin listener, with the tokens of its file.
    pub fn new(config: &AdminConfig, tokens: Option<Reloadable<Tokens>>) -> Self {
        let any = !config.listen.ip().is_loopback() && config.hosts.is_empty();
        let own = ["localhost".into(), "127.0.0.1".into(), "[::1]".into()].into_iter();
        let own = own.chain(without_port(&config.listen.to_string()));
        let configured = config.hosts.iter().map(|host| host.as_str().to_owned());
        let hosts = (!any).then(|| own.chain(configured).collect());
        Self { tokens, hosts }
    }

    /// Checks a request for a route with this access.
    ///
    /// # Errors
    /// [`Refusal::UnknownHost`] and [`Refusal::NoToken`].
    pub(super) fn check(&self, headers: &HeaderMap, access: Access) -> Result<(), Refusal> {
        if !self.knows_host(headers) {
            return Err(Refusal::UnknownHost);
        }
        if access == Access::Token && !self.has_token(headers) {
            return Err(Refusal::NoToken);
        }
        Ok(())
    }

    fn knows_host(&self, headers: &HeaderMap) -> bool {
        let Some(known) = &self.hosts else { return true };
        let named = only_value(headers, HOST).and_then(text).and_then(without_port);
        named.is_some_and(|named| known.iter().any(|known| known.eq_ignore_ascii_case(&named)))
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let Some(tokens) = &self.tokens else { return true };
        let tokens = tokens.load();
        only_value(headers, AUTHORIZATION).and_then(text).and_then(|value| tokens.look_up(value)) == Some(&Binding::Any)
    }
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knows(config: &str, host: &str) -> bool {
        let headers = [(HOST, host.parse().unwrap())].into_iter().collect();
        Guard::new(&toml::from_str(config).unwrap(), None).check(&headers, Access::Token).is_ok()
    }

    #[test]
    fn on_loopback_only_own_names_and_configured_ones_are_known() {
        for host in ["localhost", "LocalHost:3001", "127.0.0.1:1", "[::1]", "[::1]:3001", "127.0.0.9", "a.example:80"] {
            assert!(knows("listen = \"127.0.0.9:3001\"\nhosts = [\"a.example\"]", host), "{host}");
        }
        for host in [
            "evil.example",
            "evil@localhost",
            "localhost:99999",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "::1",
            "",
            "127.0.0.2",
        ] {
            assert!(!knows("", host), "{host}");
        }
        let guard = Guard::new(&AdminConfig::default(), None);
        assert!(!guard.knows_host(&HeaderMap::new()));
        let twice = [(HOST, "localhost".parse().unwrap()), (HOST, "evil.example".parse().unwrap())];
        assert!(!guard.knows_host(&twice.into_iter().collect()));
    }

    #[test]
    fn beyond_loopback_any_host_is_known_unless_some_are_configured() {
        assert!(knows("listen = \"0.0.0.0:3001\"", "any.example"));
        let configured = "listen = \"0.0.0.0:3001\"\nhosts = [\"a.example\"]";
        assert!(knows(configured, "a.example") && knows(configured, "localhost:3001"));
        assert!(!knows(configured, "any.example"));
    }
}
