//! How an existing stream is widened to what is configured, and what it has otherwise and `provision` leaves unchanged.

use std::time::Duration;

use async_nats::jetstream::stream::{Config as Stream, DiscardPolicy};
use serde_json::{Map, Value, json};

use super::super::ProvisionConfig;
use super::super::subjects::covers;
use crate::brokers::Replicas;
use crate::units::show;

/// How a stream is widened.
#[derive(Debug, Default)]
pub(super) struct Widening {
    /// The keys that change, as the server writes them.
    pub(super) keys: Map<String, Value>,
    /// The same for people.
    pub(super) changes: Vec<String>,
    /// What a new stream would have otherwise, and stays as it is.
    pub(super) unchanged: Vec<String>,
}

impl Widening {
    /// From what `stream` has to what is configured. A setting whose change would not only widen stays as it is.
    pub(super) fn new(stream: &Stream, subjects: &[&String], window: Duration, wanted: &ProvisionConfig) -> Self {
        let mut wide = Self::default();
        wide.subjects(stream, subjects);
        if stream.duplicate_window < window {
            wide.change("duplicate_window", nanos(window), duplicate_window(window));
        }
        wide.replicas(stream.num_replicas, wanted.replicas);
        wide.max_age(stream.max_age, wanted.max_age);
        wide.max_bytes(stream.max_bytes, wanted.max_bytes);
        wide.other_settings(stream);
        wide
    }

    fn change(&mut self, key: &str, value: impl Into<Value>, text: String) {
        self.keys.insert(key.into(), value.into());
        self.changes.push(text);
    }

    fn subjects(&mut self, stream: &Stream, subjects: &[&String]) {
        let covered = |subject: &&String| stream.subjects.iter().any(|pattern| covers(pattern, subject));
        let missing: Vec<_> = subjects.iter().copied().filter(|subject| !covered(subject)).collect();
        if missing.is_empty() {
            return;
        }
        // the server refuses subjects that overlap: a new subject replaces those inside it
        let lie_outside = |subject: &&String| !missing.iter().any(|new| covers(new, subject));
        let all: Vec<_> = stream.subjects.iter().filter(lie_outside).chain(missing.iter().copied()).collect();
        self.keys.insert("subjects".into(), json!(all));
        self.changes.extend(missing.iter().map(|subject| format!("subject {subject}")));
    }

    fn replicas(&mut self, have: usize, wanted: Replicas) {
        match wanted {
            Replicas::Count(count) if count > have => {
                let text = format!("replicas: {count} instead of {have}; `check` says when they have caught up");
                self.change("num_replicas", count, text);
            }
            Replicas::Count(count) if count < have => {
                self.unchanged.push(format!("replicas: {have}; nats.provision.replicas = {count} would be fewer"));
            }
            _ => {}
        }
    }

    fn max_age(&mut self, have: Duration, wanted: Duration) {
        let (has, configured) = (age(have), age(wanted));
        if longer(have, wanted) != have {
            self.change("max_age", nanos(wanted), format!("max_age {configured} instead of {has}"));
        } else if have != wanted {
            self.unchanged.push(format!("max_age {has}, not {configured}"));
        }
    }

    /// An absent key asks for no limit, but does not lift a limit that the stream has.
    fn max_bytes(&mut self, have: i64, wanted: Option<usize>) {
        let limited = have > 0;
        let effect = "the stream is full when it has them";
        match wanted.map(bytes) {
            Some(max) if limited && max > have => {
                self.change("max_bytes", max, format!("max_bytes {max} instead of {have}"));
            }
            Some(max) if !limited => self.unchanged.push(format!("max_bytes without limit, not {max}")),
            Some(max) if max < have => self.unchanged.push(format!("max_bytes {have}, not {max}")),
            None if limited => {
                self.unchanged.push(format!("max_bytes {have}, and nats.provision.max_bytes names none: {effect}"));
            }
            _ => {}
        }
    }

    /// Settings that `provision` has no key for.
    fn other_settings(&mut self, stream: &Stream) {
        let limited = |limit: i64| limit > 0;
        if limited(stream.max_messages) {
            self.unchanged.push(format!("max_msgs {}: the stream is full when it has them", stream.max_messages));
        }
        let refuses = stream.discard == DiscardPolicy::New;
        if !refuses {
            let harm = match limited(stream.max_bytes) || limited(stream.max_messages) {
                true => "when full it deletes acknowledged messages",
                false => "with a size limit it would delete acknowledged messages",
            };
            self.unchanged.push(format!("discard old, not new: {harm}"));
        }
        if limited(stream.max_messages_per_subject) {
            let harm = match refuses && stream.discard_new_per_subject {
                true => "it refuses more of one subject",
                false => "beyond it acknowledged messages are deleted",
            };
            self.unchanged.push(format!("max_msgs_per_subject {}: {harm}", stream.max_messages_per_subject));
        }
    }
}

/// The longer of two ages; zero is for ever.
pub(super) fn longer(one: Duration, other: Duration) -> Duration {
    if one.is_zero() || other.is_zero() { Duration::ZERO } else { one.max(other) }
}

/// An age for people.
pub(super) fn age(age: Duration) -> String {
    if age.is_zero() { "for ever".into() } else { show(age) }
}

/// A duplicate window for people.
pub(super) fn duplicate_window(window: Duration) -> String {
    format!("duplicate window {}", show(window))
}

/// A size as the server writes it.
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

    /// The keys that change in a stream, and what stays unchanged.
    fn widened(stream: Stream, wanted: ProvisionConfig) -> (Value, Vec<String>) {
        let stream = Stream { subjects: vec!["a.>".into()], duplicate_window: HOUR, num_replicas: 1, ..stream };
        let Widening { keys, changes, unchanged } = Widening::new(&stream, &[&"a.b".into()], HOUR, &wanted);
        assert_eq!(keys.len(), changes.len(), "{changes:?}");
        (keys.into(), unchanged)
    }

    fn new() -> Stream {
        Stream { discard: DiscardPolicy::New, max_age: HOUR, max_bytes: -1, ..Stream::default() }
    }

    #[test]
    fn max_age_is_raised_and_never_lowered() {
        for (hours, configured, becomes, unchanged) in [
            (1, 1, json!({}), vec![]),
            (1, 2, json!({"max_age": 7_200_000_000_000_u64}), vec![]),
            (1, 0, json!({"max_age": 0}), vec![]),
            (2, 1, json!({}), vec!["max_age 2h, not 1h"]),
            (0, 1, json!({}), vec!["max_age for ever, not 1h"]),
            (0, 0, json!({}), vec![]),
        ] {
            let wanted = ProvisionConfig { max_age: HOUR * configured, ..ProvisionConfig::default() };
            let found = widened(Stream { max_age: HOUR * hours, ..new() }, wanted);
            assert_eq!(found, (becomes, unchanged.into_iter().map(str::to_owned).collect()), "{hours} {configured}");
        }
    }

    #[test]
    fn max_bytes_is_raised_and_never_lowered() {
        for (max_bytes, configured, becomes, unchanged) in [
            (-1, None, json!({}), ""),
            (0, None, json!({}), ""),
            (5, Some(5), json!({}), ""),
            (5, Some(6), json!({"max_bytes": 6}), ""),
            (6, Some(5), json!({}), "max_bytes 6, not 5"),
            (-1, Some(5), json!({}), "max_bytes without limit, not 5"),
            (
                5,
                None,
                json!({}),
                "max_bytes 5, and nats.provision.max_bytes names none: the stream is full when it has them",
            ),
        ] {
            let wanted = ProvisionConfig { max_age: HOUR, max_bytes: configured, ..ProvisionConfig::default() };
            let (keys, texts) = widened(Stream { max_bytes, ..new() }, wanted);
            assert_eq!((keys, texts.join("\n")), (becomes, unchanged.to_owned()), "{max_bytes} {configured:?}");
        }
    }

    #[test]
    fn settings_that_delete_or_refuse_are_named_with_their_effect() {
        let old = Stream { discard: DiscardPolicy::Old, ..new() };
        for (stream, unchanged) in [
            (Stream { max_messages: 5, ..new() }, "max_msgs 5: the stream is full when it has them"),
            (old.clone(), "discard old, not new: with a size limit it would delete acknowledged messages"),
            (
                Stream { max_messages: 5, ..old },
                "max_msgs 5: the stream is full when it has them\ndiscard old, not new: when full it deletes acknowledged messages",
            ),
            (
                Stream { max_messages_per_subject: 5, ..new() },
                "max_msgs_per_subject 5: beyond it acknowledged messages are deleted",
            ),
            (
                Stream { max_messages_per_subject: 5, discard_new_per_subject: true, ..new() },
                "max_msgs_per_subject 5: it refuses more of one subject",
            ),
        ] {
            let wanted = ProvisionConfig { max_age: HOUR, ..ProvisionConfig::default() };
            let (keys, texts) = widened(stream, wanted);
            assert_eq!((keys, texts.join("\n")), (json!({}), unchanged.to_owned()));
        }
    }
}
