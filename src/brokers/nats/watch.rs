//! Following the connection and the stream behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Event, ServerError};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use super::ack::Ours;
use super::cause::Cause;
use super::lookup::Lookup;
use super::pending::Pending;
use super::sequence::Before;
use super::stream::NO_QUORUM;
use super::subjects::{covers, overlap};
use super::{Config, Inspection, stream};
use crate::brokers::Fault;
use crate::observe::BrokerState;

/// How often the stream is looked at: while it is safe and answers, and while it is not or does not.
const RECHECK: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(1)];

/// How long a stream that was safe may have no leader, or leave looks without an answer. An election takes 4 to 9 s,
/// and what is on its way waits for it for the 12 s of `publish.timeout`.
const ELECTS_WITHIN: Duration = Duration::from_secs(12);

/// A look at the stream.
struct Look {
    begun: Instant,
    before: Before,
    found: Inspection,
}

/// Keeps what is known of a server up to date.
pub(super) struct Watch {
    pub(super) client: Client,
    /// Why there is no connection, where that is known.
    pub(super) cause: watch::Receiver<Option<Cause>>,
    pub(super) config: Config,
    pub(super) pending: Arc<Pending>,
    pub(super) ours: Arc<Ours>,
    pub(super) state: watch::Sender<BrokerState>,
    /// When the stream was made, in Unix nanoseconds.
    pub(super) created: Arc<AtomicI64>,
    /// The patterns of all that is published, each class in one of its own.
    pub(super) subjects: Vec<String>,
    /// The most bytes of a message the stream takes.
    pub(super) stream_takes: Arc<AtomicUsize>,
    /// How long it recognises repeats, in milliseconds.
    pub(super) remembers: Arc<AtomicU64>,
    pub(super) lookup: Arc<Lookup>,
}

impl Watch {
    /// Looks at the stream whenever it is there, and ends waits that are in vain.
    pub(super) async fn follow(self, mut events: mpsc::Receiver<Event>) {
        let mut unsure = None;
        let look = self.look_after(Duration::ZERO);
        // beside the events, since a stream that does not answer must not hide a lost connection
        tokio::pin!(look);
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                looked = &mut look => {
                    unsure = looked.and_then(|looked| self.found(looked, unsure));
                    let soon = !self.state.borrow().up || unsure.is_some();
                    look.set(self.look_after(RECHECK[usize::from(soon)]));
                    continue;
                }
                () = self.pending.doubted.notified() => {
                    warn!(broker = "nats", "the stream was changed or made anew; it is looked at again");
                    look.set(self.look_after(Duration::ZERO));
                    continue;
                }
            };
            match event {
                None => return,
                Some(Event::Connected) => look.set(self.look_after(Duration::ZERO)),
                Some(Event::Disconnected | Event::Closed) => {
                    self.set(BrokerState::down("disconnected"));
                    let lost = Fault::unknown("disconnected", "the connection was lost before the report came");
                    self.pending.fail(None, &lost);
                    look.set(self.look_after(RECHECK[1]));
                }
                Some(Event::ServerError(error)) => self.complaint(&error),
                Some(_) => {}
            }
        }
    }

    /// Looks at the stream, if there is a connection.
    async fn look_after(&self, pause: Duration) -> Option<Look> {
        tokio::time::sleep(pause).await;
        if self.client.connection_state() == State::Connected {
            let (begun, before) = (Instant::now(), self.pending.sequence(|sequence| sequence.now()));
            return Some(Look { begun, before, found: stream::inspect(&self.client, &self.config).await });
        }
        if !pause.is_zero() {
            let cause = self.cause.borrow().clone().unwrap_or_else(|| Cause::unknown(&self.config));
            self.set(BrokerState::down("disconnected").because(cause.to_string()));
        }
        None
    }

    /// What a look makes of the state; and since when looks have not found out, if this one has not.
    fn found(&self, Look { begun, before, found }: Look, unsure: Option<Instant>) -> Option<Instant> {
        let why = match found {
            Inspection::Safe { info, domain } => {
                let created = i64::try_from(info.created.unix_timestamp_nanos()).unwrap_or(i64::MAX);
                self.created.store(created, Ordering::Release);
                self.ours.found_in(domain);
                let most = usize::try_from(info.config.max_message_size).ok().filter(|most| *most > 0);
                let window = u64::try_from(info.config.duplicate_window.as_millis()).unwrap_or(u64::MAX);
                self.remembers.store(window, Ordering::Relaxed);
                self.stream_takes.store(most.unwrap_or(usize::MAX), Ordering::Relaxed);
                self.pending.sequence(|sequence| sequence.trust(before, info.state.last_sequence));
                return self.sure(self.covered(&info.config.subjects));
            }
            Inspection::Unsafe(why) => return self.sure(BrokerState::down("unsafe_stream").because(why.into())),
            Inspection::Missing => {
                return self.sure(BrokerState::down("no_stream").because("run `greenapi-bridge provision`".into()));
            }
            Inspection::NoQuorum => format!("{} {NO_QUORUM}", self.config.stream),
            Inspection::Unknown(why) => why,
        };
        let since = unsure.unwrap_or(begun);
        let (doubted, went_on) = self.pending.sequence(|known| (known.doubted(), known.went_on_since(before)));
        if self.state.borrow().up && !doubted {
            // it answers no questions, but it stores
            if went_on {
                return None;
            }
            // while it elects, what was known before holds
            if since.elapsed() <= ELECTS_WITHIN {
                return Some(since);
            }
        }
        self.set(BrokerState::down("not_inspected").because(why));
        Some(since)
    }

    fn sure(&self, state: BrokerState) -> Option<Instant> {
        if !state.up {
            // of what is on its way nothing will be heard that counts
            self.pending.fail(None, &Fault::unknown(state.reason, "its report would mean nothing"));
        }
        self.set(state);
        None
    }

    /// Whether the stream holds what is published. If it holds any of it, that is unharmed by the rest.
    fn covered(&self, subjects: &[String]) -> BrokerState {
        let any = |test: fn(&str, &str) -> bool, pattern: &str| subjects.iter().any(|subject| test(subject, pattern));
        let missing: Vec<_> = self.subjects.iter().filter(|pattern| !any(covers, pattern)).collect();
        if missing.is_empty() {
            return BrokerState::up();
        }
        let some = self.subjects.iter().any(|pattern| any(overlap, pattern));
        let state = if some { BrokerState::up_but("no_subject") } else { BrokerState::down("no_subject") };
        let named = |pattern: &String| format!("{pattern}{}", if any(overlap, pattern) { " as a whole" } else { "" });
        let (stream, missing) = (&self.config.stream, missing.into_iter().map(named).collect::<Vec<_>>().join(", "));
        state.because(format!("stream {stream} does not hold {missing}; run `greenapi-bridge provision`"))
    }

    fn set(&self, now: BrokerState) {
        let mut known = false;
        let changed = self.state.send_if_modified(|before| {
            known = before.reason == "disconnected" && now.reason == "disconnected";
            std::mem::replace(before, now.clone()) != now
        });
        match (changed, now.up) {
            // that it does not store was said before its cause was known
            (true, false) if known => info!(broker = "nats", detail = now.detail, "no connection yet"),
            (false, _) => {}
            (true, true) if now.detail.is_empty() => info!(broker = "nats", "the broker stores"),
            (true, true) => warn!(broker = "nats", detail = now.detail, "the broker stores, but not all"),
            (true, false) => {
                warn!(broker = "nats", reason = now.reason, detail = now.detail, "the broker does not store")
            }
        }
    }

    /// A permission the server refuses comes as an event, not as a report.
    fn complaint(&self, error: &ServerError) {
        let text = error.to_string();
        let subject =
            text.split_once("ermissions Violation for Publish to \"").and_then(|(_, rest)| rest.split('"').next());
        match subject {
            // a message's: it is logged as not stored, and its subject may repeat what the sender wrote
            Some(subject) if !subject.starts_with('$') => {
                let fault = Fault::destination("not_authorized", "no right to publish to this subject");
                self.pending.fail(Some(subject), &fault);
            }
            Some(subject) if subject.contains(".STREAM.MSG.GET.") => self.lookup.refused(),
            _ => warn!(broker = "nats", %error, "the server complains"),
        }
    }
}
