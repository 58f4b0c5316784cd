//! One connection, from its acceptance to its end: the address of its client, the permit of that address, TLS, HTTP.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tracing::debug;

use super::client::Unauthenticated;
use super::eviction::Evictable;
use super::proxy_protocol::{PreambleError, read_preamble};
use super::timeouts::TimedStream;
use super::tls::Encrypted;
use super::{BodyError, Client, Shared, Tls, Transport};
use crate::telemetry::ConnectionRefusal;

/// How much input is discarded behind the answer to a connection without a PROXY protocol header, and for how long.
const REFUSED_BYTES: u64 = 64 * 1024;
const REFUSED_TIME: Duration = Duration::from_secs(1);

/// Why a connection ends otherwise than by a close between two requests.
enum Ended {
    /// It is counted and logged under this reason, with what the library says of it.
    Refused(ConnectionRefusal, Option<String>),
    /// It was evicted for another connection, which counted and logged that.
    Evicted,
    /// The client has gone, or broke off.
    Broken(String),
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<hyper::Error> for Ended {
    fn from(error: hyper::Error) -> Self {
        match (error.is_parse(), error.is_parse_too_large()) {
            (_, true) => Self::Refused(ConnectionRefusal::HeadTooLarge, None),
            (true, false) => Self::Refused(ConnectionRefusal::MalformedHead, None),
            (false, false) => Self::Broken(error.to_string()),
        }
    }
}

/// Serves one connection to its end.
pub(super) async fn serve<F, A, B>(shared: &Shared, stream: TcpStream, mut evictable: Arc<Evictable>, service: F)
where
    F: Fn(Client, Request<Incoming>) -> A + Send + 'static,
    A: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
{
    let ended = serve_stream(shared, stream, &mut evictable, service).await;
    let address = evictable.address();
    match ended {
        Ok(()) => {}
        Err(Ended::Refused(refusal, detail)) => shared.count_and_log(refusal, address, detail),
        Err(Ended::Evicted) => {}
        Err(Ended::Broken(error)) => debug!(client_address = %address, error, "connection ended early"),
    }
}

/// Serves the stream. `evictable` is registered under the address of the peer, and is registered again under that of the
/// client if a PROXY protocol header names one.
async fn serve_stream<F, A, B>(
    shared: &Shared,
    mut stream: TcpStream,
    evictable: &mut Arc<Evictable>,
    service: F,
) -> Result<(), Ended>
where
    F: Fn(Client, Request<Incoming>) -> A + Send + 'static,
    A: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
{
    let _ = stream.set_nodelay(true);
    if shared.proxy_protocol
        && let Some(client_address) = shared.unless_lingered(shared.read_client_address(&mut stream, evictable)).await?
    {
        *evictable = shared.register(client_address);
    }
    let address_permit = shared.unless_lingered(shared.acquire_address_permit(evictable)).await?;
    let client = |transport| {
        let counted = shared.open_metrics().map(|metrics| metrics.unauthenticated_connection_opened());
        let unauthenticated = Unauthenticated { _address_permit: address_permit, _counted: counted };
        Client::new(evictable.address(), transport, evictable.clone(), unauthenticated, shared.protected.clone())
    };
    match &shared.tls {
        None => {
            let served = serve_http(shared, stream, client(Transport::Plain), service);
            evictable.unless_evicted(served).await.ok_or(Ended::Evicted)?
        }
        Some(tls) => match shared.unless_lingered(shared.handshake(tls, stream, evictable)).await? {
            Handshake::Done(stream) => {
                // boxed: a connection without TLS would be as large
                let served = Box::pin(serve_http(shared, stream, client(Transport::Tls), service));
                evictable.unless_evicted(served).await.ok_or(Ended::Evicted)?
            }
            Handshake::PlainHttp(stream) => {
                let served = Box::pin(serve_http(shared, stream, client(Transport::PlainOnTlsPort), service));
                evictable.unless_evicted(served).await.ok_or(Ended::Evicted)?
            }
        },
    }
}

/// What a client begins with on a listener with TLS.
enum Handshake {
    Done(Box<Encrypted>),
    /// A request without TLS, of which nothing has been read.
    PlainHttp(TcpStream),
}

impl Shared {
    /// Runs a step before HTTP, which must not delay the stop of the listener.
    async fn unless_lingered<T>(&self, step: impl Future<Output = Result<T, Ended>>) -> Result<T, Ended> {
        let done = self.lingered.run_until_cancelled(step).await;
        done.unwrap_or_else(|| Err(Ended::Broken("stopped".into())))
    }

    /// Registers a new connection as unauthenticated.
    pub(super) fn register(&self, address: IpAddr) -> Arc<Evictable> {
        Arc::new(self.unauthenticated.register(address, self.protected.contains(address)))
    }

    /// Waits for one of the permits that the unauthenticated connections of an address share. None means that it needs none:
    /// a protected address has no such limit, and neither has loopback, where a proxy is the peer of all clients.
    ///
    /// GREEN-API sends its token in the first request, so its permits are free again after a round trip. Otherwise the oldest
    /// connection of the address has been silent for longer than that, and is evicted.
    async fn acquire_address_permit(&self, evictable: &Evictable) -> Result<Option<OwnedSemaphorePermit>, Ended> {
        let address = evictable.address();
        if address.is_loopback() || self.protected.contains(address) {
            return Ok(None);
        }
        let permits = evictable.address_permits(self.limits.connections_per_address);
        if let Ok(permit) = permits.clone().try_acquire_owned() {
            return Ok(Some(permit));
        }
        let permit = permits.acquire_owned();
        tokio::pin!(permit);
        let waited = evictable.unless_evicted(timeout(self.limits.address_wait, &mut permit)).await;
        if let Ok(Ok(permit)) = waited.ok_or(Ended::Evicted)? {
            return Ok(Some(permit));
        }
        if self.unauthenticated.evict_from(address) {
            self.count_and_log(ConnectionRefusal::TooManyConnectionsPerAddress, address, None);
        }
        match evictable.unless_evicted(timeout(self.limits.head, permit)).await.ok_or(Ended::Evicted)? {
            Ok(Ok(permit)) => Ok(Some(permit)),
            _ => Err(Ended::Refused(ConnectionRefusal::TooManyConnectionsPerAddress, None)),
        }
    }

    /// Reads the address in the PROXY protocol header. None means that the proxy itself is the client.
    async fn read_client_address(
        &self,
        stream: &mut TcpStream,
        evictable: &Evictable,
    ) -> Result<Option<IpAddr>, Ended> {
        let read = evictable.unless_evicted(timeout(self.limits.head, read_preamble(stream))).await;
        let refusal = match read.ok_or(Ended::Evicted)? {
            Ok(Ok(client)) => return Ok(client.map(|client| client.ip())),
            Ok(Err(PreambleError::Io(error))) => return Err(error.into()),
            Ok(Err(PreambleError::Missing)) | Err(_) => ConnectionRefusal::NoPreamble,
            Ok(Err(PreambleError::Malformed | PreambleError::TooLong)) => ConnectionRefusal::MalformedPreamble,
        };
        let _ = evictable.unless_evicted(refuse(stream)).await;
        Err(Ended::Refused(refusal, None))
    }

    /// The TLS handshake, within its time and the number of those in progress.
    async fn handshake(&self, tls: &Tls, stream: TcpStream, connection: &Evictable) -> Result<Handshake, Ended> {
        let address = connection.address();
        let handshake = self.handshakes.register(address, self.protected.contains(address));
        if self.handshakes.count() > self.limits.handshakes
            && let Some(address) = self.handshakes.evict()
        {
            self.count_and_log(ConnectionRefusal::TooManyHandshakes, address, None);
        }
        let _counted = self.open_metrics().map(|metrics| metrics.handshake_begun());
        // boxed: each future around it would have room for it, and all of them until the connection ends
        let within = timeout(self.limits.handshake, Box::pin(detect_and_handshake(tls, stream)));
        let done = connection.unless_evicted(handshake.unless_evicted(within)).await;
        match done.flatten() {
            Some(Ok(done)) => done,
            Some(Err(_)) => Err(Ended::Refused(ConnectionRefusal::HandshakeTimeout, None)),
            None => Err(Ended::Evicted),
        }
    }
}

/// Answers 400 as the HTTP parser does, before the connection has come to it.
async fn refuse(stream: &mut TcpStream) {
    let answer = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    // a client that is gone needs no answer
    let _ = stream.write_all(answer).await;
    // with unread input the connection would be reset, and the answer lost
    let _ = stream.shutdown().await;
    let mut discarded = stream.take(REFUSED_BYTES);
    let _ = timeout(REFUSED_TIME, tokio::io::copy(&mut discarded, &mut tokio::io::sink())).await;
}

/// Looks at the first byte: TLS, or a request without it.
async fn detect_and_handshake(tls: &Tls, stream: TcpStream) -> Result<Handshake, Ended> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Err(Ended::Broken("closed before the handshake".into()));
    }
    // a TLS record begins with a number below 32, a request with the name of its method
    if first[0].is_ascii_alphabetic() {
        return Ok(Handshake::PlainHttp(stream));
    }
    match tls.accept(stream).await {
        Ok(stream) => Ok(Handshake::Done(Box::new(stream))),
        Err(error) => Err(Ended::Refused(ConnectionRefusal::HandshakeFailed, Some(error.to_string()))),
    }
}

/// Serves HTTP on a connection, with TLS or without.
async fn serve_http<S, F, A, B>(shared: &Shared, stream: S, client: Client, service: F) -> Result<(), Ended>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Client, Request<Incoming>) -> A + Send + 'static,
    A: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
{
    let limits = shared.limits;
    let stream = TimedStream::new(stream, limits.write);
    let timer = stream.head_timer(limits.head, client.clone());
    let served = client.clone();
    let answer = service_fn(move |request| {
        let is_last = client.count_request() >= limits.requests_per_connection;
        let answer = service(client.clone(), request);
        async move {
            let mut response = answer.await?;
            if is_last {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let serving = http1::Builder::new()
        .timer(timer)
        .header_read_timeout(limits.idle)
        .half_close(shared.half_close)
        .max_headers(limits.headers)
        .max_header_size(limits.head_bytes)
        .max_buf_size(limits.head_bytes)
        .serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return Ok(ended?),
        () = shared.lingered.cancelled() => {}
    }
    if !served.is_authenticated() {
        // it has no request of a known token, and must not delay the stop
        return Err(Ended::Broken("stopped".into()));
    }
    serving.as_mut().graceful_shutdown();
    Ok(serving.await?)
}
