//! Listening: connections in, bounded, and let go in the end. Knows HTTP, but nothing of what is served.

mod addresses;
mod files;
mod patience;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::observe::Metrics;
use addresses::Addresses;
pub use files::{no_core_dumps, room_for_connections};
use patience::Watched;

/// Why the body of an answer broke off.
type Fault = Box<dyn std::error::Error + Send + Sync>;

/// What a listener takes on.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections; more wait in the kernel's line.
    pub connections: usize,
    /// Open connections from one address that is not loopback; more are closed at once.
    pub connections_per_address: usize,
    /// From the first byte of a request head to its end.
    pub head: Duration,
    /// How long a connection may be open without a request.
    pub idle: Duration,
    /// How long a client may read nothing of an answer.
    pub write: Duration,
    /// How long open connections may still send once accepting has stopped.
    pub linger: Duration,
}

/// The largest request head; a larger one is answered 431, as is one of more than 64 headers. A connection reads
/// about as much ahead. It must hold a target of 64 KiB, from which on hyper answers 414; both without a body.
const HEAD_BYTES: usize = 128 * 1024;

/// Why a connection is refused before it has brought a request, for labels.
pub const REFUSALS: [&str; 3] = ["too_many_connections", "malformed_head", "head_too_large"];

/// Serves `listener` until `stop`, then lets open connections finish. `metrics` hear of its connections; none
/// where nobody counts them.
pub async fn serve<F, A, B>(
    listener: TcpListener,
    limits: Limits,
    metrics: Option<Arc<Metrics>>,
    stop: CancellationToken,
    service: F,
) where
    F: Fn(SocketAddr, Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Fault>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limits.connections));
    let addresses = Addresses::default();
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, peer, place)) = accepted else { continue };
        let Some(counted) = addresses.enter(peer.ip(), limits.connections_per_address) else {
            warn!(peer = %peer.ip(), "closed a connection at once: http.limits.connections_per_address are open");
            count_refusal(metrics.as_deref(), "too_many_connections");
            continue;
        };
        let (service, stop, metrics) = (service.clone(), stop.clone(), metrics.clone());
        connections.spawn(async move {
            let open = metrics.as_ref().map(|metrics| metrics.connected());
            if let Err(error) = connection(stream, peer, limits, stop, service).await {
                debug!(%peer, %error, "a connection ended early");
                if error.is_parse() {
                    let too_large = error.is_parse_too_large();
                    count_refusal(metrics.as_deref(), if too_large { "head_too_large" } else { "malformed_head" });
                }
            }
            drop((place, counted, open));
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, place)),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => None,
        Err(error) => {
            // no file descriptors left, most likely; accepting again at once would spin
            warn!(%error, "could not accept a connection");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// A reason of `refused_total`: what never reaches the service is counted here.
fn count_refusal(metrics: Option<&Metrics>, reason: &str) {
    if let Some(metrics) = metrics {
        metrics.refused(reason);
    }
}

async fn connection<F, A, B>(
    stream: TcpStream,
    peer: SocketAddr,
    limits: Limits,
    stop: CancellationToken,
    service: F,
) -> hyper::Result<()>
where
    F: Fn(SocketAddr, Request<Incoming>) -> A + Send + 'static,
    A: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Fault>> + Send + 'static,
{
    let _ = stream.set_nodelay(true);
    let stream = Watched::new(stream, limits.write);
    let serving = http1::Builder::new()
        .timer(stream.head_timer(limits.head))
        .header_read_timeout(limits.idle)
        .max_headers(64)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service_fn(move |request| service(peer, request)));
    tokio::pin!(serving);
    let lingered = async {
        stop.cancelled().await;
        tokio::time::sleep(limits.linger).await;
    };
    tokio::select! {
        ended = &mut serving => ended,
        () = lingered => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    }
}
