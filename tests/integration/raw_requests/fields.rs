//! The header fields: their form, and those that decide something.

use super::row::{PATH, Row, TOKEN, TOKEN_OF_EIGHT, TOKEN_OF_SEVEN, post, raw, request, row};

pub(crate) fn rows() -> Vec<Row> {
    [forms(), malformed(), amounts(), hosts(), tokens(), expectations(), connection_options(), encodings()]
        .into_iter()
        .flatten()
        .collect()
}

/// A good request with these fields besides.
fn with(claim: &'static str, fields: impl AsRef<[u8]>) -> Row {
    row(claim, |sample| sample.with(fields))
}

fn forms() -> Vec<Row> {
    vec![
        with("a field may be empty", "X:\r\n").stored(),
        with("a value may have bytes beyond ASCII", b"X: \xc3\xa9 \xff\r\n").stored(),
        with("a value may have tabs", "X: a\tb\r\n").stored(),
        with("a name may be any token", "!#$%&'*+-.^_`|~: y\r\n").stored(),
        with("a media type is ignored", "Content-Type: multipart/form-data; boundary=x\r\n").stored(),
        with("conditions and ranges are ignored", "If-None-Match: *\r\nRange: bytes=0-1\r\n").stored(),
        with("announced trailers that do not come are ignored", "Trailer: Content-Length\r\n").stored(),
    ]
}

fn malformed() -> Vec<Row> {
    let malformed = |claim, fields: &[u8]| with(claim, fields).hiding().malformed();
    vec![
        malformed("a NUL in a name is malformed", b"X\0: y\r\n"),
        malformed("a NUL in a value is malformed", b"X: a\0b\r\n"),
        malformed("a control character in a name is malformed", b"X\x07: y\r\n"),
        malformed("a control character in a value is malformed", b"X: \x1b[31m\r\n"),
        malformed("a DEL in a value is malformed", b"X: \x7f\r\n"),
        malformed("a name that is not ASCII is malformed", b"X\xc3\xa9: y\r\n"),
        malformed("an empty name is malformed", b": y\r\n"),
        malformed("a name in quotes is malformed", b"\"X\": y\r\n"),
        malformed("a blank in a name is malformed", b"X Y: z\r\n"),
        malformed("a blank before a colon is malformed", b"X : y\r\n"),
        malformed("a tab before a colon is malformed", b"X\t: y\r\n"),
        malformed("a line without a colon is malformed", b"X\r\n"),
        malformed("a continued line is malformed", b"X: a\r\n b\r\n"),
        malformed("a line continued by a tab is malformed", b"X: a\r\n\tb\r\n"),
        malformed("an empty continued line is malformed", b"X: a\r\n \r\n"),
        malformed("a bare CR in a value is malformed", b"X: a\rb\r\n"),
        malformed("two CRs at the end of a line are malformed", b"X: a\r\r\n"),
        row("a continued line before the first field is malformed", |sample| {
            raw(
                format!("POST {PATH} HTTP/1.1\r\n Host: x\r\nAuthorization: Bearer {TOKEN}\r\n{}", sample.length()),
                sample.body(),
            )
        })
        .hiding()
        .malformed(),
    ]
}

/// The fields of a good request beside those of a row: `Host`, `Authorization` and `Content-Length`.
const OTHERS: usize = 3;

fn amounts() -> Vec<Row> {
    let many = |count: usize| "X: y\r\n".repeat(count - OTHERS);
    vec![
        with("64 fields are read", many(64)).stored(),
        with("65 fields are refused", many(65)).hiding().refused(431, ""),
        with("a field of 120,000 bytes is read", format!("X: {}\r\n", "y".repeat(120_000))).stored(),
        with("a head of more than 128 KiB is refused", format!("X: {}\r\n", "y".repeat(131_072)))
            .hiding()
            .refused(431, ""),
        with("a name of more than 64 KiB is refused", format!("{}: y\r\n", "X".repeat(70_000)))
            .hiding()
            .refused(431, ""),
    ]
}

/// A good request with these fields instead of a valid `Host`.
fn host(claim: &'static str, fields: &str) -> Row {
    row(claim, |sample| {
        let token = format!("Authorization: Bearer {TOKEN}\r\n");
        raw(format!("POST {PATH} HTTP/1.1\r\n{fields}{token}{}", sample.length()), sample.body())
    })
}

/// RFC 9112, 3.2: exactly one, and valid.
fn hosts() -> Vec<Row> {
    let refused = |claim, fields| host(claim, fields).hiding().refused(400, "bad_request");
    vec![
        host("a host with a port is one", "Host: example.com:3000\r\n").stored(),
        host("an address is a host", "Host: [::1]:3000\r\n").stored(),
        // a client sends it where its target has no host
        host("an empty host is one", "Host:\r\n").stored(),
        host("a host in another header is none", "Host: x\r\nX-Forwarded-Host: a b\r\n").stored(),
        refused("a missing host is refused", ""),
        refused("two equal hosts are refused", "Host: x\r\nHost: x\r\n"),
        refused("two different hosts are refused", "Host: x\r\nHost: y\r\n"),
        refused("two hosts of which one is empty are refused", "Host:\r\nHost: x\r\n"),
        refused("a list of hosts is refused", "Host: x, y\r\n"),
        refused("a host with a blank is refused", "Host: x y\r\n"),
        refused("a host with a path is refused", "Host: x/green-api/webhook\r\n"),
        refused("a host with a user is refused", "Host: user@x\r\n"),
        refused("a host with a port of letters is refused", "Host: x:y\r\n"),
        refused("a host with two ports is refused", "Host: x:1:2\r\n"),
        refused("a host with half a bracket is refused", "Host: [::1\r\n"),
        refused("a host that is not ASCII is refused", "Host: \u{e9}\r\n"),
        row("a missing host is refused also where the target has one", |sample| {
            raw(
                format!("POST http://x{PATH} HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n{}", sample.length()),
                sample.body(),
            )
        })
        .hiding()
        .refused(400, "bad_request"),
    ]
}

/// A good request with these fields instead of its token.
fn token(claim: &'static str, fields: impl AsRef<[u8]>) -> Row {
    row(claim, |sample| {
        let head = format!("POST {PATH} HTTP/1.1\r\nHost: x\r\n{}", sample.length());
        raw([head.as_bytes(), fields.as_ref()].concat(), sample.body())
    })
}

fn tokens() -> Vec<Row> {
    let refused = |claim, fields: &[u8]| token(claim, fields).answered(401, "unauthorized");
    let served = |claim, fields: &str| token(claim, fields).stored();
    vec![
        // RFC 9110, 11.1: schemes have no case
        served("a scheme has no case", "authorization: bEARER good-enough-token\r\n"),
        served("two blanks behind the scheme are one", "Authorization: Bearer  good-enough-token\r\n"),
        served("blanks around the token are none of it", "Authorization: \t Bearer good-enough-token \t\r\n"),
        served(
            "a token in a query does not matter beside a good one",
            "Authorization: Bearer good-enough-token\r\nX: token\r\n",
        ),
        served("a token for its own instance is served", &format!("Authorization: Bearer {TOKEN_OF_SEVEN}\r\n")),
        refused("no token is refused", b""),
        refused("an empty token is refused", b"Authorization:\r\n"),
        refused("a scheme alone is refused", b"Authorization: Bearer\r\n"),
        refused("a token without a scheme is refused", b"Authorization: good-enough-token\r\n"),
        refused("the token in another scheme is refused", b"Authorization: Basic good-enough-token\r\n"),
        refused("the first letters of a token are refused", b"Authorization: Bearer good-enough-toke\r\n"),
        refused("a token with a letter more is refused", b"Authorization: Bearer good-enough-tokens\r\n"),
        refused("a token in upper case is refused", b"Authorization: Bearer GOOD-ENOUGH-TOKEN\r\n"),
        refused("a token in quotes is refused", b"Authorization: Bearer \"good-enough-token\"\r\n"),
        refused("a list of tokens is refused", b"Authorization: Bearer good-enough-token, Bearer x\r\n"),
        refused("a token and a word is refused", b"Authorization: Bearer good-enough-token x\r\n"),
        refused("a tab behind the scheme is refused", b"Authorization: Bearer\tgood-enough-token\r\n"),
        refused("a token that is not ASCII is refused", b"Authorization: Bearer good-enough-token\xff\r\n"),
        refused("a token for a proxy is none", b"Proxy-Authorization: Bearer good-enough-token\r\n"),
        refused("a token in a cookie is none", b"Cookie: Authorization=Bearer good-enough-token\r\n"),
        refused("a token for another instance is refused", b"Authorization: Bearer token-for-eight-only\r\n"),
        row("a token in the target is none", |sample| {
            let line = format!("POST {PATH}?token={TOKEN} HTTP/1.1\r\nHost: x\r\n");
            raw(format!("{line}{}", sample.length()), sample.body())
        })
        .answered(401, "unauthorized"),
        row("a token in an absolute target is none", |sample| {
            let line = format!("POST http://Bearer:{TOKEN}@x{PATH} HTTP/1.1\r\nHost: x\r\n");
            raw(format!("{line}{}", sample.length()), sample.body())
        })
        .answered(401, "unauthorized"),
        with("the same token twice is refused", format!("Authorization: Bearer {TOKEN}\r\n"))
            .hiding()
            .refused(400, "bad_request"),
        with("a second token that is empty is refused", "Authorization:\r\n").hiding().refused(400, "bad_request"),
    ]
}

fn expectations() -> Vec<Row> {
    let asking = |claim, expectation: &str| with(claim, format!("Expect: {expectation}\r\n"));
    vec![
        asking("a client that waits for it is told to go on", "100-continue").answered(100, "").stored(),
        asking("an expectation has no case", "100-Continue").answered(100, "").stored(),
        // RFC 9110, 10.1.1 allows a 417, which the table of answers does not have
        asking("an unknown expectation is ignored", "200-ok").stored(),
        asking("an expectation with another is ignored", "100-continue, x").stored(),
        row("an expectation without a body is ignored", |_| {
            request("GET /other HTTP/1.1", "Expect: 100-continue\r\n", "")
        })
        .answered(404, "not_found"),
        row("a refused client is not told to go on", |sample| {
            raw(format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n{}", sample.length()), "")
        })
        .answered(401, "unauthorized")
        .closed_later(),
        row("a client with too large a body is not told to go on", |_| {
            post("Expect: 100-continue\r\nContent-Length: 99999999\r\n", "")
        })
        .refused(413, "too_large"),
    ]
}

fn connection_options() -> Vec<Row> {
    let upgrade = |claim, name: &str| {
        let fields = "HTTP2-Settings: AAMAAABkAAQAAP__\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        with(claim, format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {name}\r\n{fields}"))
    };
    let options = |claim, options: &str| with(claim, format!("Connection: {options}\r\n"));
    vec![
        // RFC 9110, 7.8 lets a server ignore it; a tunnel would get round every check behind it
        upgrade("an upgrade to HTTP/2 is ignored", "h2c").stored(),
        upgrade("an upgrade to WebSocket is ignored", "websocket").stored(),
        upgrade("an upgrade to TLS is ignored", "TLS/1.3").stored(),
        options("a connection is closed where the client asks for that", "close").hiding().stored().closed(),
        options("a wish to close has no case and wins", "keep-alive, CLOSE").hiding().stored().closed(),
        options("a wish to close in a second field wins", "keep-alive\r\nConnection: close").hiding().stored().closed(),
        // only a proxy drops the fields that it names
        options("a length named as an option counts", "Content-Length").stored(),
        options("a host and a token named as options count", "Host, Authorization").stored(),
        options("unknown options are ignored", "\u{e9}, ;, \"close\"").stored(),
        row("chunks named as an option count", |sample| {
            sample.chunked("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n")
        })
        .stored(),
        with("a proxy's wish to close is ignored", "Proxy-Connection: close\r\nKeep-Alive: timeout=0\r\n").stored(),
    ]
}

/// A body that a compressor made: what is sent is stored, and not what it stands for.
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03";

/// What the bridge cannot undo is a dead letter whatever its bytes are, and never refused.
fn encodings() -> Vec<Row> {
    let encoded = |claim, fields: &str| with(claim, fields).dead_letter("encoded", |sample| sample.body());
    let compressed = |claim, token: &str| {
        row(claim, |sample| {
            let body = [GZIP, &sample.body()].concat();
            let fields = format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", body.len());
            raw(format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{fields}"), body)
        })
        .dead_letter("encoded", |sample| [GZIP, &sample.body()].concat())
    };
    vec![
        with("identity is no encoding", "Content-Encoding: identity\r\n").stored(),
        with("identity has no case and may be repeated", "Content-Encoding: Identity, identity\r\n").stored(),
        with("an empty list of encodings is none", "Content-Encoding:\r\nContent-Encoding: ,\r\n").stored(),
        compressed("a compressed body is a dead letter", TOKEN),
        encoded("a body that claims to be compressed is a dead letter", "Content-Encoding: gzip\r\n"),
        encoded("an unknown encoding is a dead letter", "Content-Encoding: x-rot13\r\n"),
        encoded("an encoding behind identity is a dead letter", "Content-Encoding: identity, gzip\r\n"),
        encoded(
            "an encoding in a second field is a dead letter",
            "Content-Encoding: identity\r\nContent-Encoding: br\r\n",
        ),
        encoded("an encoding that is no token is a dead letter", "Content-Encoding: \u{e9};\r\n"),
        encoded("a very long encoding is a dead letter", &format!("Content-Encoding: {}\r\n", "x".repeat(60_000))),
        row("a dead letter of an encoded body needs a token for its instance", |sample| {
            let token = format!("Authorization: Bearer {TOKEN_OF_EIGHT}\r\n");
            let head =
                format!("POST {PATH} HTTP/1.1\r\nHost: x\r\n{token}Content-Encoding: gzip\r\n{}", sample.length());
            raw(head, sample.body())
        })
        .answered(401, "unauthorized"),
        compressed("any token will do where the instance cannot be read", TOKEN_OF_EIGHT),
    ]
}
