//! Follows the connection and inspects the stream behind it.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Event, ServerError};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::command_client;
use super::connect_failure::ConnectFailure;
use super::inspect::{Inspection, NO_QUORUM, deletes_acknowledged, inspect};
use super::publisher::closed;
use super::shared::Shared;
use super::stream_continuity::Checkpoint;
use super::subjects::{covers, overlap};
use crate::brokers::{BrokerState, Fault, FaultReason};

/// The pause between inspections of a stream that is safe and answers.
const INSPECT_EVERY: Duration = Duration::from_secs(10);

/// The pause between inspections while the stream is down, or did not answer the last one.
const INSPECT_SOON: Duration = Duration::from_secs(1);

/// The pause between questions for the server's limit, while messages are larger.
const ASK_LIMIT_EVERY: Duration = Duration::from_secs(10);

/// How long a stream that was safe may have no leader, or leave inspections without an answer. An election takes 4 to
/// 9 s, and messages in flight wait for it for the 12 s of `publish.timeout`.
const ELECTS_WITHIN: Duration = Duration::from_secs(12);

/// An inspection that ended.
struct Inspected {
    began: Instant,
    before: Checkpoint,
    inspection: Inspection,
}

/// Keeps the broker's state up to date.
pub(super) struct Watcher {
    shared: Arc<Shared>,
    /// Why there is no connection, where that is known.
    failure: watch::Receiver<Option<ConnectFailure>>,
    /// The patterns of all that is published, each class in one of its own.
    subjects: Vec<String>,
}

impl Watcher {
    pub(super) fn new(
        shared: Arc<Shared>,
        failure: watch::Receiver<Option<ConnectFailure>>,
        subjects: Vec<String>,
    ) -> Self {
        Self { shared, failure, subjects }
    }

    /// Follows the events until `stop`, and then closes the connection.
    pub(super) async fn run(self, mut events: mpsc::Receiver<Event>, stop: CancellationToken) {
        let watch = async {
            tokio::select! {
                () = self.follow(&mut events) => {}
                () = self.watch_limit() => {}
            }
        };
        if stop.run_until_cancelled(watch).await.is_none() {
            self.close(events).await;
        }
    }

    /// Inspects the stream whenever there is a connection, and ends waits for acks that will not come.
    async fn follow(&self, events: &mut mpsc::Receiver<Event>) {
        let mut unanswered_since = None;
        let inspected = self.inspect_after(Duration::ZERO);
        // concurrent with the events: a stream that does not answer must not hide a lost connection
        tokio::pin!(inspected);
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                result = &mut inspected => {
                    unanswered_since = result.and_then(|result| self.apply(result, unanswered_since));
                    let soon = !self.shared.state.borrow().is_up() || unanswered_since.is_some();
                    inspected.set(self.inspect_after(if soon { INSPECT_SOON } else { INSPECT_EVERY }));
                    continue;
                }
                () = self.shared.pending.suspected.notified() => {
                    warn!(broker = "nats", "stream changed or recreated: inspecting it");
                    inspected.set(self.inspect_after(Duration::ZERO));
                    continue;
                }
            };
            match event {
                None => return,
                Some(Event::Connected) => inspected.set(self.inspect_after(Duration::ZERO)),
                Some(Event::Disconnected | Event::Closed) => {
                    self.set(BrokerState::down(FaultReason::Disconnected));
                    let lost =
                        Fault::maybe_stored(FaultReason::Disconnected, "the connection was lost before the ack came");
                    self.shared.pending.fail_all(&lost);
                    inspected.set(self.inspect_after(INSPECT_SOON));
                }
                Some(Event::ServerError(error)) => self.server_error(&error),
                Some(_) => {}
            }
        }
    }

    /// Asks for the server's limit whenever a message was larger. nats-server tells no client of a limit that a reload of
    /// its configuration has raised: only a new connection learns of it.
    async fn watch_limit(&self) {
        let Shared { client, config, limit_reached, .. } = &*self.shared;
        loop {
            limit_reached.notified().await;
            if let Ok((new, _events)) = command_client::connect(config).await {
                let same_server = new.server_info().server_id == client.server_info().server_id;
                let (known, found) = (client.max_payload(), new.max_payload());
                if same_server && found > known {
                    info!(broker = "nats", known, found, "max_payload was raised: reconnecting");
                    // it fails only where the client has ended
                    let _ = client.force_reconnect().await;
                }
                let _ = new.drain().await;
            }
            tokio::time::sleep(ASK_LIMIT_EVERY).await;
        }
    }

    /// Accepts no more messages, and ends the client's own tasks: at once where it is connected.
    async fn close(&self, mut events: mpsc::Receiver<Event>) {
        self.shared.state.send_if_modified(|state| state.set(BrokerState::down(FaultReason::Closed)));
        self.shared.pending.fail_all(&closed());
        if self.shared.client.connection_state() == State::Connected && self.shared.client.drain().await.is_ok() {
            // the client lets go of the events when its connection is closed
            while events.recv().await.is_some() {}
        }
    }

    /// Inspects the stream. `None` means that there is no connection.
    async fn inspect_after(&self, pause: Duration) -> Option<Inspected> {
        tokio::time::sleep(pause).await;
        let Shared { client, config, pending, .. } = &*self.shared;
        if client.connection_state() == State::Connected {
            let (began, before) = (Instant::now(), pending.continuity(|stream| stream.checkpoint()));
            return Some(Inspected { began, before, inspection: inspect(client, config).await });
        }
        if !pause.is_zero() {
            let failure = self.failure.borrow().clone().unwrap_or_else(|| ConnectFailure::unknown(config));
            self.set(BrokerState::down(failure.reason).with_detail(failure.to_string()));
        }
        None
    }

    /// Sets the state after an inspection. Returns since when inspections get no answer; `None` means that this one did,
    /// or that acks show that the stream stores.
    fn apply(&self, inspected: Inspected, unanswered_since: Option<Instant>) -> Option<Instant> {
        let Inspected { began, before, inspection } = inspected;
        let shared = &self.shared;
        let why = match inspection {
            Inspection::Safe { info, domain } => {
                if let Some((why, remedy)) = deletes_acknowledged(&info.config) {
                    self.answered(BrokerState::down(FaultReason::UnsafeStream).with_detail(format!("{why}; {remedy}")));
                    return None;
                }
                let created = i64::try_from(info.created.unix_timestamp_nanos()).unwrap_or(i64::MAX);
                // before acks count again: no id may count as stored in a stream that is gone
                shared.created.set(created);
                shared.verifier.set_domain(domain);
                shared.limits.update(&info.config);
                shared.lookup.set_transform(info.config.subject_transform.as_ref());
                shared.pending.continuity(|stream| stream.verified(before, info.state.last_sequence));
                self.answered(self.subject_state(&info.config.subjects));
                return None;
            }
            Inspection::Unsafe(why) => {
                self.answered(BrokerState::down(FaultReason::UnsafeStream).with_detail(why));
                return None;
            }
            Inspection::Missing => {
                self.answered(BrokerState::down(FaultReason::NoStream).with_detail("run `greenapi-bridge provision`"));
                return None;
            }
            Inspection::NoQuorum => format!("{} {NO_QUORUM}", shared.config.stream),
            Inspection::Unknown(why) => why,
        };
        let since = unanswered_since.unwrap_or(began);
        let (suspect, acked) = shared.pending.continuity(|stream| (stream.is_suspect(), stream.changed_since(before)));
        if shared.state.borrow().is_up() && !suspect {
            // the stream answers no inspection, but it stores
            if acked {
                return None;
            }
            // during an election the last state stays
            if since.elapsed() <= ELECTS_WITHIN {
                return Some(since);
            }
        }
        self.set(BrokerState::down(FaultReason::NotInspected).with_detail(why));
        Some(since)
    }

    /// Sets the state that an answered inspection found.
    fn answered(&self, state: BrokerState) {
        if let BrokerState::Down { reason, .. } = &state {
            // no ack of a message in flight would mean stored
            self.shared.pending.fail_all(&Fault::maybe_stored(*reason, "its ack would not mean stored"));
        }
        self.set(state);
    }

    /// Up if the stream has all subjects that are published, degraded if it has any of them: those are unharmed.
    fn subject_state(&self, of_stream: &[String]) -> BrokerState {
        let any = |test: fn(&str, &str) -> bool, pattern: &str| of_stream.iter().any(|subject| test(subject, pattern));
        let missing: Vec<_> = self.subjects.iter().filter(|pattern| !any(covers, pattern)).collect();
        if missing.is_empty() {
            return BrokerState::Up;
        }
        let state = if self.subjects.iter().any(|pattern| any(overlap, pattern)) {
            BrokerState::degraded(FaultReason::NoSubject)
        } else {
            BrokerState::down(FaultReason::NoSubject)
        };
        let named = |pattern: &String| format!("{pattern}{}", if any(overlap, pattern) { " as a whole" } else { "" });
        let missing = missing.into_iter().map(named).collect::<Vec<_>>().join(", ");
        let stream = &self.shared.config.stream;
        state.with_detail(format!("stream {stream} does not have {missing}; run `greenapi-bridge provision`"))
    }

    fn set(&self, now: BrokerState) {
        let mut was_lost = false;
        let changed = self.shared.state.send_if_modified(|before| {
            was_lost = before.reason() == Some(FaultReason::Disconnected);
            before.set(now.clone())
        });
        if !changed {
            return;
        }
        match now {
            // "broker down" was logged before the cause was known
            BrokerState::Down { reason: FaultReason::Disconnected, detail } if was_lost => {
                info!(broker = "nats", detail, "no connection yet");
            }
            BrokerState::Up => info!(event = "broker_up", broker = "nats", "broker up"),
            BrokerState::Degraded { reason, detail } => {
                warn!(event = "broker_degraded", broker = "nats", reason = reason.as_str(), detail, "broker degraded");
            }
            BrokerState::Down { reason, detail } => {
                warn!(event = "broker_down", broker = "nats", reason = reason.as_str(), detail, "broker down");
            }
        }
    }

    /// The server denies a right by an event, not by an answer to the message.
    fn server_error(&self, error: &ServerError) {
        let text = error.to_string();
        let subject =
            text.split_once("ermissions Violation for Publish to \"").and_then(|(_, rest)| rest.split('"').next());
        match subject {
            // of a message: it is logged as not stored, and its subject may contain what the sender wrote
            Some(subject) if !subject.starts_with('$') => {
                let fault = Fault::destination(FaultReason::NotAuthorized, "no right to publish to this subject");
                self.shared.pending.fail_subject(subject, &fault);
            }
            Some(subject) if subject.contains(".STREAM.MSG.GET.") => {
                self.shared.lookup.suspend(FaultReason::NotAuthorized)
            }
            _ => warn!(broker = "nats", %error, "server error"),
        }
    }
}
