//! Whether a bridge may forward the backlog that it finds in its journal.

use std::fmt;

use crate::journal::{JournalReader, ReadError, Record, RecordFilter};
use crate::message::{Broker, Id, Message};
use crate::notification::Notification;
use crate::route::{Received, Routes};
use crate::units::records;

/// How many records are compared with the routes.
const COMPARED: usize = 500;

/// What a problem of a backlog leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// The start is refused: order would be lost, or the backlog would never be forwarded.
    Refused,
    /// The backlog waits until its destination accepts it.
    Waits,
}

/// Why the backlog of a broker cannot be forwarded with this configuration, and what to do.
pub(crate) struct BacklogProblem {
    pub(crate) consequence: Consequence,
    /// The configuration key that does not fit the backlog.
    pub(crate) config_key: &'static str,
    pub(crate) problem: String,
    pub(crate) remedy: String,
}

impl fmt::Display for BacklogProblem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}; {}", self.problem, self.remedy)
    }
}

/// Returns why the backlog of a broker, of this many records, cannot be forwarded, or not yet. `None` means that it can.
///
/// # Errors
/// [`ReadError`].
pub(crate) async fn backlog_problem(
    reader: &JournalReader,
    routes: &Routes,
    broker: Broker,
    backlog: u64,
) -> Result<Option<BacklogProblem>, ReadError> {
    if backlog == 0 {
        return Ok(None);
    }
    if !routes.uses_broker(broker) {
        return Ok(Some(unused_broker(broker, backlog)));
    }
    // all records of a backlog were stored with one `route.key`, so the oldest are enough
    let filter = RecordFilter { broker: Some(broker), ..RecordFilter::default() };
    let (mut after, mut compared, mut moved) = (Some(0), 0, None);
    while let Some(from) = after.filter(|_| compared < COMPARED) {
        let page = reader.matching(&filter, from, i64::MAX).await?;
        for record in &page.records {
            let Some(now) = rendered(routes, record) else { continue };
            if now.event.partition_key != record.message.event.partition_key {
                return Ok(Some(other_route_key(broker, record)));
            }
            compared += 1;
            if moved.is_none() && now.to[broker] != record.message.to[broker] {
                moved = Some(other_destination(broker, record, &now));
            }
        }
        after = page.next;
    }
    Ok(moved)
}

/// No route uses the broker any more.
fn unused_broker(broker: Broker, backlog: u64) -> BacklogProblem {
    let name = broker.as_str();
    let other = Broker::ALL.into_iter().find(|other| *other != broker).map_or("", Broker::as_str);
    let remedy = format!(
        "route to {name} again until its backlog is drained (`greenapi-bridge journal status` shows it), or move the \
         backlog to {other}, if a route uses {other} (`greenapi-bridge journal reroute --from {name} --to {other}`), \
         or drop it (`greenapi-bridge journal drop --broker {name}`)"
    );
    let backlog = records(backlog);
    let problem = format!("no route uses {name} any more, but the journal has a backlog of {backlog} for it");
    BacklogProblem { consequence: Consequence::Refused, config_key: "route.brokers", problem, remedy }
}

/// The message that the current routes make of a record. `None` means that there is nothing to compare: the record is a dead
/// letter, or its body was changed on disk and will be one.
fn rendered(routes: &Routes, record: &Record) -> Option<Message> {
    let event = &record.message.event;
    if record.message.is_dead_letter() || Id::of(&record.message.body) != event.id {
        return None;
    }
    let received = Received { body: record.message.body.clone(), at: event.recorded, trace: event.trace.clone() };
    let notification = Notification::parse(&received.body).ok()?;
    Some(routes.message_for(&notification, &received))
}

/// The current routes give another destination than the one that a record was stored for.
fn other_destination(broker: Broker, record: &Record, now: &Message) -> BacklogProblem {
    let (name, stored_for) = (broker.as_str(), record.message.destination(broker));
    let now = now.to[broker].as_deref().unwrap_or("no destination there");
    let problem = format!(
        "the backlog of {name} was stored for other destinations (for example the record with seq {} for {stored_for}, \
         now {now}): it waits until they accept it",
        record.seq
    );
    let remedy = format!(
        "keep them until the backlog is drained, or give its records the new destinations \
         (`greenapi-bridge journal reroute --from {name}`)"
    );
    let config_key = match broker {
        Broker::Kafka => "kafka.topic",
        Broker::Nats => "nats.subject",
    };
    BacklogProblem { consequence: Consequence::Waits, config_key, problem, remedy }
}

/// The backlog was stored with another `route.key`.
fn other_route_key(broker: Broker, record: &Record) -> BacklogProblem {
    let name = broker.as_str();
    let problem = format!(
        "the backlog of {name} was stored with another route.key (for example the record with seq {}): new \
         notifications would overtake it",
        record.seq
    );
    let remedy = format!(
        "set route.key back until the backlog is drained, or give its records the new message keys \
         (`greenapi-bridge journal reroute --from {name}`)"
    );
    BacklogProblem { consequence: Consequence::Refused, config_key: "route.key", problem, remedy }
}

/// Problem and remedy for records that were stored while no broker was configured. `None` means that there are none, or that
/// still no broker is configured.
pub(crate) fn journal_only_problem(journal_only: u64, has_broker: bool) -> Option<(String, &'static str)> {
    let remedy =
        "send them to a broker: `greenapi-bridge journal export --output FILE`, then `journal import --to BROKER FILE`";
    let problem = || format!("{} in the journal that no broker will get", records(journal_only));
    (has_broker && journal_only > 0).then(|| (problem(), remedy))
}
