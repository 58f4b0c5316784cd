//! Whether a stream that is there is fit for what is sent to it.

use std::time::Duration;

use async_nats::jetstream::stream::{ClusterInfo, Config as Stream, DiscardPolicy, State, SubjectTransform};

use super::subjects::covers;
use super::widen::{age, longest};
use crate::brokers::{Finding, Replicas};
use crate::message::LEAST_PART;
use crate::units::show;

const PROVISION: &str = "run `greenapi-bridge provision`";

/// A line for each subject: whether the stream takes it.
pub(super) fn subjects(stream: &Stream, subjects: &[String]) -> Vec<Finding> {
    let line = |subject: &String| match stream.subjects.iter().any(|taken| covers(taken, subject)) {
        true => Finding::fine("subject", subject),
        false => Finding::wrong("subject", format!("{subject} is not in the stream"), PROVISION),
    };
    subjects.iter().map(line).collect()
}

/// Whether consumers find messages under the subjects they are sent to.
pub(super) fn transform(stream: &Stream) -> Option<Finding> {
    let SubjectTransform { source, destination } = stream.subject_transform.as_ref()?;
    let found = format!("what comes to {} is kept under {destination}", if source.is_empty() { ">" } else { source });
    Some(Finding::note("subject", found, "consumers must ask for that; or remove the stream's subject_transform"))
}

/// Whether there are as many copies as the cluster can have, and all of them are up to date. The cluster tells of this
/// many servers.
pub(super) fn replicas(
    wanted: Replicas,
    stream: &Stream,
    cluster: Option<&ClusterInfo>,
    servers: usize,
) -> Vec<Finding> {
    let have = stream.num_replicas;
    // those that have a copy are there, whatever is told
    let servers = servers.max(have);
    let alone = cluster.and_then(|cluster| cluster.name.as_deref()).is_none_or(str::is_empty);
    let most = if servers >= 3 { 3 } else { 1 };
    let raise = |to: usize| format!("set nats.provision.replicas = {to} and {PROVISION}");
    let mut found = vec![match wanted {
        // what the operator asks for is not argued with, but it is said
        Replicas::Count(count) if have >= count && have < most => Finding::note(
            "replicas",
            format!("{have} in a cluster of {servers}, as nats.provision.replicas says: a lost disk is a lost stream"),
            raise(most),
        ),
        Replicas::Count(count) if have < count => {
            Finding::wrong("replicas", format!("{have}, and nats.provision.replicas = {count}"), PROVISION)
        }
        Replicas::Auto if have < most => Finding::wrong(
            "replicas",
            format!(
                "{have} in a cluster of {servers}: while its server is down nothing is stored, and a lost disk is a lost stream"
            ),
            raise(most),
        ),
        _ if have == 1 && alone => Finding::fine("replicas", "1, of a single server: a lost disk is a lost stream"),
        _ if have == 1 => Finding::note(
            "replicas",
            format!("1 in a cluster that tells of {servers} of its servers: a lost disk is a lost stream"),
            format!("if it has 3 or more, {}", raise(3)),
        ),
        _ => Finding::fine("replicas", format!("{have} in a cluster of {servers}")),
    }];
    for peer in cluster.into_iter().flat_map(|cluster| &cluster.replicas).filter(|peer| peer.offline || !peer.current) {
        let state = if peer.offline { "is offline" } else { "is behind" };
        let remedy = "until it is back and has caught up there is one copy less; see to that server";
        found.push(Finding::wrong("replicas", format!("the copy on {} {state}", peer.name), remedy));
    }
    found
}

/// Whether the stream, when full, refuses what is new, or deletes what it has acknowledged.
pub(super) fn when_full(stream: &Stream) -> Finding {
    let refuses = stream.discard == DiscardPolicy::New;
    let limited = |limit: i64| limit > 0;
    let total = limited(stream.max_bytes) || limited(stream.max_messages);
    // this limit deletes old messages even with `discard: new`, unless told to refuse as well
    let per_subject = limited(stream.max_messages_per_subject) && !(refuses && stream.discard_new_per_subject);
    if per_subject {
        let remedy = "set it to -1, or set discard to new and discard_new_per_subject, with `nats stream edit`";
        return Finding::wrong("when full", "max_msgs_per_subject deletes what was acknowledged", remedy);
    }
    match (refuses, total) {
        (true, false) if limited(stream.max_messages_per_subject) => {
            Finding::fine("when full", "refuses new messages of a subject that has max_msgs_per_subject of them")
        }
        (true, true) => Finding::fine("when full", "refuses new messages: 503 until there is room"),
        (true, false) => Finding::fine("when full", "has no limit of its own"),
        // without a limit of its own there is nothing to make room for: a full disk or account refuses
        (false, false) => Finding::fine("when full", "has no limit of its own, so discard: old deletes nothing"),
        (false, true) => Finding::wrong(
            "when full",
            "discard: old deletes what was acknowledged",
            format!("`nats stream edit {} --discard new`", stream.name),
        ),
    }
}

/// Less than any notification takes with its headers.
const SMALLEST: u64 = 512;

/// Whether there is room now in a stream that refuses what is new when it is full.
pub(super) fn room(stream: &Stream, state: &State) -> Option<Finding> {
    let limit = |limit: i64| u64::try_from(limit).ok().filter(|limit| *limit > 0);
    let each = [
        ("max_msgs", limit(stream.max_messages), state.messages, 1),
        ("max_bytes", limit(stream.max_bytes), state.bytes, SMALLEST),
    ];
    let limited = each.into_iter().filter_map(|(key, limit, held, next)| {
        let percent = u128::from(held) * 100 / u128::from(limit?);
        Some((held + next > limit?, percent, format!("{held} of {key} = {}", limit?), key))
    });
    let (full, percent, found, key) = limited.max()?;
    let raise = format!("raise {key}, or lower max_age");
    match (full, percent) {
        _ if stream.discard != DiscardPolicy::New => None,
        (true, _) => Some(Finding::wrong("room", format!("full, nothing is stored: {found}"), raise)),
        (false, 90..) => Some(Finding::note("room", format!("almost full: {found}"), raise)),
        (false, _) => Some(Finding::fine("room", found)),
    }
}

/// How long messages are kept, and repeats known; both at least as long as the bridge's own window, and messages as long
/// as `wanted`.
pub(super) fn times(stream: &Stream, window: Duration, wanted: Duration) -> [Finding; 2] {
    let (max_age, duplicates) = (stream.max_age, stream.duplicate_window);
    let kept = if max_age.is_zero() { "for ever".into() } else { format!("for {}", show(max_age)) };
    let retention = if !max_age.is_zero() && max_age < window {
        let remedy = format!("raise the stream's max_age, or lower dedupe.window = {}", show(window));
        Finding::wrong("retention", format!("kept {kept}, so repeats cannot be known longer"), remedy)
    } else if longest(max_age, wanted) != max_age {
        let found = format!("kept {kept}, less than nats.provision.max_age = {}", age(wanted));
        Finding::note("retention", found, format!("{PROVISION}, or set nats.provision.max_age = \"{}\"", show(max_age)))
    } else {
        Finding::fine("retention", format!("kept {kept}"))
    };
    let known = format!("known for {}", show(duplicates));
    let repeats = if duplicates < window {
        let remedy = format!("less than dedupe.window = {}; {PROVISION}", show(window));
        Finding::wrong("repeats", known, remedy)
    } else {
        Finding::fine("repeats", known)
    };
    [retention, repeats]
}

/// The largest body that goes its normal way, beside the most headers of a notification; and whether the smallest part
/// of a dead letter fits beside the most it has.
pub(super) fn largest(stream: &Stream, max_payload: usize, [headers, of_a_part]: [usize; 2]) -> Finding {
    let of_stream = usize::try_from(stream.max_message_size).ok().filter(|size| *size > 0);
    let (limit, key) = match of_stream {
        Some(size) if size < max_payload => (size, "the stream's max_msg_size"),
        _ => (max_payload, "the server's max_payload"),
    };
    let need = of_a_part + LEAST_PART;
    if limit < need {
        let found = format!("{key} = {limit}: what is refused or too large may not even fit in parts");
        return Finding::wrong("largest body", found, format!("raise it to {need} or more"));
    }
    let (body, why) = (limit - headers, format!("{key} = {limit}, less {headers} for headers"));
    Finding::fine("largest body", format!("{body} bytes ({why}); a larger one goes to the dead letter in parts"))
}

#[cfg(test)]
mod tests;
