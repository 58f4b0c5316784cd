//! A preamble of the PROXY protocol is read to its end and not further, however it arrives.

#![no_main]

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use greenapi_bridge::http_server::read_preamble;
use libfuzzer_sys::fuzz_target;
use ppp::{HeaderResult, v1, v2};
use tokio::io::{AsyncRead, ReadBuf};

/// Gives at most `piece` bytes at a time.
struct Pieces<'p> {
    rest: &'p [u8],
    piece: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let length = self.rest.len().min(self.piece).min(into.remaining());
        let (now, rest) = self.rest.split_at(length);
        into.put_slice(now);
        self.rest = rest;
        Poll::Ready(Ok(()))
    }
}

/// The result, with the error as text, and how many bytes were read.
fn read(bytes: &[u8], piece: usize) -> (Result<Option<SocketAddr>, String>, usize) {
    let mut stream = Pieces { rest: bytes, piece };
    let Poll::Ready(result) = pin!(read_preamble(&mut stream)).poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("it waits, and everything is there");
    };
    (result.map_err(|error| error.to_string()), bytes.len() - stream.rest.len())
}

fuzz_target!(|bytes: &[u8]| {
    let (result, length) = read(bytes, usize::MAX);
    let (slowly, slow_length) = read(bytes, 1);
    assert_eq!(result, slowly);
    let Ok(sender) = result else { return };
    assert_eq!(length, slow_length);
    let (expected, whole) = match HeaderResult::parse(&bytes[..length]) {
        HeaderResult::V1(header) => {
            let header = header.unwrap();
            let source = match header.addresses {
                v1::Addresses::Tcp4(tcp) => Some(SocketAddr::new(tcp.source_address.into(), tcp.source_port)),
                v1::Addresses::Tcp6(tcp) => Some(SocketAddr::new(tcp.source_address.into(), tcp.source_port)),
                v1::Addresses::Unknown => None,
            };
            (source, header.header.len())
        }
        HeaderResult::V2(header) => {
            let header = header.unwrap();
            let source = match header.addresses {
                _ if header.command == v2::Command::Local => None,
                v2::Addresses::IPv4(tcp) => Some(SocketAddr::new(tcp.source_address.into(), tcp.source_port)),
                v2::Addresses::IPv6(tcp) => Some(SocketAddr::new(tcp.source_address.into(), tcp.source_port)),
                v2::Addresses::Unspecified => None,
                v2::Addresses::Unix(_) => panic!("a UNIX socket names nobody"),
            };
            (source, header.header.len())
        }
    };
    assert_eq!(length, whole);
    assert_eq!(sender.map(|address| address.port()), expected.map(|address| address.port()));
    assert_eq!(sender.map(|address| address.ip()), expected.map(|address| address.ip().to_canonical()));
});
