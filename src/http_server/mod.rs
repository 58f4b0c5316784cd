//! The HTTP server: accepts connections, limits them, and ends them.
//!
//! In: TCP connections of a listener. Out: each request to the caller's service, and its response to the client. The limits
//! are on connections, on the request head, and on the time a client may take. It knows HTTP, but not what the service
//! does.

mod per_address;
mod process_limits;
mod proxy_protocol;
mod timeouts;

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

use crate::telemetry::{ConnectionRefusal, Metrics};
use per_address::AddressCounts;
pub use process_limits::{disable_core_dumps, max_connections};
pub use proxy_protocol::{PreambleError, read_preamble};
use timeouts::TimedStream;

/// Why the body of a response broke off.
type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The limits of one listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections; more wait in the accept backlog.
    pub connections: usize,
    /// Open connections from one address that is not loopback; more are closed at once.
    pub connections_per_address: usize,
    /// How long a request head may take, from its first byte to its end.
    pub head: Duration,
    /// How long a connection may be open without a request.
    pub idle: Duration,
    /// How long a client may read nothing of a response.
    pub write: Duration,
    /// How long open connections may still send requests after the listener has stopped.
    pub linger: Duration,
}

/// The largest request head; a larger one is answered 431, and so is one of more than 64 headers. A connection reads
/// about as many bytes ahead. A target of 64 KiB must fit: from that size on hyper answers 414. Neither has a body.
const HEAD_BYTES: usize = 128 * 1024;

/// Serves `listener` until `stop`, then lets open connections finish. `metrics` count its connections; None means that
/// they are not counted.
pub async fn serve<F, A, B>(
    listener: TcpListener,
    limits: Limits,
    metrics: Option<Arc<Metrics>>,
    stop: CancellationToken,
    service: F,
) where
    F: Fn(SocketAddr, Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(limits.connections));
    let counts = AddressCounts::default();
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let Some(counted) = counts.add(peer.ip(), limits.connections_per_address) else {
            let refusal = ConnectionRefusal::TooManyConnections;
            let limit = limits.connections_per_address;
            warn!(event = "connection_refused", client_address = %peer.ip(), reason = refusal.as_str(), limit, "connection refused");
            count(metrics.as_deref(), refusal);
            continue;
        };
        let (service, stop, metrics) = (service.clone(), stop.clone(), metrics.clone());
        connections.spawn(async move {
            let open = metrics.as_ref().map(|metrics| metrics.connection_opened());
            if let Err(error) = connection(stream, peer, limits, stop, service).await {
                debug!(client_address = %peer.ip(), %error, "connection ended early");
                if error.is_parse() {
                    let refusal = match error.is_parse_too_large() {
                        true => ConnectionRefusal::HeadTooLarge,
                        false => ConnectionRefusal::MalformedHead,
                    };
                    count(metrics.as_deref(), refusal);
                }
            }
            drop((permit, counted, open));
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = permits.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, permit)),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => None,
        Err(error) => {
            // no file descriptors left, most likely; accepting again at once would spin
            // there is no client yet; the field limits repeats
            warn!(client_address = tracing::field::Empty, %error, "accept failed");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

fn count(metrics: Option<&Metrics>, refusal: ConnectionRefusal) {
    if let Some(metrics) = metrics {
        metrics.connection_refused(refusal);
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
    B: Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
{
    let _ = stream.set_nodelay(true);
    let stream = TimedStream::new(stream, limits.write);
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
