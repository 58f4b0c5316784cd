//! `/events`: what is in the journal and what comes to it, as server-sent events (the HTML standard, section 9.2).
//!
//! One event is one line of CloudEvents JSON. Whoever names no place begins with the oldest there is, since nobody
//! shall miss anything unasked; `?last=0` is from now on. Dead letters are not among them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::stream;
use http_body_util::{Either, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::{debug, warn};

use super::{Body, asked, page::Held, refusal, response, with};
use crate::journal::store::{ReadError, Reader, find, queries};
use crate::journal::{Follower, Journal, Lost, OpenError, Record, number};
use crate::message::{Broker, Message};
use crate::shutdown::Shutdown;

/// How often a stream says that it is there, and that its reader is looked for.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The most streams at once. Each may hold a page of the journal in memory.
const STREAMS: usize = 64;

/// Space, double quote, percent, and all that is no visible ASCII (CloudEvents HTTP binding, 3.1.3.2).
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The events of a journal.
pub struct Events {
    journal: Journal,
    /// Of its own, so that nothing waits for who reads here.
    reader: Reader,
    streams: Arc<Semaphore>,
    shutdown: Shutdown,
}

impl Events {
    /// Shows what is in this journal, which is in this folder, until the process stops.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(journal: &Journal, directory: &std::path::Path, shutdown: Shutdown) -> Result<Self, OpenError> {
        let reader = Reader::open(directory)?;
        Ok(Self { journal: journal.clone(), reader, streams: Arc::new(Semaphore::new(STREAMS)), shutdown })
    }

    /// A stream of them.
    pub(super) async fn follow<B>(&self, request: &Request<B>) -> Response<Body> {
        let header = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let asked = asked::read(request.uri().query().unwrap_or_default(), header("last-event-id"), SystemTime::now());
        let (filter, start) = match asked {
            Ok(asked) => asked,
            Err(problem) => return refusal(StatusCode::BAD_REQUEST, problem + "\n"),
        };
        if *request.method() == Method::HEAD {
            return stream_of(Either::Left(Full::default()));
        }
        if self.shutdown.is_begun() {
            return later("the bridge stops; come back when it has started again\n");
        }
        let Ok(place) = self.streams.clone().try_acquire_owned() else {
            return later("64 streams are open, which is the most; close one, or come back later\n");
        };
        let appended = self.journal.appended();
        let end = *appended.borrow();
        let begun = Follower::begin(self.reader.clone(), filter, &start, Some(end)).await;
        let first = match &begun {
            Ok((_, Some(lost))) => self.reset(*lost, end).await,
            // a place to come back to, also for who breaks off before anything has come
            Ok((follower, None)) => Ok(format!("id: {}-{}\n\n", follower.name(), follower.looked_at()).into()),
            Err(_) => Ok(Bytes::new()),
        };
        match (begun, first) {
            (Ok((follower, _)), Ok(first)) => {
                let shutdown = self.shutdown.clone();
                let stream = Open { follower, first: Some(first), caught_up: false, appended, shutdown, _place: place };
                stream_of(Either::Right(StreamBody::new(Box::pin(stream::unfold(stream, Open::step)))))
            }
            (Err(error), _) | (_, Err(error)) => unreadable(&error),
        }
    }

    /// Says that something may be missing, and with which number it goes on: the first there is, or the next one to come.
    async fn reset(&self, lost: Lost, end: i64) -> Result<Bytes, ReadError> {
        let ends = self.reader.read(queries::ends).await?;
        let (journal, reason) = (self.journal.name(), lost.as_str());
        let from = format!("{journal}-{}", ends.map_or(end + 1, |(first, _)| first));
        let data = serde_json::json!({"reason": reason, "journal": journal, "from": from});
        Ok(format!("id: {journal}-0\nevent: reset\ndata: {data}\n\n").into())
    }

    /// The bytes of one, as they came.
    pub(super) async fn one(&self, place: &str) -> Response<Body> {
        const GONE: &str = "no such event; it was forwarded, or too old to be kept, or never there\n";
        let Some(seq) = number(self.journal.name(), place) else { return refusal(StatusCode::NOT_FOUND, GONE) };
        match self.reader.read(move |db| queries::by_number(db, seq)).await {
            Ok(Some(Record { message, .. })) if message.dead_letter.is_none() => binary(message),
            Ok(_) => refusal(StatusCode::NOT_FOUND, GONE),
            Err(error) => unreadable(&error),
        }
    }

    /// What is in the journal, in numbers.
    pub(super) async fn held(&self) -> Option<Held> {
        let counted = self.reader.read(|db| find::tally(db, SystemTime::now())).await;
        let tally = counted.inspect_err(|error| warn!(%error, "the journal was not counted")).ok()?;
        let usage = self.journal.usage();
        let owed = Broker::ALL.map(|broker| (broker.as_str(), tally.owed[broker as usize]));
        let owed = owed.into_iter().filter(|(_, records)| *records > 0).collect();
        let (kept, oldest) = (tally.kept, tally.oldest);
        let (used, capacity, for_log) = (usage.used(), usage.capacity(), usage.for_log());
        Some(Held { kept, owed, oldest, used, capacity, for_log })
    }
}

/// One reader's stream.
struct Open {
    follower: Follower,
    first: Option<Bytes>,
    /// Whether all that was there has been sent, and a comment has said so.
    caught_up: bool,
    appended: watch::Receiver<i64>,
    shutdown: Shutdown,
    _place: OwnedSemaphorePermit,
}

impl Open {
    /// The next bytes of the stream: asked for when there is room for them on the way to the reader.
    async fn step(mut self) -> Option<(Result<Frame<Bytes>, std::convert::Infallible>, Self)> {
        let bytes = match self.first.take() {
            Some(first) => first,
            None => self.next().await?,
        };
        Some((Ok(Frame::data(bytes)), self))
    }

    async fn next(&mut self) -> Option<Bytes> {
        let mut heartbeat = false;
        loop {
            if self.shutdown.is_begun() {
                return None;
            }
            // what is kept from here on wakes it again
            self.appended.borrow_and_update();
            match self.follower.next().await {
                Ok(Some(record)) => return Some(event(self.follower.name(), &record)),
                Ok(None) if heartbeat || !self.caught_up => {
                    self.caught_up = true;
                    return Some(Bytes::from_static(b":\n\n"));
                }
                Ok(None) => {}
                Err(error) => {
                    debug!(%error, "a stream of events ended");
                    return None;
                }
            }
            tokio::select! {
                Ok(()) = self.appended.changed() => {}
                () = self.shutdown.begun() => {}
                () = tokio::time::sleep(HEARTBEAT) => heartbeat = true,
            }
        }
    }
}

/// An event: its number, and one line. Line breaks inside a JSON text only ever stand between its tokens.
fn event(journal: &str, record: &Record) -> Bytes {
    let mut out = format!("id: {journal}-{}\ndata: ", record.seq).into_bytes();
    out.extend(record.message.envelope().iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
    out.extend(b"\n\n");
    out.into()
}

/// CloudEvents binary mode over HTTP.
fn binary(message: Message) -> Response<Body> {
    let Message { event, body, .. } = message;
    let mut answer = response(StatusCode::OK, event.content_type(), Either::Left(Full::new(body)));
    for (attribute, value) in event.attributes() {
        let name = HeaderName::from_bytes(format!("ce-{}", attribute.as_str()).as_bytes());
        let value = HeaderValue::from_str(&utf8_percent_encode(&value, ENCODED).to_string());
        // all are of letters, and all values visible ASCII by now
        if let (Ok(name), Ok(value)) = (name, value) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

fn stream_of(body: Body) -> Response<Body> {
    let answer = response(StatusCode::OK, "text/event-stream", body);
    // proxies that gather answers would hold events back
    with(answer, HeaderName::from_static("x-accel-buffering"), "no")
}

fn later(why: &'static str) -> Response<Body> {
    with(refusal(StatusCode::SERVICE_UNAVAILABLE, why), RETRY_AFTER, "5")
}

fn unreadable(error: &ReadError) -> Response<Body> {
    warn!(%error, "events cannot be shown");
    later("the journal cannot be read now; the log says why\n")
}
