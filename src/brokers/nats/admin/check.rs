//! `check`: whether this server would store what is published, and not lose it.

use std::time::Duration;

use super::super::connect_failure::ConnectFailure;
use super::super::inspect::{Inspection, NO_QUORUM, inspect};
use super::super::{Config, advisories, command_client, lookup};
use super::{audit, permissions};
use crate::brokers::Finding;

/// The default of `nats.inbox_prefix`; async-nats's own.
const INBOX: &str = "_INBOX";

/// Asks the live server. `subjects` are the patterns of all that is published; `journal` is true if a journal is
/// configured.
pub async fn check(config: &Config, subjects: &[String], window: Duration, journal: bool) -> Vec<Finding> {
    let (client, mut events) = match command_client::connect(config).await {
        Ok(connected) => connected,
        Err(ConnectFailure { found, remedy }) => return vec![Finding::wrong("server", found, remedy)],
    };
    let name = &config.stream;
    let mut found = vec![Finding::fine("server", format!("nats-server {}", client.server_info().version))];
    let mut advisories = advisories::changes(name).to_vec();
    match inspect(&client, config).await {
        Inspection::Safe { info, .. } => {
            found.push(Finding::fine("stream", format!("{name}, on file, never loses what it acknowledges")));
            found.extend(audit::audit_stream(config, &info, &client, subjects, window));
            advisories.extend((info.config.num_replicas > 1).then(|| advisories::leader_elected(name)));
        }
        Inspection::Missing => {
            found.push(Finding::wrong("stream", format!("there is no {name}"), "run `greenapi-bridge provision`"));
        }
        Inspection::Unsafe(why) => found.push(Finding::wrong("stream", format!("{name} is not fit to store"), why)),
        Inspection::NoQuorum => {
            found.push(Finding::wrong("stream", format!("{name} {NO_QUORUM}"), "check those servers"));
        }
        Inspection::Unknown(why) => found.push(command_client::not_inspected(&client, config, &why, &mut events)),
    }
    let inbox = config.inbox_prefix.as_deref().unwrap_or(INBOX);
    let lookup = journal.then(|| lookup::subject(name));
    found.extend(permissions::check(&client, subjects, inbox, &advisories, lookup.as_deref()).await);
    found
}
