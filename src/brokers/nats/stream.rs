//! The stream: whether it is one whose acknowledgement means stored.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{Info, PersistenceMode, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context, ErrorCode};

use super::Config;

/// What the server says of the stream.
#[derive(Debug, Clone)]
pub enum Inspection {
    /// It keeps what it acknowledges.
    Safe(Box<Info>),
    /// It acknowledges what it may lose, or never takes what is sent to it; why.
    Unsafe(&'static str),
    /// There is none of this name.
    Missing,
    /// The server does not tell; why.
    Unknown(String),
}

pub(super) fn context(client: &Client, config: &Config) -> Context {
    match &config.domain {
        Some(domain) => jetstream::with_domain(client.clone(), domain),
        None => jetstream::new(client.clone()),
    }
}

/// How long the server gets to tell. A stream that has no leader does not answer at all, and gets one within
/// 10 s: it must be asked more than once in that time.
const TELL_WITHIN: Duration = Duration::from_secs(2);

/// Asks for the stream and judges it.
pub async fn inspect(client: &Client, config: &Config) -> Inspection {
    let mut context = context(client, config);
    context.set_timeout(TELL_WITHIN);
    match context.get_stream(&config.stream).await {
        Ok(stream) => judge(stream.cached_info().clone()),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(fault) if fault.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                Inspection::Missing
            }
            _ => Inspection::Unknown(error.to_string()),
        },
    }
}

fn judge(info: Info) -> Inspection {
    let stream = &info.config;
    if stream.mirror.is_some() || info.mirror.is_some() {
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
        Inspection::Safe(Box::new(info))
    }
}

#[cfg(test)]
mod tests {
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
        assert!(matches!(judged(json!({})), Inspection::Safe(_)));
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
}
