//! Publishing, and hearing what became of it.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Event, HeaderMap, ServerError, Subject};
use futures_util::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::pending::Pending;
use super::{Config, Inspection, ack, connect, headers, leader, stream};
use crate::brokers::Fault;
use crate::message::Message;
use crate::observe::BrokerState;

/// How long a report is waited for on a connection that lives. After that JetStream will not answer any more
/// (its leader died), and a repeat is safe: the server drops what it has by `Nats-Msg-Id`. It must be less
/// than the 60 s after which GREEN-API repeats.
pub const REPORT_WITHIN: Duration = Duration::from_secs(30);

/// How often the stream is looked at: while it is safe, and while it is not.
const RECHECK: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(1)];

/// Publishes to one JetStream.
#[derive(Clone)]
pub struct Publisher {
    client: Client,
    stream: Arc<str>,
    inbox: Arc<str>,
    pending: Arc<Pending>,
    state: watch::Receiver<BrokerState>,
    report_within: Duration,
}

impl Publisher {
    /// Starts to connect, in the background and for ever; the broker may be down.
    ///
    /// # Errors
    /// A secret that cannot be read, or servers that are no addresses.
    pub async fn start(config: &Config, report_within: Duration) -> Result<Self, connect::ConnectError> {
        let (client, events) = connect::connect(config).await?;
        let inbox: Arc<str> = client.new_inbox().into();
        let pending = Arc::new(Pending::default());
        let (set, state) = watch::channel(BrokerState::down("connecting"));
        tokio::spawn(hear_reports(client.clone(), inbox.clone(), pending.clone()));
        tokio::spawn(leader::hear_of_new_leaders(client.clone(), config.stream.clone(), pending.clone()));
        tokio::spawn(watch_connection(client.clone(), config.clone(), events, pending.clone(), set));
        Ok(Self { client, stream: config.stream.as_str().into(), inbox, pending, state, report_within })
    }

    /// Whether it can store now; changes are seen as they happen.
    pub fn state(&self) -> watch::Receiver<BrokerState> {
        self.state.clone()
    }

    /// Waits until it can store, or until `until`.
    pub async fn ready(&self, until: Instant) {
        let mut state = self.state.clone();
        let _ = tokio::time::timeout_at(until, state.wait_for(|state| state.up)).await;
    }

    /// Publishes, and returns when it is known what became of it.
    ///
    /// # Errors
    /// [`Fault`]. Of a connection fault it is not known whether the message was stored.
    pub async fn publish(&self, message: &Message) -> Result<(), Fault> {
        let state = self.state.borrow().clone();
        if !state.up {
            // queued, it would be sent later although the sender was told that it was not
            return Err(Fault::connection(state.reason, state.detail));
        }
        let headers = headers::headers(message, &self.stream);
        self.fits(&headers, message.body.len())?;
        let subject = Subject::from(message.destination.as_str());
        let (place, report) = self.pending.enter(subject.clone());
        let reply = format!("{}.{}", self.inbox, place.token);
        let sent_and_reported = async {
            let sent = self.client.publish_with_reply_and_headers(subject, reply, headers, message.body.clone());
            sent.await.map_err(|error| Fault::connection("send", error.to_string()))?;
            report.await.unwrap_or_else(|_| Err(Fault::connection("closed", "the client is gone")))
        };
        let late = || Fault::connection("no_report", format!("no report within {} s", self.report_within.as_secs()));
        timeout(self.report_within, sent_and_reported).await.unwrap_or_else(|_| Err(late()))
    }

    /// Whether the server takes a message of this size; a larger one would cost the connection.
    fn fits(&self, headers: &HeaderMap, body: usize) -> Result<(), Fault> {
        let size = headers::wire_size(headers) + body;
        let most = self.client.server_info().max_payload;
        if size <= most {
            return Ok(());
        }
        Err(Fault::record("too_large", format!("{size} bytes with headers, the server takes {most}")))
    }
}

async fn hear_reports(client: Client, inbox: Arc<str>, pending: Arc<Pending>) {
    let Ok(mut replies) = client.subscribe(format!("{inbox}.*")).await else { return };
    while let Some(reply) = replies.next().await {
        let token = reply.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        if let Some(token) = token {
            pending.settle(token, ack::read(&reply));
        }
    }
}

/// Follows the connection, looks at the stream whenever it is there, and ends waits that are in vain.
async fn watch_connection(
    client: Client,
    config: Config,
    mut events: mpsc::Receiver<Event>,
    pending: Arc<Pending>,
    state: watch::Sender<BrokerState>,
) {
    loop {
        let pause = RECHECK[usize::from(!state.borrow().up)];
        let event = tokio::select! {
            event = events.recv() => match event { Some(event) => Some(event), None => return },
            () = tokio::time::sleep(pause) => None,
        };
        match event {
            Some(Event::Disconnected | Event::Closed) => {
                set(&state, BrokerState::down("disconnected"));
                pending
                    .fail(None, &Fault::connection("disconnected", "the connection was lost before the report came"));
            }
            Some(Event::ServerError(error)) => refused(&error, &pending),
            Some(Event::Connected) | None if client.connection_state() == async_nats::connection::State::Connected => {
                look_at_stream(&client, &config, &state).await;
            }
            Some(_) | None => {}
        }
    }
}

async fn look_at_stream(client: &Client, config: &Config, state: &watch::Sender<BrokerState>) {
    let found = match stream::inspect(client, config).await {
        Inspection::Safe(_) => BrokerState::up(),
        Inspection::Unsafe(why) => BrokerState::down("unsafe_stream").because(why.into()),
        Inspection::Missing => BrokerState::down("no_stream").because("run `greenapi-bridge provision`".into()),
        // a server that is busy electing does not answer: what was known before holds
        Inspection::Unknown(_) if state.borrow().up => return,
        Inspection::Unknown(why) => BrokerState::down("not_inspected").because(why),
    };
    set(state, found);
}

fn set(state: &watch::Sender<BrokerState>, now: BrokerState) {
    let changed = state.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
    match (changed, now.up) {
        (false, _) => {}
        (true, true) => info!(broker = "nats", "the broker stores"),
        (true, false) => warn!(broker = "nats", reason = now.reason, detail = now.detail, "the broker does not store"),
    }
}

/// A permission the server refuses comes as an event, not as a report.
fn refused(error: &ServerError, pending: &Pending) {
    warn!(broker = "nats", %error, "the server complains");
    let text = error.to_string();
    if let Some((_, rest)) = text.split_once("ermissions Violation for Publish to \"") {
        let subject = rest.split('"').next();
        pending.fail(subject, &Fault::destination("not_authorized", "no right to publish to this subject"));
    }
}
