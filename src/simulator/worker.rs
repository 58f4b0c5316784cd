//! Sends the notifications of one instance in order, and repeats each until it is answered 200.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::counters::Counters;
use super::ledger::Line;
use super::queue::Queued;
use super::source::Source;
use super::{SimulatorConfig, Target};
use crate::http_client::{HttpResponse, Post};
use crate::message::Id;
use crate::units::show;

/// What all instances share.
pub(super) struct Context {
    pub(super) config: SimulatorConfig,
    pub(super) counters: Counters,
    /// No new request is started; those in flight finish.
    pub(super) stop: CancellationToken,
    /// Requests in flight end too.
    pub(super) abort: CancellationToken,
    /// Why the ledger could not be written.
    pub(super) ledger_error: OnceLock<String>,
}

impl Context {
    /// Waits for a future. None means the simulator was stopped first.
    async fn unless_stopped<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        self.stop.run_until_cancelled(wait).await
    }
}

/// What became of one notification.
#[derive(Debug, PartialEq, Eq)]
enum SendResult {
    Answered200,
    /// Older than the retention.
    Expired,
    /// Repeated as often as allowed.
    GaveUp,
    Stopped,
}

/// The task of one instance.
pub(super) struct Worker<P> {
    pub(super) context: Arc<Context>,
    pub(super) instance: u64,
    pub(super) target: watch::Receiver<Option<Arc<Target>>>,
    pub(super) client: P,
    pub(super) pace: Pace,
}

impl<P: Post> Worker<P> {
    /// Runs until the source ends or the simulator is stopped.
    pub(super) async fn run(mut self, mut source: Source) {
        let context = self.context.clone();
        context.abort.run_until_cancelled(self.send_all(&mut source)).await;
    }

    async fn send_all(&mut self, source: &mut Source) {
        let context = self.context.clone();
        while !context.stop.is_cancelled() {
            let Some(Some(queued)) = context.unless_stopped(source.first(&context.counters)).await else { return };
            let result = self.send(&queued).await;
            if result == SendResult::Stopped {
                return;
            }
            let was_queued = source.remove(queued.sequence);
            if was_queued && result != SendResult::Answered200 {
                context.counters.add_lost(1);
            }
        }
    }

    /// Sends one notification until it is answered 200, expires, or may not be repeated.
    async fn send(&mut self, queued: &Queued) -> SendResult {
        let context = self.context.clone();
        for repeats in 0.. {
            let Some(target) = self.target().await else { return SendResult::Stopped };
            if context.unless_stopped(self.pace.wait()).await.is_none() {
                return SendResult::Stopped;
            }
            if queued.since.elapsed() >= context.config.retention {
                return SendResult::Expired;
            }
            if self.attempt(&target, queued, repeats).await {
                return SendResult::Answered200;
            }
            if context.config.max_repeats.is_some_and(|max| repeats >= max) {
                return SendResult::GaveUp;
            }
            if context.unless_stopped(sleep(context.config.pause)).await.is_none() {
                return SendResult::Stopped;
            }
        }
        SendResult::GaveUp
    }

    /// The target; waits while there is none. None means the simulator was stopped first.
    async fn target(&mut self) -> Option<Arc<Target>> {
        if let Some(target) = &*self.target.borrow() {
            return Some(target.clone());
        }
        let target = self.context.unless_stopped(self.target.wait_for(Option::is_some)).await?.ok()?;
        target.clone()
    }

    /// Sends one request. True if it is answered 200.
    async fn attempt(&mut self, target: &Arc<Target>, queued: &Queued, repeats: u32) -> bool {
        let Context { config, counters, .. } = &*self.context;
        let attempt = if repeats == 0 { counters.first_attempt() } else { counters.repeated_attempt() };
        let problem = match timeout(config.timeout, self.client.post(target, &queued.body)).await {
            Ok(Ok(response)) if response.status == 200 => {
                let stored = stored(&response);
                attempt.answered(200, stored);
                self.record(queued, stored.unwrap_or("-"));
                return true;
            }
            Ok(Ok(response)) => {
                attempt.answered(response.status, None);
                format!("answered {}", response.status)
            }
            Ok(Err(fault)) => fault.to_string(),
            Err(_) => format!("not answered within {}", show(config.timeout)),
        };
        counters.set_problem(format!("instance {}: {problem}; it pauses for {}", self.instance, show(config.pause)));
        false
    }

    /// Writes a line to the ledger.
    fn record(&self, queued: &Queued, stored: &str) {
        let Some(ledger) = &self.context.config.ledger else { return };
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let (instance, sequence, id) = (self.instance, queued.sequence, Id::of(&queued.body));
        if let Err(error) = ledger.write(&Line { instance, sequence, id, status: 200, stored, at }) {
            // an incomplete ledger would look like lost notifications
            let _ = self.context.ledger_error.set(error.to_string());
            self.context.stop.cancel();
        }
    }
}

/// The value of `stored` in the bridge's answer.
fn stored(response: &HttpResponse) -> Option<&str> {
    let text = std::str::from_utf8(&response.body).ok()?;
    let (_, rest) = text.split_once(r#""stored":""#)?;
    let (value, _) = rest.split_once('"')?;
    let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (plain && value.len() <= 32).then_some(value)
}

/// The times of the requests of an instance.
pub(super) struct Pace {
    gap: Duration,
    next: Instant,
}

impl Pace {
    /// The first request at `first`, the others at least `gap` apart. A gap of zero means no waiting.
    pub(super) fn new(gap: Duration, first: Instant) -> Self {
        Self { gap, next: first }
    }

    /// Waits until the next request may start.
    async fn wait(&mut self) {
        if self.gap.is_zero() {
            return;
        }
        sleep_until(self.next).await;
        // timers that are late by a millisecond must not add up; after a long pause there is no catching up
        let late = self.next.elapsed();
        self.next = if late < self.gap { self.next } else { Instant::now() } + self.gap;
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
