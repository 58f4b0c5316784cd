//! Several requests on a connection, connections that end early, and what is no HTTP/1 at all.

use super::row::{PATH, Row, Sample, Step, chunk, chunked, post, raw, request, row};

pub(crate) fn rows() -> Vec<Row> {
    [pipelined(), large_refused(), in_pieces(), half_closed(), closed(), waits(), other_protocols()]
        .into_iter()
        .flatten()
        .collect()
}

fn second(sample: &Sample) -> Vec<u8> {
    sample.part("second")
}

fn pipelined() -> Vec<Row> {
    let behind = |claim, first: fn(&Sample) -> Vec<u8>| {
        row(claim, move |sample| [first(sample), sample.another("second")].concat())
    };
    vec![
        behind("a second request is answered behind the first", |sample| sample.with("")).stored().stores(second),
        behind("a request behind one for another path is answered", |sample| sample.on("POST /other HTTP/1.1", ""))
            .answered(404, "not_found")
            .stores(second),
        behind("a request behind one of another method is answered", |_| {
            request(&format!("GET {PATH} HTTP/1.1"), "", "")
        })
        .answered(405, "method_not_allowed")
        .stores(second),
        behind("a request behind one without a token is answered", |sample| {
            raw(format!("POST {PATH} HTTP/1.1\r\nHost: x\r\n{}", sample.length()), sample.body())
        })
        .answered(401, "unauthorized")
        .stores(second),
        // the answers differ, so that their order shows
        behind("answers come in the order of the requests", |sample| {
            [post("Content-Length: 1\r\n", "{"), sample.with(""), sample.with("")].concat()
        })
        .dead_letter("not_json", |_| b"{".to_vec())
        .stored()
        .answered(200, "duplicate")
        .stores(second),
        behind("many requests in one write are all answered", |sample| {
            request("GET /other HTTP/1.1", "", "").repeat(40).into_iter().chain(sample.with("")).collect()
        })
        .answered_often(40, 404, "not_found")
        .stored()
        .stores(second),
        row("a refused body that comes late is none of the next request", |sample| {
            raw(format!("POST {PATH} HTTP/1.1\r\nHost: x\r\n{}", sample.hidden_length()), "")
        })
        .then(Step::Answer)
        .then_send(Sample::hidden)
        .hides()
        .answered(401, "unauthorized")
        .closed_later(),
    ]
}

/// A refused body is not read to its end, so nothing in it may become a request. It is larger than hyper reads ahead.
fn large_refused() -> Vec<Row> {
    let many = |sample: &Sample| sample.hidden().repeat((1 << 20) / sample.hidden().len());
    let with_length = |line: &str, body: Vec<u8>| request(line, format!("Content-Length: {}\r\n", body.len()), body);
    vec![
        row("a large body for another path is no request", |sample| with_length("POST /other HTTP/1.1", many(sample)))
            .hides()
            .refused(404, "not_found"),
        row("a large body of another method is no request", |sample| {
            with_length(&format!("GET {PATH} HTTP/1.1"), many(sample))
        })
        .hides()
        .refused(405, "method_not_allowed"),
        row("too large a body is no request", |sample| with_length(&format!("POST {PATH} HTTP/1.1"), many(sample)))
            .hides()
            .refused(413, "too_large"),
        row("large chunks without a token are no request", |sample| {
            let head = format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n");
            raw(head, chunked(&many(sample)))
        })
        .hides()
        .answered(401, "unauthorized")
        .closed_later(),
    ]
}

fn in_pieces() -> Vec<Row> {
    vec![
        row("a request that comes byte by byte is stored", |_| Vec::new())
            .then_send_slowly(|sample| sample.with(""))
            .stored(),
        row("chunks that come byte by byte are stored", |_| Vec::new())
            .then_send_slowly(|sample| sample.chunked("Transfer-Encoding: chunked\r\n"))
            .stored(),
        row("a request behind an answer is stored", |sample| sample.with(""))
            .then(Step::Answer)
            .then(Step::Pause)
            .then_send(|sample| sample.another("second"))
            .stored()
            .stores(second),
        row("a client that waits before its body is told to go on", |sample| {
            post(format!("Expect: 100-continue\r\n{}", sample.length()), "")
        })
        .then(Step::Answer)
        .then_send(Sample::body)
        .answered(100, "")
        .stored(),
    ]
}

/// A client that has sent all may say so at once: it still waits for its answer.
fn half_closed() -> Vec<Row> {
    let half_closed = |claim, bytes: fn(&Sample) -> Vec<u8>| row(claim, bytes).then(Step::HalfClose);
    vec![
        half_closed("a half-closed client gets its answer", |sample| sample.with("")).stored().closed_later(),
        half_closed("a half-closed client gets its answer to chunks", |sample| {
            sample.chunked("Transfer-Encoding: chunked\r\n")
        })
        .stored()
        .closed_later(),
        half_closed("a half-closed client gets all its answers", |sample| {
            [sample.with(""), sample.another("second")].concat()
        })
        .stored()
        .stores(second)
        .closed_later(),
        half_closed("a half-closed client is told why it is refused", |sample| sample.on("POST /other HTTP/1.1", ""))
            .answered(404, "not_found")
            .closed_later(),
        half_closed("a half-closed client that was told to go on gets its answer", |sample| {
            sample.with("Expect: 100-continue\r\n")
        })
        .answered(100, "")
        .stored()
        .closed_later(),
        half_closed("a head that ends early is not answered", |sample| post(sample.length(), "")[..60].to_vec())
            .closed(),
        half_closed("a connection without a request is closed", |_| Vec::new()).closed(),
        half_closed("a connection of empty lines alone is closed", |_| b"\r\n\r\n".to_vec()).closed(),
        row("a connection that is half-closed behind an answer is closed", |sample| sample.with(""))
            .then(Step::Answer)
            .then(Step::HalfClose)
            .stored()
            .closed_later(),
    ]
}

/// Nobody is there to be answered. What is whole is stored, what is not is not.
fn closed() -> Vec<Row> {
    vec![
        row("a client that closes at once stores nothing", |_| Vec::new()).then(Step::Close),
        row("a client that closes within the head stores nothing", |sample| post(sample.length(), "")[..60].to_vec())
            .then(Step::Close),
        row("a client that closes behind the head stores nothing", |sample| post(sample.length(), ""))
            .then(Step::Close),
        row("a client that closes behind its request has it stored", |sample| sample.with(""))
            .then(Step::Close)
            .stored(),
        row("a client that closes behind two requests has both stored", |sample| {
            [sample.with(""), sample.another("second")].concat()
        })
        .then(Step::Close)
        .stored()
        .stores(second),
    ]
}

fn waits() -> Vec<Row> {
    let waits = |claim, bytes: &[u8]| row(claim, |_| bytes.to_vec()).after_a_wait().closed();
    vec![
        waits("a connection without a byte is closed", b""),
        waits("a connection of empty lines is closed", b"\r\n\r\n\r\n"),
        row("a chunk's size without an end is refused", |_| {
            post("Transfer-Encoding: chunked\r\n", "0".repeat(1_000_000))
        })
        .after_a_wait()
        .refused(408, "timeout"),
        waits("a head without its end is closed", b"POST /green-api/webhook HTTP/1.1\r\nHost: x\r\n"),
        waits("a request line without its end is closed", b"POST /green-api/webhook"),
        waits("the first letter of a method is closed", b"P"),
        row("a second head without its end is closed", |sample| [sample.with(""), b"POST /".to_vec()].concat())
            .after_a_wait()
            .stored()
            .closed_later(),
        row("a refused body that does not come is closed", |sample| {
            raw(format!("POST {PATH} HTTP/1.1\r\nHost: x\r\n{}", sample.length()), "")
        })
        .after_a_wait()
        .answered(401, "unauthorized")
        .closed_later(),
        row("a client that is told to go on and does not is refused", |sample| {
            post(format!("Expect: 100-continue\r\n{}", sample.length()), "")
        })
        .after_a_wait()
        .answered(100, "")
        .refused(408, "timeout"),
        row("a client that does not go on within its chunks is refused", |sample| {
            post("Transfer-Encoding: chunked\r\n", [&chunk(&sample.body())[..], b"5"].concat())
        })
        .after_a_wait()
        .refused(408, "timeout"),
    ]
}

fn other_protocols() -> Vec<Row> {
    let malformed = |claim, bytes: &[u8]| row(claim, |_| bytes.to_vec()).hiding().malformed();
    vec![
        // RFC 9113, 3.4: only a client that knows of HTTP/2 here sends it; hyper closes
        row("the preface of HTTP/2 is closed", |_| {
            [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], b"\0\0\0\x04\0\0\0\0\0"].concat()
        })
        .hiding()
        .closed(),
        malformed("a TLS client is malformed", &client_hello()),
        malformed(
            "a PROXY header of version 1 is malformed where it is not configured",
            b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
        ),
        malformed(
            "a PROXY header of version 2 is malformed where it is not configured",
            b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
        ),
        malformed("an SSH client is malformed", b"SSH-2.0-client\r\n"),
        malformed("a mail client is malformed", b"EHLO x\r\n"),
        malformed("a Redis client is malformed", b"*1\r\n$4\r\nPING\r\n"),
        malformed("an answer instead of a request is malformed", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        malformed("NULs are malformed", &[0; 64]),
        malformed("bytes of every value are malformed", &(0..=255).rev().collect::<Vec<u8>>()),
        malformed("a notification without a head is malformed", br#"{"typeWebhook":"incomingCall"}"#),
        malformed("a line of words is malformed", b"no request at all\r\n"),
    ]
}

/// The first bytes of a TLS 1.2 handshake.
fn client_hello() -> Vec<u8> {
    let random = [7; 32];
    [&b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x03"[..], &random, b"\0\0\x02\x13\x01\x01\0\0\0"].concat()
}
