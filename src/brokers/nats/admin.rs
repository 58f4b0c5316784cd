//! What `check` and `provision` share: a connection, or the reason why there is none.

use std::time::Duration;

use async_nats::{Client, Event};
use tokio::sync::mpsc;

use super::{Config, connect};
use crate::units::show;

/// How long a command waits for a server.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client that is connected, and the events that come after.
pub(super) async fn connected(config: &Config) -> Result<(Client, mpsc::Receiver<Event>), String> {
    let (client, mut events) = connect::connect(config).await.map_err(|error| error.to_string())?;
    let mut last = String::new();
    let up = async {
        while let Some(event) = events.recv().await {
            if matches!(event, Event::Connected) {
                return;
            }
            last = event.to_string();
        }
    };
    match tokio::time::timeout(PATIENCE, up).await {
        Ok(()) => Ok((client, events)),
        Err(_) => Err(format!(
            "nats.servers = {}: no connection within {}; is it running, and are the credentials right? {last}",
            config.servers.join(", "),
            show(PATIENCE)
        )),
    }
}

/// How many servers the cluster tells its clients of: one that is down is not counted, one with several addresses is
/// counted for each, and with `no_advertise` it tells of none.
pub(super) fn servers(client: &Client) -> usize {
    client.server_info().connect_urls.len().max(1)
}
