//! Where a request goes: a URL, and the token sent with it.

use std::str::FromStr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery};
use hyper::{Method, Request, Uri};
use thiserror::Error;

use super::tls;

/// A URL and its token, parsed for requests.
#[derive(Debug)]
pub struct Target {
    /// Whether the connection uses TLS.
    pub(super) secure: bool,
    pub(super) host: String,
    pub(super) port: u16,
    path: Uri,
    headers: HeaderMap,
}

/// A URL or a token that cannot be used. Its message never shows a token, or a URL after its path.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TargetError {
    /// Not a URL.
    #[error("not a URL; give one such as http://127.0.0.1:3000/green-api/webhook/")]
    Url,
    /// A scheme other than http and https.
    #[error("scheme `{0}` is not supported; give http:// or https://")]
    Scheme(String),
    /// A user or password in the URL.
    #[error("user and password in a URL are not sent; give a token instead")]
    User,
    /// https in a build without TLS.
    #[error("this build has no https; build with the feature `tls`, or give http://")]
    NoTls,
    /// A token that is not a header value.
    #[error("the token has bytes that no header can carry")]
    Token,
}

impl Target {
    /// Parses a URL and a token (in the form of `webhookUrlToken`); an empty token is not sent.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn new(url: &str, token: &str) -> Result<Self, TargetError> {
        let uri: Uri = url.parse().map_err(|_| TargetError::Url)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(TargetError::Url);
        };
        let secure = match scheme {
            "http" => false,
            "https" if tls::IS_BUILT => true,
            "https" => return Err(TargetError::NoTls),
            other => return Err(TargetError::Scheme(other.into())),
        };
        if authority.as_str().contains('@') {
            return Err(TargetError::User);
        }
        if authority.host().is_empty() || has_invalid_port(authority) {
            return Err(TargetError::Url);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", PathAndQuery::as_str).parse().map_err(|_| TargetError::Url)?;
        Ok(Self { secure, host, port, path, headers: headers(authority, token)? })
    }

    /// Whether a token is sent.
    pub fn has_token(&self) -> bool {
        self.headers.contains_key(AUTHORIZATION)
    }

    /// A POST of this body.
    pub(super) fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        request.headers_mut().clone_from(&self.headers);
        request
    }

    /// A GET of what `accept` names.
    pub(super) fn get_request(&self, accept: HeaderValue) -> Request<Full<Bytes>> {
        let mut request = self.request(Bytes::new());
        *request.method_mut() = Method::GET;
        request.headers_mut().remove(CONTENT_TYPE);
        request.headers_mut().insert(ACCEPT, accept);
        request
    }
}

/// Whether a colon is there without a valid port.
fn has_invalid_port(authority: &Authority) -> bool {
    authority.as_str().len() > authority.host().len() && authority.port_u16().is_none_or(|port| port == 0)
}

/// The headers that GREEN-API is documented to send; `User-Agent` is none of them.
fn headers(authority: &Authority, token: &str) -> Result<HeaderMap, TargetError> {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_str(authority.as_str()).map_err(|_| TargetError::Url)?);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    if !token.is_empty() {
        let scheme = token.split_once(' ').map(|(scheme, _)| scheme.to_ascii_lowercase());
        let whole = matches!(scheme.as_deref(), Some("basic" | "bearer"));
        let value = if whole { token.to_owned() } else { format!("Bearer {token}") };
        let mut value = HeaderValue::from_str(&value).map_err(|_| TargetError::Token)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(url: &str) -> Result<Self, TargetError> {
        Self::new(url, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str) -> (bool, String, u16, String, String) {
        let target: Target = url.parse().unwrap();
        let host = target.headers[HOST].to_str().unwrap().to_owned();
        (target.secure, target.host, target.port, target.path.to_string(), host)
    }

    #[test]
    fn urls_are_parsed_with_their_defaults() {
        let read =
            |secure, host: &str, port, path: &str, sent: &str| (secure, host.into(), port, path.into(), sent.into());
        assert_eq!(parts("http://127.0.0.1:3000/a/?k=v"), read(false, "127.0.0.1", 3000, "/a/?k=v", "127.0.0.1:3000"));
        assert_eq!(parts("http://h"), read(false, "h", 80, "/", "h"));
        assert_eq!(parts("http://[::1]:9/x"), read(false, "::1", 9, "/x", "[::1]:9"));
        if tls::IS_BUILT {
            assert_eq!(parts("https://h/x"), read(true, "h", 443, "/x", "h"));
        } else {
            assert_eq!("https://h/x".parse::<Target>().unwrap_err(), TargetError::NoTls);
        }
    }

    #[test]
    fn invalid_urls_are_refused() {
        let refused = |url: &str| url.parse::<Target>().unwrap_err();
        for url in [
            "",
            "127.0.0.1:3000",
            "/green-api/webhook/",
            "http://",
            "http://h:/",
            "http://h:0/",
            "http://h:99999/",
            "http://h h/",
        ] {
            assert_eq!(refused(url), TargetError::Url, "{url}");
        }
        assert_eq!(refused("nats://h:4222"), TargetError::Scheme("nats".into()));
        assert_eq!(refused("http://user:hidden@h/"), TargetError::User);
        assert_eq!(Target::new("http://h/", "a\nb").unwrap_err(), TargetError::Token);
    }

    #[test]
    fn a_token_is_sent_as_bearer_unless_it_has_a_scheme() {
        let sent = |token| {
            let target = Target::new("http://h/", token).unwrap();
            assert!(!format!("{target:?}").contains("secret"), "{target:?}");
            target.headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(sent(""), None);
        assert_eq!(sent("secret").as_deref(), Some("Bearer secret"));
        assert_eq!(sent("Basic secret").as_deref(), Some("Basic secret"));
        assert_eq!(sent("bearer secret").as_deref(), Some("bearer secret"));
    }
}
