//! Sends a row, and compares what comes back with the one answer that is allowed.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::row::{Answer, End, Row, Step};

/// A connection of a client, encrypted or not.
pub(crate) trait Wire: Read + Write {
    /// Says that nothing more is sent.
    fn half_close(&mut self);
}

impl Wire for TcpStream {
    fn half_close(&mut self) {
        // the server may have closed before
        let _ = self.shutdown(Shutdown::Write);
    }
}

/// "Never", for a test.
pub(crate) const NEVER: Duration = Duration::from_secs(60);

/// The heads and bodies of the answers to a row, as they came. Fails with what is different from the row.
pub(crate) fn exchange(row: &Row, wire: impl Wire) -> std::result::Result<Vec<Reply>, String> {
    let mut client = Client { wire, unread: Vec::new(), replies: Vec::new(), is_head: false };
    for step in &row.steps {
        match step {
            Step::Send(bytes) => client.send(bytes),
            Step::Answer => client.expect_next(row)?,
            Step::Pause => std::thread::sleep(Duration::from_millis(5)),
            Step::HalfClose => client.wire.half_close(),
            Step::Close => return Ok(client.replies),
        }
    }
    while client.replies.len() < row.answers.len() {
        client.expect_next(row)?;
    }
    let announced = client.replies.last().is_none_or(|last| last.announces(row.end));
    if row.end == End::StaysOpen {
        // the answer to it also shows that both sides agree on where the requests before it end
        client.is_head = false;
        client.send(b"PUT /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        client.expect((404, "not_found"))?;
    }
    match client.reply()? {
        None if announced => Ok(client.replies),
        None => Err(format!("the last answer says otherwise: {:?}", client.replies.last())),
        Some(reply) => Err(format!("one answer too many, or the connection is not closed: {reply:?}")),
    }
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// The name and value of every field.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head
            .lines()
            .skip(1)
            .filter(|line| !line.is_empty())
            .map(|line| line.split_once(": ").unwrap_or((line, "")))
    }

    /// Whether it says of the connection what then becomes of it. HTTP/1.0 closes where nothing is said.
    fn announces(&self, end: End) -> bool {
        let is_old = self.head.starts_with("HTTP/1.0 ");
        let said = self.fields().find(|(name, _)| *name == "connection").map(|(_, value)| value);
        match end {
            End::StaysOpen => said == is_old.then_some("keep-alive"),
            End::Closed => said == Some("close") || is_old && said.is_none(),
            End::ClosedLater | End::ClosedByClient => said.is_none(),
        }
    }

    fn is(&self, (status, word): Answer) -> bool {
        let key = if status == 200 { "stored" } else { "error" };
        let body = if word.is_empty() { String::new() } else { format!(r#"{{"{key}":"{word}"}}"#) };
        self.status() == status && self.body == body
    }
}

struct Client<W> {
    wire: W,
    unread: Vec<u8>,
    replies: Vec<Reply>,
    /// Whether the last request was a HEAD, whose answer has the length of a body and no body.
    is_head: bool,
}

impl<W: Wire> Client<W> {
    fn send(&mut self, bytes: &[u8]) {
        self.is_head |= bytes.starts_with(b"HEAD ");
        // a server that refuses early may close before it has read everything; its answer says so
        let _ = self.wire.write_all(bytes).and_then(|()| self.wire.flush());
    }

    fn expect_next(&mut self, row: &Row) -> std::result::Result<(), String> {
        let answer = row.answers.get(self.replies.len()).ok_or("the row expects fewer answers")?;
        self.expect(*answer)
    }

    fn expect(&mut self, answer: Answer) -> std::result::Result<(), String> {
        let reply = self.reply()?.ok_or_else(|| format!("closed, instead of {answer:?}"))?;
        let as_expected = reply.is(answer).then_some(()).ok_or_else(|| format!("{reply:?}, instead of {answer:?}"));
        self.replies.push(reply);
        as_expected
    }

    /// The next answer. None means that the server has closed.
    fn reply(&mut self) -> std::result::Result<Option<Reply>, String> {
        let Some(head) = self.take_until(|unread| Some(find(unread, b"\r\n\r\n")? + 4))? else { return Ok(None) };
        let reply = Reply { head: String::from_utf8_lossy(&head).into_owned(), body: String::new() };
        let has_body = !self.is_head && reply.status() >= 200;
        let length = reply.fields().find(|(name, _)| *name == "content-length").filter(|_| has_body);
        let length = length.map_or(Ok(0), |(_, length)| length.parse::<usize>()).map_err(|error| error.to_string())?;
        let body = self.take_until(|unread| (unread.len() >= length).then_some(length))?;
        let body = body.ok_or_else(|| format!("closed within the answer {reply:?}"))?;
        Ok(Some(Reply { body: String::from_utf8_lossy(&body).into_owned(), ..reply }))
    }

    /// Reads until `end` finds the end of something in what is unread, and takes it. None means that the server has
    /// closed before anything came.
    fn take_until(&mut self, end: impl Fn(&[u8]) -> Option<usize>) -> std::result::Result<Option<Vec<u8>>, String> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(end) = end(&self.unread) {
                let rest = self.unread.split_off(end);
                return Ok(Some(std::mem::replace(&mut self.unread, rest)));
            }
            match end_of_stream(self.wire.read(&mut buffer)) {
                Ok(0) if self.unread.is_empty() => return Ok(None),
                Ok(0) => return Err(format!("closed after {:?}", String::from_utf8_lossy(&self.unread))),
                Ok(length) => self.unread.extend_from_slice(&buffer[..length]),
                Err(error) => return Err(format!("not closed and not answered: {error}")),
            }
        }
    }
}

/// A connection that the server resets is closed.
fn end_of_stream(read: Result<usize>) -> Result<usize> {
    match read {
        Err(error) if [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&error.kind()) => Ok(0),
        read => read,
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
