//! One instance at work: one notification after the other, each again and again until it is answered 200.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::client::{Answer, Post};
use super::ledger::Line;
use super::queue::Queued;
use super::source::Source;
use super::tally::Tally;
use super::{Config, Target};
use crate::message::Id;
use crate::units::show;

/// What all instances share.
pub(super) struct Common {
    pub(super) config: Config,
    pub(super) tally: Tally,
    /// No more is begun; what is in flight is finished.
    pub(super) stop: CancellationToken,
    /// What is in flight is given up too.
    pub(super) cut: CancellationToken,
    /// Why the ledger could not be written.
    pub(super) failed: OnceLock<String>,
}

impl Common {
    /// Whether `wait` was over before it stops.
    async fn waited<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        self.stop.run_until_cancelled(wait).await
    }
}

/// What became of one notification.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Taken,
    Old,
    GivenUp,
    Stopped,
}

pub(super) struct Worker<P> {
    pub(super) common: Arc<Common>,
    pub(super) instance: u64,
    pub(super) target: watch::Receiver<Option<Arc<Target>>>,
    pub(super) post: P,
    pub(super) pace: Pace,
}

impl<P: Post> Worker<P> {
    /// Until the source ends or it is stopped.
    pub(super) async fn run(mut self, mut source: Source) {
        let common = self.common.clone();
        common.cut.run_until_cancelled(self.work(&mut source)).await;
    }

    async fn work(&mut self, source: &mut Source) {
        let common = self.common.clone();
        while !common.stop.is_cancelled() {
            let Some(Some(queued)) = common.waited(source.first(&common.tally)).await else { return };
            let fate = self.deliver(&queued).await;
            if fate == Fate::Stopped {
                return;
            }
            let was_there = source.done(queued.sequence);
            if was_there && fate != Fate::Taken {
                common.tally.lost(1);
            }
        }
    }

    async fn deliver(&mut self, queued: &Queued) -> Fate {
        let common = self.common.clone();
        for tries in 0.. {
            let Some(target) = self.target().await else { return Fate::Stopped };
            if common.waited(self.pace.turn()).await.is_none() {
                return Fate::Stopped;
            }
            if queued.since.elapsed() >= common.config.retention {
                return Fate::Old;
            }
            if self.attempt(&target, queued, tries > 0).await {
                return Fate::Taken;
            }
            if common.config.give_up.is_some_and(|most| tries >= most) {
                return Fate::GivenUp;
            }
            if common.waited(sleep(common.config.pause)).await.is_none() {
                return Fate::Stopped;
            }
        }
        Fate::GivenUp
    }

    /// Where it goes; waits while there is no URL. None if it stops before there is one.
    async fn target(&mut self) -> Option<Arc<Target>> {
        if let Some(target) = &*self.target.borrow() {
            return Some(target.clone());
        }
        let found = self.common.waited(self.target.wait_for(Option::is_some)).await?.ok()?;
        found.clone()
    }

    /// Whether it is answered 200.
    async fn attempt(&mut self, target: &Arc<Target>, queued: &Queued, again: bool) -> bool {
        let Common { config, tally, .. } = &*self.common;
        let attempt = tally.attempt(again);
        let trouble = match timeout(config.timeout, self.post.post(target, &queued.body)).await {
            Ok(Ok(answer)) if answer.status == 200 => {
                let stored = stored(&answer);
                attempt.answered(200, stored);
                self.enter(queued, stored.unwrap_or("-"));
                return true;
            }
            Ok(Ok(answer)) => {
                attempt.answered(answer.status, None);
                format!("answered {}", answer.status)
            }
            Ok(Err(fault)) => fault.to_string(),
            Err(_) => format!("not answered within {}", show(config.timeout)),
        };
        tally.trouble(format!("instance {}: {trouble}; it pauses for {}", self.instance, show(config.pause)));
        false
    }

    fn enter(&self, queued: &Queued, stored: &str) {
        let Some(ledger) = &self.common.config.ledger else { return };
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let (instance, sequence, id) = (self.instance, queued.sequence, Id::of(&queued.body));
        if let Err(error) = ledger.write(&Line { instance, sequence, id, status: 200, stored, at }) {
            // what cannot be written down must not be claimed
            let _ = self.common.failed.set(error.to_string());
            self.common.stop.cancel();
        }
    }
}

/// The word in the bridge's answer.
fn stored(answer: &Answer) -> Option<&str> {
    let text = std::str::from_utf8(&answer.body).ok()?;
    let (_, rest) = text.split_once(r#""stored":""#)?;
    let (word, _) = rest.split_once('"')?;
    let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (plain && word.len() <= 32).then_some(word)
}

/// How close one follows the other.
pub(super) struct Pace {
    gap: Duration,
    next: Instant,
}

impl Pace {
    /// The first at `first`, and then `gap` apart; zero: no wait.
    pub(super) fn new(gap: Duration, first: Instant) -> Self {
        Self { gap, next: first }
    }

    async fn turn(&mut self) {
        if self.gap.is_zero() {
            return;
        }
        sleep_until(self.next).await;
        // a timer that is late by a millisecond each time must not slow it down; a long wait is not made up for
        let late = self.next.elapsed();
        self.next = if late < self.gap { self.next } else { Instant::now() } + self.gap;
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
