//! The HTTP server: accepts connections, limits them, and ends them.
//!
//! In: TCP connections of a listener. Out: each request to the caller's service, and its response to the client. The limits
//! are on connections, on the TLS handshake, on the request head, and on the time a client may take. It knows HTTP, but not
//! what the service does.
//!
//! A connection goes through `connection`: the address of its client, the permit of that address, TLS, then HTTP. It is
//! unauthenticated until its client has shown a valid token. When a limit is reached, `eviction` closes an unauthenticated
//! connection, never another.

mod client;
mod connection;
mod eviction;
mod process_limits;
mod protected_addresses;
mod proxy_protocol;
mod timeouts;
mod tls_config;

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{AsHeaderName, HeaderMap, HeaderValue};
use hyper::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::telemetry::{ConnectionRefusal, Metrics};
pub use client::{Client, Transport};
use eviction::EvictionPool;
pub use process_limits::{disable_core_dumps, max_connections, too_few_files};
use protected_addresses::{IsProtected, ProtectedAddresses};
pub use proxy_protocol::{PreambleError, read_preamble};
pub use tls_config::{CertificateError, CertificateInfo, TlsConfig, TlsFile, Validity};

cfg_if::cfg_if! {
    if #[cfg(feature = "tls")] {
        mod tls;
    } else {
        #[path = "tls_stub.rs"]
        mod tls;
    }
}
pub use tls::{Tls, install_provider};

/// Why the body of a response broke off.
type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// How long an evicted connection may take to end before another one is evicted.
const EVICTION_WITHIN: Duration = Duration::from_millis(100);

/// The limits of one listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections. When there are as many, each new one evicts an unauthenticated one.
    pub connections: usize,
    /// Unauthenticated connections of one address that are served at the same time. More wait for `address_wait`, and then
    /// each evicts the oldest. Loopback and protected addresses have no such limit.
    pub connections_per_address: usize,
    /// How long they wait. A handshake and a head take one round trip each, a third of a second around the world.
    pub address_wait: Duration,
    /// TLS handshakes in progress. When there are as many, each new one evicts another.
    pub handshakes: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a request head may take, from its first byte to its end. An unauthenticated connection
    /// may also not be idle for longer.
    pub head: Duration,
    /// The most bytes of a request head; a larger one is answered 431. A connection reads about as many bytes ahead. hyper
    /// answers 414 to a target of more than 64 KiB, if the head may be that large.
    pub head_bytes: usize,
    /// The most headers of a request; more are answered 431.
    pub headers: usize,
    /// How long an authenticated connection may be open without a request.
    pub idle: Duration,
    /// How long a client may read nothing of a response.
    pub write: Duration,
    /// How many requests a connection may send before it is closed.
    pub requests_per_connection: usize,
    /// How long open connections may still send requests after the listener has stopped.
    pub linger: Duration,
}

/// One listener, and what its connections go through.
pub struct Server {
    /// Accepts the connections.
    pub listener: TcpListener,
    /// Its limits.
    pub limits: Limits,
    /// None means plain HTTP.
    pub tls: Option<Tls>,
    /// Whether every connection begins with a preamble of the PROXY protocol, which names its source address.
    pub proxy_protocol: bool,
    /// Whether a half-closed connection still gets its answer. Off for the admin listener: an event stream could not notice
    /// that its client has gone.
    pub half_close: bool,
    /// Whether connections of an address are evicted last although it has shown no token. None means none are.
    pub is_protected: Option<IsProtected>,
    /// Count the connections that it refuses.
    pub metrics: Arc<Metrics>,
    /// Whether its open connections and handshakes are counted too: the gauges are those of the webhook listener.
    pub counts_open: bool,
}

/// What all connections of a listener share.
struct Shared {
    limits: Limits,
    tls: Option<Tls>,
    proxy_protocol: bool,
    half_close: bool,
    connection_permits: Arc<Semaphore>,
    /// The open connections without a valid token.
    unauthenticated: EvictionPool,
    handshakes: EvictionPool,
    protected: ProtectedAddresses,
    metrics: Arc<Metrics>,
    counts_open: bool,
    /// Cancelled when open connections may no longer send requests.
    lingered: CancellationToken,
}

/// The value of a header that is not repeated.
pub fn only_value(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Serves until `stop`, then lets open connections finish.
pub async fn serve<F, A, B>(server: Server, stop: CancellationToken, service: F)
where
    F: Fn(Client, Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
{
    let Server { listener, limits, tls, proxy_protocol, half_close, is_protected, metrics, counts_open } = server;
    let shared = Arc::new(Shared {
        limits,
        tls,
        proxy_protocol,
        half_close,
        connection_permits: Arc::new(Semaphore::new(limits.connections)),
        unauthenticated: EvictionPool::default(),
        handshakes: EvictionPool::default(),
        protected: ProtectedAddresses::new(is_protected),
        metrics,
        counts_open,
        lingered: CancellationToken::new(),
    });
    let connections = TaskTracker::new();
    let serve_connection = |stream, peer: SocketAddr, permit| {
        // it can be evicted from now on, even before its task runs
        let evictable = shared.register(peer.ip());
        let (shared, service) = (shared.clone(), service.clone());
        connections.spawn(async move {
            let open = shared.open_metrics().map(|metrics| metrics.connection_opened());
            connection::serve(&shared, stream, evictable, service).await;
            drop((permit, open));
        });
    };
    while let Some(accepted) = stop.run_until_cancelled(accept(&listener, &shared)).await {
        let Some((stream, peer, permit)) = accepted else { continue };
        serve_connection(stream, peer, permit);
        // otherwise a burst of connections is accepted, over a hundred at a time, before the open ones are served
        tokio::task::yield_now().await;
    }
    for (stream, peer) in accept_queue(listener).take(limits.connections) {
        let Ok(permit) = shared.connection_permits.clone().try_acquire_owned() else { break };
        serve_connection(stream, peer, permit);
    }
    connections.close();
    if timeout(limits.linger, connections.wait()).await.is_err() {
        shared.lingered.cancel();
        connections.wait().await;
    }
}

/// The connections that the kernel has accepted and the server has not: closing the listener would reset them, although
/// their requests may have been sent.
fn accept_queue(listener: TcpListener) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    let listener = listener.into_std().ok();
    let accept = move || {
        let (stream, peer) = listener.as_ref()?.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, peer))
    };
    std::iter::from_fn(accept)
}

/// Accepts a connection, and waits until there is room for it.
async fn accept(listener: &TcpListener, shared: &Shared) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, shared.acquire_connection_permit().await)),
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

impl Shared {
    /// A permit for one more connection: a free one, or that of an unauthenticated connection, which is evicted. With neither,
    /// it waits until a connection ends.
    async fn acquire_connection_permit(&self) -> OwnedSemaphorePermit {
        if let Ok(permit) = self.connection_permits.clone().try_acquire_owned() {
            return permit;
        }
        loop {
            if let Some(address) = self.unauthenticated.evict() {
                self.count_and_log(ConnectionRefusal::TooManyConnections, address, None);
            }
            // one that shows its token at this moment stays, so another is needed
            let permit = self.connection_permits.clone().acquire_owned();
            if let Ok(Ok(permit)) = timeout(EVICTION_WITHIN, permit).await {
                return permit;
            }
        }
    }

    /// The metrics, if open connections are counted.
    fn open_metrics(&self) -> Option<&Metrics> {
        self.counts_open.then_some(&*self.metrics)
    }

    /// Counts and logs a connection that the server closes without an answer.
    fn count_and_log(&self, refusal: ConnectionRefusal, address: IpAddr, detail: Option<String>) {
        self.metrics.connection_refused(refusal);
        let (reason, remedy) = (refusal.as_str(), refusal.remedy());
        warn!(event = "connection_refused", client_address = %address, reason, detail, remedy, "connection refused");
    }
}
