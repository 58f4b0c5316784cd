//! Asks the stream which messages it has, where they may be older than its duplicate window.

use std::time::{Duration, SystemTime};

use async_nats::Client;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageError, LastRawMessageErrorKind, Stream, SubjectTransform};
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::subject_transform::stored_subject;
use super::{Config, inspect};
use crate::brokers::{Fault, FaultReason};

/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long requests may fail before no more are sent: an election is over by then.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// How long no request is sent then.
const SUSPENDED_FOR: Duration = Duration::from_secs(60);
/// How far the server's clock may be behind the bridge's.
const SKEW: Duration = Duration::from_secs(60);
/// The most messages of one subject that are read.
const MAX_MESSAGES: usize = 20_000;

/// The subject to which the bridge's user must be allowed to publish.
pub(super) fn subject(stream: &str) -> String {
    format!("$JS.API.STREAM.MSG.GET.{stream}")
}

/// Looks up messages of one stream.
pub(super) struct Lookup {
    client: Client,
    config: Config,
    state: Mutex<LookupState>,
    transform: Mutex<Option<SubjectTransform>>,
}

/// Whether requests are answered.
#[derive(Default)]
enum LookupState {
    /// The last request was answered, or none was sent.
    #[default]
    Answering,
    /// Requests have failed since then.
    FailingSince(Instant),
    /// No request is sent until then.
    SuspendedUntil(Instant),
}

impl LookupState {
    /// A request failed; since when requests fail.
    fn failing_since(&mut self) -> Instant {
        let now = Instant::now();
        match *self {
            Self::FailingSince(since) => return since,
            // another request was denied meanwhile
            Self::SuspendedUntil(until) if now < until => {}
            Self::Answering | Self::SuspendedUntil(_) => *self = Self::FailingSince(now),
        }
        now
    }
}

impl Lookup {
    pub(super) fn new(client: Client, config: &Config) -> Self {
        Self { client, config: config.clone(), state: Mutex::default(), transform: Mutex::default() }
    }

    /// Whether no lookup is sent now: then an empty answer proves nothing.
    pub(super) fn is_suspended(&self) -> bool {
        matches!(*self.state.lock(), LookupState::SuspendedUntil(until) if Instant::now() < until)
    }

    /// The stream stores messages under other subjects than they are published to.
    pub(super) fn set_transform(&self, transform: Option<&SubjectTransform>) {
        *self.transform.lock() = transform.cloned();
    }

    /// Sends no lookup for a minute: the server denied the permission, or did not answer. Meanwhile the backlog is forwarded
    /// without lookups, so some messages may be stored twice.
    pub(super) fn suspend(&self, reason: FaultReason) {
        *self.state.lock() = LookupState::SuspendedUntil(Instant::now() + SUSPENDED_FOR);
        let remedy = match reason {
            FaultReason::NotAuthorized => {
                format!("allow the bridge's user to publish {}", subject(&self.config.stream))
            }
            _ => "check that JetStream answers".into(),
        };
        let reason = reason.as_str();
        warn!(broker = "nats", reason, remedy, "lookup of stored messages suspended: some may be stored twice");
    }

    /// The `Nats-Msg-Id` of each message that was published to a subject and stored since then. Empty while lookups are suspended.
    ///
    /// # Errors
    /// [`Fault`]: the caller may try again.
    pub(super) async fn stored_since(&self, subject: &str, since: SystemTime) -> Result<Vec<String>, Fault> {
        if self.is_suspended() {
            return Ok(Vec::new());
        }
        let stored_subject = stored_subject(self.transform.lock().as_ref(), subject);
        let found = self.read_ids(&stored_subject, since).await;
        match &found {
            Ok(_) => *self.state.lock() = LookupState::Answering,
            Err(fault) if fault.reason == FaultReason::Disconnected => {}
            // the caller's next try finds the lookups suspended
            Err(_) if self.state.lock().failing_since().elapsed() >= GIVE_UP_AFTER => {
                self.suspend(FaultReason::NoReport)
            }
            Err(_) => {}
        }
        found
    }

    async fn read_ids(&self, subject: &str, since: SystemTime) -> Result<Vec<String>, Fault> {
        let mut context = inspect::context(&self.client, &self.config);
        context.set_timeout(ANSWER_WITHIN);
        let stream = context.get_stream_no_info(&self.config.stream).await;
        let stream: Stream<()> = stream.map_err(|error| self.fault(&error))?;
        let from = since.checked_sub(SKEW).unwrap_or(SystemTime::UNIX_EPOCH);
        let last = self.found(stream.get_last_raw_message_by_subject(subject).await)?;
        let Some(last) = last.filter(|last| SystemTime::from(last.time) >= from) else { return Ok(Vec::new()) };
        let mut next = self.first_since(&stream, from, last.sequence).await?;
        let mut ids = Vec::new();
        for _ in 0..MAX_MESSAGES {
            let found = self.found(stream.get_first_raw_message_by_subject(subject, next).await)?;
            let Some(found) = found else { return Ok(ids) };
            next = found.sequence + 1;
            ids.extend(found.headers.get(NATS_MESSAGE_ID).map(ToString::to_string));
        }
        debug!(max = MAX_MESSAGES, "one subject has more messages than a lookup reads");
        Ok(ids)
    }

    /// The sequence number from which on every message was stored at this time or later; `last` is one of those.
    async fn first_since(&self, stream: &Stream<()>, from: SystemTime, last: u64) -> Result<u64, Fault> {
        let (mut low, mut high) = (1, last);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.found(stream.get_first_raw_message_by_subject(">", middle).await)? {
                Some(found) if SystemTime::from(found.time) < from => low = found.sequence + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// The message that was found. `None` means that the stream has none.
    fn found(&self, answer: Result<StreamMessage, LastRawMessageError>) -> Result<Option<StreamMessage>, Fault> {
        match answer {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(self.fault(&error)),
        }
    }

    fn fault(&self, error: &dyn std::error::Error) -> Fault {
        if self.client.connection_state() != async_nats::connection::State::Connected {
            return Fault::not_sent(FaultReason::Disconnected, "the connection was lost");
        }
        Fault::not_sent(FaultReason::NotInspected, format!("stored messages cannot be looked up: {error}"))
    }
}
