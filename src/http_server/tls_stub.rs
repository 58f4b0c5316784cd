//! What stands for TLS in a build without the feature `tls`.

use std::convert::Infallible;
use std::io;

use tokio::net::TcpStream;

use super::tls_config::{CertificateError, CertificateInfo, TlsConfig, TlsFile};

pub(super) type Encrypted = TcpStream;

/// The TLS of a listener, which this build cannot have.
#[derive(Clone)]
pub struct Tls(Infallible);

impl Tls {
    /// Refuses.
    ///
    /// # Errors
    /// Always.
    pub fn load(_: &TlsConfig) -> Result<Self, CertificateError> {
        Err(CertificateError::new(TlsFile::Certificate, "this build has no TLS; build with the feature `tls`"))
    }

    /// Never called.
    ///
    /// # Errors
    /// Never.
    pub fn reload(&self, _: &TlsConfig) -> Result<(), CertificateError> {
        match self.0 {}
    }

    /// Never called.
    pub fn certificate(&self) -> CertificateInfo {
        match self.0 {}
    }

    pub(super) async fn accept(&self, _: TcpStream) -> io::Result<Encrypted> {
        match self.0 {}
    }
}

/// Does nothing.
pub fn install_provider() {}
