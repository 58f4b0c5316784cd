//! What a replay makes of a dead letter.

use std::time::SystemTime;

use super::{DeadLetter, DeadLetterDestination, DlqHeaders};
use crate::message::{Destinations, Event, Message, MessageKind};
use crate::notification::Validation;
use crate::route::{Received, Routes};

/// What this version and these routes make of a dead letter.
#[derive(Debug)]
pub enum ReplayDecision {
    /// A notification. It goes only to the broker that has the dead letter; if the journal has it, to the brokers that
    /// the routes name.
    Replay(Box<Message>),
    /// It stays a dead letter, for this reason.
    NotReplayable(String),
}

/// Decides what a replay makes of a dead letter that was replayed `earlier_replays` times: it is validated and routed as
/// if it came now. Sends nothing.
pub fn decide_replay(
    dead_letter: &DeadLetter,
    routes: &Routes,
    validation: &Validation,
    earlier_replays: u32,
    now: SystemTime,
) -> ReplayDecision {
    if let Err(why) = dead_letter.check_complete() {
        return ReplayDecision::NotReplayable(why);
    }
    let received = Received { body: dead_letter.body.clone(), at: now, trace: dead_letter.headers.trace() };
    let notification = match validation.parse(&received.body) {
        Ok(notification) => notification,
        Err(refused) => return ReplayDecision::NotReplayable(format!("still not a notification: {refused}")),
    };
    let mut message = routes.message_for(&notification, &received);
    if let Some(broker) = dead_letter.headers.broker {
        let Some(destination) = message.to[broker].take() else {
            return ReplayDecision::NotReplayable(format!("[route] no longer sends it to {}", broker.as_str()));
        };
        message.to = Destinations::only(broker, destination);
    }
    message.kind = MessageKind::Notification { earlier_replays: Some(earlier_replays) };
    ReplayDecision::Replay(Box::new(message))
}

/// The marker that is published beside a dead letter once it is replayed. Its time is not before the dead letter's, by
/// whichever clock that was received.
pub fn replay_marker(
    headers: &DlqHeaders,
    queue: DeadLetterDestination<'_>,
    earlier_replays: u32,
    now: SystemTime,
) -> Message {
    let to = Destinations::only(queue.broker, queue.destination.to_owned());
    let event = Event {
        instance: headers.instance,
        kind: headers.kind.clone(),
        partition_key: headers.instance.map(|instance| instance.to_string()),
        ..Event::unparsed(headers.id, now.max(headers.received))
    };
    Message::replay_marker(to, event, earlier_replays)
}
