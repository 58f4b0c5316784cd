//! A client that speaks HTTP over TLS, byte by byte as the test wants it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::harness::Answer;

fn connect_from(from: IpAddr, to: SocketAddr) -> TcpStream {
    // std cannot choose the address it connects from
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let connected = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        socket.connect(to).await.unwrap().into_std().unwrap()
    });
    connected.set_nonblocking(false).unwrap();
    connected
}

pub struct Client(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Client {
    /// Connects from an address of this machine, and checks the server's certificate against this authority.
    pub fn connect(from: IpAddr, to: SocketAddr, authority: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        let session = ClientConnection::new(Arc::new(config), to.ip().into()).unwrap();
        let stream = connect_from(from, to);
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(StreamOwned::new(session, stream)))
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    /// Sends as much as the server takes before it closes.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes)?;
        self.0.get_mut().flush()
    }

    /// The next answer; waits for it.
    pub fn answer(&mut self) -> Answer {
        self.answer_or_end().expect("it closed without an answer")
    }

    /// The next answer; None if the server closes instead.
    pub fn answer_or_end(&mut self) -> Option<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head).unwrap() == 0 {
                assert_eq!(head, "", "it closed inside an answer");
                return None;
            }
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let answer = Answer { status, head, body: String::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        Some(Answer { body: String::from_utf8(body).unwrap(), ..answer })
    }

    /// All that comes until the server closes, or says nothing for so long.
    pub fn read_for(&mut self, quiet: Duration) -> String {
        self.0.get_ref().sock.set_read_timeout(Some(quiet)).unwrap();
        let mut all = Vec::new();
        // a reset, or an end without a word, is an end too
        let _ = self.0.read_to_end(&mut all);
        String::from_utf8_lossy(&all).into_owned()
    }
}

/// A notification, on a connection that stays open. The proxies know the host by which the test connects.
pub fn request(headers: &str, body: &[u8]) -> Vec<u8> {
    head(&format!("{headers}Content-Length: {}\r\n", body.len()), body)
}

/// The head of a notification with these headers, and what comes after it.
pub fn head(headers: &str, rest: &[u8]) -> Vec<u8> {
    [format!("POST /green-api/webhook/ HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n").as_bytes(), rest].concat()
}

/// The same in chunks of this size.
pub fn chunked(headers: &str, body: &[u8], size: usize) -> Vec<u8> {
    let chunks = body.chunks(size).map(|part| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat());
    let body: Vec<u8> = chunks.flatten().chain(*b"0\r\n\r\n").collect();
    head(&format!("{headers}Transfer-Encoding: chunked\r\n"), &body)
}
