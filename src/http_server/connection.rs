//! The steps of one connection, from its acceptance to its end.

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

use super::client::Stranger;
use super::eviction::Member;
use super::proxy_protocol::{PreambleError, read_preamble};
use super::timeouts::TimedStream;
use super::tls::Encrypted;
use super::{BodyError, Client, Shared, Tls, Transport};
use crate::telemetry::ConnectionRefusal;

/// How long a connection waits for its turn before it takes that of the oldest stranger at its address. A handshake and a head
/// take one round trip each, a third of a second around the world.
const TURN_PATIENCE: Duration = Duration::from_secs(1);

/// How much input is discarded behind the answer to a connection without a preamble, and for how long.
const REFUSED_BYTES: u64 = 64 * 1024;
const REFUSED_TIME: Duration = Duration::from_secs(1);

/// Why a connection ends otherwise than by a close between two requests.
enum Ended {
    /// It is counted and logged under this reason.
    Refused(ConnectionRefusal),
    /// It made room for another one, which counted and logged that.
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
            (_, true) => Self::Refused(ConnectionRefusal::HeadTooLarge),
            (true, false) => Self::Refused(ConnectionRefusal::MalformedHead),
            (false, false) => Self::Broken(error.to_string()),
        }
    }
}

/// Serves one connection to its end.
pub(super) async fn serve<F, A, B>(shared: &Shared, stream: TcpStream, mut member: Arc<Member>, service: F)
where
    F: Fn(Client, Request<Incoming>) -> A + Send + 'static,
    A: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
{
    let ended = steps(shared, stream, &mut member, service).await;
    let address = member.address();
    match ended {
        Ok(()) => {}
        Err(Ended::Refused(refusal)) => shared.refused(refusal, address),
        Err(Ended::Evicted) => {}
        Err(Ended::Broken(error)) => debug!(client_address = %address, error, "connection ended early"),
    }
}

/// The steps: source address, turn, TLS, HTTP. `member` joined with the address of the peer, and becomes that of the client
/// where a proxy tells it.
async fn steps<F, A, B>(
    shared: &Shared,
    mut stream: TcpStream,
    member: &mut Arc<Member>,
    service: F,
) -> Result<(), Ended>
where
    F: Fn(Client, Request<Incoming>) -> A + Send + 'static,
    A: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
{
    let _ = stream.set_nodelay(true);
    if shared.proxy_protocol
        && let Some(told) = shared.preamble(&mut stream, member).await?
    {
        *member = shared.join(told);
    }
    let turn = shared.turn(member).await?;
    let client = |transport| {
        let counted = shared.metrics.as_ref().map(|metrics| metrics.stranger_connected());
        let stranger = Stranger { member: member.clone(), _turn: turn, _counted: counted };
        Client::new(member.address(), transport, stranger, shared.known.clone())
    };
    match &shared.tls {
        None => {
            let served = http(shared, stream, client(Transport::Plain), service);
            member.unless_evicted(served).await.ok_or(Ended::Evicted)?
        }
        Some(tls) => match shared.handshake(tls, stream, member).await? {
            Handshake::Done(stream) => {
                // boxed: a connection without TLS would be as large
                let served = Box::pin(http(shared, *stream, client(Transport::Tls), service));
                member.unless_evicted(served).await.ok_or(Ended::Evicted)?
            }
            Handshake::PlainHttp(stream) => {
                let served = Box::pin(http(shared, stream, client(Transport::PlainOnTlsPort), service));
                member.unless_evicted(served).await.ok_or(Ended::Evicted)?
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
    pub(super) fn join(&self, address: IpAddr) -> Arc<Member> {
        Arc::new(self.strangers.join(address, self.known.contains(address)))
    }

    /// Waits for the turn of this connection among the strangers of its address. None means that it needs none: a known
    /// address sends as much as it likes, and at loopback a proxy is the peer of all clients.
    ///
    /// Clients that mean well show their token at once, so turns come soon. If not, the oldest stranger of the address has
    /// been silent for long, and makes room.
    async fn turn(&self, member: &Member) -> Result<Option<OwnedSemaphorePermit>, Ended> {
        let address = member.address();
        if address.is_loopback() || self.known.contains(address) {
            return Ok(None);
        }
        let turns = member.turns(self.limits.connections_per_address);
        if let Ok(turn) = turns.clone().try_acquire_owned() {
            return Ok(Some(turn));
        }
        let turn = turns.acquire_owned();
        tokio::pin!(turn);
        let waited = member.unless_evicted(timeout(TURN_PATIENCE.min(self.limits.head), &mut turn)).await;
        if let Ok(Ok(turn)) = waited.ok_or(Ended::Evicted)? {
            return Ok(Some(turn));
        }
        if self.strangers.evict_from(address) {
            self.refused(ConnectionRefusal::TooManyConnections, address);
        }
        match member.unless_evicted(timeout(self.limits.head, turn)).await.ok_or(Ended::Evicted)? {
            Ok(Ok(turn)) => Ok(Some(turn)),
            _ => Err(Ended::Refused(ConnectionRefusal::TooManyConnections)),
        }
    }

    /// The address that a proxy tells before anything else. None means that the proxy itself is the client.
    async fn preamble(&self, stream: &mut TcpStream, member: &Member) -> Result<Option<IpAddr>, Ended> {
        let read = member.unless_evicted(timeout(self.limits.head, read_preamble(stream))).await;
        let refusal = match read.ok_or(Ended::Evicted)? {
            Ok(Ok(told)) => return Ok(told.map(|client| client.ip())),
            Ok(Err(PreambleError::Io(error))) => return Err(error.into()),
            Ok(Err(PreambleError::Missing)) | Err(_) => ConnectionRefusal::NoPreamble,
            Ok(Err(PreambleError::Malformed | PreambleError::TooLong)) => ConnectionRefusal::MalformedPreamble,
        };
        refuse(stream).await;
        Err(Ended::Refused(refusal))
    }

    /// The TLS handshake, within its time and the number of those in progress.
    async fn handshake(&self, tls: &Tls, stream: TcpStream, member: &Member) -> Result<Handshake, Ended> {
        let address = member.address();
        let place = self.handshakes.join(address, self.known.contains(address));
        if self.handshakes.count() > self.limits.handshakes
            && let Some(address) = self.handshakes.evict()
        {
            self.refused(ConnectionRefusal::TooManyHandshakes, address);
        }
        let _counted = self.metrics.as_ref().map(|metrics| metrics.handshake_begun());
        let within = timeout(self.limits.handshake, begin(tls, stream));
        let done = member.unless_evicted(place.unless_evicted(within)).await;
        let done = done.flatten().ok_or(Ended::Evicted)?;
        done.map_err(|_| Ended::Refused(ConnectionRefusal::HandshakeTimeout))?
    }
}

/// Answers a connection that has not come to HTTP, in the place of the HTTP parser.
async fn refuse(stream: &mut TcpStream) {
    let answer = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    // a client that is gone needs no answer
    let _ = stream.write_all(answer).await;
    // with unread input the connection would be reset, and the answer lost
    let _ = stream.shutdown().await;
    let mut discarded = stream.take(REFUSED_BYTES);
    let _ = timeout(REFUSED_TIME, tokio::io::copy(&mut discarded, &mut tokio::io::sink())).await;
}

async fn begin(tls: &Tls, stream: TcpStream) -> Result<Handshake, Ended> {
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
        Err(error) => {
            debug!(%error, "TLS handshake failed");
            Err(Ended::Refused(ConnectionRefusal::HandshakeFailed))
        }
    }
}

/// HTTP on a connection, whatever protects it.
async fn http<S, F, A, B>(shared: &Shared, stream: S, client: Client, service: F) -> Result<(), Ended>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Client, Request<Incoming>) -> A + Send + 'static,
    A: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
{
    let limits = shared.limits;
    let stream = TimedStream::new(stream, limits.write);
    let timer = stream.head_timer(limits.head, client.clone());
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
    let lingered = async {
        shared.stop.cancelled().await;
        tokio::time::sleep(limits.linger).await;
    };
    tokio::select! {
        ended = &mut serving => Ok(ended?),
        () = lingered => {
            serving.as_mut().graceful_shutdown();
            Ok(serving.await?)
        }
    }
}
