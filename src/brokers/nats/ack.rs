//! Reading the answer of JetStream to a publish.

use std::borrow::Cow;

use async_nats::{Message, StatusCode};
use parking_lot::RwLock;
use serde::Deserialize;

use super::{Config, error_codes};
use crate::brokers::{Fault, FaultReason};

#[derive(Deserialize)]
struct PublishResponse<'a> {
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

/// The stream has the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ack {
    /// The sequence number of the message in the stream.
    pub(super) seq: u64,
    /// True if the stream had the message before, under this number.
    pub(super) duplicate: bool,
}

/// Tells the acks of the configured stream from other answers: a stream of a leaf node on the same subjects may answer
/// too, even one of the same name, and so may any subscriber.
pub(super) struct AckVerifier {
    stream: String,
    /// True if a domain is configured: then streams of other domains may answer as well.
    domain_configured: bool,
    /// The domain in which the last inspection found the stream.
    domain: RwLock<Option<String>>,
}

impl AckVerifier {
    pub(super) fn new(config: &Config) -> Self {
        let (stream, domain) = (config.stream.clone(), config.domain.clone());
        Self { stream, domain_configured: domain.is_some(), domain: RwLock::new(domain) }
    }

    /// Takes the domain in which an inspection found the stream.
    pub(super) fn set_domain(&self, domain: Option<String>) {
        *self.domain.write() = domain;
    }

    /// Reads a reply. `None` means that it does not come from the configured stream.
    pub(super) fn read(&self, reply: &Message) -> Option<Result<Ack, Fault>> {
        if reply.status == Some(StatusCode::NO_RESPONDERS) {
            let detail = "no stream listens to the subject, or it has no leader now; run `greenapi-bridge provision`";
            return Some(Err(Fault { transient: true, ..Fault::destination(FaultReason::NoResponders, detail) }));
        }
        self.read_payload(&reply.payload)
    }

    fn read_payload(&self, payload: &[u8]) -> Option<Result<Ack, Fault>> {
        let answer: PublishResponse<'_> = serde_json::from_slice(payload).ok()?;
        if let Some(error) = answer.error {
            // a stream of another domain refuses the `Nats-Expected-Stream`; the configured one answers for itself
            let from_other_domain = error.err_code == error_codes::WRONG_STREAM && self.domain_configured;
            return (!from_other_domain).then(|| Err(error_codes::fault(error.err_code, &error.description)));
        }
        let from_stream = answer.stream.as_deref() == Some(&self.stream)
            && answer.seq > 0
            && answer.domain.as_deref() == self.domain.read().as_deref();
        from_stream.then_some(Ok(Ack { seq: answer.seq, duplicate: answer.duplicate }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(domain: Option<&str>, payload: &str) -> Option<Result<Ack, Fault>> {
        AckVerifier::new(&Config { domain: domain.map(Into::into), ..Config::default() })
            .read_payload(payload.as_bytes())
    }

    #[test]
    fn only_the_configured_stream_can_ack() {
        let stored = |duplicate| Some(Ok(Ack { seq: 7, duplicate }));
        assert_eq!(read(None, r#"{"stream":"GREENAPI","seq":7}"#), stored(false));
        assert_eq!(read(None, r#"{"stream":"GREENAPI","seq":7,"duplicate":true}"#), stored(true));
        assert_eq!(read(Some("hub"), r#"{"stream":"GREENAPI","domain":"hub","seq":7}"#), stored(false));
        for foreign in [
            r#"{"stream":"OTHER","seq":7}"#,
            r#"{"stream":"","seq":7}"#,
            r#"{"stream":"GREENAPI","domain":"leaf","seq":7}"#,
            r#"{"stream":"GREENAPI"}"#,
            r#"{"stream":"GREENAPI","seq":0}"#,
            "+OK",
            "",
            "[]",
        ] {
            assert_eq!(read(None, foreign), None, "{foreign}");
        }
        let verifier = AckVerifier::new(&Config::default());
        verifier.set_domain(Some("hub".into()));
        assert_eq!(verifier.read_payload(br#"{"stream":"GREENAPI","domain":"hub","seq":7}"#), stored(false));
        assert_eq!(verifier.read_payload(br#"{"stream":"GREENAPI","domain":"leaf","seq":7}"#), None);
        assert_eq!(read(Some("hub"), r#"{"stream":"GREENAPI","seq":7}"#), None);
        assert_eq!(read(Some("hub"), r#"{"stream":"GREENAPI","domain":"leaf","seq":7}"#), None);
    }

    #[test]
    fn wrong_stream_is_a_fault_unless_another_domain_answers() {
        let wrong = r#"{"error":{"code":400,"err_code":10060,"description":"expected stream does not match"}}"#;
        assert_eq!(read(None, wrong).unwrap().unwrap_err().reason, FaultReason::WrongStream);
        assert_eq!(read(Some("hub"), wrong), None);
        let full = r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"}}"#;
        assert_eq!(read(Some("hub"), full).unwrap().unwrap_err().reason, FaultReason::StreamFull);
    }
}
