//! Requests of a command to the admin listener of a bridge.

use std::sync::Arc;

use bytes::Bytes;

use super::connection::{Client, Connector, HttpResponse, Post};
use super::{Target, TlsError, Trust};

/// Posts to one URL and keeps the connection open between requests, or gets it.
pub struct AdminClient {
    client: Client,
    target: Arc<Target>,
}

impl AdminClient {
    /// Connects with the first request, not before.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn new(target: Target, trust: &Trust) -> Result<Self, TlsError> {
        Ok(Self { client: Client::new(Connector::new(trust)?), target: Arc::new(target) })
    }

    /// Posts a body and returns the status and the body of the response.
    ///
    /// # Errors
    /// Why there is no response, in words.
    pub async fn post(&mut self, body: Bytes) -> Result<(u16, Bytes), String> {
        let HttpResponse { status, body } =
            self.client.post(&self.target, &body).await.map_err(|error| error.to_string())?;
        Ok((status, body))
    }

    /// Gets the URL and returns the status and the body of the response.
    ///
    /// # Errors
    /// Why there is no response, in words.
    pub async fn get(&self) -> Result<(u16, Bytes), String> {
        let HttpResponse { status, body } = self.client.get(&self.target).await.map_err(|error| error.to_string())?;
        Ok((status, body))
    }
}
