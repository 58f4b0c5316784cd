//! `Content-Length`: which values frame a body, and what becomes of a body that is longer or shorter.

use super::row::{PATH, Row, Step, TOKEN, post, raw, row};

/// The bridge of these rows takes bodies up to this size.
pub(crate) const MAX_BODY: usize = 16 * 1024;

pub(crate) fn rows() -> Vec<Row> {
    [values(), repeated(), bodies(), empty_bodies()].into_iter().flatten().collect()
}

/// A request with this value of `Content-Length`, which may name its length.
fn value(claim: &'static str, value: impl FnOnce(usize) -> Vec<u8>) -> Row {
    row(claim, |sample| {
        let field = [b"Content-Length:", &value(sample.len())[..], b"\r\n"].concat();
        post(field, sample.body())
    })
}

fn values() -> Vec<Row> {
    let refused = |claim, form: fn(usize) -> String| value(claim, |length| form(length).into()).hiding().malformed();
    vec![
        value("a length frames the body", |length| format!(" {length}").into()).stored(),
        value("blanks around a length are none of it", |length| format!(" \t {length} \t").into()).stored(),
        value("a length may have leading zeros", |length| format!(" 000000000000000000000000{length}").into()).stored(),
        refused("a length with a plus sign is refused", |length| format!(" +{length}")),
        refused("a negative length is refused", |length| format!(" -{length}")),
        refused("a length in hexadecimal is refused", |length| format!(" 0x{length:x}")),
        refused("a length with a fraction is refused", |length| format!(" {length}.0")),
        refused("a length with an exponent is refused", |_| " 1e2".into()),
        refused("a length with a digit separator is refused", |length| format!(" {length}_0")),
        refused("an empty length is refused", |_| String::new()),
        refused("a length with a blank in it is refused", |length| format!(" {length} 0")),
        refused("a length with a semicolon is refused", |length| format!(" {length};")),
        refused("a length in quotes is refused", |length| format!(" \"{length}\"")),
        refused("a length in digits of another script is refused", |_| " \u{661}\u{662}".into()),
        refused("a length with a NUL behind it is refused", |length| format!(" {length}\0")),
        refused("a length with a vertical tab before it is refused", |length| format!(" \x0b{length}")),
        refused("a list of equal lengths is refused", |length| format!(" {length}, {length}")),
        refused("a list of different lengths is refused", |length| format!(" {length}, 5")),
        refused("a length of 2^64 and more does not wrap around", |length| {
            format!(" {}", (1_u128 << 64) + length as u128)
        }),
        refused("a length of thirty digits is refused", |_| format!(" {}", "9".repeat(30))),
        // hyper keeps the two largest numbers for itself and says "too large" of the head; it is closed all the same
        value("the largest length there is, is refused", |_| format!(" {}", u64::MAX).into()).hiding().refused(431, ""),
        value("a length of 2^63 is refused before the body", |_| format!(" {}", 1_u64 << 63).into())
            .hiding()
            .refused(413, "too_large"),
    ]
}

fn repeated() -> Vec<Row> {
    let refused = |claim, fields: fn(usize) -> String| {
        row(claim, |sample| post(fields(sample.len()), sample.body())).hiding().malformed()
    };
    vec![
        // RFC 9110, 8.6 leaves it to the recipient; there is no other reading of it
        row("two equal lengths are one", |sample| sample.with(sample.length())).stored(),
        refused("a smaller second length is refused", |length| {
            format!("Content-Length: {length}\r\nContent-Length: 5\r\n")
        }),
        refused("a larger second length is refused", |length| {
            format!("Content-Length: 5\r\nContent-Length: {length}\r\n")
        }),
        refused("a second length that is none is refused", |length| {
            format!("Content-Length: {length}\r\nContent-Length: x\r\n")
        }),
        refused("a blank before the colon is refused", |length| format!("Content-Length : {length}\r\n")),
        refused("a length on a continued line is refused", |length| format!("Content-Length:\r\n {length}\r\n")),
        // the other name is no length, whatever a CGI program makes of it
        row("an underscore makes another field", |sample| sample.with("Content_Length: 5\r\n")).stored(),
        row("a field that only ends like it is another", |sample| sample.with("X-Content-Length: 5\r\n")).stored(),
    ]
}

fn bodies() -> Vec<Row> {
    vec![
        row("what stands behind the body is the next request", |sample| {
            [sample.with(""), b"more\r\n\r\n".to_vec()].concat()
        })
        .stored()
        .malformed(),
        row("a body of exactly the largest size is stored", |sample| {
            post(format!("Content-Length: {MAX_BODY}\r\n"), sample.filled(MAX_BODY))
        })
        .stores(|sample| sample.filled(MAX_BODY)),
        row("a body of one byte more is refused", |sample| {
            post(format!("Content-Length: {}\r\n", MAX_BODY + 1), sample.filled(MAX_BODY + 1))
        })
        .hiding()
        .refused(413, "too_large"),
        row("a body that ends early is malformed", |sample| {
            post(format!("Content-Length: {}\r\n", sample.len() + 1), sample.body())
        })
        .then(Step::HalfClose)
        .refused(400, "bad_request"),
        row("a body that does not come is waited for, and not for ever", |sample| {
            post(format!("Content-Length: {}\r\n", sample.len() + 1), sample.body())
        })
        .after_a_wait()
        .refused(408, "timeout"),
        row("a client that closes within the body stores nothing", |sample| {
            post(format!("Content-Length: {}\r\n", sample.len() + 1), sample.body())
        })
        .then(Step::Close),
    ]
}

/// One row, because the second empty body is a duplicate of the first.
fn empty_bodies() -> Vec<Row> {
    let line = format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n");
    let empty = row("a request without a length has no body, and what follows is the next request", |sample| {
        [
            post("Content-Length: 0\r\n", ""),
            post("Content-Length: 00\r\n", ""),
            post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            post("", ""),
            // no length: the notification stands where the next head is
            raw(&line, sample.body()),
            b"\r\n\r\n".to_vec(),
        ]
        .concat()
    });
    let empty = empty.dead_letter("not_json", |_| Vec::new());
    vec![empty.answered_often(4, 200, "duplicate").malformed()]
}
