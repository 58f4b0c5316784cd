//! The connection of a command (`check`, `provision`, the reader of dead letters), and why one gets no answer.

use std::time::Duration;

use async_nats::{Client, Event};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::connect::{self, Connecting};
use super::{Config, ConnectError, connect_failure::ConnectFailure};
use crate::brokers::{FaultReason, Finding};

/// How long a command waits for a server.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Connects, and returns the client with the events that come after. The first failure ends it: a command says at once
/// what is wrong.
pub(super) async fn connect(config: &Config) -> Result<(Client, mpsc::Receiver<Event>), ConnectFailure> {
    let wrong = |error: ConnectError| ConnectFailure {
        found: error.to_string(),
        remedy: "correct it".into(),
        reason: FaultReason::Disconnected,
    };
    let never = CancellationToken::new();
    let Connecting { client, mut events, mut failure } = connect::connect(config, &never).await.map_err(wrong)?;
    let connected = async {
        while let Some(event) = events.recv().await {
            if matches!(event, Event::Connected) {
                return;
            }
        }
    };
    let failed = async { failure.wait_for(Option::is_some).await.ok().and_then(|failure| failure.clone()) };
    let failure = tokio::select! {
        () = connected => None,
        failure = failed => Some(failure.unwrap_or_else(|| ConnectFailure::unknown(config))),
        () = tokio::time::sleep(CONNECT_WITHIN) => Some(ConnectFailure::unknown(config)),
    };
    failure.map_or(Ok((client, events)), Err)
}

/// How many servers the cluster announces to its clients: it does not count a server that is down, counts a server with
/// several addresses once for each, and announces none with `no_advertise`.
pub(super) fn announced_servers(client: &Client) -> usize {
    client.server_info().connect_urls.len().max(1)
}

/// The finding for a stream that cannot be inspected: without JetStream, or without the rights to ask and to receive the
/// answer.
pub(super) fn not_inspected(
    client: &Client,
    config: &Config,
    why: &str,
    events: &mut mpsc::Receiver<Event>,
) -> Finding {
    let found = format!("{} cannot be inspected: {why}{}", config.stream, server_errors(events));
    let local = client.server_info().jetstream || config.domain.is_some();
    if !local || why.contains("not enabled") {
        let remedy = "enable JetStream: start the server with -js, and allow it to the account; or set nats.domain";
        return Finding::wrong("stream", found, remedy);
    }
    if let (Some(domain), true) = (&config.domain, why.contains("resource does not exist")) {
        return Finding::wrong("stream", found, format!("no domain {domain} answers; correct nats.domain"));
    }
    let api = config.domain.as_ref().map_or("$JS.API".into(), |domain| format!("$JS.{domain}.API"));
    let subject = format!("{api}.STREAM.INFO.{}", config.stream);
    Finding::wrong("stream", found, format!("allow its user to publish {subject} and to subscribe its inbox"))
}

/// Waits until the server denies a right, and says which. Never returns if the server denies none.
pub(super) async fn permission_denied(events: &mut mpsc::Receiver<Event>) -> String {
    while let Some(event) = events.recv().await {
        let Event::ServerError(error) = event else { continue };
        let text = error.to_string();
        if let Some(right) = text.split_once("ermissions Violation for ").map(|(_, right)| right) {
            return format!("no right to {right}; allow its user that");
        }
    }
    std::future::pending().await
}

/// The errors that the server has sent so far.
fn server_errors(events: &mut mpsc::Receiver<Event>) -> String {
    let errors = std::iter::from_fn(|| events.try_recv().ok()).filter_map(|event| match event {
        Event::ServerError(error) => Some(format!("; the server says: {error}")),
        _ => None,
    });
    errors.collect()
}
