//! One keep-alive connection, one request at a time.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HeaderValue;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::tls::Encryption;
use super::{Target, TlsError, Trust};

/// The longest response body that is read, bytes; a longer one is an error.
const MAX_RESPONSE: usize = 64 * 1024;

/// A response, read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// Why there is no response: no connection, a broken one, or a certificate that is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub(crate) struct RequestError(pub(crate) String);

/// Posts one body and returns the response. Dropping the future closes the connection.
pub(crate) trait Post {
    fn post(
        &mut self,
        target: &Arc<Target>,
        body: &Bytes,
    ) -> impl Future<Output = Result<HttpResponse, RequestError>> + Send;
}

/// Opens connections.
#[derive(Clone)]
pub(crate) struct Connector {
    encryption: Encryption,
}

impl Connector {
    pub(crate) fn new(trust: &Trust) -> Result<Self, TlsError> {
        Ok(Self { encryption: Encryption::new(trust)? })
    }

    pub(super) async fn connect(&self, target: &Target) -> Result<Connection, RequestError> {
        let refused = |error: std::io::Error| {
            RequestError(format!("no connection to {} port {}: {error}", target.host, target.port))
        };
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await.map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        if target.secure {
            Connection::over(self.encryption.encrypt(stream, target).await?).await
        } else {
            Connection::over(stream).await
        }
    }
}

pub(super) struct Connection {
    requests: SendRequest<Full<Bytes>>,
    /// The task that moves the bytes.
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Self, RequestError> {
        let (requests, driver) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let driver = tokio::spawn(async move {
            // the request that waits for its response gets the error
            let _ = driver.await;
        });
        Ok(Self { requests, _driver: AbortOnDropHandle::new(driver) })
    }

    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        self.requests.send_request(request).await
    }
}

/// One keep-alive connection, opened when it is needed.
pub(crate) struct Client {
    connector: Connector,
    open: Option<(Connection, Arc<Target>)>,
}

impl Client {
    pub(crate) fn new(connector: Connector) -> Self {
        Self { connector, open: None }
    }

    /// Gets the target, on a connection of its own.
    pub(super) async fn get(&self, target: &Target) -> Result<HttpResponse, RequestError> {
        let mut connection = self.connector.connect(target).await?;
        let response = connection.send(target.get_request(HeaderValue::from_static("*/*"))).await.map_err(broken)?;
        let status = response.status().as_u16();
        Ok(HttpResponse { status, body: read(response).await? })
    }

    /// The open connection, if it is usable and goes to this target; otherwise a new one.
    async fn connection(&mut self, target: &Arc<Target>) -> Result<Connection, RequestError> {
        if let Some((mut connection, leads_to)) = self.open.take()
            && Arc::ptr_eq(&leads_to, target)
            && connection.requests.ready().await.is_ok()
        {
            return Ok(connection);
        }
        self.connector.connect(target).await
    }

    /// Sends the body. If the open connection was closed before the request began, sends it again on a new one.
    async fn send(
        &mut self,
        target: &Arc<Target>,
        body: &Bytes,
    ) -> Result<(Connection, Response<Incoming>), RequestError> {
        let mut connection = self.connection(target).await?;
        match connection.requests.try_send_request(target.request(body.clone())).await {
            Ok(response) => Ok((connection, response)),
            Err(mut error) => match error.take_message() {
                Some(request) => self.send_on_new_connection(target, request).await,
                None => Err(broken(error.into_error())),
            },
        }
    }

    async fn send_on_new_connection(
        &self,
        target: &Target,
        request: Request<Full<Bytes>>,
    ) -> Result<(Connection, Response<Incoming>), RequestError> {
        let mut connection = self.connector.connect(target).await?;
        let response = connection.requests.send_request(request).await.map_err(broken)?;
        Ok((connection, response))
    }
}

impl Post for Client {
    async fn post(&mut self, target: &Arc<Target>, body: &Bytes) -> Result<HttpResponse, RequestError> {
        let (connection, response) = self.send(target, body).await?;
        let status = response.status().as_u16();
        let body = read(response).await?;
        self.open = Some((connection, target.clone()));
        Ok(HttpResponse { status, body })
    }
}

/// Reads the whole body.
async fn read(response: Response<Incoming>) -> Result<Bytes, RequestError> {
    let body = Limited::new(response.into_body(), MAX_RESPONSE).collect().await;
    Ok(body.map_err(|error| RequestError(format!("the response broke off: {error}")))?.to_bytes())
}

pub(super) fn broken(error: hyper::Error) -> RequestError {
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    RequestError(format!("the connection broke: {error}{cause}"))
}
