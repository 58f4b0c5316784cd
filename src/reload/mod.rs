//! Loads changed files again while the bridge serves.
//!
//! In: [`Watched`] things, each with its files and a function that loads and applies them; and requests, by SIGHUP. Out: what
//! was loaded is in use, and what could not be loaded is in the log, the metrics and [`ReloadFailures`], while the old one
//! stays in use. This module knows nothing of what the files hold.

mod files;
mod watched;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
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
    /// begins count as one.
    pub async fn reload(&self) {
        let ended = self.ended.notified();
        self.asked.notify_one();
        ended.await;
    }
}

/// What could not be loaded, and since when. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ReloadFailures(Arc<Mutex<Vec<(ReloadTarget, SystemTime)>>>);

impl ReloadFailures {
    /// Everything whose files cannot be used now, each with the time of its first failure since it was last loaded.
    pub fn all(&self) -> Vec<(ReloadTarget, SystemTime)> {
        self.0.lock().clone()
    }

    fn add(&self, what: ReloadTarget) {
        let mut failed = self.0.lock();
        if failed.iter().all(|(known, _)| *known != what) {
            failed.push((what, SystemTime::now()));
        }
    }

    fn remove(&self, what: ReloadTarget) {
        self.0.lock().retain(|(known, _)| *known != what);
    }
}

/// Polls the files of all [`Watched`] things.
pub struct Reloader {
    watched: Vec<Watched>,
    requests: ReloadRequests,
    failures: ReloadFailures,
    metrics: Arc<Metrics>,
}

impl Reloader {
    /// Watches nothing yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { watched: Vec::new(), requests: ReloadRequests::default(), failures: ReloadFailures::default(), metrics }
    }

    /// Watches one more thing.
    pub fn watch(&mut self, watched: Watched) {
        self.watched.push(watched);
    }

    /// What asks this reloader for a reload.
    pub fn requests(&self) -> ReloadRequests {
        self.requests.clone()
    }

    /// What this reloader could not load.
    pub fn failures(&self) -> ReloadFailures {
        self.failures.clone()
    }

    /// Reloads until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let requests = self.requests.clone();
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let trigger = tokio::select! {
                () = stop.cancelled() => return,
                () = requests.asked.notified() => Trigger::Request,
                _ = ticks.tick() => Trigger::Interval,
            };
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
                    self.failures.remove(what);
                    self.metrics.reloaded(what, ReloadResult::Loaded);
                    info!(event = "reloaded", what = what.as_str(), detail, "reloaded");
                }
                Change::Failed(problem) => {
                    self.failures.add(what);
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
