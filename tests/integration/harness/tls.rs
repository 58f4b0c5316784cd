//! HTTP as bytes over TLS.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::Answer;
use super::wire::read_answer;

/// A connection that checks the certificate of the server for one name.
pub struct TlsConnection(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl TlsConnection {
    /// Connects, trusts the authority of this PEM file alone, and wants a certificate for `name`.
    pub fn open(to: SocketAddr, authority: &str, name: &str) -> std::io::Result<Self> {
        Self::with(to, name, Self::config(authority))
    }

    /// A client that trusts the authority of this PEM file.
    pub fn config(authority: &str) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap();
        Arc::new(config.with_root_certificates(roots).with_no_client_auth())
    }

    pub fn with(to: SocketAddr, name: &str, config: Arc<ClientConfig>) -> std::io::Result<Self> {
        Self::over(TcpStream::connect(to)?, name, config)
    }

    /// The same over a connection that is open already.
    pub fn over(stream: TcpStream, name: &str, config: Arc<ClientConfig>) -> std::io::Result<Self> {
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(tls_stream(stream, name, config)?)))
    }

    pub fn session(&self) -> &ClientConnection {
        &self.0.get_ref().conn
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes.as_ref())
    }

    /// Sends bytes, and ends what this side sends; the answer can still come.
    pub fn send_and_half_close(&mut self, bytes: impl AsRef<[u8]>) {
        let stream = self.0.get_mut();
        stream.write_all(bytes.as_ref()).unwrap();
        stream.conn.send_close_notify();
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }

    /// The next answer; waits for it.
    pub fn answer(&mut self) -> Answer {
        read_answer(&mut self.0)
    }

    /// The next answer; None if the server closes instead.
    pub fn answer_or_end(&mut self) -> Option<Answer> {
        let is_over = self.0.fill_buf().unwrap().is_empty();
        (!is_over).then(|| self.answer())
    }

    /// All that comes until the server closes, or sends nothing for so long.
    pub fn read_until_quiet(&mut self, quiet: Duration) -> String {
        self.0.get_ref().sock.set_read_timeout(Some(quiet)).unwrap();
        let mut all = Vec::new();
        // a reset, or an end without a word, is an end too
        let _ = self.0.read_to_end(&mut all);
        String::from_utf8_lossy(&all).into_owned()
    }

    /// Waits until the server closes; whether it does without another byte.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0)) || self.0.get_mut().sock.read(&mut [0]).is_ok_and(|read| read == 0)
    }
}

/// A stream, after the handshake.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// Makes the handshake for a server of this name.
pub fn tls_stream(stream: TcpStream, name: &str, config: Arc<ClientConfig>) -> std::io::Result<TlsStream> {
    let client = ClientConnection::new(config, ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut stream = StreamOwned::new(client, stream);
    stream.conn.complete_io(&mut stream.sock)?;
    Ok(stream)
}
