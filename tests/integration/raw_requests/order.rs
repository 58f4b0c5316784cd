//! The order of the checks, which decides the answer: head, path, method, token, and only then the body, which never comes
//! here.

use super::row::{PATH, Row, TOKEN, raw, row};

const LARGE: &str = "Content-Length: 99999999\r\n";

pub(crate) fn rows() -> Vec<Row> {
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    let asks =
        |claim, line: &str, fields: &str| row(claim, |_| raw(format!("{line} HTTP/1.1\r\nHost: x\r\n{fields}"), ""));
    let (here, there) = (format!("POST {PATH}"), "POST /other");
    vec![
        asks("a malformed head is refused before another path", there, &format!("{token}{token}{LARGE}"))
            .refused(400, "bad_request"),
        asks("a second host is refused before a missing token", &here, &format!("Host: y\r\n{LARGE}"))
            .refused(400, "bad_request"),
        asks("another path is refused before another method", "PUT /other", LARGE).refused(404, "not_found"),
        asks("another path is refused before a missing token", there, LARGE).refused(404, "not_found"),
        asks("another path is refused before too large a body", there, &format!("{token}{LARGE}"))
            .refused(404, "not_found"),
        asks("another method is refused before a missing token", &format!("PUT {PATH}"), LARGE)
            .refused(405, "method_not_allowed"),
        asks("a missing token is refused before too large a body", &here, LARGE).refused(401, "unauthorized"),
        asks("too large a body is refused before it comes", &here, &format!("{token}{LARGE}"))
            .refused(413, "too_large"),
    ]
}
