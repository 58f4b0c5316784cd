//! How a command reaches a listener of the configured bridge: scheme, address, and whose certificate it trusts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::http_client::Trust;
use crate::http_server::TlsConfig;

/// The scheme of a listener's URL.
pub(super) fn scheme(tls: Option<&TlsConfig>) -> &'static str {
    if tls.is_some() { "https" } else { "http" }
}

/// The address to connect to for a listener: a wildcard address becomes loopback.
pub(super) fn connectable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(any) if any.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Whose certificate a command accepts: one of the authorities of `--ca-file`, where it is given. Else at the configured
/// address that is the configured certificate alone, which may name the public address and not this one; at a given URL it
/// is one of the system's authorities.
pub(super) fn trust<U>(given_url: Option<U>, ca_file: Option<&PathBuf>, tls: Option<&TlsConfig>) -> Trust {
    match (ca_file, given_url, tls) {
        (Some(file), ..) => Trust::File(file.clone()),
        (None, None, Some(tls)) => Trust::Certificate(tls.certificate_file.clone()),
        _ => Trust::System,
    }
}
