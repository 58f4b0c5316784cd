//! How long a client may take to begin a request, to end its head, and to read an answer; and what is heard out before
//! its connection is closed.
//!
//! hyper has one timer for a head, and it runs from the moment a request may come: while nothing comes, too.
//! Here it is a [`Timer`] that is told when something has come: until then it waits as long as hyper says, which
//! is `idle`, and from then on `head`. Only bytes that came before hyper waits for them, right behind the request
//! before, are not seen: such a head has `idle` until its next byte.

use std::future::Future;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::Timer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// For how long, and how many bytes of it, a client that sends what nobody will read is heard out. Closed at once, its
/// connection would be reset, and the answer that says why be lost.
const HEAR_OUT: (Duration, usize) = (Duration::from_secs(2), 64 * 1024 * 1024);

/// What a connection and its timer know together.
#[derive(Default)]
struct Known {
    /// Whether something has come since a head was last waited for.
    heard: AtomicBool,
    /// Whether a head is waited for, so all of the request before was read.
    waiting: AtomicBool,
}

/// A connection that says when it was read from, and fails when it could not be written to for `write`.
pub(super) struct Watched<S> {
    stream: S,
    known: Arc<Known>,
    write: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    rest: Option<Rest>,
}

/// What is still heard out.
struct Rest {
    until: Pin<Box<Sleep>>,
    bytes: usize,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, write: Duration) -> Self {
        Self { stream, known: Arc::default(), write, stalled: None, rest: None }
    }

    /// The timer of this connection's heads.
    pub(super) fn head_timer(&self, head: Duration) -> HeadTimer {
        HeadTimer { known: self.known.clone(), head }
    }

    /// Passes on what became of a write; one that waits for the client fails in the end.
    fn bounded<T>(&mut self, context: &mut Context<'_>, written: Poll<Result<T>>) -> Poll<Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(self.write)));
        stalled.as_mut().poll(context).map(|()| Err(Error::new(ErrorKind::TimedOut, "the client reads no answer")))
    }
}

impl<S: AsyncRead + Unpin> Watched<S> {
    /// Reads to no end, until the client closes or has had its time. Nothing of one whose request was read, unless it
    /// speaks just now.
    fn hear_out(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (wait, most) = HEAR_OUT;
        let rest = || Rest { until: Box::pin(sleep(wait)), bytes: most };
        if self.rest.is_none() && !self.known.waiting.load(Relaxed) {
            self.rest = Some(rest());
        }
        let mut room = [0; 16 * 1024];
        loop {
            let mut into = ReadBuf::new(&mut room);
            let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, &mut into) else {
                return self.rest.as_mut().map_or(Poll::Ready(()), |rest| rest.until.as_mut().poll(context));
            };
            let (length, rest) = (into.filled().len(), self.rest.get_or_insert_with(rest));
            rest.bytes = rest.bytes.saturating_sub(length);
            if read.is_err() || length == 0 || rest.bytes == 0 {
                return Poll::Ready(());
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if into.filled().len() > before {
            self.known.heard.store(true, Relaxed);
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.bounded(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.bounded(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        if self.rest.is_none() {
            let shut = Pin::new(&mut self.stream).poll_shutdown(context);
            ready!(self.bounded(context, shut))?;
        }
        self.hear_out(context).map(Ok)
    }
}

/// What hyper times heads with.
#[derive(Clone)]
pub(super) struct HeadTimer {
    known: Arc<Known>,
    head: Duration,
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(std::time::Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.known.heard.store(false, Relaxed);
        self.known.waiting.store(true, Relaxed);
        let sleep = Box::pin(sleep_until(deadline.into()));
        Box::pin(HeadSleep { known: self.known.clone(), head: Some(self.head), sleep })
    }
}

/// Ends when a head took too long. hyper asks it each time it has read all there is and the head is not whole.
struct HeadSleep {
    known: Arc<Known>,
    /// None once the head has begun.
    head: Option<Duration>,
    sleep: Pin<Box<Sleep>>,
}

impl Future for HeadSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.known.heard.load(Relaxed)
            && let Some(head) = self.head.take()
        {
            self.sleep.as_mut().reset(Instant::now() + head);
        }
        self.sleep.as_mut().poll(context)
    }
}

impl Drop for HeadSleep {
    fn drop(&mut self) {
        self.known.waiting.store(false, Relaxed);
    }
}

impl hyper::rt::Sleep for HeadSleep {}
