//! Whether a notification sent now would be stored.

use tokio::sync::watch;

use crate::shutdown::Shutdown;

/// Whether one broker stores now, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerState {
    /// Whether it stores now.
    pub up: bool,
    /// A bounded tag; `up` where it stores everything, and what it lacks where it stores the rest.
    pub reason: &'static str,
    /// For people; may be empty.
    pub detail: String,
}

impl BrokerState {
    /// It stores.
    pub fn up() -> Self {
        Self { up: true, reason: "up", detail: String::new() }
    }

    /// It stores, but not all, for this reason.
    pub fn up_but(reason: &'static str) -> Self {
        Self { up: true, reason, detail: String::new() }
    }

    /// It does not.
    pub fn down(reason: &'static str) -> Self {
        Self { up: false, reason, detail: String::new() }
    }

    /// With words for people.
    #[must_use]
    pub fn because(self, detail: String) -> Self {
        Self { detail, ..self }
    }
}

/// What readiness is made of. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    shutdown: Shutdown,
    brokers: Vec<(&'static str, watch::Receiver<BrokerState>)>,
    journal: Option<watch::Receiver<BrokerState>>,
}

impl Health {
    /// Made of whether the process stops, of these brokers, and of whether the journal keeps what comes, if there is one.
    pub fn new(
        shutdown: Shutdown,
        brokers: Vec<(&'static str, watch::Receiver<BrokerState>)>,
        journal: Option<watch::Receiver<BrokerState>>,
    ) -> Self {
        Self { shutdown, brokers, journal }
    }

    /// Whether each broker stores now.
    pub fn up(&self) -> impl Iterator<Item = (&'static str, bool)> {
        self.brokers.iter().map(|(name, state)| (*name, state.borrow().up))
    }

    /// Whether a notification sent now would be stored, and JSON that says why: only in tags, since probes ask
    /// without a token and a detail may be a broker's own words.
    pub fn ready(&self) -> (bool, serde_json::Value) {
        let stopping = self.shutdown.is_begun();
        // without a broker there is a journal
        let mut stores = !self.brokers.is_empty();
        let mut brokers = serde_json::Map::new();
        for (name, state) in &self.brokers {
            let state = state.borrow();
            stores &= state.up;
            let mut said = serde_json::json!({"state": if state.up { "up" } else { state.reason }});
            if state.up && state.reason != "up" {
                said["lacks"] = state.reason.into();
            }
            brokers.insert((*name).into(), said);
        }
        let mut said = serde_json::json!({"stopping": stopping, "brokers": brokers});
        if let Some(journal) = &self.journal {
            let journal = journal.borrow();
            stores |= journal.up;
            said["journal"] = serde_json::json!({"state": journal.reason});
        }
        let ready = stores && !stopping;
        said["ready"] = ready.into();
        (ready, said)
    }
}
