//! Publishing a message and awaiting its ack.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_nats::{HeaderMap, Subject};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::shared::Shared;
use super::unanswered::{Patience, Suspect};
use super::watcher::Watcher;
use super::{Config, ConnectError, advisories, connect, headers};
use crate::brokers::{BrokerState, Fault, FaultReason};
use crate::message::{Broker, Message};
use crate::telemetry::Dated;
use crate::units::show;

/// How long an ack may take on a connection that lives: after that JetStream will not answer any more (its leader
/// died), and a repeat is safe, because the server drops what it has by `Nats-Msg-Id`. It must be less than the 60 s after
/// which GREEN-API repeats. And how long a message may stay without an ack while smaller ones get theirs.
pub const PATIENCE: Patience = Patience { ack: Duration::from_secs(30), too_large: Duration::from_secs(300) };

/// How long [`Publisher::close`] waits for its tasks.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Publishes to one JetStream. Cheap to clone. Dropping the last clone ends its tasks, soon.
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
    stream: Arc<str>,
    /// Acks come to subjects below this one, the token of the pending ack last.
    inbox: Arc<str>,
    ack_within: Duration,
    tasks: TaskTracker,
    stop: CancellationToken,
    _stop_on_drop: Arc<DropGuard>,
}

impl Publisher {
    /// Starts to connect, in the background and for ever; the server may be down. `subjects` are the patterns of all
    /// that will be published. `patience` says when a message without an ack is given up.
    ///
    /// # Errors
    /// A secret that cannot be read, or servers that are not addresses.
    pub async fn start(config: &Config, subjects: Vec<String>, patience: Patience) -> Result<Self, ConnectError> {
        let stop = CancellationToken::new();
        let stop_on_drop = Arc::new(stop.clone().drop_guard());
        let connect::Connecting { client, events, failure } = connect::connect(config, &stop).await?;
        let inbox: Arc<str> = client.new_inbox().into();
        let shared = Arc::new(Shared::new(client.clone(), config, patience));
        let tasks = TaskTracker::new();
        tasks.spawn(stop.clone().run_until_cancelled_owned(receive_acks(shared.clone(), inbox.clone())));
        for listener in advisories::listeners(&client, &config.stream, &shared.pending) {
            tasks.spawn(stop.clone().run_until_cancelled_owned(listener));
        }
        tasks.spawn(Watcher::new(shared.clone(), failure, subjects).run(events, stop.clone()));
        let stream = config.stream.as_str().into();
        Ok(Self { shared, stream, inbox, ack_within: patience.ack, tasks, stop, _stop_on_drop: stop_on_drop })
    }

    /// Ends the connection and all tasks, and waits up to 1 s for them. A client that is connecting cannot be hurried:
    /// it ends at its next attempt. Each message in flight gets the fault `closed`.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        let _ = timeout(CLOSE_WITHIN, self.tasks.wait()).await;
    }

    /// Whether the stream can store now; a change shows as it happens.
    pub fn state(&self) -> watch::Receiver<Dated<FaultReason>> {
        self.shared.state.subscribe()
    }

    /// Calls `act` with the stream's creation time, in Unix nanoseconds, whenever an inspection finds another one, and
    /// at once if one is known. A stream that was created at another time has nothing of what the earlier one stored,
    /// so `act` has returned before an ack of the new stream counts. It replaces an earlier `act`.
    pub fn on_stream_created(&self, act: impl Fn(i64) + Send + 'static) {
        self.shared.created.listen(act);
    }

    /// How long the stream recognises a repeat, as the last inspection found.
    pub fn duplicate_window(&self) -> Duration {
        self.shared.limits.duplicate_window()
    }

    /// The [`Message::dedupe_id`]s of what the stream stored since then under this message's subject.
    ///
    /// # Errors
    /// [`Fault`]: the connection was lost, or the lookup failed or timed out; the caller may try again.
    pub async fn stored_since(&self, message: &Message, since: SystemTime) -> Result<Vec<String>, Fault> {
        self.shared.lookup.stored_since(message.destination(Broker::Nats), since).await
    }

    /// Publishes; returns when the outcome is known.
    ///
    /// # Errors
    /// [`Fault`]. With `maybe_stored`, the stream may have stored the message all the same.
    pub async fn publish(&self, message: &Message) -> Result<(), Fault> {
        if let BrokerState::Down { reason, detail } = &**self.shared.state.borrow() {
            // the client would queue the message and send it later, although the sender was answered that it was not
            return Err(Fault::not_sent(*reason, detail.clone()));
        }
        let headers = headers::headers(message, &self.stream);
        let value = message.value();
        self.check_size(&headers, value.len())?;
        if self.is_stored_or_too_large_behind(message).await? {
            return Ok(());
        }
        let subject = Subject::from(message.destination(Broker::Nats));
        let (guard, ack) = self.shared.pending.register(subject.clone());
        let reply = format!("{}.{}", self.inbox, guard.token);
        let sent_and_acked = async {
            // boxed: its memory is free again while the ack is awaited
            let sent = Box::pin(self.shared.client.publish_with_reply_and_headers(subject, reply, headers, value));
            sent.await.map_err(|error| Fault::maybe_stored(FaultReason::Send, error.to_string()))?;
            ack.await.unwrap_or_else(|_| Err(closed()))
        };
        let (id, bytes, begun) = (message.event.id, message.body.len(), Instant::now());
        let result = timeout(self.ack_within, sent_and_acked).await.unwrap_or_else(|_| {
            self.shared.unanswered.unanswered(id, bytes, begun);
            Err(Fault::maybe_stored(FaultReason::NoReport, format!("no ack within {} s", self.ack_within.as_secs())))
        });
        if result.is_ok() {
            self.shared.unanswered.acked(id, bytes);
        }
        result
    }

    /// Of a message that often got no ack while smaller ones did: whether the stream has it all the same.
    ///
    /// # Errors
    /// It does not: a server behind the first one takes less, and the message goes to the dead letter in smaller parts.
    async fn is_stored_or_too_large_behind(&self, message: &Message) -> Result<bool, Fault> {
        let (id, bytes) = (message.event.id, message.body.len());
        let Some(Suspect { tries, age, limit }) = self.shared.unanswered.suspect(id, bytes) else { return Ok(false) };
        let since = SystemTime::now().checked_sub(age + self.ack_within).unwrap_or(SystemTime::UNIX_EPOCH);
        if self.stored_since(message, since).await?.contains(&message.dedupe_id()) {
            return Ok(true);
        }
        if self.shared.lookup.is_suspended() {
            return Ok(false);
        }
        self.shared.unanswered.set_limit(id, limit);
        let detail = format!(
            "no ack in {tries} tries over {}, while bodies of up to {limit} bytes are acked: a server behind the first one \
             takes less",
            show(Duration::from_secs(age.as_secs()))
        );
        warn!(
            broker = "nats",
            ce_id = %id,
            bytes,
            detail,
            remedy = "raise max_payload of every server on the way, or set max_msg_size of the stream to the smallest",
            "message too large for a server on the way"
        );
        Err(Fault::record(FaultReason::TooLarge, detail))
    }

    /// The most bytes of body that fit beside this message's headers, and beside those of its parts.
    pub fn max_body_len(&self, message: &Message) -> usize {
        // a part's headers say which part it is
        const PART_HEADERS: usize = 64;
        let headers = headers::wire_size(&headers::headers(message, &self.stream));
        let fits = self.shared.max_message_bytes().saturating_sub(headers + PART_HEADERS);
        fits.min(self.shared.unanswered.limit_of(message.event.id))
    }

    /// Refuses a message that is larger than the server accepts: it would cost the connection.
    fn check_size(&self, headers: &HeaderMap, body: usize) -> Result<(), Fault> {
        let (size, max) = (headers::wire_size(headers) + body, self.shared.max_message_bytes());
        if size <= max {
            return Ok(());
        }
        self.shared.limit_reached.notify_one();
        Err(Fault::record(FaultReason::TooLarge, format!("{size} bytes with headers, the server takes {max}")))
    }
}

/// The fault of messages in flight when the publisher closes.
pub(super) fn closed() -> Fault {
    Fault::maybe_stored(FaultReason::Closed, "the client is closed")
}

/// Hands each ack that comes to the inbox to the message that awaits it.
async fn receive_acks(shared: Arc<Shared>, inbox: Arc<str>) {
    let Ok(mut replies) = shared.client.subscribe(format!("{inbox}.*")).await else { return };
    while let Some(reply) = replies.next().await {
        let token = reply.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        match (token, shared.verifier.read(&reply)) {
            (Some(token), Some(answer)) => shared.pending.complete(token, answer),
            _ => debug!("ignored reply: not an ack of the configured stream"),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;
    use tokio::runtime::Handle;
    use tokio::task::JoinHandle;
    use tokio::time::sleep;

    use super::*;

    /// A server that answers pings and nothing else; ends with its first connection.
    async fn server() -> (String, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("nats://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let (input, mut output) = socket.into_split();
            output.write_all(b"INFO {\"server_id\":\"s\",\"max_payload\":1048576,\"headers\":true}\r\n").await.unwrap();
            let mut lines = BufReader::new(input).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line == "PING" && output.write_all(b"PONG\r\n").await.is_err() {
                    return;
                }
            }
        });
        (address, server)
    }

    async fn start(server: String) -> Publisher {
        let config = Config { servers: vec![server], ..Config::default() };
        Publisher::start(&config, vec!["greenapi.>".into()], PATIENCE).await.unwrap()
    }

    async fn connected(publisher: &Publisher) {
        while publisher.shared.client.connection_state() != async_nats::connection::State::Connected {
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the runtime has no task at all, the client's own and the server's included.
    async fn all_tasks_end() {
        for _ in 0..500 {
            if Handle::current().metrics().num_alive_tasks() == 0 {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("{} tasks are left", Handle::current().metrics().num_alive_tasks());
    }

    #[tokio::test]
    async fn closed_publisher_leaves_no_task_and_no_connection() {
        let (address, server) = server().await;
        let publisher = start(address).await;
        connected(&publisher).await;
        let (_guard, outcome) = publisher.shared.pending.register("greenapi.x".into());
        publisher.close().await;
        assert_eq!(outcome.await.unwrap().unwrap_err().reason, FaultReason::Closed);
        assert_eq!(publisher.state().borrow().reason(), Some(FaultReason::Closed));
        assert!(publisher.tasks.is_empty(), "{} tasks of the publisher", publisher.tasks.len());
        all_tasks_end().await;
        server.await.unwrap();
    }

    #[tokio::test]
    async fn closed_publisher_that_never_connected_leaves_no_task() {
        let publisher = start("nats://127.0.0.1:1".into()).await;
        sleep(Duration::from_millis(50)).await;
        publisher.close().await;
        assert!(publisher.tasks.is_empty(), "{} tasks of the publisher", publisher.tasks.len());
        all_tasks_end().await;
    }

    #[tokio::test]
    async fn dropped_publisher_leaves_no_task() {
        let (address, server) = server().await;
        let publisher = start(address).await;
        connected(&publisher).await;
        drop(publisher);
        all_tasks_end().await;
        server.await.unwrap();
    }
}
