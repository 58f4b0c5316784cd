//! `check`: whether this server would store what is published, and not lose it.

use std::time::Duration;

use async_nats::jetstream::stream::Info;
use async_nats::{Client, ServerAddr};
use tokio::net::lookup_host;

use super::super::connect_failure::ConnectFailure;
use super::super::inspect::{self, Inspection, NO_QUORUM, inspect};
use super::super::{Config, advisories, command_client, lookup};
use super::{audit, owner, permissions};
use crate::brokers::{Finding, JournalBacklog};
use crate::units::records;

/// The most announced servers that are tried.
const MAX_TRIED: usize = 16;

/// The default of `nats.inbox_prefix`; async-nats's own.
const INBOX: &str = "_INBOX";

/// Asks the live server. `subjects` are the patterns of all that is published; `journal` is what the journal has, if
/// one is configured.
pub async fn check(
    config: &Config,
    subjects: &[String],
    window: Duration,
    journal: Option<&JournalBacklog>,
) -> Vec<Finding> {
    let (client, mut events) = match command_client::connect(config).await {
        Ok(connected) => connected,
        Err(ConnectFailure { found, remedy, .. }) => return vec![Finding::wrong("server", found, remedy)],
    };
    let name = &config.stream;
    let mut found = vec![Finding::fine("server", format!("nats-server {}", client.server_info().version))];
    let mut advisories = advisories::changes(name).to_vec();
    match inspect(&client, config).await {
        Inspection::Safe { info, .. } => {
            found.push(Finding::fine("stream", format!("{name}, on file, never loses what it acknowledges")));
            found.extend(journal.and_then(|backlog| of_another_stream(config, backlog, &info)));
            found.extend(audit::audit_stream(config, &info, &client, subjects, window));
            advisories.push(advisories::leader_elected(name));
        }
        Inspection::Missing => {
            let context = inspect::context(&client, config);
            found.push(match owner::find_other_stream(&context, name, subjects).await {
                Some(subject) => Finding::wrong("stream", format!("there is no {name}, and {subject}"), owner::REMEDY),
                None => Finding::wrong("stream", format!("there is no {name}"), "run `greenapi-bridge provision`"),
            });
            while events.try_recv().is_ok() {}
        }
        Inspection::Unsafe(why) => found.push(Finding::wrong("stream", format!("{name} is not fit to store"), why)),
        Inspection::NoQuorum => {
            found.push(Finding::wrong("stream", format!("{name} {NO_QUORUM}"), "check those servers"));
        }
        Inspection::Unknown(why) => found.push(command_client::not_inspected(&client, config, &why, &mut events)),
    }
    found.extend(unusable_announced(config, &client).await);
    let inbox = config.inbox_prefix.as_deref().unwrap_or(INBOX);
    let lookup = journal.map(|_| lookup::subject(name));
    found.extend(permissions::check(&client, subjects, inbox, &advisories, lookup.as_deref()).await);
    found
}

/// The servers that the cluster announces and that this configuration cannot use: when the configured ones are down, they
/// would be all there is.
async fn unusable_announced(config: &Config, client: &Client) -> Vec<Finding> {
    let scheme = if client.server_info().tls_required || config.tls.is_some() { "tls" } else { "nats" };
    let mut configured = Vec::new();
    for server in &config.servers {
        let Ok(server) = server.parse::<ServerAddr>() else { continue };
        let resolved = lookup_host((server.host(), server.port())).await;
        configured.extend(resolved.into_iter().flatten());
    }
    let is_configured = |announced: &String| announced.parse().is_ok_and(|address| configured.contains(&address));
    let announced = client.server_info().connect_urls;
    let others = announced.into_iter().filter(|announced| !is_configured(announced)).take(MAX_TRIED);
    let tried = others.map(async |address| {
        let alone = Config { servers: vec![format!("{scheme}://{address}")], ..config.clone() };
        let ConnectFailure { found, .. } = command_client::connect(&alone).await.err()?;
        let found = format!("the cluster announces {address}, which cannot be used: {found}");
        let remedy = "add it to nats.servers by the name in its certificate, or give the certificate that address";
        Some(Finding::note("server", found, remedy))
    });
    futures_util::future::join_all(tried).await.into_iter().flatten().collect()
}

/// A backlog goes to the stream of the configuration, also if what came before it is in another one.
fn of_another_stream(config: &Config, backlog: &JournalBacklog, info: &Info) -> Option<Finding> {
    let JournalBacklog { records: waiting, stream } = backlog;
    let created = i64::try_from(info.created.unix_timestamp_nanos()).unwrap_or(i64::MAX);
    let is_another = *waiting > 0 && stream.is_some_and(|stream| stream != created);
    let found = format!(
        "{} is another stream than the journal knows, renamed or created again: its backlog of {} goes there",
        config.stream,
        records(*waiting)
    );
    is_another.then(|| {
        Finding::note("backlog", found, "if that is not meant, set nats.stream back until the backlog is forwarded")
    })
}
