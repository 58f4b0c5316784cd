//! A stream with several copies has a leader, and only it reports. When it dies, its reports never come.

use std::sync::Arc;

use async_nats::Client;
use futures_util::StreamExt;

use super::pending::Pending;
use crate::brokers::Fault;

/// Where a stream says that it has a new leader.
pub(super) fn elections(stream: &str) -> String {
    format!("$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.{stream}")
}

/// Ends every wait when there is a new leader. What was on its way is sent again: the new leader knows by
/// `Nats-Msg-Id` what the one before has stored, and reports that too.
///
/// Without the right to subscribe this hears nothing, and what was on its way then is a 503.
pub(super) async fn hear_of_new_leaders(client: Client, stream: String, pending: Arc<Pending>) {
    let Ok(mut elected) = client.subscribe(elections(&stream)).await else { return };
    while elected.next().await.is_some() {
        let detail = "the stream has a new leader; the one before will not report";
        pending.fail(None, &Fault::unknown("new_leader", detail));
    }
}
