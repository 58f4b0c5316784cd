//! What JetStream answers to a publish.

use async_nats::{Message, StatusCode};
use serde::Deserialize;

use super::pending::Report;
use crate::brokers::Fault;

#[derive(Deserialize)]
struct Answer {
    stream: Option<String>,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct ApiError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// Reads a publish acknowledgement. Only one that names a stream means stored.
pub(super) fn read(reply: &Message) -> Report {
    if reply.status == Some(StatusCode::NO_RESPONDERS) {
        let detail = "no stream listens to the subject, or it has no leader just now; run `greenapi-bridge provision`";
        return Err(Fault { passing: true, ..Fault::destination("no_responders", detail) });
    }
    match serde_json::from_slice(&reply.payload) {
        Ok(Answer { error: Some(error), .. }) => Err(refusal(error)),
        Ok(Answer { stream: Some(_), .. }) => Ok(()),
        Ok(_) | Err(_) => Err(Fault::destination("no_jetstream", "the answer is no JetStream acknowledgement")),
    }
}

/// The error codes of nats-server's `errors.json` that a publish can meet.
fn refusal(error: ApiError) -> Fault {
    let ApiError { err_code, description } = error;
    let detail = format!("{description} ({err_code})");
    match err_code {
        10054 => Fault::record("too_large", detail),
        10077 => Fault::destination("stream_full", detail),
        10023 | 10028 | 10047 => Fault::destination("no_space", detail),
        10060 => Fault::destination("wrong_stream", detail),
        10059 => Fault::destination("no_stream", detail),
        10039 | 10076 => Fault::destination("no_jetstream", detail),
        10008 | 10009 => Fault { passing: true, ..Fault::destination("unavailable", detail) },
        _ => Fault::destination("refused", detail),
    }
}
