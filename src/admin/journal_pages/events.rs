//! `/events`: the records of the journal, those that are there and those that come, as server-sent events (the HTML
//! standard, section 9.2). Dead letters are not among them.
//!
//! One event is one line of CloudEvents JSON. A reader that names no position begins with the oldest record, so that it
//! misses nothing unasked; `?last=0` begins with the next one to come.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::stream;
use http_body_util::{Either, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::{debug, warn};

use super::event_query::EventQuery;
use crate::admin::response::{Body, Refusal, response, with_header};
use crate::admin::status_page::JournalSummary;
use crate::journal::{Follower, Journal, JournalReader, OpenError, PositionLost, ReadError, Record, parse_position};
use crate::message::Message;
use crate::shutdown::Shutdown;

/// How often a stream without events sends a comment, so that its reader knows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The most streams at once. Each may have a page of the journal in memory. [`Refusal::TooManyStreams`] names it.
const MAX_STREAMS: usize = 64;

/// Space, double quote, percent, and all that is not visible ASCII (CloudEvents HTTP binding, 3.1.3.2).
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The events of a journal.
pub(super) struct Events {
    journal: Journal,
    /// A reader of its own: nothing else waits for readers of events.
    reader: JournalReader,
    streams: Arc<Semaphore>,
    shutdown: Shutdown,
}

impl Events {
    /// The events of the journal in this folder; streams end when the bridge stops.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(super) fn open(journal: &Journal, directory: &Path, shutdown: Shutdown) -> Result<Self, OpenError> {
        let reader = journal.open_reader(directory)?;
        Ok(Self { journal: journal.clone(), reader, streams: Arc::new(Semaphore::new(MAX_STREAMS)), shutdown })
    }

    /// Begins a stream of events.
    pub(super) async fn stream<B>(&self, request: &Request<B>) -> Result<Response<Body>, Refusal> {
        let header = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let query = request.uri().query().unwrap_or_default();
        let query = EventQuery::parse(query, header("last-event-id"), SystemTime::now()).map_err(Refusal::BadQuery)?;
        if *request.method() == Method::HEAD {
            return Ok(event_stream(Either::Left(Full::default())));
        }
        if self.shutdown.is_begun() {
            return Err(Refusal::Stopping);
        }
        let permit = self.streams.clone().try_acquire_owned().map_err(|_| Refusal::TooManyStreams)?;
        let appended = self.journal.appended();
        let end = *appended.borrow();
        let begun = Follower::begin(self.reader.clone(), query.filter, &query.start, Some(end)).await;
        let (follower, lost) = begun.map_err(|error| unreadable(&error))?;
        let first = match lost {
            Some(lost) => self.reset(lost, end).await.map_err(|error| unreadable(&error))?,
            // a position to come back to, also for a reader that disconnects before the first event
            None => format!("id: {}-{}\n\n", follower.name(), follower.position()).into(),
        };
        let shutdown = self.shutdown.clone();
        let stream =
            EventStream { follower, first: Some(first), caught_up: false, appended, shutdown, _permit: permit };
        let body = StreamBody::new(Box::pin(stream::unfold(stream, EventStream::step)) as _);
        Ok(event_stream(Either::Right(body)))
    }

    /// An event that says that some may be missing, and with which record the stream goes on: the oldest there is, or
    /// the next one to come.
    async fn reset(&self, lost: PositionLost, end: i64) -> Result<Bytes, ReadError> {
        let range = self.reader.range().await?;
        let (journal, reason) = (self.journal.name(), lost.as_str());
        let from = format!("{journal}-{}", range.map_or(end + 1, |range| range.first));
        let data = serde_json::json!({"reason": reason, "journal": journal, "from": from});
        Ok(format!("id: {journal}-0\nevent: reset\ndata: {data}\n\n").into())
    }

    /// The notification of one event, byte for byte.
    pub(super) async fn body(&self, id: &str) -> Result<Response<Body>, Refusal> {
        let seq = parse_position(self.journal.name(), id).ok_or(Refusal::NoEvent)?;
        match self.reader.record(seq).await.map_err(|error| unreadable(&error))? {
            Some(Record { message, .. }) if !message.is_dead_letter() => Ok(binary(message)),
            _ => Err(Refusal::NoEvent),
        }
    }

    /// The journal in numbers. `None` means that it cannot be read now.
    pub(super) async fn summary(&self) -> Option<JournalSummary> {
        let counted = self.reader.counts().await;
        let counts = counted.inspect_err(|error| warn!(%error, "could not count the journal's records")).ok()?;
        let usage = self.journal.usage();
        let backlog = counts.backlog.iter().map(|(broker, records)| (broker.as_str(), *records));
        Some(JournalSummary {
            journal_only: counts.journal_only,
            backlog: backlog.filter(|(_, records)| *records > 0).collect(),
            used: usage.used(),
            capacity: usage.capacity(),
            wal_share: usage.wal_share(),
            oldest: counts.oldest,
        })
    }
}

/// One reader's stream.
struct EventStream {
    follower: Follower,
    first: Option<Bytes>,
    /// Whether every record that was there has been sent, and a comment has said so.
    caught_up: bool,
    appended: watch::Receiver<i64>,
    shutdown: Shutdown,
    _permit: OwnedSemaphorePermit,
}

impl EventStream {
    /// The next bytes of the stream; called when the connection can take them.
    async fn step(mut self) -> Option<(Result<Frame<Bytes>, Infallible>, Self)> {
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
            // a record appended from here on wakes the stream again
            self.appended.borrow_and_update();
            match self.follower.next().await {
                Ok(Some(record)) => return Some(event(self.follower.name(), &record)),
                Ok(None) if heartbeat || !self.caught_up => {
                    self.caught_up = true;
                    return Some(Bytes::from_static(b":\n\n"));
                }
                Ok(None) => {}
                Err(error) => {
                    debug!(%error, "event stream ended: the journal cannot be read");
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

/// An event: its id, and one line. A line break inside a JSON text stands only between its tokens.
fn event(journal: &str, record: &Record) -> Bytes {
    let mut out = format!("id: {journal}-{}\ndata: ", record.seq).into_bytes();
    out.extend(record.message.envelope().iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
    out.extend(b"\n\n");
    out.into()
}

/// CloudEvents binary mode over HTTP.
fn binary(message: Message) -> Response<Body> {
    let Message { event, body, .. } = message;
    let mut answer = response(StatusCode::OK, event.content_type(), body);
    for (attribute, value) in event.attributes() {
        let name = HeaderName::from_bytes(format!("ce-{}", attribute.as_str()).as_bytes());
        let value = HeaderValue::from_str(&utf8_percent_encode(&value, ENCODED).to_string());
        // attribute names are letters, and values are visible ASCII by now
        if let (Ok(name), Ok(value)) = (name, value) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

fn event_stream(body: Body) -> Response<Body> {
    let answer = with_header(Response::new(body), CONTENT_TYPE, "text/event-stream");
    // a proxy that buffers answers would delay events
    with_header(answer, HeaderName::from_static("x-accel-buffering"), "no")
}

fn unreadable(error: &ReadError) -> Refusal {
    warn!(%error, "could not read events from the journal");
    Refusal::Unreadable
}
