//! What operators see.

mod family;
mod health;
pub mod logging;
mod metrics;

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};

pub use health::{BrokerState, Health};
pub use metrics::{Counted, Labels, Metrics};

/// Answers a request of an operator or a kubelet. Nothing here asks a broker.
///
/// # Errors
/// Never.
pub async fn answer(
    health: Health,
    metrics: Arc<Metrics>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body): (_, Bytes) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/livez") => (StatusCode::OK, "ok\n".into()),
        (&Method::GET, "/metrics") => (StatusCode::OK, metrics.text(&health).into()),
        (&Method::GET, "/readyz") => match health.ready() {
            (true, body) => (StatusCode::OK, body.into()),
            (false, body) => (StatusCode::SERVICE_UNAVAILABLE, body.into()),
        },
        _ => (StatusCode::NOT_FOUND, "there are /livez, /readyz and /metrics\n".into()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    Ok(response)
}
