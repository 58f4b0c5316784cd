//! What JetStream answers to a publish.

use std::borrow::Cow;
use std::sync::{PoisonError, RwLock};

use async_nats::{Message, StatusCode};
use serde::Deserialize;

use super::Config;
use crate::brokers::Fault;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    stream: Option<Cow<'a, str>>,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    #[serde(borrow)]
    domain: Option<Cow<'a, str>>,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct ApiError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// What our stream says of a message it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ack {
    /// Its number in the stream.
    pub(super) seq: u64,
    /// Whether the stream had it before, under this number.
    pub(super) duplicate: bool,
}

/// Whose acknowledgement means stored. Others may answer too: a stream of a leaf node on the same subjects, even one of
/// the same name, or any subscriber.
pub(super) struct Ours {
    stream: String,
    /// Whether a domain is configured: then others are to be expected.
    meant: bool,
    /// The domain the stream was last found in.
    domain: RwLock<Option<String>>,
}

/// The code for a message that expects another stream (`Nats-Expected-Stream`).
const WRONG_STREAM: u64 = 10060;

impl Ours {
    pub(super) fn new(config: &Config) -> Self {
        let (stream, domain) = (config.stream.clone(), config.domain.clone());
        Self { stream, meant: domain.is_some(), domain: RwLock::new(domain) }
    }

    /// The stream was looked at, and is in this domain.
    pub(super) fn found_in(&self, domain: Option<String>) {
        *self.domain.write().unwrap_or_else(PoisonError::into_inner) = domain;
    }

    /// Reads a reply; none if it says nothing of our stream.
    pub(super) fn read(&self, reply: &Message) -> Option<Result<Ack, Fault>> {
        if reply.status == Some(StatusCode::NO_RESPONDERS) {
            let detail =
                "no stream listens to the subject, or it has no leader just now; run `greenapi-bridge provision`";
            return Some(Err(Fault { passing: true, ..Fault::destination("no_responders", detail) }));
        }
        self.read_payload(&reply.payload)
    }

    fn read_payload(&self, payload: &[u8]) -> Option<Result<Ack, Fault>> {
        let answer: Answer<'_> = serde_json::from_slice(payload).ok()?;
        if let Some(error) = answer.error {
            // another domain's stream expects to be meant; ours answers for itself
            let of_another = error.err_code == WRONG_STREAM && self.meant;
            return (!of_another).then(|| Err(refusal(error)));
        }
        let ours = answer.stream.as_deref() == Some(&self.stream)
            && answer.seq > 0
            && answer.domain.as_deref() == self.domain.read().unwrap_or_else(PoisonError::into_inner).as_deref();
        ours.then_some(Ok(Ack { seq: answer.seq, duplicate: answer.duplicate }))
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
        10008 | 10009 | 10158 => Fault { passing: true, ..Fault::destination("unavailable", detail) },
        _ => Fault::destination("refused", detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(domain: Option<&str>, payload: &str) -> Option<Result<Ack, Fault>> {
        Ours::new(&Config { domain: domain.map(Into::into), ..Config::default() }).read_payload(payload.as_bytes())
    }

    #[test]
    fn only_our_stream_can_say_that_it_is_stored() {
        let stored = |duplicate| Some(Ok(Ack { seq: 7, duplicate }));
        assert_eq!(read(None, r#"{"stream":"GREENAPI","seq":7}"#), stored(false));
        assert_eq!(read(None, r#"{"stream":"GREENAPI","seq":7,"duplicate":true}"#), stored(true));
        assert_eq!(read(Some("hub"), r#"{"stream":"GREENAPI","domain":"hub","seq":7}"#), stored(false));
        for of_others in [
            r#"{"stream":"OTHER","seq":7}"#,
            r#"{"stream":"","seq":7}"#,
            r#"{"stream":"GREENAPI","domain":"leaf","seq":7}"#,
            r#"{"stream":"GREENAPI"}"#,
            r#"{"stream":"GREENAPI","seq":0}"#,
            "+OK",
            "",
            "[]",
        ] {
            assert_eq!(read(None, of_others), None, "{of_others}");
        }
        let ours = Ours::new(&Config::default());
        ours.found_in(Some("hub".into()));
        assert_eq!(ours.read_payload(br#"{"stream":"GREENAPI","domain":"hub","seq":7}"#), stored(false));
        assert_eq!(ours.read_payload(br#"{"stream":"GREENAPI","domain":"leaf","seq":7}"#), None);
        assert_eq!(read(Some("hub"), r#"{"stream":"GREENAPI","seq":7}"#), None);
        assert_eq!(read(Some("hub"), r#"{"stream":"GREENAPI","domain":"leaf","seq":7}"#), None);
    }

    #[test]
    fn a_stream_that_is_not_meant_is_a_fault_unless_it_is_another_domains() {
        let wrong = r#"{"error":{"code":400,"err_code":10060,"description":"expected stream does not match"}}"#;
        assert_eq!(read(None, wrong).unwrap().unwrap_err().reason, "wrong_stream");
        assert_eq!(read(Some("hub"), wrong), None);
        let full = r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"}}"#;
        assert_eq!(read(Some("hub"), full).unwrap().unwrap_err().reason, "stream_full");
    }
}
