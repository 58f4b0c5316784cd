//! Lanes that wait, and the one log entry of each thing they wait for: a topic that is missing, a stream that is full.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{info, warn};

use crate::brokers::{Fault, FaultKind};
use crate::journal::Lane;

/// So many causes are known at once; more are not told, which keeps the log short where each of many topics is missing.
const CAUSES: usize = 32;

/// What lanes of one broker wait for.
pub(super) struct Stuck {
    broker: &'static str,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    lanes: HashMap<Lane, Waiting>,
    /// How many lanes wait for each that was told.
    told: HashMap<Cause, usize>,
}

/// A destination, and the reason of its fault.
type Cause = (Arc<str>, &'static str);

#[derive(Default)]
struct Waiting {
    tries: u32,
    cause: Option<Cause>,
}

impl Stuck {
    pub(super) fn new(broker: &'static str) -> Self {
        Self { broker, held: Mutex::default() }
    }

    /// A lane could not go on, because of this fault of this destination; how often it was tried before.
    pub(super) fn waits(&self, lane: Lane, fault: &Fault, destination: &str) -> u32 {
        let mut held = self.held();
        let waiting = held.lanes.entry(lane).or_default();
        waiting.tries = waiting.tries.saturating_add(1);
        let (before, was) = (waiting.tries - 1, waiting.cause.take());
        // of a connection that is lost the destination knows nothing
        let same = |was: &Cause| was.1 == fault.reason && *was.0 == *destination;
        if fault.kind != FaultKind::Destination || was.as_ref().is_some_and(same) {
            waiting.cause = was;
            return before;
        }
        let (cause, known) = ((Arc::from(destination), fault.reason), held.told.len());
        if let Some(lanes) = held.told.get_mut(&cause) {
            *lanes += 1;
        } else if known < CAUSES {
            held.told.insert(cause.clone(), 1);
            let (reason, detail) = (fault.reason, fault.detail.as_str());
            warn!(broker = self.broker, destination, reason, detail, "what is owed waits for its destination");
        } else {
            self.leave(&mut held, was);
            return before;
        }
        held.lanes.entry(lane).or_default().cause = Some(cause);
        self.leave(&mut held, was);
        before
    }

    /// A lane goes on, or nothing is owed in it any more.
    pub(super) fn goes_on(&self, lane: Lane) {
        let mut held = self.held();
        let was = held.lanes.remove(&lane).and_then(|waiting| waiting.cause);
        self.leave(&mut held, was);
    }

    fn leave(&self, held: &mut Held, was: Option<Cause>) {
        let Some(cause) = was else { return };
        let Some(lanes) = held.told.get_mut(&cause) else { return };
        *lanes -= 1;
        if *lanes == 0 {
            held.told.remove(&cause);
            let (destination, reason) = (&*cause.0, cause.1);
            info!(broker = self.broker, destination, reason, "nothing owed waits for the destination any more");
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind, reason: &'static str) -> Fault {
        Fault { kind, reason, detail: String::new(), passing: false, unknown: false }
    }

    fn told(stuck: &Stuck) -> Vec<(String, &'static str, usize)> {
        let held = stuck.held();
        let mut told: Vec<_> = held.told.iter().map(|((at, why), lanes)| (at.to_string(), *why, *lanes)).collect();
        told.sort();
        told
    }

    #[test]
    fn each_cause_is_known_for_as_long_as_a_lane_waits_for_it() {
        let stuck = Stuck::new("kafka");
        let (missing, denied) = ("no_topic", "not_authorized");
        let destination = |reason| fault(FaultKind::Destination, reason);
        assert_eq!([0, 1].map(|_| stuck.waits(Lane(1), &destination(missing), "a")), [0, 1]);
        stuck.waits(Lane(2), &destination(missing), "a");
        stuck.waits(Lane(3), &destination(missing), "b");
        stuck.waits(Lane(4), &fault(FaultKind::Connection, "closed"), "b");
        assert_eq!(told(&stuck), [("a".into(), missing, 2), ("b".into(), missing, 1)]);
        // a connection that is lost changes nothing; another fault does
        stuck.waits(Lane(1), &fault(FaultKind::Connection, "closed"), "a");
        stuck.waits(Lane(2), &destination(denied), "a");
        assert_eq!(told(&stuck), [("a".into(), missing, 1), ("a".into(), denied, 1), ("b".into(), missing, 1)]);
        [1, 3, 4].into_iter().for_each(|lane| stuck.goes_on(Lane(lane)));
        assert_eq!(told(&stuck), [("a".into(), denied, 1)]);
        assert_eq!(stuck.waits(Lane(1), &destination(denied), "a"), 0, "tried anew");
        [1, 2, 2].into_iter().for_each(|lane| stuck.goes_on(Lane(lane)));
        assert!(told(&stuck).is_empty() && stuck.held().lanes.is_empty());
    }

    #[test]
    fn of_many_causes_some_are_known() {
        let stuck = Stuck::new("kafka");
        for lane in 0..100 {
            stuck.waits(Lane(lane), &fault(FaultKind::Destination, "no_topic"), &lane.to_string());
        }
        assert_eq!(told(&stuck).len(), CAUSES);
        (0..100).for_each(|lane| stuck.goes_on(Lane(lane)));
        assert!(told(&stuck).is_empty() && stuck.held().lanes.is_empty());
    }
}
