//! Blocked lanes, and one log entry for each cause: a topic that is missing, a stream that is full.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::{info, warn};

use crate::brokers::{Fault, FaultKind, FaultReason};
use crate::journal::Lane;

/// How many causes are logged at once. It keeps the log short where each of many topics is missing.
const CAUSES: usize = 32;

/// Logs why lanes of one broker are blocked.
pub(super) struct BlockedLaneLog {
    broker: &'static str,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lanes: HashMap<Lane, Blocked>,
    /// How many lanes each logged cause blocks.
    logged: HashMap<Cause, usize>,
}

/// A destination, and the reason of its fault.
type Cause = (Arc<str>, FaultReason);

#[derive(Default)]
struct Blocked {
    failures: u32,
    /// `None` means that its cause is not logged.
    cause: Option<Cause>,
}

impl BlockedLaneLog {
    pub(super) fn new(broker: &'static str) -> Self {
        Self { broker, state: Mutex::default() }
    }

    /// A lane is blocked by this fault of this destination. Returns how often in a row it was.
    pub(super) fn blocked(&self, lane: Lane, fault: &Fault, destination: &str) -> u32 {
        let mut state = self.state.lock();
        let blocked = state.lanes.entry(lane).or_default();
        blocked.failures = blocked.failures.saturating_add(1);
        let (failures, earlier) = (blocked.failures, blocked.cause.take());
        // a lost connection changes nothing about the destination
        let same = |earlier: &Cause| earlier.1 == fault.reason && *earlier.0 == *destination;
        if fault.kind == FaultKind::Connection || earlier.as_ref().is_some_and(same) {
            blocked.cause = earlier;
            return failures;
        }
        let (cause, causes) = ((Arc::from(destination), fault.reason), state.logged.len());
        let logged = match state.logged.get_mut(&cause) {
            Some(lanes) => {
                *lanes += 1;
                true
            }
            None if causes < CAUSES => {
                state.logged.insert(cause.clone(), 1);
                let (reason, detail) = (fault.reason.as_str(), fault.detail.as_str());
                warn!(
                    event = "lane_blocked",
                    broker = self.broker,
                    destination,
                    reason,
                    detail,
                    "lane blocked: destination refuses records"
                );
                true
            }
            None => false,
        };
        if logged {
            state.lanes.entry(lane).or_default().cause = Some(cause);
        }
        self.release(&mut state, earlier);
        failures
    }

    /// A lane is not blocked any more, or has no backlog.
    pub(super) fn unblocked(&self, lane: Lane) {
        let mut state = self.state.lock();
        let earlier = state.lanes.remove(&lane).and_then(|blocked| blocked.cause);
        self.release(&mut state, earlier);
    }

    fn release(&self, state: &mut State, earlier: Option<Cause>) {
        let Some(cause) = earlier else { return };
        let Some(lanes) = state.logged.get_mut(&cause) else { return };
        *lanes -= 1;
        if *lanes == 0 {
            state.logged.remove(&cause);
            let (destination, reason) = (&*cause.0, cause.1.as_str());
            info!(
                event = "lane_unblocked",
                broker = self.broker,
                destination,
                reason,
                "lane unblocked: destination accepts records"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind, reason: FaultReason) -> Fault {
        Fault { kind, reason, detail: String::new(), transient: false, maybe_stored: false }
    }

    fn logged(log: &BlockedLaneLog) -> Vec<(String, &'static str, usize)> {
        let state = log.state.lock();
        let causes = state.logged.iter().map(|((at, reason), lanes)| (at.to_string(), reason.as_str(), *lanes));
        let mut causes: Vec<_> = causes.collect();
        causes.sort();
        causes
    }

    #[test]
    fn cause_is_logged_for_as_long_as_it_blocks_a_lane() {
        let log = BlockedLaneLog::new("kafka");
        let (missing, denied) = (FaultReason::NoTopic.as_str(), FaultReason::NotAuthorized.as_str());
        let destination = |reason| fault(FaultKind::Destination, reason);
        assert_eq!([0, 1].map(|_| log.blocked(Lane(1), &destination(FaultReason::NoTopic), "a")), [1, 2]);
        log.blocked(Lane(2), &destination(FaultReason::NoTopic), "a");
        log.blocked(Lane(3), &destination(FaultReason::NoTopic), "b");
        log.blocked(Lane(4), &fault(FaultKind::Connection, FaultReason::Closed), "b");
        assert_eq!(logged(&log), [("a".into(), missing, 2), ("b".into(), missing, 1)]);
        // a connection that is lost changes nothing; another fault does
        log.blocked(Lane(1), &fault(FaultKind::Connection, FaultReason::Closed), "a");
        log.blocked(Lane(2), &destination(FaultReason::NotAuthorized), "a");
        assert_eq!(logged(&log), [("a".into(), missing, 1), ("a".into(), denied, 1), ("b".into(), missing, 1)]);
        [1, 3, 4].into_iter().for_each(|lane| log.unblocked(Lane(lane)));
        assert_eq!(logged(&log), [("a".into(), denied, 1)]);
        assert_eq!(
            log.blocked(Lane(1), &destination(FaultReason::NotAuthorized), "a"),
            1,
            "counted from the beginning"
        );
        [1, 2, 2].into_iter().for_each(|lane| log.unblocked(Lane(lane)));
        assert!(logged(&log).is_empty() && log.state.lock().lanes.is_empty());
    }

    #[test]
    fn some_of_many_causes_are_logged() {
        let log = BlockedLaneLog::new("kafka");
        for lane in 0..100 {
            log.blocked(Lane(lane), &fault(FaultKind::Destination, FaultReason::NoTopic), &lane.to_string());
        }
        assert_eq!(logged(&log).len(), CAUSES);
        (0..100).for_each(|lane| log.unblocked(Lane(lane)));
        assert!(logged(&log).is_empty() && log.state.lock().lanes.is_empty());
    }
}
