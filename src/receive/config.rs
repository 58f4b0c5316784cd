//! `[http]`.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

use crate::units;

/// `[http]`: the endpoint GREEN-API posts to.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen. Default 127.0.0.1:3000: nothing listens beyond loopback unasked.
    pub listen: SocketAddr,
    /// The path, with or without its last slash.
    pub path: String,
    /// The largest body. Default 8 MiB: GREEN-API names no limit, previews and contact lists make some large.
    #[serde(deserialize_with = "units::size")]
    pub max_body: usize,
    /// From the last byte of a body to its answer. Default 15 s: GREEN-API waited 20 s in 2023, 180 s now.
    #[serde(deserialize_with = "units::duration")]
    pub answer_within: Duration,
    /// How long a body may take. Default 10 s.
    #[serde(deserialize_with = "units::duration")]
    pub body_time: Duration,
    /// Threads that serve and publish, 1 to 64. Default 1: threads that wake each other cost more than they bring until
    /// one is busy all the time (librdkafka has threads of its own besides).
    pub workers: usize,
    /// `[http.limits]`.
    pub limits: Limits,
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
        }
    }
}

/// `[http.limits]`: what one bridge takes on at once.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Notifications being read or stored. Default 1024.
    pub in_flight: usize,
    /// Requests waiting for a place among them. Default 1024.
    pub waiting: usize,
    /// The bytes of all of them together. Default 64 MiB.
    #[serde(deserialize_with = "units::size")]
    pub in_flight_bytes: usize,
    /// Open connections; more wait in the kernel's line. Default 4096. A request head of up to 128 KiB is buffered
    /// for each.
    pub connections: usize,
    /// Open connections from one source address; more are closed at once. Default 256: GREEN-API has few addresses
    /// and one request at a time for each instance, and no one else should fill the line. A reverse proxy makes
    /// everyone one address: on loopback, where a sidecar is one, there is no such limit; raise it for others.
    pub connections_per_address: usize,
    /// From the first byte of a request head to its end; then the connection is closed. Default 10 s.
    #[serde(deserialize_with = "units::duration")]
    pub head: Duration,
    /// How long a connection may be open without a request. Default 75 s: GREEN-API pauses for 60, and a proxy in
    /// front that keeps connections for a minute closes them first.
    #[serde(deserialize_with = "units::duration")]
    pub idle: Duration,
    /// How long a client may read nothing of an answer; then the connection is closed. Default 10 s.
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
