//! What one raw request is, and the one answer that is allowed to it.

/// What the client does, in order.
pub(crate) enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Waits for the next answer.
    Answer,
    /// Sends nothing for a moment, so that what follows is a read of its own.
    Pause,
    /// Says that it sends no more, and still reads.
    HalfClose,
    /// Closes, and reads no more.
    Close,
}

/// What becomes of the connection after the last answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It serves the next request.
    StaysOpen,
    /// The server closes it, without another byte, as its last answer says.
    Closed,
    /// The same, and its last answer, if there is one, could not say so: the wait for the rest of a request comes later.
    ClosedLater,
    /// The client has closed it.
    ClosedByClient,
}

/// Which of the two bridges a row is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    /// It waits longer for the client than a test lasts.
    Long,
    /// It waits a second or two: for rows whose claim is that a wait ends.
    Short,
}

/// One answer: its status, and the word of its body. An empty word means no body.
pub(crate) type Answer = (u16, &'static str);

/// One raw request, or several on one connection.
pub(crate) struct Row {
    pub(crate) claim: &'static str,
    pub(crate) steps: Vec<Step>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) end: End,
    pub(crate) times: Times,
    /// The bodies that the broker stores by it, each with the reason if it is a dead letter.
    pub(crate) stored: Vec<(Vec<u8>, Option<&'static str>)>,
    /// Bodies of notifications that only another reading of the same bytes finds. None of them may be stored, whatever
    /// stands in front.
    pub(crate) hidden: Vec<Vec<u8>>,
}

/// The notification of a row. Its body has the claim, so that it is told from those of all other rows.
pub(crate) struct Sample(pub(crate) &'static str);

/// A row of the bytes that `request` makes of its notification.
pub(crate) fn row(claim: &'static str, request: impl FnOnce(&Sample) -> Vec<u8>) -> Row {
    Row {
        claim,
        steps: vec![Step::Send(request(&Sample(claim)))],
        answers: Vec::new(),
        end: End::StaysOpen,
        times: Times::Long,
        stored: Vec::new(),
        hidden: Vec::new(),
    }
}

impl Row {
    /// The next answer.
    pub(crate) fn answered(mut self, status: u16, word: &'static str) -> Self {
        self.answers.push((status, word));
        self
    }

    /// So are the next answers.
    pub(crate) fn answered_often(self, times: usize, status: u16, word: &'static str) -> Self {
        (0..times).fold(self, |row, _| row.answered(status, word))
    }

    /// The next answer says that this body is stored at the broker.
    pub(crate) fn stores(mut self, body: impl FnOnce(&Sample) -> Vec<u8>) -> Self {
        self.stored.push((body(&self.sample()), None));
        self.answered(200, "broker")
    }

    /// The next answer says that this body is a dead letter.
    pub(crate) fn dead_letter(mut self, reason: &'static str, body: impl FnOnce(&Sample) -> Vec<u8>) -> Self {
        self.stored.push((body(&self.sample()), Some(reason)));
        self.answered(200, "dead_letter")
    }

    /// The row's notification is stored, and the connection stays open.
    pub(crate) fn stored(self) -> Self {
        self.stores(Sample::body)
    }

    /// Refused by the bridge, and the connection is closed.
    pub(crate) fn refused(self, status: u16, word: &'static str) -> Self {
        self.answered(status, word).closed()
    }

    /// Refused by hyper, which writes no body, and the connection is closed.
    pub(crate) fn malformed(self) -> Self {
        self.refused(400, "")
    }

    /// The server closes the connection.
    pub(crate) fn closed(mut self) -> Self {
        self.end = End::Closed;
        self
    }

    /// The server closes the connection after its last answer, which does not say so.
    pub(crate) fn closed_later(mut self) -> Self {
        self.end = End::ClosedLater;
        self
    }

    /// The claim is that a wait ends.
    pub(crate) fn after_a_wait(mut self) -> Self {
        self.times = Times::Short;
        self
    }

    /// Another step of the client.
    pub(crate) fn then(mut self, step: Step) -> Self {
        if matches!(step, Step::Close) {
            self.end = End::ClosedByClient;
        }
        self.steps.push(step);
        self
    }

    /// Then the client sends this.
    pub(crate) fn then_send(self, bytes: impl FnOnce(&Sample) -> Vec<u8>) -> Self {
        let bytes = bytes(&self.sample());
        self.then(Step::Send(bytes))
    }

    /// Then the client sends this, byte by byte.
    pub(crate) fn then_send_slowly(self, bytes: impl FnOnce(&Sample) -> Vec<u8>) -> Self {
        let bytes = bytes(&self.sample());
        bytes.into_iter().fold(self, |row, byte| row.then(Step::Send(vec![byte])).then(Step::Pause))
    }

    /// Directly behind the last bytes stands a notification that must not be looked at.
    pub(crate) fn hiding(mut self) -> Self {
        let sample = self.sample();
        if let Some(Step::Send(bytes)) = self.steps.last_mut() {
            bytes.extend(sample.hidden());
        }
        self.hides()
    }

    /// Its bytes have [`Sample::hidden`] in them.
    pub(crate) fn hides(mut self) -> Self {
        self.hidden.push(self.sample().part("hidden"));
        self
    }

    fn sample(&self) -> Sample {
        Sample(self.claim)
    }
}

pub(crate) const PATH: &str = "/green-api/webhook/";
/// The token of every row that needs one.
pub(crate) const TOKEN: &str = "good-enough-token";
/// A token for the instance of the notifications.
pub(crate) const TOKEN_OF_SEVEN: &str = "token-for-seven-only";
/// A token for another instance.
pub(crate) const TOKEN_OF_EIGHT: &str = "token-for-eight-only";

/// A request line and fields, and what comes behind the empty line.
pub(crate) fn raw(head: impl AsRef<[u8]>, rest: impl AsRef<[u8]>) -> Vec<u8> {
    [head.as_ref(), b"\r\n", rest.as_ref()].concat()
}

/// As [`raw`], with `Host` and a token.
pub(crate) fn request(line: &str, fields: impl AsRef<[u8]>, rest: impl AsRef<[u8]>) -> Vec<u8> {
    let head = format!("{line}\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n");
    raw([head.as_bytes(), fields.as_ref()].concat(), rest)
}

/// A request to store something, with these fields.
pub(crate) fn post(fields: impl AsRef<[u8]>, rest: impl AsRef<[u8]>) -> Vec<u8> {
    request(&format!("POST {PATH} HTTP/1.1"), fields, rest)
}

/// A body in one chunk, and the end of the chunks.
pub(crate) fn chunked(body: &[u8]) -> Vec<u8> {
    [&chunk(body)[..], b"0\r\n\r\n"].concat()
}

/// One chunk.
pub(crate) fn chunk(data: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

impl Sample {
    /// The notification.
    pub(crate) fn body(&self) -> Vec<u8> {
        self.part("first")
    }

    /// Another one of the same row.
    pub(crate) fn part(&self, part: &str) -> Vec<u8> {
        let Self(claim) = self;
        format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":7}},"row":"{claim}","part":"{part}"}}"#)
            .into_bytes()
    }

    /// The notification, filled up to this many bytes.
    pub(crate) fn filled(&self, length: usize) -> Vec<u8> {
        let mut body = self.body();
        body.resize(length - 1, b' ');
        body.push(b' ');
        body
    }

    /// The number of its bytes.
    pub(crate) fn len(&self) -> usize {
        self.body().len()
    }

    /// The field that frames it.
    pub(crate) fn length(&self) -> String {
        format!("Content-Length: {}\r\n", self.len())
    }

    /// A good request with it, and with these fields besides.
    pub(crate) fn with(&self, fields: impl AsRef<[u8]>) -> Vec<u8> {
        self.on(&format!("POST {PATH} HTTP/1.1"), fields)
    }

    /// The same with another request line.
    pub(crate) fn on(&self, line: &str, fields: impl AsRef<[u8]>) -> Vec<u8> {
        request(line, [fields.as_ref(), self.length().as_bytes()].concat(), self.body())
    }

    /// A request framed by these fields alone, with the notification in one chunk.
    pub(crate) fn chunked(&self, fields: impl AsRef<[u8]>) -> Vec<u8> {
        post(fields, chunked(&self.body()))
    }

    /// A good request with another notification of the row.
    pub(crate) fn another(&self, part: &str) -> Vec<u8> {
        let body = self.part(part);
        post(format!("Content-Length: {}\r\n", body.len()), body)
    }

    /// The field that frames a hidden request as a body.
    pub(crate) fn hidden_length(&self) -> String {
        format!("Content-Length: {}\r\n", self.hidden().len())
    }

    /// A good request that must not be looked at.
    pub(crate) fn hidden(&self) -> Vec<u8> {
        self.another("hidden")
    }
}
