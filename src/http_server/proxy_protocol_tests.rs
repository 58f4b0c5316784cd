use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use super::*;

/// The signature of version 2, as the specification (2.2) gives it.
const SIGNATURE_2: &[u8] = b"\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A";

/// What follows a preamble on the same connection.
const REQUEST: &[u8] = b"POST / HTTP/1.1\r\n\r\n";

/// A stream that gives its bytes in pieces of at most `piece` bytes, and then ends.
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

/// The result for these bytes, and those that were not read.
fn read_in(bytes: &[u8], piece: usize) -> (Result<Option<SocketAddr>, PreambleError>, Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut stream = Pieces { rest: bytes, piece };
    let result = runtime.block_on(read_preamble(&mut stream));
    (result, stream.rest.to_vec())
}

/// The address in these bytes, however they arrive, and that nothing behind them is read.
fn read(preamble: &[u8]) -> Result<Option<SocketAddr>, PreambleError> {
    let bytes = [preamble, REQUEST].concat();
    for piece in [1, 5, bytes.len()] {
        let (result, rest) = read_in(&bytes, piece);
        if result.is_ok() {
            assert_eq!(rest, REQUEST, "in pieces of {piece}");
        }
        if piece == bytes.len() {
            return result;
        }
    }
    unreachable!()
}

fn version_2_of(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE_2, &[command, family], &length, rest].concat()
}

/// 192.0.2.7:51000 to 198.51.100.1:443.
const IPV4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0xC7, 0x38, 0x01, 0xBB];

fn ipv6(source: &str) -> Vec<u8> {
    let octets = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    [&octets(source)[..], &octets("2001:db8::2"), &[0xC7, 0x38, 0x01, 0xBB]].concat()
}

fn sender(address: &str) -> Option<SocketAddr> {
    Some(address.parse().unwrap())
}

#[test]
fn version_1_names_the_sender() {
    for (line, address) in [
        ("PROXY TCP4 192.0.2.7 198.51.100.1 51000 443\r\n", sender("192.0.2.7:51000")),
        ("PROXY TCP6 2001:db8::1 2001:db8::2 51000 443\r\n", sender("[2001:db8::1]:51000")),
        ("PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 51000 443\r\n", sender("192.0.2.7:51000")),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None),
        ("PROXY UNKNOWN whatever stands here\r\n", None),
    ] {
        assert_eq!(read(line.as_bytes()).unwrap(), address, "{line:?}");
    }
    // the longest line of the specification
    let full = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let longest = format!("PROXY UNKNOWN {full} {full} 65535 65535\r\n");
    assert_eq!((longest.len(), read(longest.as_bytes()).unwrap()), (107, None));
}

#[test]
fn version_2_names_the_sender() {
    for (preamble, address) in [
        (version_2_of(0x21, 0x11, &IPV4), sender("192.0.2.7:51000")),
        (version_2_of(0x21, 0x21, &ipv6("2001:db8::1")), sender("[2001:db8::1]:51000")),
        (version_2_of(0x21, 0x21, &ipv6("::ffff:192.0.2.7")), sender("192.0.2.7:51000")),
        (version_2_of(0x20, 0x00, &[]), None),
        (version_2_of(0x20, 0x11, &IPV4), None),
        (version_2_of(0x21, 0x00, &[]), None),
        (version_2_of(0x21, 0x00, &[1, 2, 3]), None),
    ] {
        assert_eq!(read(&preamble).unwrap(), address, "{preamble:?}");
    }
}

#[test]
fn additional_fields_of_version_2_are_skipped() {
    let fields = [&IPV4[..], &[0x03, 0, 4, 1, 2, 3, 4], &[0x01, 0, 8], b"http/1.1"].concat();
    assert_eq!(read(&version_2_of(0x21, 0x11, &fields)).unwrap(), sender("192.0.2.7:51000"));
    let mut largest = IPV4.to_vec();
    largest.resize(4096, 0);
    assert_eq!(read(&version_2_of(0x21, 0x11, &largest)).unwrap(), sender("192.0.2.7:51000"));
}

#[test]
fn something_else_is_known_by_its_first_different_byte() {
    for other in [
        REQUEST,
        b"G",
        b"PROXX",
        b"PROXY\r\n",
        b"\r\n\r\n\0\r\nQUIX",
        b"\x16\x03\x01",
        b"proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
    ] {
        assert!(matches!(read_in(other, 1).0, Err(PreambleError::Missing)), "{other:?}");
    }
}

#[test]
fn malformed_preambles_are_refused() {
    for line in [
        "PROXY \r\n12345\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 51000 443\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 51000\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 51000 443 1\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::2 51000 443\r\n",
        "PROXY TCP6 192.0.2.7 198.51.100.1 51000 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
        "PROXY TCP6 fe80::1%eth0 fe80::2 51000 443\r\n",
        "PROXY UDP4 192.0.2.7 198.51.100.1 51000 443\r\n",
        "PROXY TCP4 192.0.2.7\r198.51.100.1 51000 443\r\n",
        "PROXY UNKNOWN\n",
    ] {
        assert!(matches!(read(line.as_bytes()), Err(PreambleError::Malformed)), "{line:?}");
    }
    let not_utf_8 = b"PROXY UNKNOWN \xff\r\n";
    assert!(matches!(read(not_utf_8), Err(PreambleError::Malformed)));
    let unix = [0; 216];
    for (what, preamble) in [
        ("version 1 in binary", version_2_of(0x11, 0x11, &IPV4)),
        ("an unknown command", version_2_of(0x22, 0x11, &IPV4)),
        ("an unknown family", version_2_of(0x21, 0x41, &IPV4)),
        ("an unknown transport", version_2_of(0x21, 0x13, &IPV4)),
        ("datagrams", version_2_of(0x21, 0x12, &IPV4)),
        ("addresses without a transport", version_2_of(0x21, 0x10, &IPV4)),
        ("a UNIX socket", version_2_of(0x21, 0x31, &unix)),
        ("half an address", version_2_of(0x21, 0x11, &IPV4[..11])),
        ("IPv4 in place of IPv6", version_2_of(0x21, 0x21, &IPV4)),
    ] {
        assert!(matches!(read(&preamble), Err(PreambleError::Malformed)), "{what}");
    }
}

#[test]
fn too_long_preambles_are_not_read_to_their_end() {
    let line = format!("PROXY UNKNOWN {}\r\n", "x".repeat(200));
    let (result, rest) = read_in(line.as_bytes(), 1000);
    assert!(matches!(result, Err(PreambleError::TooLong)));
    assert_eq!(line.len() - rest.len(), 107);
    let (result, rest) = read_in(&version_2_of(0x21, 0x11, &[0; 4097]), 10_000);
    assert!(matches!(result, Err(PreambleError::TooLong)));
    assert_eq!(rest.len(), 4097);
}

#[test]
fn a_connection_that_ends_in_its_preamble_is_an_io_error() {
    let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 51000 443\r\n";
    let binary = version_2_of(0x21, 0x11, &IPV4);
    for whole in [&line[..], &binary] {
        for length in 0..whole.len() {
            let result = read_in(&whole[..length], 7).0;
            assert!(matches!(result, Err(PreambleError::Io(_))), "{length} bytes of {whole:?}: {result:?}");
        }
    }
}
