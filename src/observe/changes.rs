//! `POST /journal/…` of the admin listener: what changes the journal. Beyond what every page asks for, a request must
//! come from here: a web page that a browser shows can neither send JSON elsewhere unasked, nor hide its origin.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderMap, ORIGIN};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::timeout;

use super::operators::{JSON, Operators, refusal, response};

/// How long the body of a request may take.
const BODY_WITHIN: Duration = Duration::from_secs(60);

/// A status, and JSON.
pub type Answering = Pin<Box<dyn Future<Output = (u16, String)> + Send>>;

/// What can be changed here.
pub trait Changes: Send + Sync {
    /// The most bytes of a request.
    fn most(&self) -> usize;
    /// Whether there is a change of this name.
    fn knows(&self, what: &str) -> bool;
    /// The name of the journal that is changed.
    fn journal(&self) -> &str;
    /// Makes it; what is begun goes on, whoever waits.
    fn answer(self: Arc<Self>, what: String, asked: Bytes) -> Answering;
}

impl Operators {
    /// With what can be changed.
    #[must_use]
    pub fn with_changes(mut self, changes: Option<Arc<dyn Changes>>) -> Self {
        self.changes = changes;
        self
    }

    /// Answers a request for a change; none: it is for none.
    pub async fn change<B>(&self, request: Request<B>) -> Result<Response<Full<Bytes>>, Request<B>>
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Some(changes) = &self.changes else { return Err(request) };
        let what = request.uri().path().strip_prefix("/journal/").filter(|what| changes.knows(what));
        let Some(what) = what.map(str::to_owned) else { return Err(request) };
        if let Some(refused) = self.refused(request.headers(), false) {
            return Ok(refused);
        }
        let meant = request.uri().query().and_then(|query| query.strip_prefix("journal="));
        if meant.is_some_and(|meant| meant != changes.journal()) {
            let other = format!("this bridge runs on another journal, {}; is --url right?", changes.journal());
            let said = serde_json::json!({ "error": other }).to_string();
            return Ok(response((StatusCode::CONFLICT, JSON, said.into())));
        }
        if *request.method() != Method::POST {
            return Ok(refusal(StatusCode::METHOD_NOT_ALLOWED, "only to be posted\n", Some((ALLOW, "POST"))));
        }
        if !is_from_here(request.headers()) {
            return Ok(refusal(StatusCode::FORBIDDEN, "asked for by a page from elsewhere\n", None));
        }
        if !is_json(request.headers()) {
            return Ok(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "give application/json\n", None));
        }
        let too_much = || refusal(StatusCode::PAYLOAD_TOO_LARGE, "too much at once\n", None);
        if request.body().size_hint().lower() > changes.most() as u64 {
            return Ok(too_much());
        }
        let asked = Limited::new(request.into_body(), changes.most()).collect();
        let asked = match timeout(BODY_WITHIN, asked).await {
            Ok(Ok(asked)) => asked.to_bytes(),
            Ok(Err(_)) => return Ok(too_much()),
            Err(_) => return Ok(refusal(StatusCode::REQUEST_TIMEOUT, "too slow\n", None)),
        };
        let (status, said) = changes.clone().answer(what, asked).await;
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Ok(response((status, JSON, said.into())))
    }
}

/// A browser says on whose page's behalf it asks; a program says nothing.
fn is_from_here(headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    origins.all(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        origin.zip(host).is_some_and(|((_, from), host)| from.eq_ignore_ascii_case(host))
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(JSON))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_from_elsewhere_is_known_by_its_origin() {
        let from = |origin: &[&str]| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, "127.0.0.1:3001".parse().unwrap());
            headers.extend(origin.iter().map(|origin| (ORIGIN, origin.parse().unwrap())));
            is_from_here(&headers)
        };
        assert!(from(&[]) && from(&["http://127.0.0.1:3001"]) && from(&["https://127.0.0.1:3001"]));
        for origin in ["http://127.0.0.1", "http://127.0.0.1:3000", "null", "", "http://evil.example"] {
            assert!(!from(&[origin]), "{origin}");
        }
        assert!(!from(&["http://127.0.0.1:3001", "http://evil.example"]));
    }

    #[test]
    fn a_form_is_no_json() {
        let kind = |kind: &str| is_json(&[(CONTENT_TYPE, kind.parse().unwrap())].into_iter().collect());
        assert!(kind("application/json") && kind("Application/JSON; charset=utf-8"));
        assert!(
            !kind("text/plain") && !kind("application/x-www-form-urlencoded") && !kind("text/plain;application/json")
        );
        assert!(!is_json(&HeaderMap::new()));
    }
}
