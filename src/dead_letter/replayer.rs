//! Sends letters on their way again, and notes it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::{Again, Behind, Head, Notes, Whole, again, note};
use crate::brokers::{Fault, FaultKind, Publisher, RETRY_AFTER};
use crate::message::{Broker, Message};
use crate::route::Routes;

/// How long a fault that may pass is waited out.
const PATIENCE: Duration = Duration::from_secs(15);

const OWED: &str = "the journal owes what goes there before it; wait until `greenapi-bridge journal status` says that \
    nothing is owed, and run this again";

/// What became of a letter.
#[derive(Debug)]
pub enum Outcome {
    /// It is stored there; or with a dry run, would be sent there.
    Replayed(String),
    /// It was replayed before.
    Before,
    /// It stays what it is, and why.
    Stays(String),
    /// It is not known to be stored, or not noted; why.
    Failed(String),
    /// As [`Self::Failed`], and others would fare no better.
    Unreached(String),
}

/// Replays letters of one broker to it.
pub struct Replayer<'r> {
    routes: &'r Routes,
    /// None: nothing is sent.
    publisher: Option<Publisher>,
    /// Where the letters lie.
    dead_letter: (Broker, &'r str),
    notes: Mutex<Notes>,
    behind: Behind,
    /// Whether also what was replayed before.
    once_more: bool,
}

impl<'r> Replayer<'r> {
    /// `dead_letter` is where the letters lie, `notes` what was replayed of them, and `behind` what goes before them;
    /// without a publisher it is a dry run.
    pub fn new(
        routes: &'r Routes,
        publisher: Option<Publisher>,
        dead_letter: (Broker, &'r str),
        (notes, behind): (Notes, Behind),
        once_more: bool,
    ) -> Self {
        Self { routes, publisher, dead_letter, notes: Mutex::new(notes), behind, once_more }
    }

    /// Whether a letter has had its replay.
    pub fn is_done(&self, head: &Head) -> bool {
        self.with_notes(|notes| notes.has_here(head.id) || notes.has(head) && !self.once_more)
    }

    /// Replays these: those of one instance one after the other, instances side by side.
    pub async fn replay(&self, letters: Vec<Whole>) -> Vec<(Head, Outcome)> {
        let mut instances: BTreeMap<_, Vec<Whole>> = BTreeMap::new();
        for whole in letters {
            // of a body that could not be read nothing is known: those stay in order among each other
            instances.entry(whole.head.instance).or_default().push(whole);
        }
        let each = instances.into_values().map(async |letters| {
            let mut done = Vec::new();
            for whole in letters {
                let outcome = self.one(&whole).await;
                let over = matches!(outcome, Outcome::Unreached(_));
                done.push((whole.head, outcome));
                if over {
                    break;
                }
            }
            done
        });
        join_all(each).await.into_iter().flatten().collect()
    }

    async fn one(&self, whole: &Whole) -> Outcome {
        let head = &whole.head;
        if self.is_done(head) {
            return Outcome::Before;
        }
        let (before, now) = (self.with_notes(|notes| notes.times(head.id)), SystemTime::now());
        let message = match again(whole, self.routes, before, now) {
            Again::Notification(message) => message,
            Again::Stays(why) => return Outcome::Stays(why),
        };
        let (broker, dead_letter) = self.dead_letter;
        let to = message.destination(broker).to_owned();
        let Some(publisher) = &self.publisher else {
            self.with_notes(|notes| notes.enter(head.id, head.received, true));
            return Outcome::Replayed(to);
        };
        match self.behind.wait(&message, broker, Instant::now() + PATIENCE).await {
            Ok(true) => {}
            Ok(false) => return Outcome::Failed(format!("{to}: {OWED}")),
            Err(problem) => return Outcome::Unreached(problem),
        }
        if let Err(fault) = publish(publisher, &message).await {
            return match fault.kind {
                FaultKind::Record => Outcome::Stays(format!("{} does not take it: {fault}", broker.as_str())),
                FaultKind::Destination => Outcome::Failed(format!("{to}: {fault}")),
                FaultKind::Connection => Outcome::Unreached(format!("{}: {fault}", broker.as_str())),
            };
        }
        let note = note(head, self.dead_letter, before, now);
        if let Err(fault) = publish(publisher, &note).await {
            return Outcome::Unreached(format!(
                "it is stored in {to}, but that cannot be noted in {dead_letter}: {fault}; a repeat sends it again"
            ));
        }
        self.with_notes(|notes| notes.enter(head.id, note.event.recorded, true));
        Outcome::Replayed(to)
    }

    fn with_notes<R>(&self, act: impl FnOnce(&mut Notes) -> R) -> R {
        act(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Publishes, and again while the fault is a passing one.
async fn publish(publisher: &Publisher, message: &Message) -> Result<(), Fault> {
    let until = Instant::now() + PATIENCE;
    loop {
        publisher.ready(until).await;
        match publisher.publish(message).await {
            Err(fault) if fault.passing && Instant::now() + RETRY_AFTER < until => sleep(RETRY_AFTER).await,
            settled => return settled,
        }
    }
}
