//! One request for a command: to a listener for operators.

use std::sync::Arc;

use bytes::Bytes;

use super::client::{Client, Connector, Post};
use super::{SenderError, Target, Trust};

/// Posts to one place; keeps the connection.
pub struct Asker {
    client: Client,
    target: Arc<Target>,
}

impl Asker {
    /// Nothing is done before something is asked.
    ///
    /// # Errors
    /// [`SenderError`]: encryption cannot be set up.
    pub fn new(target: Target) -> Result<Self, SenderError> {
        Ok(Self { client: Client::new(Connector::new(&Trust::System)?), target: Arc::new(target) })
    }

    /// Posts a body, and brings the status and what was answered.
    ///
    /// # Errors
    /// No answer, in words.
    pub async fn post(&mut self, body: Bytes) -> Result<(u16, Bytes), String> {
        let answer = self.client.post(&self.target, &body).await.map_err(|fault| fault.to_string())?;
        Ok((answer.status, answer.body))
    }
}
