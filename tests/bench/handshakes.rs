//! Opens TLS connections one after the other, each for one request that stores nothing new.
//! `bench-handshakes ADDRESS SENDERS RATE SECONDS CERTIFICATE TOKEN full|resumed`

#[path = "program.rs"]
mod program;
#[path = "senders.rs"]
mod senders;

use std::sync::Arc;

use program::{Failed, argument};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, RootCertStore};

const BODY: &str = r#"{"typeWebhook":"incomingCall","instanceData":{"idInstance":7}}"#;

fn main() -> Result<(), Failed> {
    program::runtime()?.block_on(async {
        let (address, token) = (argument(1)?, argument(6)?);
        let expected = if argument(7)? == "resumed" { HandshakeKind::Resumed } else { HandshakeKind::Full };
        let request = format!(
            "POST /green-api/webhook/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: {}\r\n\r\n{BODY}",
            BODY.len()
        );
        let mut clients = Vec::new();
        for _ in 0..argument(2)?.parse()? {
            let client = Client { address: address.clone(), request: request.clone(), tls: connector(expected)? };
            // a session must be begun before it can be resumed
            client.connect().await?;
            clients.push(Arc::new(client));
        }
        senders::send(move |instance, _| {
            // the instances are numbered one after the other, so each has a client of its own
            let client = clients[instance as usize % clients.len()].clone();
            async move {
                let done = client.connect().await?;
                if done == expected { Ok(()) } else { Err(format!("the handshake is {done:?}").into()) }
            }
        })
        .await
    })
}

/// Has sessions of its own, so that no other client takes its tickets.
struct Client {
    address: String,
    request: String,
    tls: TlsConnector,
}

impl Client {
    async fn connect(&self) -> Result<HandshakeKind, Failed> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let mut stream = self.tls.connect(ServerName::try_from("localhost")?, stream).await?;
        stream.write_all(self.request.as_bytes()).await?;
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer).await?;
        if !answer[..length].starts_with(b"HTTP/1.1 200") {
            return Err(format!("answered: {}", String::from_utf8_lossy(&answer[..length])).into());
        }
        let done = stream.get_ref().1.handshake_kind().ok_or("no handshake")?;
        stream.shutdown().await?;
        Ok(done)
    }
}

fn connector(kind: HandshakeKind) -> Result<TlsConnector, Failed> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(argument(5)?)?)?;
    let mut client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    if kind == HandshakeKind::Full {
        client.resumption = Resumption::disabled();
    }
    Ok(TlsConnector::from(Arc::new(client)))
}
