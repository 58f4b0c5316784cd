//! The advisories that JetStream sends about a stream. Without the right to subscribe to them none comes.

use std::sync::Arc;

use async_nats::Client;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};

use super::pending_acks::PendingAcks;
use crate::brokers::{Fault, FaultReason};

/// The subject on which a stream says that it has a new leader.
pub(super) fn leader_elected(stream: &str) -> String {
    advisory("LEADER_ELECTED", stream)
}

/// The subjects on which a stream says that it was created, changed or deleted, so that its acks may not mean stored.
pub(super) fn changes(stream: &str) -> [String; 3] {
    ["CREATED", "UPDATED", "DELETED"].map(|change| advisory(change, stream))
}

fn advisory(kind: &str, stream: &str) -> String {
    format!("$JS.EVENT.ADVISORY.STREAM.{kind}.{stream}")
}

/// What listens to the advisories; each future ends with the connection.
///
/// A new leader ends every wait: only the leader acks, and the acks of a leader that died never come. Messages in flight
/// are published again: the new leader knows by `Nats-Msg-Id` what the one before has stored, and acks that too. Without
/// the advisory they are answered 503.
///
/// A change makes the stream suspect: no ack counts until it has been inspected. Without the advisory the next inspection
/// finds the change.
pub(super) fn listeners(client: &Client, stream: &str, pending: &Arc<PendingAcks>) -> Vec<BoxFuture<'static, ()>> {
    let waiting = pending.clone();
    let elected = listen(client.clone(), leader_elected(stream), move || {
        let detail = "the stream has a new leader; the one before will not ack";
        waiting.fail_all(&Fault::maybe_stored(FaultReason::NewLeader, detail));
    });
    let changed = changes(stream).map(|subject| {
        let pending = pending.clone();
        listen(client.clone(), subject, move || pending.suspect()).boxed()
    });
    std::iter::once(elected.boxed()).chain(changed).collect()
}

async fn listen(client: Client, subject: String, act: impl Fn()) {
    let Ok(mut advisories) = client.subscribe(subject).await else { return };
    while advisories.next().await.is_some() {
        act();
    }
}
