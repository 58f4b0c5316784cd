//! The request head: the checks before a body is read.

use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use hyper::http::uri::Authority;
use hyper::{Method, Request};

use crate::http_server::only_value;
use crate::message::TraceContext;
use crate::telemetry::Refusal;

/// Checks head, path and method, in this order. A query is ignored and never logged: it may contain secrets.
pub(super) fn check<B>(request: &Request<B>, path: &str) -> Result<(), Refusal> {
    let headers = request.headers();
    if !is_host_valid(headers) || !is_framing_plain(headers) || headers.get_all(AUTHORIZATION).iter().count() > 1 {
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

/// Whether there is one `Host`, and it is `host` or `host:port` (RFC 9112, 3.2). An empty one is valid: it says that the
/// target has no host.
fn is_host_valid(headers: &HeaderMap) -> bool {
    let Some(host) = only_value(headers, HOST) else { return false };
    host.is_empty()
        || Authority::try_from(host.as_bytes()).is_ok_and(|authority| {
            // with a user in front the text does not begin with the host
            let port = authority.as_str().strip_prefix(authority.host());
            port.is_some_and(|port| port.strip_prefix(':').unwrap_or(port).bytes().all(|byte| byte.is_ascii_digit()))
        })
}

/// Whether `chunked` is the only transfer coding, where there is one: the bridge undoes no other. hyper looks at the last
/// coding alone, and a proxy in front that reads such a list differently would see other requests than the bridge.
fn is_framing_plain(headers: &HeaderMap) -> bool {
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    !headers.contains_key(TRANSFER_ENCODING) || only_value(headers, TRANSFER_ENCODING).is_some_and(is_chunked)
}

/// The codings of IANA's HTTP Content Coding Registry.
const CODINGS: [&str; 13] = [
    "aes128gcm",
    "br",
    "compress",
    "dcb",
    "dcz",
    "deflate",
    "exi",
    "gzip",
    "identity",
    "pack200-gzip",
    "x-compress",
    "x-gzip",
    "zstd",
];

/// How the body is encoded, for people. None means that it is as its sender made it: no `Content-Encoding` names anything
/// but `identity`. A coding that is not registered is not repeated: it may be anything.
pub(super) fn content_encoding(headers: &HeaderMap) -> Option<String> {
    /// No body has more codings.
    const MOST: usize = 8;
    let fields: Vec<_> = headers.get_all(CONTENT_ENCODING).iter().map(HeaderValue::as_bytes).collect();
    let list = fields.join(&b", "[..]);
    let codings = list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|coding| !coding.is_empty());
    let known = |coding: &[u8]| CODINGS.into_iter().find(|known| coding.eq_ignore_ascii_case(known.as_bytes()));
    let named: Vec<_> = codings.map(|coding| known(coding).unwrap_or("a coding that is not registered")).collect();
    let is_encoded = named.iter().any(|coding| *coding != "identity");
    is_encoded.then(|| named.into_iter().take(MOST).collect::<Vec<_>>().join(", "))
}

/// The request's W3C trace context, where it is valid.
pub(super) fn trace(headers: &HeaderMap) -> TraceContext {
    let one = |name: &str| only_value(headers, name).and_then(|value| value.to_str().ok());
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

    fn headers(fields: &[(&'static str, &'static [u8])]) -> HeaderMap {
        let values =
            fields.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_bytes(value).unwrap()));
        values.collect()
    }

    #[test]
    fn a_body_is_encoded_where_any_field_names_a_coding() {
        let encoding = |values: &[&'static [u8]]| {
            let fields: Vec<_> = values.iter().map(|value| ("content-encoding", *value)).collect();
            content_encoding(&headers(&fields))
        };
        assert_eq!(encoding(&[]), None);
        for plain in ["", "identity", "Identity, ,identity"] {
            assert_eq!(encoding(&[plain.as_bytes(), b"identity"]), None, "{plain}");
        }
        assert_eq!(encoding(&[b"gzip"]).as_deref(), Some("gzip"));
        assert_eq!(encoding(&[b"identity", b"br"]).as_deref(), Some("identity, br"));
        assert_eq!(encoding(&[b"identity,ZSTD"]).as_deref(), Some("identity, zstd"));
        for other in [&b"\xc2\x9b31m\t"[..], b"a-secret"] {
            let named = encoding(&[b"gzip", other]);
            assert_eq!(named.as_deref(), Some("gzip, a coding that is not registered"), "it is not repeated");
        }
        assert_eq!(encoding(&[&b"gzip"[..]; 200]).map(|shown| shown.matches("gzip").count()), Some(8));
    }

    #[test]
    fn a_host_is_one_name_or_address_with_or_without_port() {
        for valid in ["", "x", "x:3000", "green_api.example", "127.0.0.1", "[::1]:3000"] {
            assert!(is_host_valid(&headers(&[("host", valid.as_bytes())])), "{valid}");
        }
        for invalid in ["a b", "a, b", "a/b", "user@x", "x:1:2", "[::1", "x#y", "x:y", "x@x", "\u{e9}"] {
            assert!(!is_host_valid(&headers(&[("host", invalid.as_bytes())])), "{invalid}");
        }
        assert!(!is_host_valid(&headers(&[])));
        assert!(!is_host_valid(&headers(&[("host", b"x"), ("host", b"x")])));
    }

    #[test]
    fn only_a_valid_trace_is_passed_on() {
        let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_traceparent(valid));
        for wrong in [&valid[1..], "", &valid.to_uppercase(), &valid.replace("00f067aa0ba902b7", "0000000000000000")] {
            assert!(!is_traceparent(wrong), "{wrong}");
        }
    }
}
