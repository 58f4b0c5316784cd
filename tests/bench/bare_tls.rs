//! Answers 200 over TLS and stores nothing: what rustls and hyper alone cost, with the TLS settings of the bridge.
//! `bench-bare-tls ADDRESS CERTIFICATE KEY`

#[path = "http.rs"]
mod http;
#[path = "program.rs"]
mod program;

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

fn main() -> Result<(), program::Failed> {
    let chain = CertificateDer::pem_file_iter(program::argument(2)?)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(program::argument(3)?)?;
    let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    server.ticketer = ring::Ticketer::new()?;
    let acceptor = TlsAcceptor::from(Arc::new(server));
    program::runtime()?.block_on(http::serve_over(move |stream| acceptor.accept(stream), |_| async { Ok(()) }))
}
