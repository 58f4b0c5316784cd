//! `check`: whether this server would store what is sent to it, and keep it.

use std::time::Duration;

use super::cause::Cause;
use super::stream::{self, Inspection, NO_QUORUM};
use super::{Config, admin, advisories, headers, judge, lookup, rights};
use crate::brokers::Finding;

/// What replies begin with unless told otherwise; async-nats's own default.
const INBOX: &str = "_INBOX";

/// Asks the live server. `subjects` are the patterns of all that is published; `journal`: whether there is one.
pub async fn check(config: &Config, subjects: &[String], window: Duration, journal: bool) -> Vec<Finding> {
    let (client, mut events) = match admin::connected(config).await {
        Ok(connected) => connected,
        Err(Cause { found, remedy }) => return vec![Finding::wrong("server", found, remedy)],
    };
    let (server, name) = (client.server_info(), &config.stream);
    let mut found = vec![Finding::fine("server", format!("nats-server {}", server.version))];
    let mut advisories = advisories::changes(name).to_vec();
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
            advisories.extend((stream.num_replicas > 1).then(|| advisories::elections(name)));
        }
        Inspection::Missing => {
            found.push(Finding::wrong("stream", format!("there is no {name}"), "run `greenapi-bridge provision`"));
        }
        Inspection::Unsafe(why) => found.push(Finding::wrong("stream", format!("{name} is not fit to store"), why)),
        Inspection::NoQuorum => {
            found.push(Finding::wrong("stream", format!("{name} {NO_QUORUM}"), "see to those servers"));
        }
        Inspection::Unknown(why) => found.push(admin::unknown(&client, config, &why, &mut events)),
    }
    let inbox = config.inbox_prefix.as_deref().unwrap_or(INBOX);
    let looked_up = journal.then(|| lookup::subject(name));
    found.extend(rights::check(&client, subjects, inbox, &advisories, looked_up.as_deref()).await);
    found
}
