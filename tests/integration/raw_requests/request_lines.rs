//! The request line: methods, targets, versions, and how they are set apart.

use super::row::{PATH, Row, TOKEN, chunked, post, raw, request, row};

pub(crate) fn rows() -> Vec<Row> {
    [
        methods(),
        malformed_methods(),
        targets(),
        other_targets(),
        malformed_targets(),
        versions(),
        http_1_0(),
        separators(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A good request but for its method.
fn method(claim: &'static str, method: &str) -> Row {
    row(claim, |sample| sample.on(&format!("{method} {PATH} HTTP/1.1"), ""))
}

fn methods() -> Vec<Row> {
    let refused = |claim, name: &str| method(claim, name).answered(405, "method_not_allowed");
    vec![
        refused("a method in lower case is another", "post"),
        refused("an unknown method is refused", "BREW"),
        refused("a method of any token is refused", "!#$%&'*+-.^_`|~"),
        refused("a very long method is refused", &"A".repeat(5_000)),
        refused("PUT is refused", "PUT"),
        refused("PATCH is refused", "PATCH"),
        refused("DELETE is refused", "DELETE"),
        refused("OPTIONS is refused, so that no page of another origin may send", "OPTIONS"),
        // RFC 9110, 9.3.8 would give the request back, with its token
        refused("TRACE is refused and gives nothing back", "TRACE"),
        refused("CONNECT with a path is refused", "CONNECT"),
        refused("GET with a body is refused, and its body is none of the next request", "GET"),
        // RFC 9110, 9.3.2: as with GET, without the body
        method("HEAD is refused without a body", "HEAD").answered(405, ""),
        row("a method in a header is none", |sample| {
            sample.on(&format!("GET {PATH} HTTP/1.1"), "X-HTTP-Method-Override: POST\r\n")
        })
        .answered(405, "method_not_allowed"),
        row("a header does not make another method of POST", |sample| sample.with("X-HTTP-Method-Override: GET\r\n"))
            .stored(),
        row("GET with chunks is refused, and the chunks are not looked at", |sample| {
            request(&format!("GET {PATH} HTTP/1.1"), "Transfer-Encoding: chunked\r\n", chunked(&sample.hidden()))
        })
        .hides()
        .answered(405, "method_not_allowed"),
    ]
}

fn malformed_methods() -> Vec<Row> {
    let malformed = |claim, name: &str| method(claim, name).hiding().malformed();
    vec![
        malformed("a request without a method is malformed", ""),
        malformed("a method with a separator is malformed", "PO(ST"),
        malformed("a method with a NUL is malformed", "POST\0"),
        malformed("a method with a control character is malformed", "PO\x07ST"),
        malformed("a method that is not ASCII is malformed", "POS\u{422}"),
        malformed("a method in quotes is malformed", "\"POST\""),
    ]
}

/// A good request but for its target.
fn target(claim: &'static str, target: &str) -> Row {
    row(claim, |sample| sample.on(&format!("POST {target} HTTP/1.1"), ""))
}

fn targets() -> Vec<Row> {
    let served = |claim, text| target(claim, text).stored();
    vec![
        served("the path is served", "/green-api/webhook/"),
        served("the path is served without its last slash", "/green-api/webhook"),
        served("a query is ignored", "/green-api/webhook?a=/other&b=%0d%0a"),
        served("an empty query is ignored", "/green-api/webhook/?"),
        served("a question mark in a query is ignored", "/green-api/webhook?a?b"),
        served("an absolute target is served", "http://x/green-api/webhook/"),
        // there is one endpoint, so no host selects another
        served("an absolute target is served whatever its host", "http://other:1/green-api/webhook/?b"),
        // behind a proxy that ends TLS
        served("an absolute target is served whatever its scheme", "https://x/green-api/webhook"),
        // RFC 9110, 4.2.4 suspects a fraud on people who read links; nobody reads this one, and it is not logged
        served("a user in an absolute target is ignored", "http://user:password@x/green-api/webhook"),
        // a fragment is not part of a target; without it this is the path
        served("a fragment is ignored", "/green-api/webhook#/other"),
        served("bytes of UTF-8 in a query are ignored", "/green-api/webhook?\u{e9}"),
    ]
}

/// The path is compared as it stands: nothing is decoded or resolved, so no proxy's rule is got round.
fn other_targets() -> Vec<Row> {
    let other = |claim, text| target(claim, text).answered(404, "not_found");
    vec![
        other("an encoded letter makes another path", "/%67reen-api/webhook"),
        other("an encoded slash makes another path", "/green-api%2Fwebhook"),
        other("an upper case letter makes another path", "/Green-API/webhook"),
        other("a dot makes another path", "/green-api/./webhook"),
        other("two dots make another path", "/other/../green-api/webhook"),
        other("encoded dots make another path", "/other/%2e%2e/green-api/webhook"),
        other("two slashes make another path", "//green-api/webhook"),
        other("two last slashes make another path", "/green-api/webhook//"),
        other("one more segment makes another path", "/green-api/webhook/x"),
        other("a parameter makes another path", "/green-api/webhook;x"),
        other("an encoded NUL makes another path", "/green-api/webhook%00"),
        other("an encoded end of line makes another path", "/green-api/webhook%0d%0a"),
        other("an encoded question mark makes another path", "/green-api/webhook%3Fa"),
        other("bytes of UTF-8 make another path", "/green-api/webhook\u{e9}"),
        other("the root is another path", "/"),
        other("an absolute target without a path is another", "http://x"),
        other("a path in a query is none", "/other?/green-api/webhook"),
        other("a path in a fragment is none", "/other#/green-api/webhook"),
        other("the target of OPTIONS is another for POST", "*"),
        other("the target of CONNECT is another for POST", "x:443"),
        row("OPTIONS of the whole server is refused", |sample| sample.on("OPTIONS * HTTP/1.1", ""))
            .answered(404, "not_found"),
        row("CONNECT makes no tunnel", |sample| sample.on("CONNECT example.com:443 HTTP/1.1", ""))
            .answered(404, "not_found"),
        row("a path in a header is none", |sample| {
            sample.on("POST /other HTTP/1.1", format!("X-Original-URL: {PATH}\r\nX-Rewrite-URL: {PATH}\r\n"))
        })
        .answered(404, "not_found"),
        other("the longest target is read", &format!("/{}", "t".repeat(LONGEST_TARGET - 1))),
        target("a longer target is refused", &format!("/{}", "t".repeat(LONGEST_TARGET))).hiding().refused(414, ""),
    ]
}

/// What `http` can hold: two bytes less than 64 KiB.
const LONGEST_TARGET: usize = 65_534;

fn malformed_targets() -> Vec<Row> {
    let malformed = |claim, text| target(claim, text).hiding().malformed();
    vec![
        malformed("an empty target is malformed", ""),
        malformed("a target without its first slash is malformed", "green-api/webhook"),
        malformed("a blank in a target is malformed", "/green-api/webhook /x"),
        malformed("a tab in a target is malformed", "/green-api/webhook\t"),
        malformed("a NUL in a target is malformed", "/green-api/webhook\0"),
        malformed("a NUL in a query is malformed", "/green-api/webhook?\0"),
        malformed("a control character in a target is malformed", "/green-api/webhook?\x1b[31m"),
        malformed("a bare CR in a target is malformed", "/green-api/webhook?a\rX:"),
        malformed("a bare LF in a target is malformed", "/green-api/webhook?a\nX:"),
        malformed("an absolute target without a host is malformed", "http:///green-api/webhook"),
        row("bytes of no UTF-8 in a query are malformed", |sample| {
            let [line, field] =
                [&b"POST /green-api/webhook?\xff HTTP/1.1\r\n"[..], b"Host: x\r\nAuthorization: Bearer "];
            let rest = format!("{TOKEN}\r\n{}", sample.length());
            raw([line, field, rest.as_bytes()].concat(), sample.body())
        })
        .hiding()
        .malformed(),
    ]
}

/// Versions are compared as they stand (RFC 9112, 2.3).
fn versions() -> Vec<Row> {
    let malformed = |claim, version: &str| {
        row(claim, |sample| sample.on(&format!("POST {PATH}{version}"), "")).hiding().malformed()
    };
    vec![
        malformed("a request without a version is malformed", ""),
        malformed("HTTP/0.9 is malformed", " HTTP/0.9"),
        // RFC 9110, 2.5 would take it as 1.1; there is none
        malformed("HTTP/1.2 is malformed", " HTTP/1.2"),
        malformed("HTTP/2.0 is malformed", " HTTP/2.0"),
        malformed("HTTP/2 is malformed", " HTTP/2"),
        malformed("HTTP/1.01 is malformed", " HTTP/1.01"),
        malformed("HTTP/1.10 is malformed", " HTTP/1.10"),
        malformed("HTTP/01.1 is malformed", " HTTP/01.1"),
        malformed("HTTP/1 is malformed", " HTTP/1"),
        malformed("a version in lower case is malformed", " http/1.1"),
        malformed("another protocol is malformed", " HTTPS/1.1"),
        malformed("a blank in a version is malformed", " HTTP/ 1.1"),
        malformed("a blank behind the version is malformed", " HTTP/1.1 "),
        malformed("a second version is malformed", " HTTP/1.1 HTTP/1.1"),
        malformed("a NUL behind the version is malformed", " HTTP/1.1\0"),
    ]
}

fn http_1_0() -> Vec<Row> {
    let line = format!("POST {PATH} HTTP/1.0");
    let old = |claim, fields: &str| row(claim, |sample| sample.on(&line, fields));
    vec![
        old("HTTP/1.0 is served and closed", "").hiding().stored().closed(),
        old("HTTP/1.0 stays open where it asks for that", "Connection: keep-alive\r\n").stored(),
        old("an expectation of HTTP/1.0 is ignored", "Expect: 100-continue\r\n").stored().closed(),
        old("an upgrade of HTTP/1.0 is ignored", "Upgrade: h2c\r\nConnection: upgrade\r\n").stored().closed(),
        row("HTTP/1.0 needs a host too", |sample| {
            raw(format!("{line}\r\nAuthorization: Bearer {TOKEN}\r\n{}", sample.length()), sample.body())
        })
        .hiding()
        .refused(400, "bad_request"),
    ]
}

fn separators() -> Vec<Row> {
    let malformed = |claim, line: &str| row(claim, |sample| sample.on(line, "")).hiding().malformed();
    let behind = |claim, before: &str| row(claim, |sample| [before.as_bytes(), &sample.with("")].concat());
    vec![
        malformed("two blanks before the target are malformed", &format!("POST  {PATH} HTTP/1.1")),
        malformed("two blanks behind the target are malformed", &format!("POST {PATH}  HTTP/1.1")),
        malformed("tabs for blanks are malformed", &format!("POST\t{PATH}\tHTTP/1.1")),
        malformed("a vertical tab for a blank is malformed", &format!("POST\x0b{PATH} HTTP/1.1")),
        malformed("a blank before the method is malformed", &format!(" POST {PATH} HTTP/1.1")),
        malformed("two CRs behind the version are malformed", &format!("POST {PATH} HTTP/1.1\r")),
        malformed("a bare CR behind the version is malformed", &format!("POST {PATH} HTTP/1.1\rX: y")),
        // RFC 9112, 2.2: some clients send one behind a body
        behind("an empty line before the request is ignored", "\r\n").stored(),
        behind("many empty lines before the request are ignored", &"\r\n".repeat(100)).stored(),
        behind("more empty lines than a head may have bytes are refused", &"\r\n".repeat(70_000))
            .hiding()
            .refused(431, ""),
        behind("empty lines that end in LF alone are ignored", "\n\n").stored(),
        behind("a CR before the request is malformed", "\r").hiding().malformed(),
        behind("a blank line of blanks before the request is malformed", " \r\n").hiding().malformed(),
        // RFC 9112, 2.2 allows it, and hyper does: the request is the same for every reader that takes it at all
        row("lines may end in LF alone", |sample| {
            let request = String::from_utf8_lossy(&post(sample.length(), sample.body())).replace("\r\n", "\n");
            request.into_bytes()
        })
        .stored(),
    ]
}
