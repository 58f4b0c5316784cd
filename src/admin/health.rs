//! `/livez` and `/readyz`: whether a notification sent now would be stored. No page asks a broker: it reads what the
//! publishers and the journal last reported.

use std::sync::Arc;
use std::time::SystemTime;

use hyper::{Response, StatusCode};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::response::{Body, JSON, TEXT, response};
use crate::reload::ReloadStatus;
use crate::shutdown::Shutdown;
use crate::telemetry::{Availability, TimedAvailability};

/// Reads the availability of a broker or the journal, the reason as its label.
type Probe = Arc<dyn Fn() -> TimedAvailability<&'static str> + Send + Sync>;

/// Reads the sequence numbers of the journal's records that cannot be read.
type Unreadable = Arc<dyn Fn() -> Vec<i64> + Send + Sync>;

/// The most of these numbers that are shown.
const SHOWN_NUMBERS: usize = 10;

/// What readiness is made of. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    shutdown: Shutdown,
    brokers: Vec<(&'static str, Probe)>,
    journal: Option<(Probe, Unreadable)>,
    reloads: ReloadStatus,
}

impl Health {
    /// Of a bridge without brokers and without a journal.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, brokers: Vec::new(), journal: None, reloads: ReloadStatus::default() }
    }

    /// Adds a broker.
    #[must_use]
    pub fn with_broker<R>(mut self, name: &'static str, state: watch::Receiver<TimedAvailability<R>>) -> Self
    where
        R: Copy + PartialEq + Into<&'static str> + Send + Sync + 'static,
    {
        self.brokers.push((name, probe(state)));
        self
    }

    /// Adds the journal; `unreadable` gives the sequence numbers of the records that cannot be read.
    #[must_use]
    pub fn with_journal<R>(
        mut self,
        state: watch::Receiver<TimedAvailability<R>>,
        unreadable: impl Fn() -> Vec<i64> + Send + Sync + 'static,
    ) -> Self
    where
        R: Copy + PartialEq + Into<&'static str> + Send + Sync + 'static,
    {
        self.journal = Some((probe(state), Arc::new(unreadable)));
        self
    }

    /// Adds what of the changed files is not in use.
    #[must_use]
    pub fn with_reloads(mut self, status: ReloadStatus) -> Self {
        self.reloads = status;
        self
    }

    /// Whether a notification sent now would be stored.
    pub fn readiness(&self) -> Readiness {
        Readiness {
            stopping: self.shutdown.is_begun(),
            brokers: self.brokers.iter().map(|(name, state)| (*name, state())).collect(),
            journal: self.journal.as_ref().map(|(state, _)| state()),
            unreadable: self.journal.as_ref().map(|(_, unreadable)| unreadable()).unwrap_or_default(),
            failed_reloads: failed_reloads(&self.reloads),
            needs_restart: self.reloads.needs_restart(),
        }
    }
}

fn failed_reloads(status: &ReloadStatus) -> Vec<(&'static str, SystemTime)> {
    status.failures().into_iter().map(|(what, since)| (what.as_str(), since)).collect()
}

/// Whether a notification sent now would be stored, and why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Whether the bridge stops.
    pub stopping: bool,
    /// Each broker's availability.
    pub brokers: Vec<(&'static str, TimedAvailability<&'static str>)>,
    /// The journal's. `None` means that there is no journal.
    pub journal: Option<TimedAvailability<&'static str>>,
    /// The sequence numbers of the journal's records that cannot be read.
    pub unreadable: Vec<i64>,
    /// What could not be reloaded, and since when. The old one is in use, so the bridge is as ready as before.
    pub failed_reloads: Vec<(&'static str, SystemTime)>,
    /// The changed keys that only a restart applies, of the known ones alone.
    pub needs_restart: Vec<String>,
}

impl Readiness {
    /// True if the journal stores, or every broker does; a bridge without brokers has a journal.
    pub fn is_ready(&self) -> bool {
        let by_brokers = !self.brokers.is_empty() && self.brokers.iter().all(|(_, state)| state.is_up());
        let by_journal = self.journal.as_ref().is_some_and(|state| state.is_up());
        (by_brokers || by_journal) && !self.stopping
    }

    /// As JSON. It has only reasons from closed sets: probes ask without a token, and a detail may be a broker's own
    /// words.
    fn json(&self) -> Value {
        let mut brokers = Map::new();
        for (name, state) in &self.brokers {
            brokers.insert((*name).into(), state_json(state));
        }
        let mut shown = json!({"ready": self.is_ready(), "stopping": self.stopping, "brokers": brokers});
        if let Some(journal) = &self.journal {
            shown["journal"] = state_json(journal);
            if !self.unreadable.is_empty() {
                let first = &self.unreadable[..self.unreadable.len().min(SHOWN_NUMBERS)];
                shown["journal"]["degraded"] = "unreadable".into();
                shown["journal"]["unreadable"] = json!({"records": self.unreadable.len(), "seq": first});
            }
        }
        for (what, since) in &self.failed_reloads {
            shown["reload"][what] = json!({"state": "failed", "since": time(*since)});
        }
        if !self.needs_restart.is_empty() {
            shown["reload"]["needs_restart"] = json!(self.needs_restart);
        }
        shown
    }
}

fn time(since: SystemTime) -> String {
    humantime::format_rfc3339_millis(since).to_string()
}

fn state_json(state: &TimedAvailability<&'static str>) -> Value {
    let since = time(state.since());
    match &**state {
        Availability::Up => json!({"state": "up", "since": since}),
        Availability::Degraded { reason, .. } => json!({"state": "up", "degraded": reason, "since": since}),
        Availability::Down { reason, .. } => json!({"state": reason, "since": since}),
    }
}

pub(super) fn live() -> Response<Body> {
    response(StatusCode::OK, TEXT, "ok\n")
}

pub(super) fn ready(health: &Health) -> Response<Body> {
    let readiness = health.readiness();
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    response(status, JSON, readiness.json().to_string())
}

fn probe<R>(state: watch::Receiver<TimedAvailability<R>>) -> Probe
where
    R: Copy + PartialEq + Into<&'static str> + Send + Sync + 'static,
{
    Arc::new(move || state.borrow().labelled())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SINCE: &str = "2025-06-15T15:06:40.000Z";
    const UP: Availability<&str> = Availability::Up;

    fn readiness(brokers: &[Availability<&'static str>], journal: Option<Availability<&'static str>>) -> Readiness {
        let timed = |state| TimedAvailability::new(state, SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000));
        let brokers = brokers.iter().map(|state| ("nats", timed(state.clone()))).collect();
        let journal = journal.map(timed);
        Readiness {
            stopping: false,
            brokers,
            journal,
            unreadable: Vec::new(),
            failed_reloads: Vec::new(),
            needs_restart: Vec::new(),
        }
    }

    #[test]
    fn ready_means_that_every_broker_or_the_journal_stores() {
        let down = || Availability::down("disconnected");
        assert!(readiness(&[UP, Availability::degraded("no_topic")], None).is_ready());
        assert!(!readiness(&[UP, down()], None).is_ready());
        assert!(readiness(&[UP, down()], Some(UP)).is_ready());
        assert!(readiness(&[UP], Some(down())).is_ready());
        assert!(!readiness(&[down()], Some(down())).is_ready());
        assert!(!readiness(&[], None).is_ready() && readiness(&[], Some(UP)).is_ready());
        assert!(!Readiness { stopping: true, ..readiness(&[UP], Some(UP)) }.is_ready());
    }

    #[test]
    fn the_json_has_reasons_and_times_and_no_details() {
        let degraded = Availability::degraded("no_topic").with_detail("greenapi.incoming at 10.0.0.7");
        let shown = readiness(&[degraded], Some(Availability::down("full").with_detail("/var/lib"))).json();
        let expected = json!({"brokers": {"nats": {"state": "up", "degraded": "no_topic", "since": SINCE}},
            "journal": {"state": "full", "since": SINCE}, "ready": true, "stopping": false});
        assert_eq!(shown, expected);
    }

    #[test]
    fn records_that_cannot_be_read_are_shown_and_change_no_readiness() {
        let damaged = Readiness { unreadable: (1..=12).collect(), ..readiness(&[UP], Some(UP)) };
        assert!(damaged.is_ready());
        let expected = json!({"state": "up", "since": SINCE, "degraded": "unreadable",
            "unreadable": {"records": 12, "seq": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}});
        assert_eq!(damaged.json()["journal"], expected);
    }

    #[test]
    fn failed_reloads_are_shown_and_change_no_readiness() {
        assert!(readiness(&[UP], None).json().get("reload").is_none(), "absent while all is well");
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000);
        let failed = Readiness { failed_reloads: vec![("tokens", since)], ..readiness(&[UP], None) };
        assert!(failed.is_ready());
        assert_eq!(failed.json()["reload"], json!({"tokens": {"state": "failed", "since": SINCE}}));
        let changed = Readiness { needs_restart: vec!["http.workers".into()], ..readiness(&[UP], None) };
        assert!(changed.is_ready());
        assert_eq!(changed.json()["reload"], json!({"needs_restart": ["http.workers"]}));
    }
}
