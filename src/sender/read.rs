//! Reading what a bridge shows, as it comes.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};

use super::client::{Connection, Connector, Fault, broken};
use super::{Target, Trust};

/// The answer to one GET, read a piece at a time.
pub struct Reading {
    /// Its status.
    pub status: u16,
    body: Incoming,
    _connection: Connection,
}

impl Reading {
    /// Asks for what is at this target, believing the authorities of the system; behind a place, if it was there before.
    ///
    /// # Errors
    /// Why there is no answer, in words.
    pub async fn begin(target: &Target, place: Option<&str>) -> Result<Self, String> {
        Self::asked(target, place).await.map_err(|Fault(why)| why)
    }

    async fn asked(target: &Target, place: Option<&str>) -> Result<Self, Fault> {
        let connector = Connector::new(&Trust::System).map_err(|error| Fault(error.to_string()))?;
        let mut connection = connector.connect(target).await?;
        let mut request = target.request(Bytes::new());
        *request.method_mut() = Method::GET;
        request.headers_mut().remove(CONTENT_TYPE);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(place) = place.and_then(|place| HeaderValue::from_str(place).ok()) {
            request.headers_mut().insert("last-event-id", place);
        }
        let answer = connection.send(request).await.map_err(broken)?;
        Ok(Self { status: answer.status().as_u16(), body: answer.into_body(), _connection: connection })
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// How it broke off, in words.
    pub async fn next(&mut self) -> Result<Option<Bytes>, String> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame.map_err(|error| broken(error).0)?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}
