//! TLS of the client: rustls with ring, and whose certificates it accepts.

use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::connection::RequestError;
use super::{Target, TlsError, Trust};

/// Whether this build has TLS.
pub(super) const IS_BUILT: bool = true;

/// Encrypts connections.
#[derive(Clone)]
pub(super) struct Encryption {
    connector: TlsConnector,
    /// What to do about a certificate that is not trusted.
    remedy: String,
}

impl Encryption {
    /// TLS 1.2 and 1.3 that checks certificates as `trust` says.
    ///
    /// # Errors
    /// A CA file that cannot be read, or holds no certificate.
    pub(super) fn new(trust: &Trust) -> Result<Self, TlsError> {
        // named here: a library does not choose the provider of the whole process
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Setup(error.to_string()))?;
        let config = match trust {
            Trust::Any => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unchecked { provider, only: None }))
                .with_no_client_auth(),
            Trust::Certificate(path) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unchecked { provider, only: Some(first_in_file(path)?) }))
                .with_no_client_auth(),
            Trust::File(path) => builder.with_root_certificates(from_file(path)?).with_no_client_auth(),
            Trust::System => builder.with_root_certificates(from_system()).with_no_client_auth(),
        };
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), remedy: remedy(trust) })
    }

    /// Sets up TLS with the target on its connection.
    ///
    /// # Errors
    /// A host that no certificate can name, or a server that is not trusted.
    pub(super) async fn encrypt(
        &self,
        stream: TcpStream,
        target: &Target,
    ) -> Result<TlsStream<TcpStream>, RequestError> {
        let name = ServerName::try_from(target.host.clone());
        let name = name.map_err(|error| RequestError(format!("{}: {error}", target.host)))?;
        self.connector.connect(name, stream).await.map_err(|error| {
            let problem = error.to_string();
            let remedy = match problem.as_str() {
                said if said.contains("CaUsedAsEndEntity") => {
                    "; that is the certificate of an authority; make the server one with basicConstraints=CA:FALSE"
                }
                said if said.contains("not valid for name") || said.contains("only valid for") => {
                    "; name the server in the URL as its certificate does"
                }
                said if said.contains("certificate") => &self.remedy,
                _ => "",
            };
            RequestError(format!("no TLS with {} port {}: {problem}{remedy}", target.host, target.port))
        })
    }
}

fn remedy(trust: &Trust) -> String {
    match trust {
        Trust::System | Trust::File(_) => "; name its authority with --ca-file".into(),
        Trust::Certificate(path) => {
            let path = path.display();
            format!("; it has another certificate than {path}: reload it, or give --url and --ca-file")
        }
        Trust::Any => String::new(),
    }
}

fn from_file(path: &Path) -> Result<RootCertStore, TlsError> {
    let fault = |problem: String| TlsError::CaFile { path: path.display().to_string(), problem };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))? {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added.map_err(fault)?;
    }
    if roots.is_empty() {
        return Err(fault("holds no certificate; give a PEM file".into()));
    }
    Ok(roots)
}

/// The system's authorities. With none, every certificate is refused, and the error says so.
fn from_system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// The first certificate of a PEM file.
fn first_in_file(path: &Path) -> Result<CertificateDer<'static>, TlsError> {
    CertificateDer::from_pem_file(path)
        .map_err(|error| TlsError::Certificate { path: path.display().to_string(), problem: error.to_string() })
}

/// Checks no authority, name or expiry, but still that the server has the private key of its certificate.
#[derive(Debug)]
struct Unchecked {
    provider: Arc<CryptoProvider>,
    /// The only certificate that is accepted. None means any.
    only: Option<CertificateDer<'static>>,
}

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.only {
            Some(only) if only != certificate => Err(CertificateError::ApplicationVerificationFailure.into()),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
