//! Looking up what the stream has, where its window has forgotten.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_nats::Client;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageError, LastRawMessageErrorKind, Stream};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{Config, stream};
use crate::brokers::Fault;

/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long it may be asked in vain: an election is over by then. And how long it is then not asked.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
const NOT_ASKED_FOR: Duration = Duration::from_secs(60);
/// How far the server's clock may be behind ours.
const SKEW: Duration = Duration::from_secs(60);
/// The most messages of one subject that are looked at.
const MOST: usize = 20_000;

/// What must be allowed for that.
pub(super) fn subject(stream: &str) -> String {
    format!("$JS.API.STREAM.MSG.GET.{stream}")
}

/// Looks up messages of one stream.
pub(super) struct Lookup {
    client: Client,
    config: Config,
    standing: Mutex<Standing>,
}

/// Whether questions are answered.
#[derive(Default)]
struct Standing {
    /// Since when they are not.
    silent: Option<Instant>,
    /// Until when they are not asked.
    refused: Option<Instant>,
}

impl Lookup {
    pub(super) fn new(client: Client, config: &Config) -> Self {
        Self { client, config: config.clone(), standing: Mutex::default() }
    }

    /// The server has said that we may not ask. That must not keep what is owed.
    pub(super) fn refused(&self) {
        let mut standing = self.standing();
        *standing = Standing { silent: None, refused: Some(Instant::now() + NOT_ASKED_FOR) };
        let stream = &self.config.stream;
        let remedy = format!("allow the bridge's user to publish {}", subject(stream));
        warn!(broker = "nats", remedy, "what was perhaps stored before cannot be told; it may be stored again");
    }

    /// The `Nats-Msg-Id`s of what was stored of a subject since then, as often as they were.
    ///
    /// # Errors
    /// [`Fault`]: it may be asked again.
    pub(super) async fn stored_since(&self, subject: &str, since: SystemTime) -> Result<Vec<String>, Fault> {
        if self.standing().refused.is_some_and(|until| Instant::now() < until) {
            return Ok(Vec::new());
        }
        let found = self.walk(subject, since).await;
        let Err(fault) = found else {
            *self.standing() = Standing::default();
            return found;
        };
        if fault.reason == "disconnected" {
            return Err(fault);
        }
        let begun = *self.standing().silent.get_or_insert_with(Instant::now);
        if begun.elapsed() >= ANSWERS_WITHIN {
            self.refused();
        }
        // the next time it is asked this is known
        Err(fault)
    }

    async fn walk(&self, subject: &str, since: SystemTime) -> Result<Vec<String>, Fault> {
        let mut context = stream::context(&self.client, &self.config);
        context.set_timeout(ANSWER_WITHIN);
        let stream = context.get_stream_no_info(&self.config.stream).await;
        let stream: Stream<()> = stream.map_err(|error| self.unknown(&error))?;
        let from = since.checked_sub(SKEW).unwrap_or(SystemTime::UNIX_EPOCH);
        let last = self.answered(stream.get_last_raw_message_by_subject(subject).await)?;
        let Some(last) = last.filter(|last| SystemTime::from(last.time) >= from) else { return Ok(Vec::new()) };
        let mut next = self.first(&stream, from, last.sequence).await?;
        let mut ids = Vec::new();
        for _ in 0..MOST {
            let found = self.answered(stream.get_first_raw_message_by_subject(subject, next).await)?;
            let Some(found) = found else { return Ok(ids) };
            next = found.sequence + 1;
            ids.extend(found.headers.get(NATS_MESSAGE_ID).map(ToString::to_string));
        }
        debug!(most = MOST, "more was stored of one subject than is looked at");
        Ok(ids)
    }

    /// The number from which on everything was stored at this time or later, `last` for one.
    async fn first(&self, stream: &Stream<()>, from: SystemTime, last: u64) -> Result<u64, Fault> {
        let (mut low, mut high) = (1, last);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.answered(stream.get_first_raw_message_by_subject(">", middle).await)? {
                Some(found) if SystemTime::from(found.time) < from => low = found.sequence + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// What was found; none where there is none.
    fn answered(&self, answer: Result<StreamMessage, LastRawMessageError>) -> Result<Option<StreamMessage>, Fault> {
        match answer {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(self.unknown(&error)),
        }
    }

    fn unknown(&self, error: &dyn std::error::Error) -> Fault {
        if self.client.connection_state() != async_nats::connection::State::Connected {
            return Fault::not_sent("disconnected", "the connection was lost");
        }
        Fault::not_sent("not_inspected", format!("what was stored before cannot be looked up: {error}"))
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
