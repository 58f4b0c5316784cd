//! The number of series does not grow with what strangers and senders choose.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpSocket;

use crate::harness::{Bridge, Certificates, Nats, eventually, exchange};

const TOKENS: &str = "a-token-of-no-instance\n7 token-for-seven-only\n";
const VALID: &str = "Authorization: Bearer a-token-of-no-instance\r\n";

/// Pseudo-random numbers, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// A word of letters that no word before was.
    fn word(&mut self) -> String {
        format!("w{}{}", self.next(), self.next())
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// Every series of the page, without its value.
fn series(bridge: &Bridge) -> BTreeSet<String> {
    let (status, page) = bridge.get("/metrics");
    assert_eq!(status, 200);
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

/// What nobody was asked for: another path, method, host, token, header, instance, type and class in each request.
fn hostile_request(numbers: &mut Numbers) -> Vec<u8> {
    let [word, other, kind] = [(); 3].map(|()| numbers.word());
    let instance = numbers.next();
    let body =
        format!(r#"{{"typeWebhook":"{kind}","instanceData":{{"idInstance":{instance},"typeInstance":"{other}"}}}}"#);
    let post = |path: &str, headers: &str, body: &str| {
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nHost: {word}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        )
    };
    let path = "/green-api/webhook/";
    let request = match numbers.next() % 8 {
        0 => post(path, VALID, &body),
        1 => post(path, VALID, &format!(r#"{{"{word}":"{other}"}}"#)),
        2 => post(path, VALID, &word),
        3 => post(&format!("/{word}?instance={other}"), VALID, &body),
        4 => post(path, &format!("Authorization: Bearer {word}\r\n"), &body),
        5 => post(path, "Authorization: Bearer token-for-seven-only\r\n", &body),
        6 => format!(
            "{} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{word}: {other}\r\n\r\n",
            word.to_uppercase()
        ),
        _ => post(path, &format!("{VALID}X-Forwarded-For: {other}\r\nContent-Encoding: {word}\r\n"), &body),
    };
    request.into_bytes()
}

/// Sends bytes from an address of this machine, and reads what comes.
async fn send_from(address: Ipv4Addr, to: SocketAddr, bytes: Vec<u8>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, 0).into()).unwrap();
    let stream = socket.connect(to).await.unwrap().into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // a server that refuses early may close before it has read everything
    let _ = (&stream).write_all(&bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = (&stream).read_to_end(&mut Vec::new());
}

fn tokens(folder: &tempfile::TempDir) -> String {
    let path = folder.path().join("tokens");
    std::fs::write(&path, TOKENS).unwrap();
    format!("auth.tokens_file = {path:?}\n")
}

#[test]
fn hostile_requests_add_no_series_and_an_instance_of_the_tokens_file_does() {
    let (nats, folder, mut numbers) = (Nats::start(), tempfile::tempdir().unwrap(), Numbers(18));
    let bridge = Bridge::start(&nats, &tokens(&folder));
    let before = series(&bridge);
    for _ in 0..3000 {
        exchange(bridge.http, &hostile_request(&mut numbers));
    }
    let after = series(&bridge);
    eprintln!("{} series before, {} after 3000 requests, all different", before.len(), after.len());
    assert_eq!(before, after);
    for status in ["200", "401", "404", "405"] {
        assert!(bridge.metric(&format!("http_requests_total{{status=\"{status}\"}}")) > 100.0, "{status}");
    }
    // what is compared above can differ
    std::fs::write(folder.path().join("tokens"), format!("{TOKENS}8 token-for-eight-only\n")).unwrap();
    eventually("an instance more", Duration::from_secs(10), || series(&bridge).len() == before.len() + 1);
}

#[test]
fn garbage_instead_of_tls_from_a_thousand_addresses_adds_no_series() {
    let (nats, folder, mut numbers) = (Nats::start(), tempfile::tempdir().unwrap(), Numbers(19));
    let certificates = Certificates::new();
    let bridge = Bridge::start(&nats, &format!("{}{}", tokens(&folder), certificates.section("http.tls")));
    let before = series(&bridge);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for number in 0..1000_u16 {
        let mut bytes = match number % 4 {
            // the record header of a ClientHello, then no ClientHello
            0 => vec![22, 3, 1, 1, 0],
            1 => b"GET / HTTP/1.1\r\nHost: ".to_vec(),
            _ => Vec::new(),
        };
        bytes.extend(numbers.bytes(300));
        let [high, low] = number.to_be_bytes();
        runtime.block_on(send_from(Ipv4Addr::new(127, 77, high, low.max(1)), bridge.http, bytes));
    }
    let after = series(&bridge);
    eprintln!("{} series before, {} after 1000 connections from as many addresses", before.len(), after.len());
    assert_eq!(before, after);
    assert!(bridge.metric("refused_total{reason=\"handshake_failed\"}") > 300.0);
}
