//! The preamble of the PROXY protocol, versions 1 and 2, with which a proxy names the sender of a connection.
//!
//! Its specification is `doc/proxy-protocol.txt` of HAProxy.

use std::net::{IpAddr, SocketAddr};

use ppp::{v1, v2};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How version 1 begins. Its shortest line, `PROXY UNKNOWN` with its end, is longer than [`SIGNATURE`].
const VERSION_1: &[u8] = b"PROXY ";

/// The longest line of version 1 (specification, 2.1).
const MAX_LINE: usize = 107;

/// The bytes that distinguish the two versions: all of the signature of version 2.
const SIGNATURE: usize = v2::PROTOCOL_PREFIX.len();

/// The bytes of version 2 before its addresses, which end in the length of the rest.
const FIXED: usize = SIGNATURE + 4;

/// The longest rest of version 2. Addresses take 36 bytes; additional fields can hold the subject of a certificate.
const MAX_REST: usize = 4096;

/// Why a connection has no usable preamble.
#[derive(Debug, Error)]
pub enum PreambleError {
    /// The connection begins with something else.
    #[error("no PROXY protocol preamble: the connection came past the proxy, or the proxy does not send one")]
    Missing,
    /// It begins as a preamble, and is not one.
    #[error("the PROXY protocol preamble is malformed, or names no TCP connection")]
    Malformed,
    /// The preamble is longer than is read.
    #[error("the PROXY protocol preamble is longer than {MAX_REST} bytes")]
    TooLong,
    /// The connection failed or ended before the end of the preamble.
    #[error("the connection ended in the PROXY protocol preamble: {0}")]
    Io(#[from] std::io::Error),
}

/// Reads the preamble, and not one byte more. Returns the sender's address; an IPv4 address inside an IPv6 one becomes
/// IPv4. None means that the proxy itself is the sender, such as for its health check. There is no time limit here.
///
/// # Errors
/// [`PreambleError`].
pub async fn read_preamble(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, PreambleError> {
    let mut begun = [0; SIGNATURE];
    let mut filled = 0;
    while filled < SIGNATURE {
        let read = stream.read(&mut begun[filled..]).await?;
        if read == 0 {
            return Err(PreambleError::Io(std::io::ErrorKind::UnexpectedEof.into()));
        }
        filled += read;
        let begun = &begun[..filled];
        if !may_be_version_1(begun) && !v2::PROTOCOL_PREFIX.starts_with(begun) {
            return Err(PreambleError::Missing);
        }
    }
    if may_be_version_1(&begun) { version_1(stream, begun).await } else { version_2(stream, begun).await }
}

/// Whether these first bytes of a connection begin version 1.
fn may_be_version_1(begun: &[u8]) -> bool {
    let length = begun.len().min(VERSION_1.len());
    begun[..length] == VERSION_1[..length]
}

/// Reads the rest of a line of version 1, one byte at a time: its length is known only at its end.
async fn version_1(
    stream: &mut (impl AsyncRead + Unpin),
    begun: [u8; SIGNATURE],
) -> Result<Option<SocketAddr>, PreambleError> {
    let mut line = begun.to_vec();
    if line.contains(&b'\n') {
        return Err(PreambleError::Malformed);
    }
    while line.last() != Some(&b'\n') {
        if line.len() == MAX_LINE {
            return Err(PreambleError::TooLong);
        }
        line.push(stream.read_u8().await?);
    }
    let header = v1::Header::try_from(line.as_slice()).map_err(|_| PreambleError::Malformed)?;
    Ok(match header.addresses {
        v1::Addresses::Tcp4(tcp) => address(tcp.source_address, tcp.source_port),
        v1::Addresses::Tcp6(tcp) => address(tcp.source_address, tcp.source_port),
        v1::Addresses::Unknown => None,
    })
}

/// Reads the rest of version 2, whose length stands in its fixed part.
async fn version_2(
    stream: &mut (impl AsyncRead + Unpin),
    begun: [u8; SIGNATURE],
) -> Result<Option<SocketAddr>, PreambleError> {
    let mut preamble = begun.to_vec();
    preamble.resize(FIXED, 0);
    stream.read_exact(&mut preamble[SIGNATURE..]).await?;
    let rest = usize::from(u16::from_be_bytes([preamble[FIXED - 2], preamble[FIXED - 1]]));
    if rest > MAX_REST {
        return Err(PreambleError::TooLong);
    }
    preamble.resize(FIXED + rest, 0);
    stream.read_exact(&mut preamble[FIXED..]).await?;
    let header = v2::Header::try_from(preamble.as_slice()).map_err(|_| PreambleError::Malformed)?;
    match (header.command, header.protocol, header.addresses) {
        (v2::Command::Local, ..) | (_, _, v2::Addresses::Unspecified) => Ok(None),
        (_, v2::Protocol::Stream, v2::Addresses::IPv4(tcp)) => Ok(address(tcp.source_address, tcp.source_port)),
        (_, v2::Protocol::Stream, v2::Addresses::IPv6(tcp)) => Ok(address(tcp.source_address, tcp.source_port)),
        _ => Err(PreambleError::Malformed),
    }
}

fn address(source: impl Into<IpAddr>, port: u16) -> Option<SocketAddr> {
    Some(SocketAddr::new(source.into().to_canonical(), port))
}

#[cfg(test)]
#[path = "proxy_protocol_tests.rs"]
mod tests;
