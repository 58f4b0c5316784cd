//! TLS of a build without the feature `tls`: [`Target`] refuses https, so that nothing is ever encrypted.

use tokio::net::TcpStream;

use super::connection::RequestError;
use super::{Target, TlsError, Trust};

/// Whether this build has TLS.
pub(super) const IS_BUILT: bool = false;

#[derive(Clone)]
pub(super) struct Encryption;

impl Encryption {
    pub(super) fn new(_: &Trust) -> Result<Self, TlsError> {
        Ok(Self)
    }

    pub(super) async fn encrypt(&self, _: TcpStream, _: &Target) -> Result<TcpStream, RequestError> {
        Err(RequestError("no https in this build".into()))
    }
}
