//! What `check` and `provision` share: a connection, or the reason why there is none; and a look at the stream in vain.

use std::time::Duration;

use async_nats::{Client, Event};
use tokio::sync::mpsc;

use super::cause::Cause;
use super::connect::Connecting;
use super::{Config, connect};
use crate::brokers::Finding;

/// How long a command waits for a server.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client that is connected, and the events that come after. It is not tried again: what is wrong is said at once.
pub(super) async fn connected(config: &Config) -> Result<(Client, mpsc::Receiver<Event>), Cause> {
    let wrong = |error: connect::ConnectError| Cause { found: error.to_string(), remedy: "correct it".into() };
    let Connecting { client, mut events, mut cause } = connect::connect(config).await.map_err(wrong)?;
    let up = async {
        while let Some(event) = events.recv().await {
            if matches!(event, Event::Connected) {
                return;
            }
        }
    };
    let failed = async { cause.wait_for(Option::is_some).await.ok().and_then(|cause| cause.clone()) };
    let cause = tokio::select! {
        () = up => None,
        cause = failed => Some(cause.unwrap_or_else(|| Cause::unknown(config))),
        () = tokio::time::sleep(PATIENCE) => Some(Cause::unknown(config)),
    };
    cause.map_or(Ok((client, events)), Err)
}

/// How many servers the cluster tells its clients of: one that is down is not counted, one with several addresses is
/// counted for each, and with `no_advertise` it tells of none.
pub(super) fn servers(client: &Client) -> usize {
    client.server_info().connect_urls.len().max(1)
}

/// The stream cannot be looked at: without JetStream, or without the rights to ask and to hear the answer.
pub(super) fn unknown(client: &Client, config: &Config, why: &str, events: &mut mpsc::Receiver<Event>) -> Finding {
    let found = format!("{} cannot be looked at: {why}{}", config.stream, complaints(events));
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

/// Waits for the server to deny a right, and says which; for ever if it denies none.
pub(super) async fn denied(events: &mut mpsc::Receiver<Event>) -> String {
    while let Some(event) = events.recv().await {
        let Event::ServerError(complaint) = event else { continue };
        let text = complaint.to_string();
        if let Some(right) = text.split_once("ermissions Violation for ").map(|(_, right)| right) {
            return format!("no right to {right}; allow its user that");
        }
    }
    std::future::pending().await
}

/// What the server has said of what we may not do.
fn complaints(events: &mut mpsc::Receiver<Event>) -> String {
    let said = std::iter::from_fn(|| events.try_recv().ok()).filter_map(|event| match event {
        Event::ServerError(complaint) => Some(format!("; the server says: {complaint}")),
        _ => None,
    });
    said.collect()
}
