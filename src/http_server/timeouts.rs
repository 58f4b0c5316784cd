//! The time limits of a connection: to begin a request, to finish its head, to read a response; and the lingering close.
//!
//! hyper has one timer for a request head. It starts when hyper waits for a request, and also runs while the connection
//! is idle. [`HeadTimer`] replaces it: until the first byte it waits for the time hyper gives, which is `idle`, or for `head`
//! where the connection is unauthenticated, and from then on for `head`. It does not notice bytes that arrive before hyper waits for them, directly behind the request
//! before: such a head has `idle` until its next byte.

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

use super::Client;

/// How long a lingering close lasts, and how many bytes of input it discards at most. A connection that is closed with
/// unread input is reset, and the client loses the response that says why.
const LINGERING_CLOSE: DrainLimits = DrainLimits { time: Duration::from_secs(2), bytes: 64 * 1024 * 1024 };

struct DrainLimits {
    time: Duration,
    bytes: usize,
}

/// What a connection and its head timer share.
#[derive(Default)]
struct HeadState {
    /// True if a byte was read since the wait for a head began.
    is_begun: AtomicBool,
    /// True while hyper waits for a head, which means that it has read the request before completely.
    is_awaited: AtomicBool,
}

/// A connection that records when bytes arrive, fails a write that stalls for `write`, and ends with a lingering close.
pub(super) struct TimedStream<S> {
    stream: S,
    head: Arc<HeadState>,
    write: Duration,
    write_stall: Option<Pin<Box<Sleep>>>,
    drain: Option<Drain>,
}

/// A lingering close that has begun.
struct Drain {
    until: Pin<Box<Sleep>>,
    bytes_left: usize,
}

impl Drain {
    fn begin() -> Self {
        Self { until: Box::pin(sleep(LINGERING_CLOSE.time)), bytes_left: LINGERING_CLOSE.bytes }
    }
}

impl<S> TimedStream<S> {
    pub(super) fn new(stream: S, write: Duration) -> Self {
        Self { stream, head: Arc::default(), write, write_stall: None, drain: None }
    }

    /// The timer of this connection's request heads.
    pub(super) fn head_timer(&self, head: Duration, client: Client) -> HeadTimer {
        HeadTimer { state: self.head.clone(), limit: head, client }
    }

    /// Returns the result of a write. A pending write fails once it has stalled for `write`.
    fn limit_stall<T>(&mut self, context: &mut Context<'_>, written: Poll<Result<T>>) -> Poll<Result<T>> {
        if written.is_ready() {
            self.write_stall = None;
            return written;
        }
        let stall = self.write_stall.get_or_insert_with(|| Box::pin(sleep(self.write)));
        let timed_out = |()| Err(Error::new(ErrorKind::TimedOut, "the client does not read the response"));
        stall.as_mut().poll(context).map(timed_out)
    }
}

impl<S: AsyncRead + Unpin> TimedStream<S> {
    /// Lingering close: discards input until the client closes or a limit is reached. It is skipped when the request was
    /// read completely and no more input is there.
    fn discard_input(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.drain.is_none() && !self.head.is_awaited.load(Relaxed) {
            self.drain = Some(Drain::begin());
        }
        let mut buffer = [0; 16 * 1024];
        loop {
            let mut into = ReadBuf::new(&mut buffer);
            let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, &mut into) else {
                return self.drain.as_mut().map_or(Poll::Ready(()), |drain| drain.until.as_mut().poll(context));
            };
            let (length, drain) = (into.filled().len(), self.drain.get_or_insert_with(Drain::begin));
            drain.bytes_left = drain.bytes_left.saturating_sub(length);
            if read.is_err() || length == 0 || drain.bytes_left == 0 {
                return Poll::Ready(());
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if into.filled().len() > before {
            self.head.is_begun.store(true, Relaxed);
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.limit_stall(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.limit_stall(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.limit_stall(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        if self.drain.is_none() {
            let shut = Pin::new(&mut self.stream).poll_shutdown(context);
            ready!(self.limit_stall(context, shut))?;
        }
        self.discard_input(context).map(Ok)
    }
}

/// The timer that hyper uses for request heads.
#[derive(Clone)]
pub(super) struct HeadTimer {
    state: Arc<HeadState>,
    limit: Duration,
    client: Client,
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(std::time::Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.state.is_begun.store(false, Relaxed);
        self.state.is_awaited.store(true, Relaxed);
        let mut deadline = Instant::from_std(deadline);
        if !self.client.is_authenticated() {
            // without a valid token it may not be idle for longer than a head may take
            deadline = deadline.min(Instant::now() + self.limit);
        }
        let sleep = Box::pin(sleep_until(deadline));
        Box::pin(HeadSleep { state: self.state.clone(), limit: Some(self.limit), sleep })
    }
}

/// Ends when a head takes too long. hyper polls it each time it has read all input and the head is not complete.
struct HeadSleep {
    state: Arc<HeadState>,
    /// None means that the head has begun, and the limit is applied.
    limit: Option<Duration>,
    sleep: Pin<Box<Sleep>>,
}

impl Future for HeadSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.state.is_begun.load(Relaxed)
            && let Some(limit) = self.limit.take()
        {
            self.sleep.as_mut().reset(Instant::now() + limit);
        }
        self.sleep.as_mut().poll(context)
    }
}

impl Drop for HeadSleep {
    fn drop(&mut self) {
        self.state.is_awaited.store(false, Relaxed);
    }
}

impl hyper::rt::Sleep for HeadSleep {}
