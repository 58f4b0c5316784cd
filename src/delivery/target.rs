//! Publishing to one broker: with retries while a fault is transient, and to its dead letter what it never accepts.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use tokio::time::{Instant, sleep_until};
use tracing::info;

use super::Outcome;
use super::outage::UnackedCounts;
use crate::brokers::{Fault, FaultKind, FaultReason, Publisher, RETRY};
use crate::message::{Destinations, Id, MIN_PART_BYTES, Message, PART_BYTES, Reason};
use crate::telemetry::Metrics;

/// Faults of a destination that are the payload's own, if the payload chose the destination.
const NO_DESTINATION: [FaultReason; 2] = [FaultReason::NoTopic, FaultReason::TooManyTopics];

/// Part size in bytes: the largest power of two up to `max_body_len`, at most [`PART_BYTES`]. With a smaller limit the
/// size stays the same or halves, which changes the number of parts. So the dedup id of part `1/3` always belongs to
/// the same bytes, and JetStream may drop it as a duplicate.
fn part_size(max_body_len: usize) -> usize {
    1 << PART_BYTES.min(max_body_len).ilog2()
}

/// A dead letter whole if it fits, else in parts.
fn split(max_body_len: usize, dead_letter: &Message) -> Vec<Message> {
    if dead_letter.body.len() <= max_body_len || max_body_len < MIN_PART_BYTES {
        vec![dead_letter.clone()]
    } else {
        dead_letter.parts(part_size(max_body_len))
    }
}

/// A broker has acked a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) outcome: Outcome,
    /// When the stream was created that the message was sent to; 0 for a broker without streams.
    pub(super) stream: i64,
}

/// A broker to store in.
pub struct Target {
    /// Publishes to it.
    pub publisher: Publisher,
    /// The topic or subject of its dead letters.
    pub dead_letter: String,
    /// Counts attempts, faults and dead letters.
    pub metrics: Arc<Metrics>,
    /// Acks that did not come in time, and are still awaited.
    pub(super) overdue: AtomicUsize,
    /// What became of the notifications that it did not ack.
    pub(super) unacked_counts: UnackedCounts,
    /// When its stream was created, in Unix nanoseconds; 0 before that is known.
    pub(super) stream: Arc<AtomicI64>,
}

impl Target {
    /// Stores by `publisher`, dead letters at `dead_letter`.
    pub fn new(publisher: Publisher, dead_letter: String, metrics: Arc<Metrics>) -> Self {
        let (overdue, unacked_counts) = (AtomicUsize::new(0), UnackedCounts::default());
        Self { publisher, dead_letter, metrics, overdue, unacked_counts, stream: Arc::default() }
    }

    /// Publishes a message that is not a dead letter, and again until `retry_until` while the fault is transient. What the
    /// broker never accepts goes to its dead letter.
    pub(super) async fn publish_with_retry(&self, message: &Message, retry_until: Instant) -> Result<Ack, Fault> {
        let broker = self.publisher.broker();
        let mut failures = 0;
        loop {
            self.publisher.wait_until_up(retry_until).await;
            let (begun, stream) = (Instant::now(), self.stream.load(Ordering::Acquire));
            let Err(fault) = self.publisher.publish(message).await else {
                self.metrics.acked(broker, begun.elapsed());
                return Ok(Ack { outcome: Outcome::Stored, stream });
            };
            self.metrics.publish_failed(broker, fault.reason, fault.maybe_stored);
            failures += 1;
            let next = Instant::now() + RETRY.pause(failures);
            if fault.transient && next < retry_until {
                sleep_until(next).await;
            } else if !message.is_dead_letter() && is_payloads_own(message, &fault) {
                let dead_letter = self.rejected(message, fault);
                return Box::pin(self.publish_dead_letter(&dead_letter, retry_until)).await;
            } else {
                return Err(fault);
            }
        }
    }

    /// Publishes a dead letter, whole if it fits, else in parts, one after the other: only all of them are answered 200.
    pub(super) async fn publish_dead_letter(&self, dead_letter: &Message, retry_until: Instant) -> Result<Ack, Fault> {
        loop {
            let max_body_len = self.publisher.max_body_len(dead_letter);
            match self.publish_split(max_body_len, dead_letter, retry_until).await {
                // a topic that accepts less than its client says so when it refuses the first part: no part was stored
                Err(fault)
                    if fault.kind == FaultKind::Record && self.publisher.max_body_len(dead_letter) < max_body_len => {}
                Err(fault) => return Err(fault),
                Ok(stream) => {
                    if let Some(dead) = dead_letter.as_dead_letter() {
                        self.metrics.dead_letter(dead.reason);
                    }
                    return Ok(Ack { outcome: Outcome::DeadLetter, stream });
                }
            }
        }
    }

    /// Returns when the stream was created that has the first part.
    async fn publish_split(&self, max_body_len: usize, dead_letter: &Message, until: Instant) -> Result<i64, Fault> {
        let mut stream = None;
        for part in split(max_body_len, dead_letter) {
            let ack = self.publish_with_retry(&part, until).await?;
            stream.get_or_insert(ack.stream);
        }
        Ok(stream.unwrap_or_default())
    }

    /// The dead letter of a message that the broker never accepts.
    fn rejected(&self, message: &Message, fault: Fault) -> Message {
        let (ce_id, broker) = (message.event.id, self.publisher.broker());
        let reason = match fault.reason {
            FaultReason::TooLarge => Reason::TooLarge,
            reason if NO_DESTINATION.contains(&reason) => Reason::NoDestination,
            _ => Reason::Rejected,
        };
        info!(event = "rejected", %ce_id, broker = broker.as_str(), reason = fault.reason.as_str(), detail = fault.detail, "rejected: to the dead letter");
        self.to_dead_letter(message, reason, fault.detail)
    }

    fn to_dead_letter(&self, message: &Message, reason: Reason, detail: String) -> Message {
        let to = Destinations::only(self.publisher.broker(), self.dead_letter.clone());
        message.clone().into_dead_letter(to, reason, detail)
    }

    /// The dead letter of a record whose body was changed on disk, under the id of what is there now. `None` means that it
    /// is what was received.
    pub(super) fn altered(&self, message: &Message) -> Option<Message> {
        let (received, found) = (message.event.id, Id::of(&message.body));
        (found != received).then(|| {
            let detail = format!("its body was changed on the journal's disk; it was received as {received}");
            let mut dead_letter = self.to_dead_letter(message, Reason::Altered, detail);
            dead_letter.event.id = found;
            dead_letter
        })
    }

    /// All forms in which the broker may have this message already, each with the dedup ids of all its parts: the
    /// message itself, or the dead letter that it became because it does not fit or has no destination.
    pub(super) fn possible_dedup_ids(&self, message: &Message) -> Vec<(Message, Vec<String>)> {
        let is_dead_letter = message.is_dead_letter();
        let itself = (!is_dead_letter).then(|| (message.clone(), vec![message.dedupe_id()]));
        let may_be_dead_letter =
            is_dead_letter || message.topic_from_payload || message.body.len() > self.publisher.max_body_len(message);
        let as_dead_letter = may_be_dead_letter.then(|| {
            let dead_letter = match is_dead_letter {
                true => Cow::Borrowed(message),
                false => Cow::Owned(self.to_dead_letter(message, Reason::TooLarge, String::new())),
            };
            let parts = split(self.publisher.max_body_len(&dead_letter), &dead_letter);
            (dead_letter.into_owned(), parts.iter().map(Message::dedupe_id).collect())
        });
        itself.into_iter().chain(as_dead_letter).collect()
    }
}

/// Whether no other message suffers from this fault, and this one is never accepted.
fn is_payloads_own(message: &Message, fault: &Fault) -> bool {
    fault.kind == FaultKind::Record || message.topic_from_payload && NO_DESTINATION.contains(&fault.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_with_the_same_name_have_the_same_bytes() {
        assert_eq!(
            [part_size(4096), part_size(8191), part_size(64_913), part_size(64_327), part_size(usize::MAX)],
            [4096, 4096, 32_768, 32_768, 524_288]
        );
        for length in [MIN_PART_BYTES + 1, 100_000, 144_160, PART_BYTES + 1, 8 * 1024 * 1024] {
            let sizes = (12..=19).map(|bits| 1_usize << bits).filter(|size| *size < length);
            let counts: Vec<_> = sizes.map(|size| length.div_ceil(size)).collect();
            assert!(counts.is_sorted_by(|more, fewer| more > fewer), "{length}: {counts:?}");
        }
    }
}
