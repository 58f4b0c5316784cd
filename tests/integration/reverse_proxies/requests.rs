//! Notifications as bytes, on a connection that stays open.

/// A notification.
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
