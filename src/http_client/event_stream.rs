//! The server-sent events of a bridge, read as they come.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};

use super::connection::{Connection, Connector, RequestError, broken};
use super::{Target, Trust};

/// The response to one GET, read chunk by chunk.
pub struct EventStream {
    /// The response's status.
    pub status: u16,
    body: Incoming,
    _connection: Connection,
}

impl EventStream {
    /// Sends the GET, with `Last-Event-ID` where the id of the last event is given.
    ///
    /// # Errors
    /// Why there is no response, in words.
    pub async fn open(target: &Target, last_event_id: Option<&str>) -> Result<Self, String> {
        Self::request(target, last_event_id).await.map_err(|RequestError(why)| why)
    }

    async fn request(target: &Target, last_event_id: Option<&str>) -> Result<Self, RequestError> {
        let connector = Connector::new(&Trust::System).map_err(|error| RequestError(error.to_string()))?;
        let mut connection = connector.connect(target).await?;
        let mut request = target.request(Bytes::new());
        *request.method_mut() = Method::GET;
        request.headers_mut().remove(CONTENT_TYPE);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(id) = last_event_id.and_then(|id| HeaderValue::from_str(id).ok()) {
            request.headers_mut().insert("last-event-id", id);
        }
        let response = connection.send(request).await.map_err(broken)?;
        Ok(Self { status: response.status().as_u16(), body: response.into_body(), _connection: connection })
    }

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
