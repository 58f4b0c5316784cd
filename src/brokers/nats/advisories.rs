//! What JetStream tells of the stream unasked. Without the right to subscribe to it nothing is heard.

use std::sync::Arc;

use async_nats::Client;
use futures_util::StreamExt;

use super::pending::Pending;
use crate::brokers::Fault;

/// Where a stream says that it has a new leader.
pub(super) fn elections(stream: &str) -> String {
    advisory("LEADER_ELECTED", stream)
}

/// Where it says that it is another than before, and may keep nothing of what it reports.
pub(super) fn changes(stream: &str) -> [String; 3] {
    ["CREATED", "UPDATED", "DELETED"].map(|change| advisory(change, stream))
}

fn advisory(kind: &str, stream: &str) -> String {
    format!("$JS.EVENT.ADVISORY.STREAM.{kind}.{stream}")
}

/// Ends every wait when there is a new leader: only the leader reports, and when it dies its reports never come. What
/// was on its way is sent again: the new leader knows by `Nats-Msg-Id` what the one before has stored, and reports that
/// too. Unheard, it is a 503.
///
/// Believes no report once the stream is another, until it was looked at. Unheard, that is found by the next look.
pub(super) fn hear(client: &Client, stream: &str, pending: &Arc<Pending>) {
    let heard = pending.clone();
    tokio::spawn(each(client.clone(), elections(stream), move || {
        let detail = "the stream has a new leader; the one before will not report";
        heard.fail(None, &Fault::unknown("new_leader", detail));
    }));
    for change in changes(stream) {
        let heard = pending.clone();
        tokio::spawn(each(client.clone(), change, move || heard.doubt()));
    }
}

async fn each(client: Client, subject: String, act: impl Fn()) {
    let Ok(mut advisories) = client.subscribe(subject).await else { return };
    while advisories.next().await.is_some() {
        act();
    }
}
