//! How long a client may take to begin a request, to end its head, and to read an answer.
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
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Timer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// A connection that says when it was read from, and fails when it could not be written to for `write`.
pub(super) struct Watched<S> {
    stream: S,
    heard: Arc<AtomicBool>,
    write: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, write: Duration) -> Self {
        Self { stream, heard: Arc::default(), write, stalled: None }
    }

    /// The timer of this connection's heads.
    pub(super) fn head_timer(&self, head: Duration) -> HeadTimer {
        HeadTimer { heard: self.heard.clone(), head }
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

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if into.filled().len() > before {
            self.heard.store(true, Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
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
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bounded(context, shut)
    }
}

/// What hyper times heads with.
#[derive(Clone)]
pub(super) struct HeadTimer {
    heard: Arc<AtomicBool>,
    head: Duration,
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(std::time::Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.heard.store(false, Relaxed);
        let sleep = Box::pin(sleep_until(deadline.into()));
        Box::pin(HeadSleep { heard: self.heard.clone(), head: Some(self.head), sleep })
    }
}

/// Ends when a head took too long. hyper asks it each time it has read all there is and the head is not whole.
struct HeadSleep {
    heard: Arc<AtomicBool>,
    /// None once the head has begun.
    head: Option<Duration>,
    sleep: Pin<Box<Sleep>>,
}

impl Future for HeadSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.heard.load(Relaxed)
            && let Some(head) = self.head.take()
        {
            self.sleep.as_mut().reset(Instant::now() + head);
        }
        self.sleep.as_mut().poll(context)
    }
}

impl hyper::rt::Sleep for HeadSleep {}
