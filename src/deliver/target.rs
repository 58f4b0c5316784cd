//! Storing in one broker: again while a fault passes, and in the dead letter what it will never take.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use tokio::time::{Instant, sleep};
use tracing::info;

use super::Outcome;
use crate::brokers::{Fault, FaultKind, Publisher, RETRY_AFTER};
use crate::message::{Destinations, LEAST_PART, Message, PART_BYTES, Reason};
use crate::observe::Metrics;

/// Faults of a destination that are the payload's own, where it had a say in it.
const NO_DESTINATION: [&str; 2] = ["no_topic", "too_many_topics"];

/// How large parts are where there is this much room: a power of two. A repeat with longer headers, or to a server
/// that takes a little less, is cut as before then, or into another number of parts; so the part that is called `1/3`
/// always has the same bytes, and the server may drop it as a repeat.
fn cut(room: usize) -> usize {
    1 << PART_BYTES.min(room).ilog2()
}

/// A dead letter whole if it fits, else in parts.
fn pieces(room: usize, dead: &Message) -> Vec<Message> {
    if dead.body.len() <= room || room < LEAST_PART { vec![dead.clone()] } else { dead.parts(cut(room)) }
}

/// A broker to store in.
pub struct Target {
    /// Publishes to it.
    pub publisher: Publisher,
    /// Where its dead letters go.
    pub dead_letter: String,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Reports that are outstanding beyond their time.
    pub(super) late: AtomicUsize,
    /// When that was made which has what is remembered as stored there; 0 while nothing is.
    created: AtomicI64,
}

impl Target {
    /// Stores by `publisher`, dead letters at `dead_letter`.
    pub fn new(publisher: Publisher, dead_letter: String, metrics: Arc<Metrics>) -> Self {
        Self { publisher, dead_letter, metrics, late: AtomicUsize::new(0), created: AtomicI64::new(0) }
    }

    /// What is remembered as stored there is in what was made then.
    pub(super) fn remembers(&self, created: i64) {
        self.created.store(created, Ordering::Relaxed);
    }

    /// If that is news: when that was made which the broker stores in now, and whether what is remembered as stored
    /// there was in another, and is lost.
    pub(super) fn made_anew(&self) -> Option<(i64, bool)> {
        let now = self.publisher.created().filter(|created| *created != 0)?;
        let before = self.created.swap(now, Ordering::Relaxed);
        (before != now).then_some((now, before != 0))
    }

    /// Whether it is not known yet if it has.
    pub(super) fn may_have_lost_all(&self) -> bool {
        self.publisher.created() == Some(0) && self.created.load(Ordering::Relaxed) != 0
    }

    /// Carries one message to its end here; a passing fault is tried again until `until`.
    pub(super) async fn settle(&self, message: &Message, until: Instant) -> Result<Outcome, Fault> {
        // dead letters are rare: what they need room for is apart
        if message.dead_letter.is_some() {
            return Box::pin(self.bury(Cow::Borrowed(message), until)).await;
        }
        match self.attempt(message, until).await {
            Ok(()) => Ok(Outcome::Stored),
            Err(fault) if fault.kind == FaultKind::Record || message.open && NO_DESTINATION.contains(&fault.reason) => {
                Box::pin(self.bury(Cow::Owned(self.refused(message, fault)), until)).await
            }
            Err(fault) => Err(fault),
        }
    }

    async fn bury(&self, dead: Cow<'_, Message>, until: Instant) -> Result<Outcome, Fault> {
        self.store_dead_letter(&dead, until).await?;
        self.metrics.dead_letter(dead.dead_letter.as_ref().map_or(0, |dead| dead.reason as usize));
        Ok(Outcome::DeadLetter)
    }

    /// The dead letter of a message the broker will never take.
    fn refused(&self, message: &Message, fault: Fault) -> Message {
        let (id, broker) = (message.event.id, self.publisher.broker());
        let reason = match fault.reason {
            "too_large" => Reason::TooLarge,
            reason if NO_DESTINATION.contains(&reason) => Reason::NoDestination,
            _ => Reason::Rejected,
        };
        info!(%id, broker = broker.as_str(), why = fault.detail, "not for the broker; to the dead letter");
        self.dead(message, reason, fault.detail)
    }

    fn dead(&self, message: &Message, reason: Reason, detail: String) -> Message {
        let mut to = Destinations::default();
        to[self.publisher.broker() as usize] = Some(self.dead_letter.clone());
        message.clone().into_dead_letter(to, reason, detail)
    }

    /// Whole if it fits, else in parts, one after the other: only all of them are answered 200.
    async fn store_dead_letter(&self, dead: &Message, until: Instant) -> Result<(), Fault> {
        loop {
            let room = self.publisher.room_for(dead);
            let stored = self.store_in(room, dead, until).await;
            // a topic that takes less than its client says so once it is asked: the first part was not stored
            let learned = self.publisher.room_for(dead) < room;
            match stored {
                Err(fault) if fault.kind == FaultKind::Record && learned => {}
                settled => return settled,
            }
        }
    }

    async fn store_in(&self, room: usize, dead: &Message, until: Instant) -> Result<(), Fault> {
        for piece in pieces(room, dead) {
            self.attempt(&piece, until).await?;
        }
        Ok(())
    }

    /// As what a message may be stored here, each with the ids of all its pieces: as itself, or as the dead letter that
    /// it became because it does not fit or has nowhere to go.
    pub(super) fn forms(&self, message: &Message) -> Vec<(Message, Vec<String>)> {
        let is_letter = message.dead_letter.is_some();
        let itself = (!is_letter).then(|| (message.clone(), vec![message.dedupe_id()]));
        let may_be_one = is_letter || message.open || message.body.len() > self.publisher.room_for(message);
        let dead = may_be_one.then(|| {
            let dead = if is_letter { message.clone() } else { self.dead(message, Reason::TooLarge, String::new()) };
            let ids = pieces(self.publisher.room_for(&dead), &dead).iter().map(Message::dedupe_id).collect();
            (dead, ids)
        });
        itself.into_iter().chain(dead).collect()
    }

    /// Publishes, and again while the fault is a passing one and there is time.
    async fn attempt(&self, message: &Message, until: Instant) -> Result<(), Fault> {
        let broker = self.publisher.broker() as usize;
        loop {
            self.publisher.ready(until).await;
            let begun = Instant::now();
            let Err(fault) = self.publisher.publish(message).await else {
                self.metrics.reported(broker, begun.elapsed());
                return Ok(());
            };
            self.metrics.publish_failed(broker, fault.reason, fault.unknown);
            if !fault.passing || Instant::now() + RETRY_AFTER >= until {
                return Err(fault);
            }
            sleep(RETRY_AFTER).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_same_name_has_the_same_bytes() {
        assert_eq!(
            [cut(4096), cut(8191), cut(64_913), cut(64_327), cut(usize::MAX)],
            [4096, 4096, 32_768, 32_768, 524_288]
        );
        for length in [LEAST_PART + 1, 100_000, 144_160, PART_BYTES + 1, 8 * 1024 * 1024] {
            let sizes = (12..=19).map(|bits| 1_usize << bits).filter(|size| *size < length);
            let counts: Vec<_> = sizes.map(|size| length.div_ceil(size)).collect();
            assert!(counts.is_sorted_by(|more, fewer| more > fewer), "{length}: {counts:?}");
        }
    }
}
