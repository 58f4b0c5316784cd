//! Chunks: sizes, extensions, the ends of their lines, and trailers.

use super::lengths::MAX_BODY;
use super::row::{PATH, Row, Sample, Step, chunk, chunked, post, raw, row};

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

pub(crate) fn rows() -> Vec<Row> {
    [sizes(), extensions(), line_ends(), ends(), trailers(), refused_trailers()].into_iter().flatten().collect()
}

/// A request whose chunks are made of its notification.
fn of(claim: &'static str, chunks: impl FnOnce(&Sample) -> Vec<u8>) -> Row {
    row(claim, |sample| post(CHUNKED, chunks(sample)))
}

/// One chunk with this line for its size, and the end.
fn line(claim: &'static str, line: fn(usize) -> String) -> Row {
    of(claim, move |sample| [line(sample.len()).as_bytes(), b"\r\n", &sample.body(), b"\r\n0\r\n\r\n"].concat())
}

/// A line that is refused, whatever stands behind it.
fn refused(claim: &'static str, form: fn(usize) -> String) -> Row {
    line(claim, form).hiding().refused(400, "bad_request")
}

fn sizes() -> Vec<Row> {
    vec![
        line("a chunk's size is hexadecimal in either case", |length| format!("{length:X}")).stored(),
        line("a chunk's size may have leading zeros", |length| format!("{}{length:x}", "0".repeat(40))).stored(),
        // harmless: each digit is read once, nothing is remembered of a zero, and the body has its time
        line("a chunk's size may have very many leading zeros", |length| format!("{}{length:x}", "0".repeat(20_000)))
            .stored(),
        of("chunks of one byte make a body", |sample| {
            let bytes: Vec<_> = sample.body().iter().flat_map(|byte| chunk(&[*byte])).collect();
            [&bytes[..], b"0\r\n\r\n"].concat()
        })
        .stored(),
        refused("a chunk's size with a plus sign is refused", |length| format!("+{length:x}")),
        refused("a negative chunk's size is refused", |length| format!("-{length:x}")),
        refused("a chunk's size with a prefix is refused", |length| format!("0x{length:x}")),
        refused("a chunk's size with a digit separator is refused", |length| format!("{length:x}_0")),
        refused("a chunk's size of no hexadecimal digits is refused", |_| "g".into()),
        refused("an empty chunk's size is refused", |_| String::new()),
        refused("a blank before a chunk's size is refused", |length| format!(" {length:x}")),
        refused("a blank inside a chunk's size is refused", |length| format!("{length:x} 0")),
        refused("a chunk's size of 2^64 does not wrap around", |length| {
            format!("{:x}", (1_u128 << 64) + length as u128)
        }),
        refused("a chunk's size with a NUL is refused", |length| format!("{length:x}\0")),
        refused("a smaller chunk than announced is refused", |length| format!("{:x}", length + 1)),
        refused("a larger chunk than announced is refused", |length| format!("{:x}", length - 1)),
        of("chunks that are too large together are refused", |sample| {
            [chunk(&sample.filled(MAX_BODY)), chunk(b" "), b"0\r\n\r\n".to_vec()].concat()
        })
        .hiding()
        .refused(413, "too_large"),
        of("of a huge chunk no more is stored than comes", |_| format!("{:x}\r\nx", i64::MAX).into_bytes())
            .then(Step::HalfClose)
            .refused(400, "bad_request"),
    ]
}

fn extensions() -> Vec<Row> {
    vec![
        line("an extension of a chunk is ignored", |length| format!("{length:x};name=value;flag")).stored(),
        line("an extension in quotes is ignored", |length| format!("{length:x};name=\"a; b\\\"c\"")).stored(),
        line("blanks before an extension are ignored", |length| format!("{length:x} \t ;name")).stored(),
        // RFC 9112, 7.1 has no blanks at the end of the line; the size is the same without them
        line("blanks behind a chunk's size are ignored", |length| format!("{length:x} \t")).stored(),
        of("an extension of the last chunk is ignored", |sample| {
            [chunk(&sample.body()), b"0;end\r\n\r\n".to_vec()].concat()
        })
        .stored(),
        refused("a huge extension is refused", |length| format!("{length:x};{}", "x".repeat(20_000))),
        of("many small extensions are a huge one", |sample| {
            let extended = |byte: &u8| [format!("1;{}\r\n", "x".repeat(400)).as_bytes(), &[*byte], b"\r\n"].concat();
            let bytes: Vec<_> = sample.body().iter().flat_map(extended).collect();
            [&bytes[..], b"0\r\n\r\n"].concat()
        })
        .hiding()
        .refused(400, "bad_request"),
        // what ends the line there finds the hidden request behind an empty last chunk
        refused("a bare LF in an extension is refused", |length| format!("{length:x};a\nb")),
        refused("a bare CR in an extension is refused", |length| format!("{length:x};a\rb")),
        refused("a bare LF behind an extension's end is refused", |length| format!("{length:x};a\n")),
    ]
}

fn line_ends() -> Vec<Row> {
    let refused = |claim, chunks: fn(&Sample) -> Vec<u8>| of(claim, chunks).hiding().refused(400, "bad_request");
    vec![
        refused("a bare LF behind a chunk's size is refused", |sample| {
            [format!("{:x}\n", sample.len()).as_bytes(), &sample.body(), b"\r\n0\r\n\r\n"].concat()
        }),
        refused("a bare CR behind a chunk's size is refused", |sample| {
            [format!("{:x}\r", sample.len()).as_bytes(), &sample.body(), b"\r\n0\r\n\r\n"].concat()
        }),
        refused("two CRs behind a chunk's size are refused", |sample| {
            [format!("{:x}\r\r\n", sample.len()).as_bytes(), &sample.body(), b"\r\n0\r\n\r\n"].concat()
        }),
        refused("a bare LF behind a chunk is refused", |sample| {
            [format!("{:x}\r\n", sample.len()).as_bytes(), &sample.body(), b"\n0\r\n\r\n"].concat()
        }),
        refused("nothing behind a chunk is refused", |sample| {
            [format!("{:x}\r\n", sample.len()).as_bytes(), &sample.body(), b"0\r\n\r\n"].concat()
        }),
        refused("any two bytes behind a chunk are refused", |sample| {
            [format!("{:x}\r\n", sample.len()).as_bytes(), &sample.body(), b"xx0\r\n\r\n"].concat()
        }),
        refused("a bare LF behind the last chunk's size is refused", |sample| {
            [chunk(&sample.body()), b"0\n\r\n".to_vec()].concat()
        }),
        refused("a bare CR behind the last chunk is refused", |sample| {
            [chunk(&sample.body()), b"0\r\n\r".to_vec()].concat()
        }),
    ]
}

fn ends() -> Vec<Row> {
    vec![
        of("a chunk of several zeros is the last", |sample| [chunk(&sample.body()), b"000\r\n\r\n".to_vec()].concat())
            .stored(),
        of("behind the last chunk stands the next request", |sample| {
            [chunked(&sample.body()), sample.another("second")].concat()
        })
        .stored()
        .stores(|sample| sample.part("second")),
        of("a body without its last chunk is malformed", |sample| chunk(&sample.body()))
            .then(Step::HalfClose)
            .refused(400, "bad_request"),
        of("a body without the end of its trailers is malformed", |sample| {
            [chunk(&sample.body()), b"0\r\n".to_vec()].concat()
        })
        .then(Step::HalfClose)
        .refused(400, "bad_request"),
        // hyper takes a bare LF there for the first byte of a trailer, and reads on to an empty line. A proxy that ends the
        // body here sends no other request before it has the answer to this one, which does not come.
        of("a body whose last chunk ends in a bare LF is not complete", |sample| {
            [chunk(&sample.body()), b"0\r\n\n".to_vec()].concat()
        })
        .then(Step::HalfClose)
        .refused(400, "bad_request"),
        of("a request behind a bare LF is a trailer, and its body no request", |sample| {
            [chunk(&sample.body()), b"0\r\n\n".to_vec()].concat()
        })
        .hiding()
        .stored()
        .malformed(),
        of("a last chunk that does not come is waited for, and not for ever", |sample| chunk(&sample.body()))
            .after_a_wait()
            .refused(408, "timeout"),
        of("a client that closes within the chunks stores nothing", |sample| chunk(&sample.body())).then(Step::Close),
    ]
}

/// A body with this behind its last chunk.
fn trailer(claim: &'static str, trailer: impl AsRef<[u8]>) -> Row {
    of(claim, |sample| [&chunk(&sample.body())[..], b"0\r\n", trailer.as_ref(), b"\r\n"].concat())
}

/// Trailers are read and ignored: none of them becomes a header.
fn trailers() -> Vec<Row> {
    let ignored = |claim, fields: &str| trailer(claim, fields).stored();
    vec![
        ignored("a trailer is ignored", "X-Checksum: 1\r\n"),
        ignored("a length in the trailers does not count", "Content-Length: 5\r\n"),
        ignored("chunked in the trailers does not count", "Transfer-Encoding: chunked\r\n"),
        ignored("a host in the trailers is no second one", "Host: y\r\n"),
        ignored("a token in the trailers is no second one", "Authorization: Bearer other\r\n"),
        ignored("an encoding in the trailers does not count", "Content-Encoding: gzip\r\n"),
        ignored("a wish to close in the trailers does not count", "Connection: close\r\n"),
        row("a token in the trailers alone is none", |sample| {
            let head = format!("POST {PATH} HTTP/1.1\r\nHost: x\r\n{CHUNKED}");
            let end = b"0\r\nAuthorization: Bearer good-enough-token\r\n\r\n";
            raw(head, [&chunk(&sample.body())[..], end].concat())
        })
        .answered(401, "unauthorized"),
    ]
}

fn refused_trailers() -> Vec<Row> {
    let refused = |claim, fields: &str| trailer(claim, fields).hiding().refused(400, "bad_request");
    vec![
        refused("a trailer without a colon is refused", "no field\r\n"),
        refused("a trailer without a name is refused", ": y\r\n"),
        refused("a blank before a trailer's colon is refused", "X : y\r\n"),
        refused("a continued trailer is refused", "X: y\r\n z\r\n"),
        refused("a NUL in a trailer is refused", "X: \0\r\n"),
        refused("a bare LF in the trailers is refused", "X: y\nContent-Length: 5\r\n"),
        refused("a bare CR in the trailers is refused", "X: y\rContent-Length: 5\r\n"),
        refused("too many trailers are refused", &"X: y\r\n".repeat(65)),
        refused("huge trailers are refused", &format!("X: {}\r\n", "y".repeat(140_000))),
    ]
}
