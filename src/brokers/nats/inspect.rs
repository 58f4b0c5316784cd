//! Inspecting the stream: whether its ack means stored.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{
    ClusterInfo, Config as Stream, DiscardPolicy, Info, PersistenceMode, RetentionPolicy, StorageType,
};
use async_nats::jetstream::{self, Context, ErrorCode};
use serde::Deserialize;

use super::Config;

/// What the server says about the stream.
#[derive(Debug, Clone)]
pub(super) enum Inspection {
    /// The stream does not lose what it acks.
    Safe {
        /// All that the server says about it.
        info: Box<Info>,
        /// The JetStream domain the stream is in, as its acks name it.
        domain: Option<String>,
    },
    /// The stream acks what it may lose, or never accepts what is sent to it; why.
    Unsafe(&'static str),
    /// No stream has this name.
    Missing,
    /// The stream can store nothing now.
    NoQuorum,
    /// The server gives no answer; why.
    Unknown(String),
}

/// [`Inspection::NoQuorum`] in words, after the stream's name.
pub(super) const NO_QUORUM: &str =
    "has no quorum: most of the servers with a replica of it are away, or elect a leader";

pub(super) fn context(client: &Client, config: &Config) -> Context {
    match &config.domain {
        Some(domain) => jetstream::with_domain(client.clone(), domain),
        None => jetstream::new(client.clone()),
    }
}

/// How long an answer may take. A stream without a leader does not answer at all, and gets a leader within 10 s: it must
/// be asked more than once in that time.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The answer of the server, with the field that the client leaves out.
#[derive(Deserialize)]
struct StreamInfoResponse {
    domain: Option<String>,
    #[serde(flatten)]
    info: Info,
}

/// Asks the server about the stream and classifies it.
pub(super) async fn inspect(client: &Client, config: &Config) -> Inspection {
    let mut context = context(client, config);
    context.set_timeout(ANSWER_WITHIN);
    match context.request(format!("STREAM.INFO.{}", config.stream), &()).await {
        Ok(Response::Ok(response)) => classify_stream(response),
        Ok(Response::Err { error }) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Inspection::Missing,
        Ok(Response::Err { error }) => Inspection::Unknown(error.to_string()),
        Err(error) => Inspection::Unknown(error.to_string()),
    }
}

/// The longest silence of a live replica: each reports to its leader every second.
const SILENT_FOR: Duration = Duration::from_secs(5);

/// True if the stream has a leader that reaches most replicas. Without a leader another server answers for the stream,
/// and a leader that lost its replicas steps down only after 20 s.
fn has_quorum(cluster: &ClusterInfo) -> bool {
    let others = &cluster.replicas;
    let unreachable = others.iter().filter(|peer| peer.offline || peer.active > SILENT_FOR).count();
    cluster.leader.as_ref().is_some_and(|leader| !leader.is_empty()) && unreachable <= others.len() / 2
}

/// How a stream deletes what it has acknowledged before it is too old, if it does, and the remedy.
pub(super) fn deletes_acknowledged(stream: &Stream) -> Option<(&'static str, &'static str)> {
    let refuses = stream.discard == DiscardPolicy::New;
    let limited = |limit: i64| limit > 0;
    // this limit deletes old messages even with `discard: new`, unless it is set to refuse as well
    if limited(stream.max_messages_per_subject) && !(refuses && stream.discard_new_per_subject) {
        let remedy = "set it to -1, or set discard to new and discard_new_per_subject, with `nats stream edit`";
        return Some(("max_msgs_per_subject deletes acknowledged messages", remedy));
    }
    // without a limit of its own the stream never deletes to make room: a full disk or account refuses
    let total = limited(stream.max_bytes) || limited(stream.max_messages);
    let remedy = "set discard to new with `nats stream edit --discard new`";
    (!refuses && total).then_some(("discard: old deletes acknowledged messages", remedy))
}

fn classify_stream(StreamInfoResponse { domain, info }: StreamInfoResponse) -> Inspection {
    let stream = &info.config;
    if info.cluster.as_ref().is_some_and(|cluster| !has_quorum(cluster)) {
        Inspection::NoQuorum
    } else if stream.mirror.is_some() || info.mirror.is_some() {
        Inspection::Unsafe("it is a mirror, which accepts only what its origin has; name another stream")
    } else if stream.sealed {
        Inspection::Unsafe("it is sealed, which cannot be undone, and accepts nothing; name another stream")
    } else if stream.allow_message_counter {
        Inspection::Unsafe("it has allow_msg_counter set and accepts only counters; create it again without")
    } else if stream.storage != StorageType::File {
        Inspection::Unsafe("its storage is memory; create it again with file storage")
    } else if stream.persist_mode == Some(PersistenceMode::Async) {
        Inspection::Unsafe("persist_mode is async, which acknowledges before it stores; create it again without")
    } else if stream.retention != RetentionPolicy::Limits {
        Inspection::Unsafe("its retention deletes what no consumer needs; create it again with limits retention")
    } else if stream.no_ack {
        Inspection::Unsafe("it has no_ack set and will never acknowledge; set it to false")
    } else {
        Inspection::Safe { info: Box::new(info), domain }
    }
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::stream::PeerInfo;
    use serde_json::{Value, json};

    use super::*;

    /// The class of a stream with these settings.
    fn classified(settings: Value) -> Inspection {
        let mut config = json!({"name": "GREENAPI", "subjects": ["greenapi.>"], "storage": "file", "retention": "limits",
            "discard": "new", "num_replicas": 1});
        config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let at = "2026-01-01T00:00:00Z";
        let state = json!({"messages": 0, "bytes": 0, "first_seq": 1, "last_seq": 0, "first_ts": at, "last_ts": at,
            "consumer_count": 0});
        classify_stream(serde_json::from_value(json!({"config": config, "created": at, "state": state})).unwrap())
    }

    #[test]
    fn only_a_stream_that_accepts_messages_and_never_loses_them_is_safe() {
        assert!(matches!(classified(json!({})), Inspection::Safe { .. }));
        for (settings, why) in [
            (json!({"storage": "memory"}), "memory"),
            (json!({"persist_mode": "async"}), "persist_mode"),
            (json!({"retention": "interest"}), "retention"),
            (json!({"retention": "workqueue"}), "retention"),
            (json!({"no_ack": true}), "no_ack"),
            (json!({"sealed": true}), "sealed"),
            (json!({"subjects": [], "mirror": {"name": "OTHER"}}), "mirror"),
            (json!({"allow_msg_counter": true}), "allow_msg_counter"),
        ] {
            let Inspection::Unsafe(reason) = classified(settings.clone()) else { panic!("{settings}") };
            assert!(reason.contains(why), "{settings}: {reason}");
        }
    }

    #[test]
    fn a_quorum_is_a_leader_that_reaches_most_replicas() {
        let peers = |seconds: &[u64]| -> Vec<_> {
            let active = seconds.iter().map(|seconds| Duration::from_secs(*seconds));
            active.map(|active| PeerInfo { active, ..PeerInfo::default() }).collect()
        };
        for (leader, silent, has) in [
            (Some("n0"), &[][..], true),
            (None, &[], false),
            (Some("n0"), &[0, 0], true),
            (Some("n0"), &[1, 60], true),
            (Some("n0"), &[60, 60], false),
            (None, &[0, 0, 0], false),
            (Some("n0"), &[0, 0, 60, 60], true),
            (Some("n0"), &[0, 60, 60, 60], false),
        ] {
            let cluster =
                ClusterInfo { leader: leader.map(Into::into), replicas: peers(silent), ..ClusterInfo::default() };
            assert_eq!(has_quorum(&cluster), has, "{leader:?} {silent:?}");
        }
    }
}
