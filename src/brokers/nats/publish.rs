//! Publishing, and hearing what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use async_nats::{Client, HeaderMap, Subject};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;

use super::ack::Ours;
use super::lookup::Lookup;
use super::pending::Pending;
use super::watch::Watch;
use super::{Config, advisories, connect, headers};
use crate::brokers::Fault;
use crate::message::{Broker, Message};
use crate::observe::BrokerState;

/// How long a report is waited for on a connection that lives. After that JetStream will not answer any more
/// (its leader died), and a repeat is safe: the server drops what it has by `Nats-Msg-Id`. It must be less
/// than the 60 s after which GREEN-API repeats.
pub const REPORT_WITHIN: Duration = Duration::from_secs(30);

/// Publishes to one JetStream.
#[derive(Clone)]
pub struct Publisher {
    client: Client,
    stream: Arc<str>,
    inbox: Arc<str>,
    pending: Arc<Pending>,
    state: watch::Receiver<BrokerState>,
    report_within: Duration,
    stream_takes: Arc<AtomicUsize>,
    created: Arc<AtomicI64>,
    remembers: Arc<AtomicU64>,
    lookup: Arc<Lookup>,
}

/// How long a stream recognises repeats where it was told nothing, in milliseconds.
const REMEMBERS: u64 = 120_000;

impl Publisher {
    /// Starts to connect, in the background and for ever; the broker may be down. `subjects` are the patterns of
    /// all that will be published.
    ///
    /// # Errors
    /// A secret that cannot be read, or servers that are no addresses.
    pub async fn start(
        config: &Config,
        subjects: Vec<String>,
        report_within: Duration,
    ) -> Result<Self, connect::ConnectError> {
        let connect::Connecting { client, events, cause } = connect::connect(config).await?;
        let inbox: Arc<str> = client.new_inbox().into();
        let pending = Arc::new(Pending::default());
        let (set, state) = watch::channel(BrokerState::down("connecting"));
        let ours = Arc::new(Ours::new(config));
        tokio::spawn(hear_reports(client.clone(), inbox.clone(), pending.clone(), ours.clone()));
        let created: Arc<AtomicI64> = Arc::default();
        let remembers = Arc::new(AtomicU64::new(REMEMBERS));
        let stream_takes = Arc::new(AtomicUsize::new(usize::MAX));
        let lookup = Arc::new(Lookup::new(client.clone(), config));
        let watch = Watch {
            client: client.clone(),
            cause,
            config: config.clone(),
            pending: pending.clone(),
            ours,
            state: set,
            created: created.clone(),
            stream_takes: stream_takes.clone(),
            remembers: remembers.clone(),
            lookup: lookup.clone(),
            subjects,
        };
        advisories::hear(&client, &config.stream, &pending);
        tokio::spawn(watch.follow(events));
        let stream = config.stream.as_str().into();
        Ok(Self { client, stream, inbox, pending, state, report_within, stream_takes, created, remembers, lookup })
    }

    /// Whether it can store now; changes are seen as they happen.
    pub fn state(&self) -> watch::Receiver<BrokerState> {
        self.state.clone()
    }

    /// When the stream was made, in Unix nanoseconds; 0 before it was first seen. Another one has nothing of what the
    /// one before it stored.
    pub fn created(&self) -> i64 {
        self.created.load(Ordering::Acquire)
    }

    /// How long the stream recognises a repeat, as it was last seen.
    pub fn remembers(&self) -> Duration {
        Duration::from_millis(self.remembers.load(Ordering::Relaxed))
    }

    /// The [`Message::dedupe_id`]s of what was stored since then where this one goes.
    ///
    /// # Errors
    /// [`Fault`]: the connection was lost meanwhile.
    pub async fn stored_since(&self, message: &Message, since: SystemTime) -> Result<Vec<String>, Fault> {
        self.lookup.stored_since(message.destination(Broker::Nats), since).await
    }

    /// Publishes, and returns when it is known what became of it.
    ///
    /// # Errors
    /// [`Fault`]. Of a connection fault it is not known whether the message was stored.
    pub async fn publish(&self, message: &Message) -> Result<(), Fault> {
        let state = self.state.borrow().clone();
        if !state.up {
            // queued, it would be sent later although the sender was told that it was not
            return Err(Fault::not_sent(state.reason, state.detail));
        }
        let headers = headers::headers(message, &self.stream);
        let value = message.value();
        self.fits(&headers, value.len())?;
        let subject = Subject::from(message.destination(Broker::Nats));
        let (place, report) = self.pending.enter(subject.clone());
        let reply = format!("{}.{}", self.inbox, place.token);
        let sent_and_reported = async {
            // over before the report is waited for: no room is kept for it
            let sent = Box::pin(self.client.publish_with_reply_and_headers(subject, reply, headers, value));
            sent.await.map_err(|error| Fault::unknown("send", error.to_string()))?;
            report.await.unwrap_or_else(|_| Err(Fault::unknown("closed", "the client is gone")))
        };
        let late = || Fault::unknown("no_report", format!("no report within {} s", self.report_within.as_secs()));
        timeout(self.report_within, sent_and_reported).await.unwrap_or_else(|_| Err(late()))
    }

    /// The most bytes of body that fit beside this message's headers, and beside those of its parts.
    pub fn room_for(&self, message: &Message) -> usize {
        // a part's headers say which part it is
        const OF_A_PART: usize = 64;
        let headers = headers::wire_size(&headers::headers(message, &self.stream));
        self.most().saturating_sub(headers + OF_A_PART)
    }

    /// Whether the server takes a message of this size; a larger one would cost the connection.
    fn fits(&self, headers: &HeaderMap, body: usize) -> Result<(), Fault> {
        let (size, most) = (headers::wire_size(headers) + body, self.most());
        if size <= most {
            return Ok(());
        }
        Err(Fault::record("too_large", format!("{size} bytes with headers, the server takes {most}")))
    }

    /// The most bytes of a message, headers included: both the server and the stream have a limit.
    fn most(&self) -> usize {
        self.client.max_payload().min(self.stream_takes.load(Ordering::Relaxed))
    }
}

async fn hear_reports(client: Client, inbox: Arc<str>, pending: Arc<Pending>, ours: Arc<Ours>) {
    let Ok(mut replies) = client.subscribe(format!("{inbox}.*")).await else { return };
    while let Some(reply) = replies.next().await {
        let token = reply.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        match (token, ours.read(&reply)) {
            (Some(token), Some(report)) => pending.settle(token, report),
            _ => debug!("a reply that says nothing of our stream; still waiting"),
        }
    }
}
