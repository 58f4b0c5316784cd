//! `Transfer-Encoding`: `chunked` alone frames a body. Whatever another reader might take for it, or not, is refused.

use super::row::{PATH, Row, Sample, chunked, post, request, row};

pub(crate) fn rows() -> Vec<Row> {
    [accepted(), refused_by_parser(), refused_lists(), with_length(), disguised()].into_iter().flatten().collect()
}

fn accepted() -> Vec<Row> {
    let accepted = |claim, field: &'static str| row(claim, move |sample| sample.chunked(field)).stored();
    vec![
        accepted("chunks frame the body", "Transfer-Encoding: chunked\r\n"),
        // the names of codings have no case (RFC 9112, 7)
        accepted("chunked has no case", "tRANSFER-eNCODING: CHUNKED\r\n"),
        accepted("no blank is needed before chunked", "Transfer-Encoding:chunked\r\n"),
        accepted("blanks and tabs around chunked are none of it", "Transfer-Encoding: \t chunked \t\r\n"),
        accepted("what the client would accept frames nothing", "TE: gzip, trailers\r\nTransfer-Encoding: chunked\r\n"),
    ]
}

/// A body in chunks, directly before another request: what takes the field for no framing finds that in the body, and
/// what takes it for one finds it behind.
fn refused(claim: &'static str, fields: &'static str) -> Row {
    row(claim, move |sample| sample.chunked(fields)).hiding()
}

fn refused_by_parser() -> Vec<Row> {
    let malformed = |claim, fields| refused(claim, fields).malformed();
    vec![
        malformed("xchunked is refused", "Transfer-Encoding: xchunked\r\n"),
        malformed("chunkedx is refused", "Transfer-Encoding: chunkedx\r\n"),
        malformed("gzip alone is refused", "Transfer-Encoding: gzip\r\n"),
        malformed("identity is refused", "Transfer-Encoding: identity\r\n"),
        malformed("an empty coding is refused", "Transfer-Encoding:\r\n"),
        malformed("chunked in quotes is refused", "Transfer-Encoding: \"chunked\"\r\n"),
        malformed("chunked with a parameter is refused", "Transfer-Encoding: chunked;q=1\r\n"),
        malformed("chunked and a semicolon is refused", "Transfer-Encoding: chunked;\r\n"),
        malformed("two words are refused", "Transfer-Encoding: chunked chunked\r\n"),
        malformed("chunked before gzip is refused", "Transfer-Encoding: chunked, gzip\r\n"),
        malformed("chunked and an empty coding is refused", "Transfer-Encoding: chunked,\r\n"),
        malformed(
            "chunked before identity in two fields is refused",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        ),
        malformed("a blank before the colon of chunked is refused", "Transfer-Encoding : chunked\r\n"),
        malformed("a tab before the colon of chunked is refused", "Transfer-Encoding\t: chunked\r\n"),
        malformed("chunked on a continued line is refused", "Transfer-Encoding:\r\n chunked\r\n"),
        malformed("chunked as a continued line of another field is refused", "X: y\r\n Transfer-Encoding: chunked\r\n"),
        malformed("a vertical tab before chunked is refused", "Transfer-Encoding: \x0bchunked\r\n"),
        malformed("a NUL behind chunked is refused", "Transfer-Encoding: chunked\0\r\n"),
        malformed("chunked behind a bare CR is refused", "X: y\rTransfer-Encoding: chunked\r\n"),
        malformed("chunked with a letter of two bytes is refused", "Transfer-Encoding: chun\u{212a}ed\r\n"),
        row("HTTP/1.0 has no chunks", |sample| {
            request(&format!("POST {PATH} HTTP/1.0"), "Transfer-Encoding: chunked\r\n", chunked(&sample.body()))
        })
        .hiding()
        .malformed(),
    ]
}

/// hyper takes these, because the last coding is chunked.
fn refused_lists() -> Vec<Row> {
    let refused = |claim, fields| refused(claim, fields).refused(400, "bad_request");
    vec![
        refused("gzip before chunked is refused", "Transfer-Encoding: gzip, chunked\r\n"),
        refused("identity before chunked is refused", "Transfer-Encoding: identity, chunked\r\n"),
        refused("chunked twice is refused", "Transfer-Encoding: chunked, chunked\r\n"),
        refused("an empty coding before chunked is refused", "Transfer-Encoding: , chunked\r\n"),
        refused("chunked in two fields is refused", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        refused(
            "gzip before chunked in two fields is refused",
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        ),
        refused(
            "nothing before chunked in two fields is refused",
            "Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n",
        ),
        row("a list of codings is refused also where the path is another", |sample| {
            request("POST /other HTTP/1.1", "Transfer-Encoding: gzip, chunked\r\n", chunked(&sample.body()))
        })
        .hiding()
        .refused(400, "bad_request"),
    ]
}

/// RFC 9112, 6.3: the chunks count, and the connection is closed behind them.
fn with_length() -> Vec<Row> {
    let chunks_count = |claim, fields: fn(&Sample) -> String| {
        row(claim, |sample| sample.chunked(fields(sample))).hiding().stored().closed()
    };
    vec![
        chunks_count("a length before the chunks does not count", |_| {
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n".into()
        }),
        chunks_count("a length behind the chunks does not count", |_| {
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n".into()
        }),
        chunks_count("a length that covers the hidden request does not count", |sample| {
            let all = chunked(&sample.body()).len() + sample.hidden().len();
            format!("Content-Length: {all}\r\nTransfer-Encoding: chunked\r\n")
        }),
        chunks_count("a length of zero does not count", |_| {
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n".into()
        }),
        chunks_count("a length that is none does not count behind chunked", |_| {
            "Transfer-Encoding: chunked\r\nContent-Length: x\r\n".into()
        }),
        row("a length that is none is refused before chunked", |sample| {
            sample.chunked("Content-Length: x\r\nTransfer-Encoding: chunked\r\n")
        })
        .hiding()
        .malformed(),
        // what counts the length takes four bytes for the body, and the chunk for the next request
        row("a request inside a chunk is a body", |sample| {
            let hidden = sample.hidden();
            let size = format!("{:x}\r\n", hidden.len()).len();
            post(format!("Content-Length: {size}\r\nTransfer-Encoding: chunked\r\n"), chunked(&hidden))
        })
        .hides()
        .dead_letter("not_json", Sample::hidden)
        .closed(),
        row("a refused request with both is closed too", |sample| {
            request(
                "POST /other HTTP/1.1",
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                chunked(&sample.body()),
            )
        })
        .hiding()
        .refused(404, "not_found"),
    ]
}

/// Fields that only look like it: the length counts, and a request in the body is a body.
fn disguised() -> Vec<Row> {
    let length_counts = |claim, field: &'static str| {
        row(claim, move |sample| {
            let body = [b"0\r\n\r\n", &sample.hidden()[..]].concat();
            post(format!("{field}Content-Length: {}\r\n", body.len()), body)
        })
        .hides()
        .dead_letter("not_json", |sample| [b"0\r\n\r\n", &sample.hidden()[..]].concat())
    };
    vec![
        length_counts("an underscore makes another field than chunked", "Transfer_Encoding: chunked\r\n"),
        length_counts("a field that only ends like chunked is another", "X-Transfer-Encoding: chunked\r\n"),
        length_counts("a connection option named chunked frames nothing", "Connection: Transfer-Encoding\r\n"),
        length_counts("a field named TE frames nothing", "TE: chunked\r\n"),
        // RFC 9112, 2.2 lets a recipient take a bare LF for the end of a line. A proxy that does not, and passes it on,
        // is not safe in front of anything; the connection is closed because there is a length too.
        row("a bare LF ends a line, so that chunked behind it counts", |sample| {
            sample.chunked("X: y\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n")
        })
        .hiding()
        .stored()
        .closed(),
    ]
}
