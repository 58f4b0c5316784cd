//! Replays the dead letters of a broker to it, and marks them as replayed.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::{DeadLetter, DlqHeaders, JournalBacklog, ReplayDecision, ReplayMarkers, decide_replay, replay_marker};
use crate::brokers::{Fault, FaultKind, Publisher, RETRY};
use crate::message::{Broker, Message};
use crate::notification::Validation;
use crate::route::Routes;

/// How long a transient fault is retried, and how long a replay waits for the journal's backlog.
const RETRY_WITHIN: Duration = Duration::from_secs(15);

const BACKLOG: &str = "the journal has a backlog for the same lane, which goes first; wait until `greenapi-bridge journal \
    status` shows no backlog, and run this again";

/// What became of one dead letter.
#[derive(Debug)]
pub enum ReplayOutcome {
    /// The broker stores it at this destination; with a dry run it would be sent there.
    Replayed(String),
    /// It was replayed before; nothing was done.
    AlreadyReplayed,
    /// It stays a dead letter, for this reason.
    NotReplayable(String),
    /// It may not be stored, for this reason.
    Failed(String),
    /// As [`Self::Failed`], and every other dead letter would fail too.
    Unreachable(String),
}

/// Where a broker stores dead letters.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetterDestination<'q> {
    /// The broker.
    pub broker: Broker,
    /// Its topic or subject for them.
    pub destination: &'q str,
}

/// Replays the dead letters of one broker to it.
pub struct Replayer<'r> {
    routes: &'r Routes,
    validation: Validation,
    /// `None` means a dry run: nothing is sent.
    publisher: Option<Publisher>,
    queue: DeadLetterDestination<'r>,
    markers: Mutex<ReplayMarkers>,
    backlog: JournalBacklog,
    /// Whether to replay also what was replayed before.
    include_replayed: bool,
}

impl<'r> Replayer<'r> {
    /// `markers` says which dead letters were replayed, and `backlog` what goes first. Without a publisher it is a dry run.
    pub fn new(
        routes: &'r Routes,
        validation: Validation,
        publisher: Option<Publisher>,
        queue: DeadLetterDestination<'r>,
        markers: ReplayMarkers,
        backlog: JournalBacklog,
        include_replayed: bool,
    ) -> Self {
        Self { routes, validation, publisher, queue, markers: Mutex::new(markers), backlog, include_replayed }
    }

    /// Closes the publisher.
    pub async fn close(&self) {
        if let Some(publisher) = &self.publisher {
            publisher.close().await;
        }
    }

    /// Whether a dead letter needs no replay any more.
    pub fn is_done(&self, letter: &DlqHeaders) -> bool {
        self.with_markers(|markers| {
            markers.replayed_here(letter.id) || markers.is_replayed(letter) && !self.include_replayed
        })
    }

    /// Replays these: those of one instance one after the other, instances side by side.
    pub async fn replay(&self, letters: Vec<DeadLetter>) -> Vec<(DlqHeaders, ReplayOutcome)> {
        let mut instances: BTreeMap<_, Vec<DeadLetter>> = BTreeMap::new();
        for letter in letters {
            // bodies that could not be parsed have no instance: their order among each other stays
            instances.entry(letter.headers.instance).or_default().push(letter);
        }
        let each = instances.into_values().map(async |letters| {
            let mut outcomes = Vec::new();
            for letter in letters {
                let outcome = self.replay_one(&letter).await;
                let unreachable = matches!(outcome, ReplayOutcome::Unreachable(_));
                outcomes.push((letter.headers, outcome));
                if unreachable {
                    break;
                }
            }
            outcomes
        });
        join_all(each).await.into_iter().flatten().collect()
    }

    async fn replay_one(&self, letter: &DeadLetter) -> ReplayOutcome {
        let headers = &letter.headers;
        if self.is_done(headers) {
            return ReplayOutcome::AlreadyReplayed;
        }
        let (earlier, now) = (self.with_markers(|markers| markers.times(headers.id)), SystemTime::now());
        let message = match decide_replay(letter, self.routes, &self.validation, earlier, now) {
            ReplayDecision::Replay(message) => message,
            ReplayDecision::NotReplayable(why) => return ReplayOutcome::NotReplayable(why),
        };
        let DeadLetterDestination { broker, destination: dead_letter_destination } = self.queue;
        let to = message.destination(broker).to_owned();
        let Some(publisher) = &self.publisher else {
            self.with_markers(|markers| markers.add_replay(headers.id, headers.received));
            return ReplayOutcome::Replayed(to);
        };
        match self.backlog.wait_until_empty(&message, broker, Instant::now() + RETRY_WITHIN).await {
            Ok(true) => {}
            Ok(false) => return ReplayOutcome::Failed(format!("{to}: {BACKLOG}")),
            Err(problem) => return ReplayOutcome::Unreachable(problem),
        }
        if let Err(fault) = publish(publisher, &message).await {
            return match fault.kind {
                FaultKind::Record => ReplayOutcome::NotReplayable(format!("{} refuses it: {fault}", broker.as_str())),
                FaultKind::Destination => ReplayOutcome::Failed(format!("{to}: {fault}")),
                FaultKind::Connection => ReplayOutcome::Unreachable(format!("{}: {fault}", broker.as_str())),
            };
        }
        let marker = replay_marker(headers, self.queue, earlier, now);
        if let Err(fault) = publish(publisher, &marker).await {
            return ReplayOutcome::Unreachable(format!(
                "it is stored in {to}, but its replay marker is not in {dead_letter_destination}: {fault}; a repeat \
                 sends it again"
            ));
        }
        self.with_markers(|markers| markers.add_replay(headers.id, marker.event.recorded));
        ReplayOutcome::Replayed(to)
    }

    fn with_markers<R>(&self, act: impl FnOnce(&mut ReplayMarkers) -> R) -> R {
        act(&mut self.markers.lock())
    }
}

/// Publishes a message, and retries while its fault is transient.
async fn publish(publisher: &Publisher, message: &Message) -> Result<(), Fault> {
    let (until, mut failures) = (Instant::now() + RETRY_WITHIN, 0);
    loop {
        publisher.wait_until_up(until).await;
        let Err(fault) = publisher.publish(message).await else { return Ok(()) };
        failures += 1;
        let next = Instant::now() + RETRY.pause(failures);
        if !fault.transient || next >= until {
            return Err(fault);
        }
        sleep_until(next).await;
    }
}
