//! What the listeners answer: bodies, and refusals with their statuses.

use std::convert::Infallible;
use std::pin::Pin;

use futures_util::Stream;
use http_body_util::{Either, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Response, StatusCode};

/// A body that is sent piece by piece.
pub type EventBody = StreamBody<Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>>>;

/// The body of an answer: whole, or piece by piece.
pub type Body = Either<Full<Bytes>, EventBody>;

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const JSON: &str = "application/json";

/// Why a request is not answered with what it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The client uses http:// on a port with TLS.
    PlainHttp,
    /// `Host` is none of this listener's names.
    UnknownHost,
    /// The route needs a token, and the request has none that opens it.
    NoToken,
    /// There is no such route; these are the pages.
    NoRoute { pages: &'static str },
    /// The route reads the journal, and there is none.
    NoJournal,
    /// The journal does not have this event.
    NoEvent,
    /// The route is only read.
    OnlyRead,
    /// The route is only posted to.
    OnlyPosted,
    /// A browser sent this for a page of another origin.
    OtherOrigin,
    /// The body is not said to be JSON.
    NotJson,
    /// The body is larger than any edit.
    TooLarge,
    /// The body took too long.
    TooSlow,
    /// The query cannot be understood: what is wrong, and what to give instead.
    BadQuery(String),
    /// The bridge stops.
    Stopping,
    /// The most streams of events are open.
    TooManyStreams,
    /// The journal cannot be read; the log says why.
    Unreadable,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::UnknownHost | Self::OtherOrigin => StatusCode::FORBIDDEN,
            Self::NoToken => StatusCode::UNAUTHORIZED,
            Self::NoRoute { .. } | Self::NoJournal | Self::NoEvent => StatusCode::NOT_FOUND,
            Self::OnlyRead | Self::OnlyPosted => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::PlainHttp | Self::BadQuery(_) => StatusCode::BAD_REQUEST,
            Self::Stopping | Self::TooManyStreams | Self::Unreadable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn text(self) -> String {
        match self {
            Self::PlainHttp => "this port speaks TLS; use https://".into(),
            Self::UnknownHost => "unknown Host; name it in admin.hosts".into(),
            Self::NoToken => "give a token of admin.tokens_file".into(),
            Self::NoRoute { pages } => format!("there are {pages}"),
            Self::NoJournal => "there is no journal whose events could be shown; add the section [journal]".into(),
            Self::NoEvent => "no such event; it was forwarded, was deleted by age, or was never there".into(),
            Self::OnlyRead => "method not allowed; use GET or HEAD".into(),
            Self::OnlyPosted => "method not allowed; use POST".into(),
            Self::OtherOrigin => {
                "a page of another origin sent this; only this listener's own pages, and programs, may change anything"
                    .into()
            }
            Self::NotJson => "give application/json".into(),
            Self::TooLarge => "body too large; send fewer records in one request".into(),
            Self::TooSlow => "too slow".into(),
            Self::BadQuery(problem) => problem,
            Self::Stopping => "the bridge stops; come back when it has started again".into(),
            Self::TooManyStreams => "64 streams are open, which is the most; close one, or come back later".into(),
            Self::Unreadable => "the journal cannot be read now; the log says why".into(),
        }
    }

    /// A header that says what to do.
    fn header(&self) -> Option<(HeaderName, &'static str)> {
        match self {
            Self::NoToken => Some((WWW_AUTHENTICATE, "Bearer")),
            Self::OnlyRead => Some((ALLOW, "GET, HEAD")),
            Self::OnlyPosted => Some((ALLOW, "POST")),
            Self::Stopping | Self::TooManyStreams | Self::Unreadable => Some((RETRY_AFTER, "5")),
            _ => None,
        }
    }

    /// The refusal as an answer.
    pub(super) fn into_response(self) -> Response<Body> {
        let (status, header) = (self.status(), self.header());
        let mut response = response(status, TEXT, self.text() + "\n");
        response.headers_mut().extend(header.map(|(name, value)| (name, HeaderValue::from_static(value))));
        response
    }
}

/// An answer with a whole body.
pub(super) fn response(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(body.into())));
    *response.status_mut() = status;
    with_header(response, CONTENT_TYPE, content_type)
}

/// What every answer tells a browser: store nothing, guess no type, run and load nothing, show it in no frame, and tell no
/// other site where a link came from.
const SECURITY_HEADERS: [(HeaderName, &str); 7] = [
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// The answer with the security headers that it does not have already.
pub(super) fn with_security_headers(mut response: Response<Body>) -> Response<Body> {
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

pub(super) fn with_header(mut response: Response<Body>, name: HeaderName, value: &'static str) -> Response<Body> {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}
