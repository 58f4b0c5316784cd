//! Requests that two servers in a row might read in two ways, each with a second notification hidden in it.

use std::time::Duration;

use super::requests::{chunked, head, request};

/// How long a server may say nothing before the test goes on. A request that is not complete gets no answer; what
/// arrives later is still found at the end.
pub const QUIET: Duration = Duration::from_millis(400);

/// One way to hide a notification.
pub struct Row {
    pub name: &'static str,
    make: fn(&[u8], &[u8]) -> Vec<u8>,
}

impl Row {
    /// The bytes to send: the visible notification, with the hidden one inside.
    pub fn raw(&self, visible: &[u8], hidden: &[u8]) -> Vec<u8> {
        (self.make)(visible, hidden)
    }

    /// Whether it has a length, and chunks as a lenient server reads them.
    pub fn both_framings(&self) -> bool {
        ["CL.TE", "TE after a tab", "TE folded", "TE after a bare LF", "TE named in Connection"].contains(&self.name)
    }
}

/// The body ends by its length; who takes it for chunks would find an end before the hidden request.
fn early_end(headers: &str, hidden: &[u8]) -> Vec<u8> {
    let rest = [b"0\r\n\r\n".as_slice(), &request("", hidden)].concat();
    head(&format!("Content-Length: {}\r\n{headers}", rest.len()), &rest)
}

/// The body is one chunk with the hidden request in it; who goes by the length would find that request after it.
fn short_length(headers: &str, hidden: &[u8]) -> Vec<u8> {
    let inside = request("", hidden);
    let size = format!("{:x}\r\n", inside.len());
    let rest = [size.as_bytes(), &inside, b"\r\n0\r\n\r\n"].concat();
    head(&format!("Content-Length: {}\r\n{headers}", size.len()), &rest)
}

/// A complete body in one chunk, with this written for `;x` in the line of its size, and the hidden request after it.
fn first_chunk(line: &str, visible: &[u8], after: &[u8]) -> Vec<u8> {
    let size = line.replace("SIZE", &format!("{:x}", visible.len()));
    head("Transfer-Encoding: chunked\r\n", &[size.as_bytes(), visible, after].concat())
}

/// A visible notification whose length leaves the hidden one out of its body, with other lines before.
fn with_line(line: &str, visible: &[u8], hidden: &[u8]) -> Vec<u8> {
    let rest = [visible, &request("", hidden)].concat();
    head(&format!("{line}Content-Length: {}\r\n", rest.len()), &rest)
}

macro_rules! rows {
    ($($name:literal: $make:expr;)*) => { vec![$(Row { name: $name, make: $make }),*] };
}

pub fn rows() -> Vec<Row> {
    let mut all = transfer_encodings();
    all.extend(lengths());
    all.extend(chunks());
    all.extend(heads());
    all
}

fn transfer_encodings() -> Vec<Row> {
    rows! {
        "CL.TE": |_, hidden| early_end("Transfer-Encoding: chunked\r\n", hidden);
        "TE.CL": |_, hidden| short_length("Transfer-Encoding: chunked\r\n", hidden);
        "TE of another case": |_, hidden| short_length("tRANSFER-eNCODING: cHUNKED\r\n", hidden);
        "TE without a space": |_, hidden| short_length("Transfer-Encoding:chunked\r\n", hidden);
        "TE after a tab": |_, hidden| early_end("Transfer-Encoding:\tchunked\r\n", hidden);
        "TE after a vertical tab": |_, hidden| early_end("Transfer-Encoding: \x0bchunked\r\n", hidden);
        "TE before a space": |_, hidden| early_end("Transfer-Encoding : chunked\r\n", hidden);
        "TE unknown": |_, hidden| early_end("Transfer-Encoding: xchunked\r\n", hidden);
        "TE in quotes": |_, hidden| early_end("Transfer-Encoding: \"chunked\"\r\n", hidden);
        "TE identity, chunked": |_, hidden| early_end("Transfer-Encoding: identity, chunked\r\n", hidden);
        "TE chunked, identity": |_, hidden| early_end("Transfer-Encoding: chunked, identity\r\n", hidden);
        "TE chunked twice": |_, hidden| early_end("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", hidden);
        "TE chunked, then another": |_, hidden| early_end("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", hidden);
        "TE another, then chunked": |_, hidden| early_end("Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n", hidden);
        "TE with an underscore": |_, hidden| early_end("Transfer_Encoding: chunked\r\n", hidden);
        "TE with a NUL": |_, hidden| early_end("Transfer-Encoding: chunked\0\r\n", hidden);
        "TE folded": |_, hidden| early_end("Transfer-Encoding:\r\n chunked\r\n", hidden);
        "TE on a folded line": |_, hidden| early_end("X: a\r\n Transfer-Encoding: chunked\r\n", hidden);
        "TE after a bare LF": |_, hidden| early_end("X: a\nTransfer-Encoding: chunked\r\n", hidden);
        "TE after a bare CR": |_, hidden| early_end("X: a\rTransfer-Encoding: chunked\r\n", hidden);
        "TE named in Connection": |_, hidden| early_end("Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n", hidden);
        "HTTP/1.0 with TE": |_, hidden| {
            let raw = early_end("Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n", hidden);
            String::from_utf8(raw).unwrap().replacen("HTTP/1.1", "HTTP/1.0", 1).into_bytes()
        };
    }
}

fn lengths() -> Vec<Row> {
    rows! {
        "two lengths": |visible, hidden| {
            with_line(&format!("Content-Length: {}\r\n", visible.len()), visible, hidden)
        };
        "a list of lengths": |visible, hidden| {
            let rest = [visible, &request("", hidden)].concat();
            head(&format!("Content-Length: {}, {}\r\n", rest.len(), visible.len()), &rest)
        };
        "a length with a sign": |visible, hidden| {
            let rest = [visible, &request("", hidden)].concat();
            head(&format!("Content-Length: +{}\r\n", visible.len()), &rest)
        };
        "a length with a space inside": |visible, hidden| {
            let rest = [visible, &request("", hidden)].concat();
            head(&format!("Content-Length: {} 0\r\n", visible.len()), &rest)
        };
        "a length in hexadecimal": |visible, hidden| {
            let rest = [visible, &request("", hidden)].concat();
            head(&format!("Content-Length: 0x{:x}\r\n", visible.len()), &rest)
        };
        "a length that overflows": |visible, hidden| {
            let rest = [visible, &request("", hidden)].concat();
            // 2^64 more
            head(&format!("Content-Length: {}\r\n", u128::from(u64::MAX) + 1 + visible.len() as u128), &rest)
        };
        "a length before a space": |visible, hidden| {
            with_line(&format!("Content-Length : {}\r\n", visible.len()), visible, hidden)
        };
        "a length on a folded line": |visible, hidden| {
            with_line(&format!("X: a\r\n Content-Length: {}\r\n", visible.len()), visible, hidden)
        };
        "a length named in Connection": |visible, hidden| with_line("Connection: Content-Length\r\n", visible, hidden);
        "a request inside the body": |visible, hidden| with_line("", visible, hidden);
    }
}

fn chunks() -> Vec<Row> {
    rows! {
        "a chunk whose size overflows": |visible, hidden| {
            let after = [b"\r\n0\r\n\r\n".as_slice(), &request("", hidden)].concat();
            first_chunk("10000000000000000SIZE\r\n", visible, &after)
        };
        "a chunk with a sign": |visible, hidden| {
            first_chunk("-SIZE\r\n", visible, &[b"\r\n0\r\n\r\n".as_slice(), &request("", hidden)].concat())
        };
        "a chunk in 0x": |visible, hidden| {
            first_chunk("0xSIZE\r\n", visible, &[b"\r\n0\r\n\r\n".as_slice(), &request("", hidden)].concat())
        };
        "a chunk longer than its size": |visible, hidden| {
            let after = [b"zz\r\n0\r\n\r\n".as_slice(), &request("", hidden)].concat();
            first_chunk("SIZE\r\n", visible, &after)
        };
        "a request in a chunk's extension": |visible, hidden| {
            // who ends the line at the bare LF reads another size
            let inside = String::from_utf8(request("", hidden)).unwrap();
            first_chunk(&format!("SIZE;a=\n0\n\n{inside}\r\n"), visible, b"\r\n0\r\n\r\n")
        };
        "a chunk size that ends in a bare CR": |visible, hidden| {
            let after = [b"\r\n0\r\n\r\n".as_slice(), &request("", hidden)].concat();
            first_chunk("SIZE\r", visible, &after)
        };
        "a request in the trailers": |visible, hidden| {
            let after = [b"\r\n0\r\nX: a\r\nContent-Length: 1\r\n".as_slice(), &request("", hidden)].concat();
            first_chunk("SIZE\r\n", visible, &after)
        };
        "a request in a chunk": |_, hidden| chunked("", &request("", hidden), 1_000_000);
    }
}

fn heads() -> Vec<Row> {
    rows! {
        "bare LFs in the head": |visible, hidden| {
            let raw = String::from_utf8(with_line("", visible, hidden)).unwrap();
            raw.replacen("\r\n", "\n", 4).into_bytes()
        };
        "the request in a header, by bare CRs": |visible, hidden| {
            let inside = String::from_utf8(request("", hidden)).unwrap().replace("\r\n", "\r");
            with_line(&format!("X: a\r\r{inside}\r\n"), visible, b"")
        };
        "a NUL in a header": |visible, hidden| with_line("X: a\0b\r\n", visible, hidden);
        "a version of another protocol": |visible, hidden| {
            let raw = String::from_utf8(with_line("", visible, hidden)).unwrap();
            raw.replacen("HTTP/1.1", "HTTP/1.9", 1).into_bytes()
        };
        "a version without a number": |visible, hidden| {
            let raw = String::from_utf8(with_line("", visible, hidden)).unwrap();
            raw.replacen(" HTTP/1.1", "", 1).into_bytes()
        };
        "a version twice": |visible, hidden| {
            let raw = String::from_utf8(with_line("", visible, hidden)).unwrap();
            raw.replacen("HTTP/1.1", "HTTP/1.1 HTTP/1.1", 1).into_bytes()
        };
        "the absolute form of another host": |visible, hidden| {
            let raw = String::from_utf8(with_line("", visible, hidden)).unwrap();
            raw.replacen("/green-api", "http://other.example/green-api", 1).into_bytes()
        };
        "two hosts": |visible, hidden| with_line("Host: other.example\r\n", visible, hidden);
        "a method with a body that expects": |visible, hidden| with_line("Expect: 100-continue\r\n", visible, hidden);
        "an upgrade": |visible, hidden| with_line("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n", visible, hidden);
    }
}
