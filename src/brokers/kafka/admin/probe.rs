//! Identifies what listens at an address: librdkafka reports only that no broker answers. The probe resolves the address,
//! connects, and sends a request in the protocol of the configuration. It names the protocol of the answer.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::brokers::kafka::Config;
use crate::units::show;

/// How long each step may take.
const WITHIN: Duration = Duration::from_secs(3);

/// Why a cluster cannot be used with this configuration, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{found}; {remedy}")]
pub(crate) struct Unusable {
    pub(super) found: String,
    pub(super) remedy: String,
    /// True if the fault may end without a change: a broker may be starting.
    pub(super) is_transient: bool,
    /// True if it may still be a broker: the probe cannot tell.
    pub(super) is_inconclusive: bool,
}

impl Unusable {
    pub(super) fn new(found: String, remedy: impl Into<String>) -> Self {
        Self { found, remedy: remedy.into(), is_transient: false, is_inconclusive: false }
    }

    fn at(address: &str, found: impl Display, remedy: impl Into<String>) -> Self {
        Self::new(format!("{address}: {found}"), remedy)
    }

    fn transient(self) -> Self {
        Self { is_transient: true, ..self }
    }

    fn inconclusive(self) -> Self {
        Self { is_inconclusive: true, ..self }
    }
}

/// The protocol of a listener, by its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListenerProtocol {
    Kafka,
    Tls,
    Nats,
    Http,
    /// The listener closes the connection, or sends something else.
    SomethingElse,
    Nothing,
}

/// Checks that a broker answers at this bootstrap server, `host:port`, in the protocol of the configuration.
///
/// # Errors
/// [`Unusable`].
pub(super) async fn check_bootstrap_server(config: &Config, address: &str) -> Result<(), Unusable> {
    let of_key = |fault: Unusable| Unusable { found: format!("kafka.bootstrap_servers = {}", fault.found), ..fault };
    probe(config, address).await.map_err(of_key)
}

async fn probe(config: &Config, address: &str) -> Result<(), Unusable> {
    let reached = reach(address).await?;
    let protocol = config.properties.get("security.protocol").map(ToString::to_string);
    let protocol = protocol.unwrap_or_else(|| "PLAINTEXT".into()).to_ascii_uppercase();
    let encrypted = protocol.ends_with("SSL");
    let (first, second) = if encrypted { (CLIENT_HELLO, API_VERSIONS) } else { (API_VERSIONS, CLIENT_HELLO) };
    let listener = match ask(reached, first).await {
        ListenerProtocol::SomethingElse | ListenerProtocol::Nothing => ask(reached, second).await,
        known => known,
    };
    let fits = listener == if encrypted { ListenerProtocol::Tls } else { ListenerProtocol::Kafka };
    if fits { Ok(()) } else { Err(mismatch(address, listener, &protocol)) }
}

/// The fault of a listener whose protocol is not the configured one.
fn mismatch(address: &str, listener: ListenerProtocol, protocol: &str) -> Unusable {
    const OTHER_PORT: &str = "name the port of a Kafka listener in kafka.bootstrap_servers";
    let set = |value: &str| format!("kafka.properties.\"security.protocol\" = \"{value}\"");
    let login = protocol.starts_with("SASL");
    match listener {
        ListenerProtocol::Tls => {
            let found = format!("its listener is encrypted, and security.protocol is {protocol}");
            Unusable::at(address, found, format!("set {}", set(if login { "SASL_SSL" } else { "SSL" })))
        }
        ListenerProtocol::Kafka => {
            let found = format!("its listener is not encrypted, and security.protocol is {protocol}");
            let plain = set(if login { "SASL_PLAINTEXT" } else { "PLAINTEXT" });
            Unusable::at(address, found, format!("name the port of its encrypted listener, or set {plain}"))
        }
        ListenerProtocol::Nats => Unusable::at(
            address,
            "a NATS server answers",
            "name a broker of Kafka in kafka.bootstrap_servers; NATS is [nats]",
        ),
        ListenerProtocol::Http => Unusable::at(address, "an HTTP server answers", OTHER_PORT),
        ListenerProtocol::SomethingElse => {
            Unusable::at(address, "what listens there is no Kafka broker", OTHER_PORT).inconclusive()
        }
        ListenerProtocol::Nothing => {
            let found = format!("accepts the connection and does not answer within {}", show(WITHIN));
            Unusable::at(address, found, "look at the broker's log: it may be starting, or overloaded").inconclusive()
        }
    }
}

/// Checks that an address which the cluster advertises for a broker accepts connections.
///
/// # Errors
/// [`Unusable`].
pub(super) async fn check_advertised_listener(id: i32, address: &str) -> Result<(), Unusable> {
    let named = |fault: Unusable| {
        let found = format!("the cluster names its broker {id} as {}", fault.found);
        Unusable::new(found, "set advertised.listeners of that broker to an address that this machine reaches")
    };
    reach(address).await.map(|_| ()).map_err(named)
}

/// `host:port` of each address as librdkafka reads them: one text may have several, each with a protocol before it, and
/// without a port it is 9092.
pub(super) fn addresses(configured: &[String]) -> Vec<String> {
    let each = configured.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|text| !text.is_empty());
    let with_port = |address: &str| {
        let address = address.split_once("://").map_or(address, |(_, address)| address);
        // the port of an IPv6 address comes after its bracket
        let name_end = address.rfind(']').unwrap_or(0);
        if address[name_end..].contains(':') { address.to_owned() } else { format!("{address}:9092") }
    };
    each.map(with_port).collect()
}

/// Resolves the name of an address and connects to it.
///
/// # Errors
/// [`Unusable`].
async fn reach(address: &str) -> Result<SocketAddr, Unusable> {
    let resolved = match timeout(WITHIN, lookup_host(address)).await {
        Ok(Ok(resolved)) => resolved,
        Ok(Err(error)) => {
            let remedy = "correct the name, or see to the name server of this machine";
            return Err(Unusable::at(address, format!("its name cannot be resolved: {error}"), remedy));
        }
        Err(_) => {
            let remedy = "see to the name server of this machine";
            return Err(Unusable::at(address, "the name server does not answer", remedy).transient());
        }
    };
    let mut fault = Unusable::at(address, "its name has no address", "correct the name");
    for one in resolved {
        let (found, remedy) = match timeout(WITHIN, TcpStream::connect(one)).await {
            Ok(Ok(_)) => return Ok(one),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                (format!("nothing listens there ({one})"), "start the broker, or correct host and port")
            }
            Ok(Err(error)) => (format!("no connection ({one}: {error})"), "look at the network between here and there"),
            Err(_) => {
                let found = format!("no connection within {} ({one})", show(WITHIN));
                (found, "look at the network between here and there: a firewall may drop the packets")
            }
        };
        fault = Unusable::at(address, found, remedy).transient();
    }
    Err(fault)
}

/// Sends the first bytes of a protocol and identifies the protocol of the answer.
async fn ask(address: SocketAddr, question: &[u8]) -> ListenerProtocol {
    let answer = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(question).await?;
        let mut first = [0; 8];
        let mut length = 0;
        // a broker may send the length of its answer apart
        while length < first.len() {
            match stream.read(&mut first[length..]).await? {
                0 => break,
                more => length += more,
            }
        }
        io::Result::Ok((first, length))
    };
    match timeout(WITHIN, answer).await {
        Ok(Ok((first, length))) => identify(&first[..length]),
        Ok(Err(_)) => ListenerProtocol::SomethingElse,
        Err(_) => ListenerProtocol::Nothing,
    }
}

fn identify(first: &[u8]) -> ListenerProtocol {
    match first {
        // records of TLS: an alert or a handshake, of version 3
        [0x15 | 0x16, 3, ..] => ListenerProtocol::Tls,
        [b'I', b'N', b'F', b'O', ..] | [b'-', b'E', b'R', b'R', ..] => ListenerProtocol::Nats,
        [b'H', b'T', b'T', b'P', ..] => ListenerProtocol::Http,
        // a length, and the correlation id of the request
        [0, 0, _, _, correlation_id @ ..] if correlation_id == CORRELATION_ID => ListenerProtocol::Kafka,
        _ => ListenerProtocol::SomethingElse,
    }
}

/// The correlation id of [`API_VERSIONS`].
const CORRELATION_ID: [u8; 4] = *b"brid";

/// The request ApiVersions of version 0, which every broker answers before any login.
/// <https://kafka.apache.org/protocol#The_Messages_ApiVersions>
const API_VERSIONS: &[u8] = &[0, 0, 0, 10, 0, 18, 0, 0, b'b', b'r', b'i', b'd', 0xff, 0xff];

/// The first message of TLS 1.2 (RFC 5246, 7.4.1.2), with two cipher suites: a server that speaks TLS answers it with a
/// handshake or an alert.
const CLIENT_HELLO: &[u8] = &[
    0x16, 3, 1, 0, 49, // a handshake record
    1, 0, 0, 45, 3, 3, // ClientHello of TLS 1.2
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
    32, 0, // no session
    0, 4, 0xc0, 0x2f, 0xc0, 0x2b, // ECDHE with AES 128 GCM
    1, 0, // no compression
    0, 0, // no extensions
];

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// An address where each connection is answered with these bytes.
    async fn answering(with: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut question = [0; 14];
                let _ = stream.read(&mut question).await;
                let _ = stream.write_all(with).await;
            }
        });
        address
    }

    async fn found(toml: &str, answer: &'static [u8]) -> String {
        let config = toml::from_str(toml).unwrap();
        let found = probe(&config, &answering(answer).await).await;
        found.map_or_else(|unusable| format!("{}; {}", unusable.found, unusable.remedy), |()| "fine".into())
    }

    #[tokio::test]
    async fn what_answers_is_named() {
        let kafka = b"\0\0\x01\0brid";
        let tls = b"\x15\x03\x03\0\x02\x02\x28";
        assert_eq!(found("", kafka).await, "fine");
        assert_eq!(found("properties.\"security.protocol\" = \"sasl_ssl\"", tls).await, "fine");
        for (toml, answer, says) in [
            ("", tls.as_slice(), "\"SSL\""),
            ("properties.\"security.protocol\" = \"SASL_PLAINTEXT\"", tls, "\"SASL_SSL\""),
            ("properties.\"security.protocol\" = \"SSL\"", kafka, "\"PLAINTEXT\""),
            ("properties.\"security.protocol\" = \"SASL_SSL\"", kafka, "\"SASL_PLAINTEXT\""),
            ("", b"INFO {\"server_id\"", "a NATS server answers"),
            ("", b"HTTP/1.1 400 Bad Request\r\n", "an HTTP server answers"),
            ("", b"SSH-2.0-OpenSSH", "no Kafka broker"),
            ("", b"", "no Kafka broker"),
        ] {
            let found = found(toml, answer).await;
            assert!(found.contains(says), "{toml}: {found}");
        }
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_reached_says_why() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        let refused = reach(&free).await.unwrap_err();
        assert!(refused.found.contains("nothing listens there") && refused.found.contains(&free), "{refused:?}");
        let unknown = reach("no-such-host.invalid:9092").await.unwrap_err();
        assert!(unknown.found.contains("cannot be resolved") && unknown.found.contains("no-such-host"), "{unknown:?}");
    }
}
