//! The stream: whether it is one whose acknowledgement means stored.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{ClusterInfo, Info, PersistenceMode, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context, ErrorCode};
use serde::Deserialize;

use super::Config;

/// What the server says of the stream.
#[derive(Debug, Clone)]
pub enum Inspection {
    /// It keeps what it acknowledges.
    Safe {
        /// All that the server tells of it.
        info: Box<Info>,
        /// The JetStream domain it is in, as its reports say it.
        domain: Option<String>,
    },
    /// It acknowledges what it may lose, or never takes what is sent to it; why.
    Unsafe(&'static str),
    /// There is none of this name.
    Missing,
    /// It can store nothing now.
    NoQuorum,
    /// The server does not tell; why.
    Unknown(String),
}

/// What [`Inspection::NoQuorum`] means.
pub(super) const NO_QUORUM: &str = "has no quorum: most of the servers with a copy of it are away, or elect a leader";

pub(super) fn context(client: &Client, config: &Config) -> Context {
    match &config.domain {
        Some(domain) => jetstream::with_domain(client.clone(), domain),
        None => jetstream::new(client.clone()),
    }
}

/// How long the server gets to tell. A stream that has no leader does not answer at all, and gets one within
/// 10 s: it must be asked more than once in that time.
const TELL_WITHIN: Duration = Duration::from_secs(2);

/// What the server tells of a stream, with what the client leaves out.
#[derive(Deserialize)]
struct Told {
    domain: Option<String>,
    #[serde(flatten)]
    info: Info,
}

/// Asks for the stream and judges it.
pub async fn inspect(client: &Client, config: &Config) -> Inspection {
    let mut context = context(client, config);
    context.set_timeout(TELL_WITHIN);
    match context.request(format!("STREAM.INFO.{}", config.stream), &()).await {
        Ok(Response::Ok(told)) => judge(told),
        Ok(Response::Err { error }) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Inspection::Missing,
        Ok(Response::Err { error }) => Inspection::Unknown(error.to_string()),
        Err(error) => Inspection::Unknown(error.to_string()),
    }
}

/// How long a copy that lives is silent at most: it is heard of every second.
const SILENT_FOR: Duration = Duration::from_secs(5);

/// Whether the stream has a leader that hears of most copies. Without one another server tells of the stream; and a
/// leader does not give up before 20 s.
fn has_quorum(cluster: &ClusterInfo) -> bool {
    let others = &cluster.replicas;
    let away = others.iter().filter(|peer| peer.offline || peer.active > SILENT_FOR).count();
    cluster.leader.as_ref().is_some_and(|leader| !leader.is_empty()) && away <= others.len() / 2
}

fn judge(Told { domain, info }: Told) -> Inspection {
    let stream = &info.config;
    if info.cluster.as_ref().is_some_and(|cluster| !has_quorum(cluster)) {
        Inspection::NoQuorum
    } else if stream.mirror.is_some() || info.mirror.is_some() {
        Inspection::Unsafe("it is a mirror, which takes only what its origin has; name a stream that is none")
    } else if stream.sealed {
        Inspection::Unsafe("it is sealed, which cannot be undone, and takes nothing; name another stream")
    } else if stream.allow_message_counter {
        Inspection::Unsafe("it has allow_msg_counter set and takes only counters; create it anew without")
    } else if stream.storage != StorageType::File {
        Inspection::Unsafe("its storage is memory; create it anew with file storage")
    } else if stream.persist_mode == Some(PersistenceMode::Async) {
        Inspection::Unsafe("persist_mode is async, which acknowledges before it stores; create it anew without")
    } else if stream.retention != RetentionPolicy::Limits {
        Inspection::Unsafe("its retention deletes what no consumer asked for; create it anew with limits retention")
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

    /// What is said of a stream with these settings.
    fn judged(settings: Value) -> Inspection {
        let mut config = json!({"name": "GREENAPI", "subjects": ["greenapi.>"], "storage": "file", "retention": "limits",
            "discard": "new", "num_replicas": 1});
        config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let at = "2026-01-01T00:00:00Z";
        let state = json!({"messages": 0, "bytes": 0, "first_seq": 1, "last_seq": 0, "first_ts": at, "last_ts": at,
            "consumer_count": 0});
        judge(serde_json::from_value(json!({"config": config, "created": at, "state": state})).unwrap())
    }

    #[test]
    fn only_a_stream_that_takes_messages_and_keeps_them_is_safe() {
        assert!(matches!(judged(json!({})), Inspection::Safe { .. }));
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
            let Inspection::Unsafe(said) = judged(settings.clone()) else { panic!("{settings}") };
            assert!(said.contains(why), "{settings}: {said}");
        }
    }

    #[test]
    fn a_quorum_is_a_leader_that_hears_of_most_copies() {
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
