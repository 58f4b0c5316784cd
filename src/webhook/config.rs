//! `[http]`.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

use crate::auth::ForwardingHeader;
use crate::units;

/// `[http]`: the endpoint that GREEN-API posts to.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The address to listen on. Default 127.0.0.1:3000: a listener beyond loopback must be configured. `:3000` is every
    /// IPv4 address of this machine.
    #[serde(deserialize_with = "units::listen_address")]
    pub listen: SocketAddr,
    /// The path, with or without a trailing slash.
    pub path: String,
    /// The largest body. Default 8 MiB: GREEN-API documents no limit, and previews and contact lists make some bodies
    /// large.
    #[serde(deserialize_with = "units::size")]
    pub max_body: usize,
    /// The time from the last byte of a body to its answer. Default 15 s: GREEN-API waited 20 s in 2023, and 180 s today.
    #[serde(deserialize_with = "units::duration")]
    pub answer_within: Duration,
    /// How long a body may take. Default 10 s.
    #[serde(deserialize_with = "units::duration")]
    pub body_time: Duration,
    /// Threads that serve and publish, 1 to 64. Default 1: until one thread is busy all the time, more threads cost more
    /// in waking each other than they gain (librdkafka has its own threads besides).
    pub workers: usize,
    /// `[http.limits]`.
    pub limits: Limits,
    /// `[http.proxy]`. None means that the sender is the TCP peer, and that no header is believed.
    pub proxy: Option<ProxyConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            path: "/green-api/webhook/".into(),
            max_body: 8 * 1024 * 1024,
            answer_within: Duration::from_secs(15),
            body_time: Duration::from_secs(10),
            workers: 1,
            limits: Limits::default(),
            proxy: None,
        }
    }
}

/// `[http.proxy]`: how a reverse proxy in front of the bridge names the sender. Exactly one of `header` and `protocol` is
/// set. The port must be reachable through the proxy alone: another client could name any address.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyConfig {
    /// The request header with the addresses.
    pub header: Option<ForwardingHeader>,
    /// With `header`: how many proxies stand between the sender and the bridge. The sender is that element of the list,
    /// counted from the right. Default 1.
    pub trusted_hops: Option<usize>,
    /// The protocol whose preamble comes before the first byte of a connection.
    pub protocol: Option<ProxyProtocol>,
}

impl ProxyConfig {
    /// The header that names the sender, and the number of trusted proxies. None means that no header is believed.
    pub fn trusted_header(&self) -> Option<(ForwardingHeader, usize)> {
        Some((self.header?, self.trusted_hops.unwrap_or(1)))
    }
}

/// A protocol in which a proxy names the sender of a whole connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocol {
    /// The PROXY protocol of HAProxy, version 1 or 2.
    Proxy,
}

/// `[http.limits]`: how much one bridge does at once.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Notifications being read or stored. Default 1024.
    pub in_flight: usize,
    /// Requests in the wait queue for a permit. Default 1024.
    pub waiting: usize,
    /// The bytes of the bodies of all notifications in flight together; requests in the wait queue do not count.
    /// Default 64 MiB.
    #[serde(deserialize_with = "units::size")]
    pub in_flight_bytes: usize,
    /// Open connections; more wait in the accept backlog. Default 4096. A request head of up to 128 KiB is buffered
    /// for each.
    pub connections: usize,
    /// Open connections from one source address; more are closed at once. Default 256: GREEN-API has few addresses and
    /// sends one request at a time for each instance, and no other client should use up `connections`. Behind a reverse
    /// proxy all clients share one address: loopback has no such limit, because a sidecar proxy is there; raise it for
    /// other proxies.
    pub connections_per_address: usize,
    /// How long a request head may take, from its first byte to its end; then the connection is closed. Default 10 s.
    #[serde(deserialize_with = "units::duration")]
    pub head: Duration,
    /// How long a connection may be open without a request. Default 75 s: GREEN-API pauses for 60 s, and a reverse proxy
    /// with an idle timeout of one minute closes its connections first.
    #[serde(deserialize_with = "units::duration")]
    pub idle: Duration,
    /// How long a client may read nothing of a response; then the connection is closed. Default 10 s.
    #[serde(deserialize_with = "units::duration")]
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight: 1024,
            waiting: 1024,
            in_flight_bytes: 64 * 1024 * 1024,
            connections: 4096,
            connections_per_address: 256,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            write: Duration::from_secs(10),
        }
    }
}
