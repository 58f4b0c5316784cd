//! What the commands ask of a server: `check` and `provision`.

use std::time::Duration;

use async_nats::Client;

use super::stream::{self, Inspection, Provisioned, covers};
use super::{Config, connect};
use crate::units::show;

/// One line of `check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is as it should be.
    pub fine: bool,
    /// What was found.
    pub what: String,
    /// What to do where it is not.
    pub remedy: String,
}

/// How long a command waits for a server.
const PATIENCE: Duration = Duration::from_secs(10);

async fn connected(config: &Config) -> Result<Client, String> {
    let (client, mut events) = connect::connect(config).await.map_err(|error| error.to_string())?;
    let servers = config.servers.join(", ");
    let mut last = String::new();
    let up = async {
        while let Some(event) = events.recv().await {
            if matches!(event, async_nats::Event::Connected) {
                return;
            }
            last = event.to_string();
        }
    };
    match tokio::time::timeout(PATIENCE, up).await {
        Ok(()) => Ok(client),
        Err(_) => Err(format!(
            "nats.servers = {servers}: no connection within {}; is it running, and are the credentials right? {last}",
            show(PATIENCE)
        )),
    }
}

/// Creates the stream, or widens it.
///
/// # Errors
/// No connection, or what the server refuses.
pub async fn provision(config: &Config, subjects: &[String], window: Duration) -> Result<Provisioned, String> {
    stream::provision(&connected(config).await?, config, subjects, window).await
}

/// Asks whether the server would store what is sent to it.
pub async fn check(config: &Config, subjects: &[String], window: Duration) -> Vec<Finding> {
    let finding = |fine, what: String, remedy: &str| Finding { fine, what, remedy: remedy.into() };
    let client = match connected(config).await {
        Ok(client) => client,
        Err(error) => return vec![finding(false, error, "start it, or correct nats.servers")],
    };
    let server = client.server_info();
    let mut found = vec![finding(true, format!("connected to nats-server {}", server.version), "")];
    let name = &config.stream;
    let stream = match stream::inspect(&client, config).await {
        Inspection::Safe(stream) => stream,
        Inspection::Missing => {
            found.push(finding(false, format!("no stream {name}"), "run `greenapi-bridge provision`"));
            return found;
        }
        Inspection::Unsafe(why) => {
            found.push(finding(false, format!("stream {name} is unsafe"), why));
            return found;
        }
        Inspection::Unknown(why) => {
            found.push(finding(false, format!("stream {name}: {why}"), "allow its account $JS.API.STREAM.INFO"));
            return found;
        }
    };
    found.push(finding(
        true,
        format!("stream {name} keeps what it acknowledges, {} replica(s)", stream.num_replicas),
        "",
    ));
    for subject in subjects {
        let covered = stream.subjects.iter().any(|covered| covers(covered, subject));
        found.push(finding(covered, format!("subject {subject}"), "run `greenapi-bridge provision` to add it"));
    }
    let duplicates = format!("duplicate window {}", show(stream.duplicate_window));
    found.push(finding(
        stream.duplicate_window >= window,
        duplicates,
        "less than dedupe.window; run `greenapi-bridge provision`",
    ));
    found
}
