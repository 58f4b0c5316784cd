//! `check`: whether this server would store what is sent to it, and keep it.

use std::time::Duration;

use async_nats::{Client, Event};
use tokio::sync::mpsc;

use super::stream::{self, Inspection, NO_QUORUM};
use super::{Config, admin, headers, judge, leader, rights};
use crate::brokers::Finding;

/// What replies begin with unless told otherwise; async-nats's own default.
const INBOX: &str = "_INBOX";

/// Asks the live server. `subjects` are the patterns of all that is published.
pub async fn check(config: &Config, subjects: &[String], window: Duration) -> Vec<Finding> {
    let (client, mut events) = match admin::connected(config).await {
        Ok(connected) => connected,
        Err(error) => return vec![Finding::wrong("server", error, "start it, or correct nats.servers")],
    };
    let (server, name) = (client.server_info(), &config.stream);
    let mut found = vec![Finding::fine("server", format!("nats-server {}", server.version))];
    let mut elections = None;
    match stream::inspect(&client, config).await {
        Inspection::Safe { info, .. } => {
            let stream = &info.config;
            found.push(Finding::fine("stream", format!("{name}, on file, keeps what it acknowledges")));
            let cluster = info.cluster.as_ref();
            found.extend(judge::replicas(config.provision.replicas, stream, cluster, admin::servers(&client)));
            found.extend(judge::subjects(stream, subjects));
            found.extend(judge::transform(stream));
            let headers = [None, Some(headers::longest_dead_letter())].map(|dead| headers::most(name, dead));
            found.push(judge::when_full(stream));
            found.extend(judge::room(stream, &info.state));
            found.extend(judge::times(stream, window, config.provision.max_age));
            found.push(judge::largest(stream, server.max_payload, headers));
            elections = (stream.num_replicas > 1).then(|| leader::elections(name));
        }
        Inspection::Missing => {
            found.push(Finding::wrong("stream", format!("there is no {name}"), "run `greenapi-bridge provision`"));
        }
        Inspection::Unsafe(why) => found.push(Finding::wrong("stream", format!("{name} is not fit to store"), why)),
        Inspection::NoQuorum => {
            found.push(Finding::wrong("stream", format!("{name} {NO_QUORUM}"), "see to those servers"));
        }
        Inspection::Unknown(why) => found.push(unknown(&client, config, &why, &mut events)),
    }
    let inbox = config.inbox_prefix.as_deref().unwrap_or(INBOX);
    found.extend(rights::check(&client, subjects, inbox, elections.as_deref()).await);
    found
}

/// The stream cannot be looked at: without JetStream, or without the rights to ask and to hear the answer.
fn unknown(client: &Client, config: &Config, why: &str, events: &mut mpsc::Receiver<Event>) -> Finding {
    let mut found = format!("{} cannot be looked at: {why}", config.stream);
    while let Ok(event) = events.try_recv() {
        if let Event::ServerError(complaint) = event {
            found += &format!("; the server says: {complaint}");
        }
    }
    let local = client.server_info().jetstream || config.domain.is_some();
    if !local || why.contains("not enabled") {
        let remedy = "enable JetStream: start the server with -js, and allow it to the account; or set nats.domain";
        return Finding::wrong("stream", found, remedy);
    }
    let subject = format!("$JS.API.STREAM.INFO.{}", config.stream);
    Finding::wrong("stream", found, format!("allow its user to publish {subject} and to subscribe its inbox"))
}
