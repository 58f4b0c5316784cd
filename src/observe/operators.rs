//! The pages of the listeners for operators and for kubelets. Nothing here asks a broker.

use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde::Deserialize;

use super::{Changes, Guard, Health, Metrics};

/// `[probes]`: `/livez`, `/readyz` and `/metrics` for the kubelet and for Prometheus, without a token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbesConfig {
    /// Where to listen; any address may ask, of which the numbers in `/metrics` are all there is to read.
    pub listen: SocketAddr,
}

/// What one of these listeners shows, and to whom.
pub struct Operators {
    health: Health,
    metrics: Arc<Metrics>,
    guard: Guard,
    pub(super) changes: Option<Arc<dyn Changes>>,
}

const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const JSON: &str = "application/json";
/// Prometheus' text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A status, a content type and a body.
type Page = (StatusCode, &'static str, Bytes);

impl Operators {
    /// Shows these to whom the guard lets in.
    pub fn new(health: Health, metrics: Arc<Metrics>, guard: Guard) -> Self {
        Self { health, metrics, guard, changes: None }
    }

    /// Answers one request: 403 for a wrong `Host`, 401 for a missing token, then 404 and 405. `others` are the pages that
    /// others answer there, as part of a list.
    pub fn answer<B>(&self, request: &Request<B>, others: &str) -> Response<Full<Bytes>> {
        let (path, headers) = (request.uri().path(), request.headers());
        let open = ["/livez", "/readyz"].contains(&path);
        if let Some(refused) = self.refused(headers, open) {
            return refused;
        }
        let Some(page) = self.page(path) else {
            let there = format!("there are {others}/livez, /readyz and /metrics\n");
            return response((StatusCode::NOT_FOUND, TEXT, there.into()));
        };
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return refusal(StatusCode::METHOD_NOT_ALLOWED, "only to be read\n", Some((ALLOW, "GET, HEAD")));
        }
        response(page)
    }

    /// Why a request is refused, if it is; `open` pages need no token.
    pub fn refused(&self, headers: &HeaderMap, open: bool) -> Option<Response<Full<Bytes>>> {
        if !self.guard.knows_host(headers) {
            return Some(refusal(StatusCode::FORBIDDEN, "unknown Host; name it in admin.hosts\n", None));
        }
        if !open && !self.guard.admits(headers) {
            let how = (WWW_AUTHENTICATE, "Bearer");
            return Some(refusal(StatusCode::UNAUTHORIZED, "give a token of admin.tokens_file\n", Some(how)));
        }
        None
    }

    /// What its pages say of health.
    pub fn health(&self) -> &Health {
        &self.health
    }

    fn page(&self, path: &str) -> Option<Page> {
        match path {
            "/livez" => Some((StatusCode::OK, TEXT, "ok\n".into())),
            "/metrics" => Some((StatusCode::OK, METRICS, self.metrics.text(&self.health).into())),
            "/readyz" => Some(match self.health.ready() {
                (true, body) => (StatusCode::OK, JSON, body.to_string().into()),
                (false, body) => (StatusCode::SERVICE_UNAVAILABLE, JSON, body.to_string().into()),
            }),
            _ => None,
        }
    }
}

pub(super) fn refusal(
    status: StatusCode,
    why: &'static str,
    how: Option<(HeaderName, &'static str)>,
) -> Response<Full<Bytes>> {
    let mut response = response((status, TEXT, why.into()));
    response.headers_mut().extend(how.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

pub(super) fn response((status, content, body): Page) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content));
    response
}
