//! What an existing stream lacks of what is asked for, and what it has otherwise and keeps.

use std::time::Duration;

use async_nats::jetstream::stream::{Config as Stream, DiscardPolicy};
use serde_json::{Map, Value, json};

use super::ProvisionConfig;
use super::subjects::covers;
use crate::brokers::Replicas;
use crate::units::show;

/// How a stream is widened.
#[derive(Debug, Default)]
pub(super) struct Widening {
    /// The keys that change, as the server writes them.
    pub(super) keys: Map<String, Value>,
    /// The same for people.
    pub(super) changes: Vec<String>,
    /// What is otherwise than a new stream would have it, and stays.
    pub(super) kept: Vec<String>,
}

impl Widening {
    /// From what `stream` has to what is asked for. Nothing is narrowed, and what does not only widen is left alone.
    pub(super) fn new(stream: &Stream, subjects: &[&String], window: Duration, wanted: &ProvisionConfig) -> Self {
        let mut wide = Self::default();
        wide.subjects(stream, subjects);
        if stream.duplicate_window < window {
            wide.change("duplicate_window", nanos(window), duplicate_window(window));
        }
        wide.replicas(stream.num_replicas, wanted.replicas);
        wide.max_age(stream.max_age, wanted.max_age);
        wide.max_bytes(stream.max_bytes, wanted.max_bytes);
        wide.keep_what_is_otherwise(stream);
        wide
    }

    fn change(&mut self, key: &str, value: impl Into<Value>, said: String) {
        self.keys.insert(key.into(), value.into());
        self.changes.push(said);
    }

    fn subjects(&mut self, stream: &Stream, subjects: &[&String]) {
        let held = |subject: &&String| stream.subjects.iter().any(|taken| covers(taken, subject));
        let missing: Vec<_> = subjects.iter().copied().filter(|subject| !held(subject)).collect();
        if missing.is_empty() {
            return;
        }
        // the server refuses subjects that overlap: those that lie inside a new one go up in it
        let lie_outside = |subject: &&String| !missing.iter().any(|new| covers(new, subject));
        let all: Vec<_> = stream.subjects.iter().filter(lie_outside).chain(missing.iter().copied()).collect();
        self.keys.insert("subjects".into(), json!(all));
        self.changes.extend(missing.iter().map(|subject| format!("subject {subject}")));
    }

    fn replicas(&mut self, have: usize, wanted: Replicas) {
        match wanted {
            Replicas::Count(count) if count > have => {
                let said = format!("replicas: {count} instead of {have}; `check` says when they have caught up");
                self.change("num_replicas", count, said);
            }
            Replicas::Count(count) if count < have => {
                self.kept.push(format!("replicas: {have}; nats.provision.replicas = {count} would be fewer"));
            }
            _ => {}
        }
    }

    fn max_age(&mut self, have: Duration, wanted: Duration) {
        let (has, asked) = (age(have), age(wanted));
        if longest(have, wanted) != have {
            self.change("max_age", nanos(wanted), format!("max_age {asked} instead of {has}"));
        } else if have != wanted {
            self.kept.push(format!("max_age {has}, not {asked}"));
        }
    }

    /// No limit is asked for by leaving the key out, which is no reason to lift one that somebody has set.
    fn max_bytes(&mut self, have: i64, wanted: Option<usize>) {
        let limited = have > 0;
        let refuses = "when it holds them it is full";
        match wanted.map(bytes) {
            Some(asked) if limited && asked > have => {
                self.change("max_bytes", asked, format!("max_bytes {asked} instead of {have}"));
            }
            Some(asked) if !limited => self.kept.push(format!("max_bytes without limit, not {asked}")),
            Some(asked) if asked < have => self.kept.push(format!("max_bytes {have}, not {asked}")),
            None if limited => {
                self.kept.push(format!("max_bytes {have}, and nats.provision.max_bytes names none: {refuses}"));
            }
            _ => {}
        }
    }

    /// What `provision` has no key for.
    fn keep_what_is_otherwise(&mut self, stream: &Stream) {
        let limited = |limit: i64| limit > 0;
        if limited(stream.max_messages) {
            self.kept.push(format!("max_msgs {}: when it holds them it is full", stream.max_messages));
        }
        let refuses = stream.discard == DiscardPolicy::New;
        if !refuses {
            let harm = match limited(stream.max_bytes) || limited(stream.max_messages) {
                true => "when full it deletes what was acknowledged",
                false => "with a limit to its size it would delete what was acknowledged",
            };
            self.kept.push(format!("discard old, not new: {harm}"));
        }
        if limited(stream.max_messages_per_subject) {
            let harm = match refuses && stream.discard_new_per_subject {
                true => "it refuses more of one subject",
                false => "beyond it what was acknowledged is deleted",
            };
            self.kept.push(format!("max_msgs_per_subject {}: {harm}", stream.max_messages_per_subject));
        }
    }
}

/// The longer of two ages; zero is for ever.
pub(super) fn longest(one: Duration, other: Duration) -> Duration {
    if one.is_zero() || other.is_zero() { Duration::ZERO } else { one.max(other) }
}

/// For people.
pub(super) fn age(age: Duration) -> String {
    if age.is_zero() { "for ever".into() } else { show(age) }
}

/// For people.
pub(super) fn duplicate_window(window: Duration) -> String {
    format!("duplicate window {}", show(window))
}

/// A size as the server has it.
pub(super) fn bytes(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// What becomes of a stream: the keys that change, and what is kept.
    fn widened(stream: Stream, wanted: ProvisionConfig) -> (Value, Vec<String>) {
        let stream = Stream { subjects: vec!["a.>".into()], duplicate_window: HOUR, num_replicas: 1, ..stream };
        let Widening { keys, changes, kept } = Widening::new(&stream, &[&"a.b".into()], HOUR, &wanted);
        assert_eq!(keys.len(), changes.len(), "{changes:?}");
        (keys.into(), kept)
    }

    fn new() -> Stream {
        Stream { discard: DiscardPolicy::New, max_age: HOUR, max_bytes: -1, ..Stream::default() }
    }

    #[test]
    fn messages_are_kept_longer_if_that_is_asked_and_never_shorter() {
        for (hours, asked, becomes, kept) in [
            (1, 1, json!({}), vec![]),
            (1, 2, json!({"max_age": 7_200_000_000_000_u64}), vec![]),
            (1, 0, json!({"max_age": 0}), vec![]),
            (2, 1, json!({}), vec!["max_age 2h, not 1h"]),
            (0, 1, json!({}), vec!["max_age for ever, not 1h"]),
            (0, 0, json!({}), vec![]),
        ] {
            let wanted = ProvisionConfig { max_age: HOUR * asked, ..ProvisionConfig::default() };
            let found = widened(Stream { max_age: HOUR * hours, ..new() }, wanted);
            assert_eq!(found, (becomes, kept.into_iter().map(str::to_owned).collect()), "{hours} {asked}");
        }
    }

    #[test]
    fn a_stream_gets_more_room_if_that_is_asked_and_never_less() {
        for (max_bytes, asked, becomes, kept) in [
            (-1, None, json!({}), ""),
            (0, None, json!({}), ""),
            (5, Some(5), json!({}), ""),
            (5, Some(6), json!({"max_bytes": 6}), ""),
            (6, Some(5), json!({}), "max_bytes 6, not 5"),
            (-1, Some(5), json!({}), "max_bytes without limit, not 5"),
            (5, None, json!({}), "max_bytes 5, and nats.provision.max_bytes names none: when it holds them it is full"),
        ] {
            let wanted = ProvisionConfig { max_age: HOUR, max_bytes: asked, ..ProvisionConfig::default() };
            let (keys, said) = widened(Stream { max_bytes, ..new() }, wanted);
            assert_eq!((keys, said.join("\n")), (becomes, kept.to_owned()), "{max_bytes} {asked:?}");
        }
    }

    #[test]
    fn what_would_delete_or_refuse_is_said_with_what_it_does() {
        let old = Stream { discard: DiscardPolicy::Old, ..new() };
        for (stream, kept) in [
            (Stream { max_messages: 5, ..new() }, "max_msgs 5: when it holds them it is full"),
            (old.clone(), "discard old, not new: with a limit to its size it would delete what was acknowledged"),
            (
                Stream { max_messages: 5, ..old },
                "max_msgs 5: when it holds them it is full\ndiscard old, not new: when full it deletes what was acknowledged",
            ),
            (
                Stream { max_messages_per_subject: 5, ..new() },
                "max_msgs_per_subject 5: beyond it what was acknowledged is deleted",
            ),
            (
                Stream { max_messages_per_subject: 5, discard_new_per_subject: true, ..new() },
                "max_msgs_per_subject 5: it refuses more of one subject",
            ),
        ] {
            let wanted = ProvisionConfig { max_age: HOUR, ..ProvisionConfig::default() };
            let (keys, said) = widened(stream, wanted);
            assert_eq!((keys, said.join("\n")), (json!({}), kept.to_owned()));
        }
    }
}
