//! One keep-alive connection, one request at a time.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::{SenderError, Target, Trust};

/// How much of an answer is read; a larger one is a fault.
const MOST_ANSWER: usize = 64 * 1024;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// No answer: the connection could not be made, broke, or was encrypted by someone not believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub(super) struct Fault(pub(super) String);

/// What sends one notification and brings its answer. Dropped unfinished, it gives the connection up.
pub(super) trait Post {
    fn post(&mut self, target: &Arc<Target>, body: &Bytes) -> impl Future<Output = Result<Answer, Fault>> + Send;
}

/// How connections are made.
#[derive(Clone)]
pub(super) struct Connector {
    #[cfg(feature = "tls")]
    tls: tokio_rustls::TlsConnector,
}

impl Connector {
    #[cfg(feature = "tls")]
    pub(super) fn new(trust: &Trust) -> Result<Self, SenderError> {
        Ok(Self { tls: super::tls::connector(trust)? })
    }

    #[cfg(not(feature = "tls"))]
    pub(super) fn new(_: &Trust) -> Result<Self, SenderError> {
        Ok(Self {})
    }

    pub(super) async fn connect(&self, target: &Target) -> Result<Connection, Fault> {
        let place = (target.host.as_str(), target.port);
        let cannot = |error: std::io::Error| Fault(format!("no connection to {} port {}: {error}", place.0, place.1));
        let stream = TcpStream::connect(place).await.map_err(cannot)?;
        stream.set_nodelay(true).map_err(cannot)?;
        if target.secure { self.encrypted(stream, target).await } else { Connection::over(stream).await }
    }

    #[cfg(feature = "tls")]
    async fn encrypted(&self, stream: TcpStream, target: &Target) -> Result<Connection, Fault> {
        let name = tokio_rustls::rustls::pki_types::ServerName::try_from(target.host.clone());
        let name = name.map_err(|error| Fault(format!("{}: {error}", target.host)))?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| {
            let remedy = "; name its authority with --ca-file, or believe anyone with --insecure";
            let remedy = if error.to_string().contains("certificate") { remedy } else { "" };
            Fault(format!("no TLS with {} port {}: {error}{remedy}", target.host, target.port))
        })?;
        Connection::over(stream).await
    }

    #[cfg(not(feature = "tls"))]
    async fn encrypted(&self, _: TcpStream, _: &Target) -> Result<Connection, Fault> {
        // such a target cannot be made in this build
        Err(Fault("no https in this build".into()))
    }
}

pub(super) struct Connection {
    requests: SendRequest<Full<Bytes>>,
    /// What moves the bytes.
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Self, Fault> {
        let (requests, driver) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let driver = tokio::spawn(async move {
            // whoever waits for an answer hears of the fault
            let _ = driver.await;
        });
        Ok(Self { requests, _driver: AbortOnDropHandle::new(driver) })
    }

    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        self.requests.send_request(request).await
    }
}

/// The connection of one instance.
pub(super) struct Client {
    connector: Connector,
    open: Option<(Connection, Arc<Target>)>,
}

impl Client {
    pub(super) fn new(connector: Connector) -> Self {
        Self { connector, open: None }
    }

    /// The open connection, if it can be used and leads there; otherwise a new one.
    async fn connection(&mut self, target: &Arc<Target>) -> Result<Connection, Fault> {
        if let Some((mut connection, leads_to)) = self.open.take()
            && Arc::ptr_eq(&leads_to, target)
            && connection.requests.ready().await.is_ok()
        {
            return Ok(connection);
        }
        self.connector.connect(target).await
    }

    /// Sends it; once more, on a new connection, if the old one was closed before it was begun.
    async fn send(&mut self, target: &Arc<Target>, body: &Bytes) -> Result<(Connection, Response<Incoming>), Fault> {
        let mut connection = self.connection(target).await?;
        match connection.requests.try_send_request(target.request(body.clone())).await {
            Ok(response) => Ok((connection, response)),
            Err(mut error) => match error.take_message() {
                Some(request) => self.send_anew(target, request).await,
                None => Err(broken(error.into_error())),
            },
        }
    }

    async fn send_anew(
        &self,
        target: &Target,
        request: Request<Full<Bytes>>,
    ) -> Result<(Connection, Response<Incoming>), Fault> {
        let mut connection = self.connector.connect(target).await?;
        let response = connection.requests.send_request(request).await.map_err(broken)?;
        Ok((connection, response))
    }
}

impl Post for Client {
    async fn post(&mut self, target: &Arc<Target>, body: &Bytes) -> Result<Answer, Fault> {
        let (connection, response) = self.send(target, body).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MOST_ANSWER).collect().await;
        let body = body.map_err(|error| Fault(format!("the answer broke off: {error}")))?.to_bytes();
        self.open = Some((connection, target.clone()));
        Ok(Answer { status, body })
    }
}

pub(super) fn broken(error: hyper::Error) -> Fault {
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Fault(format!("the connection broke: {error}{cause}"))
}
