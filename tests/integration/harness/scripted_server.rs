//! An HTTP server that answers by a script: what a sender meets in place of a bridge.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::Certificates;

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
    /// Which connection brought it, from 0.
    pub connection: usize,
}

/// What is done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Answer(u16),
    /// Answers 200, and closes.
    Last,
    /// Closes without a word.
    Break,
    /// Never answers, and keeps the connection.
    Silence,
}

pub struct ScriptedServer {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl ScriptedServer {
    /// Does this with each request, by its number from 0; beyond the script it answers 200.
    pub fn start(script: &[Act]) -> Self {
        Self::listen(script, Ok)
    }

    /// The same over TLS, with the certificate of the server.
    pub fn start_secure(certificates: &Certificates) -> Self {
        let chain = CertificateDer::pem_file_iter(certificates.at("server")).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(certificates.at("server.key")).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
        Self::listen(&[], move |stream| {
            let session = ServerConnection::new(config.clone()).map_err(std::io::Error::other)?;
            Ok(StreamOwned::new(session, stream))
        })
    }

    fn listen<S: Read + Write>(
        script: &[Act],
        over: impl Fn(TcpStream) -> std::io::Result<S> + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let (script, log): (Arc<[Act]>, _) = (script.into(), seen.clone());
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (script, log, over) = (script.clone(), log.clone(), over.clone());
                std::thread::spawn(move || {
                    // a client that goes away is part of the tests
                    let _ = over(stream?).and_then(|stream| serve(stream, connection, &script, &log));
                    std::io::Result::Ok(())
                });
            }
        });
        Self { address, seen }
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(
    stream: impl Read + Write,
    connection: usize,
    script: &[Act],
    log: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let lower = head.to_ascii_lowercase();
        let length = match lower.split_once("content-length: ") {
            Some((_, length)) => length.lines().next().unwrap().parse().unwrap(),
            None => 0,
        };
        assert!(length > 0 || head.starts_with("GET "), "a body with a length");
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let number = {
            let mut log = log.lock().unwrap();
            log.push(Request { head, body, connection });
            log.len() - 1
        };
        let (status, close) = match script.get(number).copied().unwrap_or(Act::Answer(200)) {
            Act::Answer(status) => (status, ""),
            Act::Last => (200, "Connection: close\r\n"),
            Act::Break => return Ok(()),
            Act::Silence => return stream.read_to_end(&mut Vec::new()).map(drop),
        };
        // a 204 has no body, and no length
        let rest = if status == 204 { "\r\n" } else { "Content-Length: 2\r\n\r\n{}" };
        stream.get_mut().write_all(format!("HTTP/1.1 {status} x\r\n{close}{rest}").as_bytes())?;
        if !close.is_empty() {
            return Ok(());
        }
    }
}
