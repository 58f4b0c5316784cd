//! Sends notifications over connections that stay open, with TLS if there is a certificate to trust.
//! `bench-keep-alive ADDRESS CONNECTIONS RATE SECONDS TOKEN [CERTIFICATE]`
//!
//! Each connection is open and has had an answer before the measured time begins. It begins with a line on the standard
//! input: the program that started this one can look at the server first.

#[path = "program.rs"]
mod program;
#[path = "senders.rs"]
mod senders;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use program::{Failed, argument};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

fn main() -> Result<(), Failed> {
    program::runtime()?.block_on(async {
        let (address, token, tls) = (argument(1)?, argument(5)?, argument(6).ok().map(connector).transpose()?);
        // each is opened by its first notification: a server closes a connection that is silent for long
        let connections: HashMap<_, _> = senders::bodies::of(argument(2)?.parse()?)?
            .iter()
            .map(|bodies| (bodies.instance, Mutex::new(None)))
            .collect();
        let shared = Arc::new((connections, address, token, tls));
        senders::send_after(wait_for_a_line, move |instance, body| {
            let shared = shared.clone();
            async move {
                let (connections, address, token, tls) = &*shared;
                let mut connection = connections.get(&instance).ok_or("no connection")?.lock().await;
                if connection.is_none() {
                    *connection = Some(Connection::open(address, token, tls.as_ref()).await?);
                }
                connection.as_mut().ok_or("no connection")?.post(&body).await
            }
        })
        .await
    })
}

/// Says that everything is open, and waits.
#[allow(clippy::print_stdout, reason = "the benchmark reads it")]
fn wait_for_a_line() -> Result<(), Failed> {
    println!("open");
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

struct Connection {
    stream: Box<dyn Stream>,
    head: String,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(address: &str, token: &str, tls: Option<&TlsConnector>) -> Result<Self, Failed> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(stream),
            Some(tls) => Box::new(tls.connect(ServerName::try_from("localhost")?, stream).await?),
        };
        // the headers that greenapi-bridge send has
        let head = format!(
            "POST /green-api/webhook/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: "
        );
        Ok(Self { stream, head, request: Vec::new(), answer: vec![0; 4096] })
    }

    /// Sends one and reads the answer, which comes in one piece: it is small.
    async fn post(&mut self, body: &Bytes) -> Result<(), Failed> {
        self.request.clear();
        self.request.extend_from_slice(self.head.as_bytes());
        self.request.extend_from_slice(format!("{}\r\n\r\n", body.len()).as_bytes());
        self.request.extend_from_slice(body);
        self.stream.write_all(&self.request).await?;
        self.stream.flush().await?;
        let length = self.stream.read(&mut self.answer).await?;
        let answer = &self.answer[..length];
        if answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"}") {
            return Ok(());
        }
        Err(format!("answered: {}", String::from_utf8_lossy(answer)).into())
    }
}

fn connector(certificate: String) -> Result<TlsConnector, Failed> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(client)))
}
