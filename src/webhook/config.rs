//! `[http]`.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

use crate::auth::ForwardingHeader;
use crate::http_server::TlsConfig;
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
    /// `[http.tls]`. Default none: plain HTTP.
    pub tls: Option<TlsConfig>,
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
            tls: None,
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
    /// Default 64 MiB. An eighth is for bodies of up to 64 KiB, so that large ones, however slow, leave them room.
    #[serde(deserialize_with = "units::size")]
    pub in_flight_bytes: usize,
    /// The least bytes a second that a body must bring, less five seconds: after t seconds it has `min_body_rate * (t - 5)`
    /// bytes, or is answered 408.
    /// Default 1 KiB: the whole of a usual notification. `http.body_time` is the most that any body gets.
    #[serde(deserialize_with = "units::size")]
    pub min_body_rate: usize,
    /// Open connections. Default 4096. When there are as many, each new one evicts an unauthenticated one, whose client has not
    /// shown a valid token: the oldest of the address that has the most. A request head of up to `head_bytes` is buffered for
    /// each.
    pub connections: usize,
    /// Unauthenticated connections of one source address that are served at the same time; more wait for a second, and then
    /// each evicts the oldest. Default 256: GREEN-API has few addresses, but its first request shows a token, and an address
    /// that has shown one within the last hour, or is in `auth.allow_from`, has no such limit. Neither has loopback, where a
    /// proxy is the peer of all clients. IPv6 addresses count by their /64.
    pub connections_per_address: usize,
    /// TLS handshakes in progress. Default 512. When there are as many, each new one evicts the oldest of the address that has
    /// the most. A handshake costs about a millisecond of CPU and some 20 KiB.
    pub handshakes: usize,
    /// How long a TLS handshake may take. Default 10 s.
    #[serde(deserialize_with = "units::duration")]
    pub handshake: Duration,
    /// How long a request head may take, from its first byte to its end; then the connection is closed. A connection without
    /// a valid token may not be idle for longer. Default 10 s.
    #[serde(deserialize_with = "units::duration")]
    pub head: Duration,
    /// The most bytes of a request head. Default 128 KiB, so that a target of more than 64 KiB is answered 414; GREEN-API
    /// sends less than 1 KiB. At least 8 KiB.
    #[serde(deserialize_with = "units::size")]
    pub head_bytes: usize,
    /// The most headers of a request. Default 64; GREEN-API sends about ten, and proxies add a few.
    pub headers: usize,
    /// How long a connection with a valid token may be open without a request. Default 75 s: GREEN-API pauses for 60 s, and
    /// a reverse proxy with an idle timeout of one minute closes its connections first.
    #[serde(deserialize_with = "units::duration")]
    pub idle: Duration,
    /// How many requests a connection may send; the answer to the last closes it. Default 100,000: a connection that never
    /// ends would keep what it allocated, and would never move to another replica behind a load balancer.
    pub requests_per_connection: usize,
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
            min_body_rate: 1024,
            connections: 4096,
            connections_per_address: 256,
            handshakes: 512,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            head_bytes: 128 * 1024,
            headers: 64,
            requests_per_connection: 100_000,
            idle: Duration::from_secs(75),
            write: Duration::from_secs(10),
        }
    }
}
