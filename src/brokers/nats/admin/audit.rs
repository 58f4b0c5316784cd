//! Audits a stream that exists: whether it is fit for what is published to it.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::stream::{ClusterInfo, Config as Stream, DiscardPolicy, Info, State, SubjectTransform};

use super::super::inspect::deletes_acknowledged;
use super::super::subjects::covers;
use super::super::{Config, command_client, headers};
use super::widen::{age, longer};
use crate::brokers::{Finding, Replicas};
use crate::message::MIN_PART_BYTES;
use crate::units::show;

const PROVISION: &str = "run `greenapi-bridge provision`";

/// Every finding about a stream that exists and is safe. `window` is `dedupe.window`.
pub(super) fn audit_stream(
    config: &Config,
    info: &Info,
    client: &Client,
    subjects: &[String],
    window: Duration,
) -> Vec<Finding> {
    let stream = &info.config;
    let servers = command_client::announced_servers(client);
    let mut found = replicas(config.provision.replicas, stream, info.cluster.as_ref(), servers);
    found.extend(self::subjects(stream, subjects));
    found.extend(transform(stream));
    found.push(when_full(stream));
    found.extend(capacity(stream, &info.state));
    found.extend(retention(stream, window, config.provision.max_age));
    let longest = LongestHeaders {
        notification: headers::max_wire_size(&config.stream, None),
        part: headers::max_wire_size(&config.stream, Some(headers::longest_dead_letter())),
    };
    found.push(largest_body(stream, client.max_payload(), &longest));
    found.extend(config.domain.as_deref().map(|domain| on_the_way(domain, stream)));
    found
}

/// One finding for each subject: whether the stream has it.
fn subjects(stream: &Stream, subjects: &[String]) -> Vec<Finding> {
    let line = |subject: &String| match stream.subjects.iter().any(|pattern| covers(pattern, subject)) {
        true => Finding::fine("subject", subject),
        false => Finding::wrong("subject", format!("{subject} is not in the stream"), PROVISION),
    };
    subjects.iter().map(line).collect()
}

/// Whether consumers find messages under the subjects they were published to.
fn transform(stream: &Stream) -> Option<Finding> {
    let SubjectTransform { source, destination } = stream.subject_transform.as_ref()?;
    let found = format!("what comes to {} is stored under {destination}", if source.is_empty() { ">" } else { source });
    Some(Finding::note("subject", found, "consumers must subscribe to that; or remove the stream's subject_transform"))
}

/// Whether there are as many replicas as the cluster can have, and all of them are up to date. `servers` is how many the
/// cluster announces.
fn replicas(wanted: Replicas, stream: &Stream, cluster: Option<&ClusterInfo>, servers: usize) -> Vec<Finding> {
    let have = stream.num_replicas;
    // a server with a replica exists, announced or not
    let servers = servers.max(have);
    let alone = cluster.and_then(|cluster| cluster.name.as_deref()).is_none_or(str::is_empty);
    let max = if servers >= 3 { 3 } else { 1 };
    let raise = |to: usize| format!("set nats.provision.replicas = {to} and {PROVISION}");
    let mut found = vec![match wanted {
        // the operator's choice is not a fault, but worth a note
        Replicas::Count(count) if have >= count && have < max => Finding::note(
            "replicas",
            format!("{have} in a cluster of {servers}, as nats.provision.replicas says: a lost disk is a lost stream"),
            raise(max),
        ),
        Replicas::Count(count) if have < count => {
            Finding::wrong("replicas", format!("{have}, and nats.provision.replicas = {count}"), PROVISION)
        }
        Replicas::Auto if have < max => Finding::wrong(
            "replicas",
            format!(
                "{have} in a cluster of {servers}: while its server is down nothing is stored, and a lost disk is a lost stream"
            ),
            raise(max),
        ),
        _ if have == 1 && alone => Finding::fine("replicas", "1, of a single server: a lost disk is a lost stream"),
        _ if have == 1 => Finding::note(
            "replicas",
            format!("1 in a cluster that announces {servers} of its servers: a lost disk is a lost stream"),
            format!("if it has 3 or more, {}", raise(3)),
        ),
        _ => Finding::fine("replicas", format!("{have} in a cluster of {servers}")),
    }];
    for peer in cluster.into_iter().flat_map(|cluster| &cluster.replicas).filter(|peer| peer.offline || !peer.current) {
        let state = if peer.offline { "is offline" } else { "is behind" };
        let remedy = "until it is back and has caught up there is one replica less; check that server";
        found.push(Finding::wrong("replicas", format!("the replica on {} {state}", peer.name), remedy));
    }
    found
}

/// Whether a full stream refuses new messages, or deletes acknowledged ones.
fn when_full(stream: &Stream) -> Finding {
    if let Some((found, remedy)) = deletes_acknowledged(stream) {
        return Finding::wrong("when full", found, remedy);
    }
    let limited = |limit: i64| limit > 0;
    let found = if stream.discard != DiscardPolicy::New {
        "has no limit of its own, so discard: old deletes nothing"
    } else if limited(stream.max_bytes) || limited(stream.max_messages) {
        "refuses new messages: 503 until there is room"
    } else if limited(stream.max_messages_per_subject) {
        "refuses new messages of a subject that has max_msgs_per_subject of them"
    } else {
        "has no limit of its own"
    };
    Finding::fine("when full", found)
}

/// Fewer bytes than any notification takes with its headers.
const SMALLEST: u64 = 512;

/// Whether a stream that refuses new messages when full can store more now. `None` means that it has no limit of its own,
/// or deletes old messages instead.
fn capacity(stream: &Stream, state: &State) -> Option<Finding> {
    let limit = |limit: i64| u64::try_from(limit).ok().filter(|limit| *limit > 0);
    let each = [
        ("max_msgs", limit(stream.max_messages), state.messages, 1),
        ("max_bytes", limit(stream.max_bytes), state.bytes, SMALLEST),
    ];
    let limited = each.into_iter().filter_map(|(key, limit, used, next)| {
        let percent = u128::from(used) * 100 / u128::from(limit?);
        Some((used + next > limit?, percent, format!("{used} of {key} = {}", limit?), key))
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

/// The retention and the duplicate window: both must be at least `dedupe.window`, and the retention should be `wanted`.
fn retention(stream: &Stream, window: Duration, wanted: Duration) -> [Finding; 2] {
    let (max_age, duplicate_window) = (stream.max_age, stream.duplicate_window);
    let has = format!("max_age {}", age(max_age));
    let retention = if !max_age.is_zero() && max_age < window {
        let remedy = format!("raise the stream's max_age, or lower dedupe.window = {}", show(window));
        Finding::wrong("retention", format!("{has}, and repeats cannot be known longer than that"), remedy)
    } else if longer(max_age, wanted) != max_age {
        let found = format!("{has}, less than nats.provision.max_age = {}", age(wanted));
        Finding::note("retention", found, format!("{PROVISION}, or set nats.provision.max_age = \"{}\"", show(max_age)))
    } else {
        Finding::fine("retention", has)
    };
    let known = format!("duplicate_window {}", show(duplicate_window));
    let repeats = if duplicate_window < window {
        let remedy = format!("less than dedupe.window = {}; {PROVISION}", show(window));
        Finding::wrong("repeats", known, remedy)
    } else {
        Finding::fine("repeats", known)
    };
    [retention, repeats]
}

/// The most bytes that the headers of a message can take.
struct LongestHeaders {
    /// Of a notification.
    notification: usize,
    /// Of a part of a dead letter.
    part: usize,
}

/// A domain is reached through other servers, and none of them announces what it takes.
fn on_the_way(domain: &str, stream: &Stream) -> Finding {
    let found = format!("servers on the way to the domain {domain} may take less, which cannot be seen from here");
    match stream.max_message_size {
        ..=0 => Finding::note(
            "largest body",
            found,
            "set max_msg_size of the stream to the smallest max_payload on the way",
        ),
        _ => Finding::fine(
            "largest body",
            "max_msg_size of the stream is set: it should be the smallest max_payload on the way",
        ),
    }
}

/// The largest body that is published whole, beside the longest headers of a notification; and whether the smallest part
/// of a dead letter fits beside the longest headers it can have.
fn largest_body(stream: &Stream, max_payload: usize, longest: &LongestHeaders) -> Finding {
    let of_stream = usize::try_from(stream.max_message_size).ok().filter(|size| *size > 0);
    let (limit, key) = match of_stream {
        Some(size) if size < max_payload => (size, "the stream's max_msg_size"),
        _ => (max_payload, "the server's max_payload"),
    };
    let need = longest.part + MIN_PART_BYTES;
    if limit < need {
        let found = format!("{key} = {limit}: what is refused or too large may not even fit in parts");
        return Finding::wrong("largest body", found, format!("raise it to {need} or more"));
    }
    let (body, why) =
        (limit - longest.notification, format!("{key} = {limit}, less {} for headers", longest.notification));
    Finding::fine("largest body", format!("{body} bytes ({why}); a larger one goes to the dead letter in parts"))
}

#[cfg(test)]
mod tests;
