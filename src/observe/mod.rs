//! What operators see.

mod health;
pub mod logging;

use std::convert::Infallible;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};

pub use health::{BrokerState, Health};

/// Answers a request of an operator or a kubelet. Nothing here asks a broker.
///
/// # Errors
/// Never.
pub async fn answer(health: Health, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/livez") => (StatusCode::OK, "ok\n".into()),
        (&Method::GET, "/readyz") => match health.ready() {
            (true, body) => (StatusCode::OK, body),
            (false, body) => (StatusCode::SERVICE_UNAVAILABLE, body),
        },
        _ => (StatusCode::NOT_FOUND, "there are /livez and /readyz\n".into()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    Ok(response)
}
