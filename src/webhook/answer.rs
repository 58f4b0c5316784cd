//! The table of answers: what became of a request, as HTTP.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use crate::delivery::Outcome;
use crate::telemetry::{Label, Refusal, Status};

/// What the sender is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// What became of the notification.
    Outcome(Outcome),
    /// The request was refused before anything was stored.
    Refused(Refusal),
}

/// Whether the connection stays open after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// The client may send its next request on it.
    KeepAlive,
    /// The client is asked to open a new one.
    Close,
}

impl Answer {
    /// The status. Only what is stored is answered 200.
    pub const fn status(self) -> Status {
        match self {
            Self::Outcome(outcome) => match outcome {
                Outcome::Stored | Outcome::Journal | Outcome::Duplicate | Outcome::DeadLetter => Status::Ok,
                Outcome::NotStored => Status::ServiceUnavailable,
            },
            Self::Refused(refusal) => match refusal {
                Refusal::BadRequest | Refusal::PlainHttp | Refusal::ForwardedHeader => Status::BadRequest,
                Refusal::Unauthorized | Refusal::WrongInstance => Status::Unauthorized,
                Refusal::Forbidden | Refusal::Moved => Status::Forbidden,
                Refusal::NotFound => Status::NotFound,
                Refusal::MethodNotAllowed => Status::MethodNotAllowed,
                Refusal::Timeout => Status::RequestTimeout,
                Refusal::TooLarge => Status::ContentTooLarge,
                Refusal::Overloaded => Status::ServiceUnavailable,
            },
        }
    }

    /// The word in the body. It tells the sender no more than the contract does.
    fn word(self) -> &'static str {
        match self {
            Self::Outcome(outcome) => outcome.as_str(),
            Self::Refused(Refusal::PlainHttp | Refusal::ForwardedHeader) => Refusal::BadRequest.as_str(),
            Self::Refused(Refusal::WrongInstance) => Refusal::Unauthorized.as_str(),
            Self::Refused(Refusal::Moved) => Refusal::Forbidden.as_str(),
            Self::Refused(Refusal::Overloaded) => Outcome::NotStored.as_str(),
            Self::Refused(refusal) => refusal.as_str(),
        }
    }

    /// The header that only this answer has.
    fn header(self) -> Option<(HeaderName, &'static str)> {
        match self.status() {
            Status::Unauthorized => Some((WWW_AUTHENTICATE, "Bearer")),
            Status::MethodNotAllowed => Some((ALLOW, "POST")),
            Status::ServiceUnavailable => Some((RETRY_AFTER, "60")),
            Status::Ok
            | Status::BadRequest
            | Status::Forbidden
            | Status::NotFound
            | Status::RequestTimeout
            | Status::ContentTooLarge => None,
        }
    }

    /// Whether the request was refused before its body was read to the end.
    pub(super) const fn leaves_body_unread(self) -> bool {
        match self {
            Self::Outcome(_) | Self::Refused(Refusal::WrongInstance) => false,
            Self::Refused(_) => true,
        }
    }

    /// As HTTP.
    pub fn response(self, connection: Connection) -> Response<Full<Bytes>> {
        let key = if self.status() == Status::Ok { "stored" } else { "error" };
        let mut response = Response::new(Full::from(format!("{{\"{key}\":\"{}\"}}", self.word())));
        *response.status_mut() = code(self.status());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some((name, value)) = self.header() {
            headers.insert(name, HeaderValue::from_static(value));
        }
        // the unread rest of a body, or one whose end is not certain, cannot be distinguished from the next request
        let is_end_unknown =
            matches!(self.status(), Status::BadRequest | Status::RequestTimeout | Status::ContentTooLarge);
        if connection == Connection::Close || is_end_unknown {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

const fn code(status: Status) -> StatusCode {
    match status {
        Status::Ok => StatusCode::OK,
        Status::BadRequest => StatusCode::BAD_REQUEST,
        Status::Unauthorized => StatusCode::UNAUTHORIZED,
        Status::Forbidden => StatusCode::FORBIDDEN,
        Status::NotFound => StatusCode::NOT_FOUND,
        Status::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Status::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        Status::ContentTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Status::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_counted_under_its_own_label() {
        for status in Status::ALL {
            assert_eq!(code(status).as_str(), status.as_str());
        }
    }

    #[test]
    fn only_what_is_stored_is_answered_200() {
        for outcome in <Outcome as Label>::ALL {
            let is_stored = *outcome != Outcome::NotStored;
            assert_eq!(Answer::Outcome(*outcome).status() == Status::Ok, is_stored, "{outcome:?}");
        }
        assert!(Refusal::ALL.into_iter().all(|refusal| Answer::Refused(refusal).status() != Status::Ok));
    }
}
