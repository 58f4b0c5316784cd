//! Loads changed files again while the bridge serves.
//!
//! In: [`Watched`] things, each with its files and a function that loads and applies them; and requests, by SIGHUP. Out: what
//! was loaded is in use, and what could not be loaded is in the log, the metrics and [`ReloadStatus`], while the old one
//! stays in use. This module knows nothing of what the files hold.

mod files;
mod watched;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

pub use files::WatchedFiles;
pub use watched::Watched;
use watched::{Change, Trigger};

use crate::telemetry::{Metrics, ReloadResult, ReloadTarget};

/// How often the files are polled. A new token is in use after two polls, sooner than a person can try it; to read a few small
/// files costs less than a notification.
const INTERVAL: Duration = Duration::from_secs(1);

/// Asks for a reload at once. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ReloadRequests {
    asked: Arc<Notify>,
    /// Notified when a reload that was asked for has ended.
    ended: Arc<Notify>,
}

impl ReloadRequests {
    /// Asks for a reload, and waits until it has ended: for ever if the reloader has ended. Requests that come before it
    /// begins, at most a second later, count as one.
    pub async fn reload(&self) {
        let ended = self.ended.notified();
        self.asked.notify_one();
        ended.await;
    }
}

/// What of the changed files is not in use. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ReloadStatus(Arc<Mutex<NotInUse>>);

#[derive(Debug, Default)]
struct NotInUse {
    /// What could not be loaded, and since when.
    failures: Vec<(ReloadTarget, SystemTime)>,
    /// The changed keys that only a restart applies.
    needs_restart: Vec<String>,
}

impl ReloadStatus {
    /// Everything whose files cannot be used now, each with the time of its first failure since it was last loaded.
    pub fn failures(&self) -> Vec<(ReloadTarget, SystemTime)> {
        self.0.lock().failures.clone()
    }

    /// The changed keys that only a restart applies.
    pub fn needs_restart(&self) -> Vec<String> {
        self.0.lock().needs_restart.clone()
    }

    /// From now on these are the changed keys that only a restart applies.
    pub fn set_needs_restart(&self, keys: Vec<String>) {
        self.0.lock().needs_restart = keys;
    }

    fn add_failure(&self, what: ReloadTarget) {
        let failed = &mut self.0.lock().failures;
        if failed.iter().all(|(known, _)| *known != what) {
            failed.push((what, SystemTime::now()));
        }
    }

    fn remove_failure(&self, what: ReloadTarget) {
        self.0.lock().failures.retain(|(known, _)| *known != what);
    }
}

/// Polls the files of all [`Watched`] things.
pub struct Reloader {
    watched: Vec<Watched>,
    requests: ReloadRequests,
    status: ReloadStatus,
    metrics: Arc<Metrics>,
}

impl Reloader {
    /// Watches nothing yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { watched: Vec::new(), requests: ReloadRequests::default(), status: ReloadStatus::default(), metrics }
    }

    /// Watches one more thing.
    pub fn watch(&mut self, watched: Watched) {
        self.watched.push(watched);
    }

    /// What asks this reloader for a reload.
    pub fn requests(&self) -> ReloadRequests {
        self.requests.clone()
    }

    /// What of the changed files is not in use.
    pub fn status(&self) -> ReloadStatus {
        self.status.clone()
    }

    /// Reloads until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let requests = self.requests.clone();
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // each request is answered in the log: a storm of signals must not fill it
        let mut next_request = Instant::now();
        loop {
            let requested = async {
                sleep_until(next_request).await;
                requests.asked.notified().await;
            };
            let trigger = tokio::select! {
                () = stop.cancelled() => return,
                () = requested => Trigger::Request,
                _ = ticks.tick() => Trigger::Interval,
            };
            if trigger == Trigger::Request {
                next_request = Instant::now() + INTERVAL;
            }
            let poll = move || {
                self.poll(trigger);
                self
            };
            // a file may be on a slow disk
            match tokio::task::spawn_blocking(poll).await {
                Ok(reloader) => self = reloader,
                // the runtime ends
                Err(_) => return,
            }
            if trigger == Trigger::Request {
                requests.ended.notify_waiters();
            }
        }
    }

    /// Polls all files once.
    fn poll(&mut self, trigger: Trigger) {
        let mut unchanged = true;
        for watched in &mut self.watched {
            let what = watched.what;
            match watched.poll(trigger) {
                Change::None => continue,
                Change::Loaded(detail) => {
                    self.status.remove_failure(what);
                    self.metrics.reloaded(what, ReloadResult::Loaded);
                    info!(event = "reloaded", what = what.as_str(), detail, "reloaded");
                }
                Change::Failed(problem) => {
                    self.status.add_failure(what);
                    self.metrics.reloaded(what, ReloadResult::Failed);
                    error!(event = "reload_failed", what = what.as_str(), problem, "reload failed: the old one stays");
                }
            }
            unchanged = false;
        }
        if unchanged && trigger == Trigger::Request {
            info!(event = "reload_unchanged", "reload requested: no watched file has changed");
        }
    }
}

#[cfg(test)]
mod tests;
