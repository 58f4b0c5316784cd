//! The request head: the checks before a body is read.

use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, HOST, HeaderMap};
use hyper::{Method, Request};

use crate::message::TraceContext;
use crate::telemetry::Refusal;

/// Checks head, path and method, in this order. A query is ignored and never logged: it may contain secrets.
pub(super) fn check<B>(request: &Request<B>, path: &str) -> Result<(), Refusal> {
    let count = |name| request.headers().get_all(name).iter().count();
    if count(HOST) != 1 || count(AUTHORIZATION) > 1 {
        return Err(Refusal::BadRequest);
    }
    if without_slash(request.uri().path()) != without_slash(path) {
        return Err(Refusal::NotFound);
    }
    if request.method() != Method::POST {
        return Err(Refusal::MethodNotAllowed);
    }
    Ok(())
}

/// A path without its last slash.
fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// How the body is encoded, if the request says so: the bridge stores it as it is, and cannot parse it.
pub(super) fn content_encoding(headers: &HeaderMap) -> Option<String> {
    let encoding = headers.get(CONTENT_ENCODING)?.to_str().ok()?;
    let plain = encoding.len() <= 64 && !encoding.eq_ignore_ascii_case("identity");
    plain.then(|| encoding.to_owned())
}

/// The request's W3C trace context, where it is valid.
pub(super) fn trace(headers: &HeaderMap) -> TraceContext {
    let one = |name| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
    };
    let Some(parent) = one("traceparent").filter(|parent| is_traceparent(parent)) else {
        return TraceContext::default();
    };
    // W3C Trace Context, 3.3.1.5: at least 512 characters must be passed on
    let state = one("tracestate").filter(|state| !state.is_empty() && state.len() <= 512);
    TraceContext { parent: Some(parent.into()), state: state.map(Into::into) }
}

/// Version 00 of W3C Trace Context: `00-<32 hex>-<16 hex>-<2 hex>`, neither id all zeros.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    let hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let some = |part: &str| part.bytes().any(|byte| byte != b'0');
    matches!(parts[..], ["00", trace, span, flags]
        if hex(trace, 32) && hex(span, 16) && hex(flags, 2) && some(trace) && some(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_trace_is_passed_on() {
        let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_traceparent(valid));
        for wrong in [&valid[1..], "", &valid.to_uppercase(), &valid.replace("00f067aa0ba902b7", "0000000000000000")] {
            assert!(!is_traceparent(wrong), "{wrong}");
        }
    }
}
