//! The server-sent events of a bridge, read as they come.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::HeaderValue;

use super::connection::{Connection, Connector, RequestError, broken};
use super::{Target, TlsError, Trust};

/// Where the server-sent events of a bridge come from.
pub struct EventSource {
    connector: Connector,
    target: Target,
}

/// The response to one GET, read chunk by chunk.
pub struct EventStream {
    /// The response's status.
    pub status: u16,
    body: Incoming,
    _connection: Connection,
}

impl EventSource {
    /// Connects when it is opened, not before.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn new(target: Target, trust: &Trust) -> Result<Self, TlsError> {
        Ok(Self { connector: Connector::new(trust)?, target })
    }

    /// Sends the GET, with `Last-Event-ID` where the id of the last event is given.
    ///
    /// # Errors
    /// Why there is no response, in words.
    pub async fn open(&self, last_event_id: Option<&str>) -> Result<EventStream, String> {
        self.request(last_event_id).await.map_err(|RequestError(why)| why)
    }

    async fn request(&self, last_event_id: Option<&str>) -> Result<EventStream, RequestError> {
        let mut connection = self.connector.connect(&self.target).await?;
        let mut request = self.target.get_request(HeaderValue::from_static("text/event-stream"));
        if let Some(id) = last_event_id.and_then(|id| HeaderValue::from_str(id).ok()) {
            request.headers_mut().insert("last-event-id", id);
        }
        let response = connection.send(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        Ok(EventStream { status, body: response.into_body(), _connection: connection })
    }
}

impl EventStream {
    /// The next chunk. None means the response has ended.
    ///
    /// # Errors
    /// How the connection broke, in words.
    pub async fn next(&mut self) -> Result<Option<Bytes>, String> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame.map_err(|error| broken(error).0)?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}
