//! TLS of a listener: rustls with ring, TLS 1.2 and 1.3, HTTP/1.1 alone.
//!
//! In: a TCP connection and the two files of [`TlsConfig`]. Out: an encrypted connection. The certificate can be replaced
//! while connections are open; new handshakes use the new one.

mod certificate;

use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::RwLock;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

use super::tls_config::{CertificateError, CertificateInfo, TlsConfig, TlsFile, Validity};
use certificate::Certificate;

/// An encrypted connection.
pub(super) type Encrypted = TlsStream<TcpStream>;

/// The TLS of one listener. Cheap to clone; all clones have the same certificate.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
}

/// The certificate that new handshakes use.
#[derive(Debug)]
struct Current(RwLock<Certificate>);

impl Current {
    fn key(&self) -> Arc<CertifiedKey> {
        self.0.read().key.clone()
    }
}

impl ResolvesServerCert for Current {
    /// The one certificate, whatever host name the client asks for: GREEN-API may call a bare address, which is no name.
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key())
    }
}

impl Tls {
    /// TLS with the certificate of these files.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn load(config: &TlsConfig) -> Result<Self, CertificateError> {
        let current = Arc::new(Current(RwLock::new(Certificate::load(config)?)));
        let setup = |error: rustls::Error| CertificateError::new(TlsFile::Certificate, format!("no TLS: {error}"));
        // named here: a library does not choose the provider of the whole process
        let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(setup)?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        // a client that insists on HTTP/2 is refused in the handshake
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        // tickets hold the session at the client, so resumption costs no memory here
        server.ticketer = ring::Ticketer::new().map_err(setup)?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(server)), current })
    }

    /// Reads the files again. A certificate that cannot be used changes nothing; neither does an expired one, as long as the
    /// one in use is valid.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn reload(&self, config: &TlsConfig) -> Result<(), CertificateError> {
        let (new, now) = (Certificate::load(config)?, SystemTime::now());
        let has_expired = |certificate: &CertificateInfo| certificate.validity(now) == Validity::Expired;
        if has_expired(&new.info) && !has_expired(&self.certificate()) {
            let problem = "it has expired, and the one in use has not; give one that is valid";
            return Err(CertificateError::new(TlsFile::Certificate, problem));
        }
        *self.current.0.write() = new;
        Ok(())
    }

    /// What the certificate says of itself.
    pub fn certificate(&self) -> CertificateInfo {
        self.current.0.read().info.clone()
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<Encrypted> {
        self.acceptor.accept(stream).await
    }
}

/// Chooses ring for every part of this process that names no provider. rustls panics at its first handshake if none is
/// chosen and the build has several.
pub fn install_provider() {
    // an error means that one is installed already
    let _ = ring::default_provider().install_default();
}
