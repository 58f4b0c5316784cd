//! The table of answers: what became of a request, as HTTP.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use crate::deliver::Outcome;

/// Every answer there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Acknowledged by the broker.
    Stored,
    /// In the journal, and forwarded later.
    Journal,
    /// Stored before.
    Duplicate,
    /// Stored in the dead letter.
    DeadLetter,
    /// Missing or repeated `Host`, repeated `Authorization`, a broken body.
    BadRequest,
    /// No token, or a wrong one.
    Unauthorized,
    /// A token bound to another instance.
    WrongInstance,
    /// A source address that may not send.
    Forbidden,
    /// The same, but with a valid token: GREEN-API sends from a new address.
    Moved,
    /// Another path.
    NotFound,
    /// Another method.
    MethodNotAllowed,
    /// The body did not come in time.
    Timeout,
    /// A body over `http.max_body`.
    TooLarge,
    /// Too much at once: not even begun.
    Overloaded,
    /// Not known to be stored: GREEN-API sends it again.
    NotStored,
}

impl Answer {
    /// The statuses in the order of their labels.
    pub const STATUSES: [&'static str; 9] = ["200", "400", "401", "403", "404", "405", "408", "413", "503"];

    /// Every reason to refuse a request, for labels.
    pub const REFUSALS: [&'static str; 10] = [
        "bad_request",
        "unauthorized",
        "wrong_instance",
        "forbidden",
        "moved",
        "not_found",
        "method_not_allowed",
        "timeout",
        "too_large",
        "overloaded",
    ];

    /// The place of its status in [`Self::STATUSES`].
    pub fn status_index(self) -> usize {
        let status = self.status();
        Self::STATUSES.iter().position(|known| *known == status.as_str()).unwrap_or_default()
    }

    /// The answer to an outcome. Only what is stored is answered 200.
    pub const fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Stored => Self::Stored,
            Outcome::Journal => Self::Journal,
            Outcome::Duplicate => Self::Duplicate,
            Outcome::DeadLetter => Self::DeadLetter,
            Outcome::NotStored => Self::NotStored,
        }
    }

    /// The status.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Stored | Self::Journal | Self::Duplicate | Self::DeadLetter => StatusCode::OK,
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized | Self::WrongInstance => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::Moved => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Overloaded | Self::NotStored => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The word in the body. It tells the sender no more than the contract does.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stored => "broker",
            Self::Journal => "journal",
            Self::Duplicate => "duplicate",
            Self::DeadLetter => "dead_letter",
            Self::BadRequest => "bad_request",
            Self::Unauthorized | Self::WrongInstance => "unauthorized",
            Self::Forbidden | Self::Moved => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Overloaded | Self::NotStored => "not_stored",
        }
    }

    /// Why the request was refused before anything was begun, for log and label; what the broker could not
    /// store is logged where it happened.
    pub const fn refusal(self) -> Option<&'static str> {
        match self {
            Self::Stored | Self::Journal | Self::Duplicate | Self::DeadLetter | Self::NotStored => None,
            Self::WrongInstance => Some("wrong_instance"),
            Self::Moved => Some("moved"),
            Self::Overloaded => Some("overloaded"),
            refused => Some(refused.name()),
        }
    }

    /// As HTTP; `last` asks the client to open a new connection for its next request.
    pub fn response(self, last: bool) -> Response<Full<Bytes>> {
        let key = if self.status() == StatusCode::OK { "stored" } else { "error" };
        let mut response = Response::new(Full::from(format!("{{\"{key}\":\"{}\"}}", self.name())));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let extra = match self {
            Self::Unauthorized | Self::WrongInstance => Some((WWW_AUTHENTICATE, "Bearer")),
            Self::MethodNotAllowed => Some((ALLOW, "POST")),
            Self::Overloaded | Self::NotStored => Some((RETRY_AFTER, "60")),
            _ => None,
        };
        if let Some((name, value)) = extra {
            headers.insert(name, HeaderValue::from_static(value));
        }
        // the rest of a body that is not read cannot be told from the next request
        if last || matches!(self, Self::Timeout | Self::TooLarge) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
