//! The stream: whether it is one whose acknowledgement means stored, and creating it.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config as Stream, DiscardPolicy, PersistenceMode, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context, ErrorCode};

use super::{Config, Replicas};

/// What the server says of the stream.
#[derive(Debug, Clone)]
pub enum Inspection {
    /// It keeps what it acknowledges.
    Safe(Box<Stream>),
    /// It acknowledges what it may lose; why.
    Unsafe(&'static str),
    /// There is none of this name.
    Missing,
    /// The server does not tell; why.
    Unknown(String),
}

/// What `provision` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provisioned {
    /// Created, with this many copies.
    Created(usize),
    /// It was there, and now also has these.
    Widened(Vec<String>),
    /// It was there as needed.
    AsNeeded,
}

pub(super) fn context(client: &Client, config: &Config) -> Context {
    match &config.domain {
        Some(domain) => jetstream::with_domain(client.clone(), domain),
        None => jetstream::new(client.clone()),
    }
}

/// Asks for the stream and judges it.
pub async fn inspect(client: &Client, config: &Config) -> Inspection {
    let mut stream = match context(client, config).get_stream(&config.stream).await {
        Ok(stream) => stream,
        Err(error) => {
            return match error.kind() {
                GetStreamErrorKind::JetStream(fault) if fault.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    Inspection::Missing
                }
                _ => Inspection::Unknown(error.to_string()),
            };
        }
    };
    match stream.info().await {
        Ok(info) => judge(info.config.clone()),
        Err(error) => Inspection::Unknown(error.to_string()),
    }
}

fn judge(stream: Stream) -> Inspection {
    if stream.storage != StorageType::File {
        Inspection::Unsafe("its storage is memory; create it anew with file storage")
    } else if stream.persist_mode == Some(PersistenceMode::Async) {
        Inspection::Unsafe("persist_mode is async, which acknowledges before it stores; create it anew without")
    } else if stream.retention != RetentionPolicy::Limits {
        Inspection::Unsafe("its retention deletes what no consumer asked for; create it anew with limits retention")
    } else if stream.no_ack {
        Inspection::Unsafe("it has no_ack set and will never acknowledge; set it to false")
    } else {
        Inspection::Safe(Box::new(stream))
    }
}

/// Creates the stream, or widens it: adds subjects, raises the duplicate window. Never narrows or deletes.
///
/// # Errors
/// What the server refuses, with its text.
pub async fn provision(
    client: &Client,
    config: &Config,
    subjects: &[String],
    window: Duration,
) -> Result<Provisioned, String> {
    match inspect(client, config).await {
        Inspection::Missing => create(client, config, subjects, window).await,
        Inspection::Safe(stream) => widen(client, config, *stream, subjects, window).await,
        Inspection::Unsafe(why) => Err(format!("stream {}: {why}", config.stream)),
        Inspection::Unknown(why) => Err(format!("stream {}: {why}", config.stream)),
    }
}

async fn create(
    client: &Client,
    config: &Config,
    subjects: &[String],
    window: Duration,
) -> Result<Provisioned, String> {
    let tries = match config.provision.replicas {
        Replicas::Count(count) => vec![count],
        Replicas::Auto(_) => vec![3, 1],
    };
    let mut refused = String::new();
    for replicas in tries {
        let stream = Stream {
            name: config.stream.clone(),
            subjects: subjects.to_vec(),
            num_replicas: replicas,
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            max_age: config.provision.max_age,
            max_bytes: config.provision.max_bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            duplicate_window: window,
            ..Stream::default()
        };
        match context(client, config).create_stream(stream).await {
            Ok(_) => return Ok(Provisioned::Created(replicas)),
            Err(error) => {
                refused = error.to_string();
                // too few servers for this many copies; anything else will not change with fewer
                let fewer = matches!(error.kind(), CreateStreamErrorKind::JetStream(ref fault)
                    if [ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED, ErrorCode::CLUSTER_NO_PEERS].contains(&fault.error_code()));
                if !fewer {
                    break;
                }
            }
        }
    }
    Err(format!("stream {}: {refused}", config.stream))
}

async fn widen(
    client: &Client,
    config: &Config,
    mut stream: Stream,
    subjects: &[String],
    window: Duration,
) -> Result<Provisioned, String> {
    let mut changed = Vec::new();
    for subject in subjects {
        if !stream.subjects.iter().any(|covered| covers(covered, subject)) {
            stream.subjects.push(subject.clone());
            changed.push(format!("subject {subject}"));
        }
    }
    if stream.duplicate_window < window {
        stream.duplicate_window = window;
        changed.push(format!("duplicate window {}", crate::units::show(window)));
    }
    if changed.is_empty() {
        return Ok(Provisioned::AsNeeded);
    }
    context(client, config)
        .update_stream(&stream)
        .await
        .map_err(|error| format!("stream {}: {error}", config.stream))?;
    Ok(Provisioned::Widened(changed))
}

/// Whether every subject of pattern `inner` is one of pattern `outer`.
pub fn covers(outer: &str, inner: &str) -> bool {
    let (mut outer, mut inner) = (outer.split('.'), inner.split('.'));
    loop {
        match (outer.next(), inner.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_what_lies_inside_them() {
        assert!(covers("greenapi.>", "greenapi.*.*.*"));
        assert!(covers("greenapi.*.*.*", "greenapi.*.*.*"));
        assert!(covers("a.*", "a.b"));
        assert!(!covers("a.b", "a.*"));
        assert!(!covers("a.*", "a.>"));
        assert!(!covers("a.>", "a"));
        assert!(!covers("a.*", "a.b.c"));
    }
}
