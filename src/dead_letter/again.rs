//! What a replay makes of a dead letter.

use std::time::SystemTime;

use bytes::Bytes;

use super::{Head, Whole};
use crate::message::{Broker, Destinations, Event, Message, Replay};
use crate::notification::Notification;
use crate::route::{Received, Routes};

/// What becomes of a dead letter by this version's rules and these routes.
#[derive(Debug)]
pub enum Again {
    /// A notification, on its way to the broker the letter lies at and to no other; of one in the journal, wherever it
    /// goes now.
    Notification(Box<Message>),
    /// Nothing else than it is, and why.
    Stays(String),
}

/// Routes a letter as if it came now. `before` is how many times it was replayed.
pub fn again(whole: &Whole, routes: &Routes, before: u32, now: SystemTime) -> Again {
    if let Err(why) = whole.complete() {
        return Again::Stays(why);
    }
    let received = Received { body: whole.body.clone(), at: now, trace: whole.head.trace() };
    let notification = match Notification::parse(&received.body) {
        Ok(notification) => notification,
        Err(refused) => return Again::Stays(format!("still no notification: {refused}")),
    };
    let mut message = routes.message_for(&notification, &received);
    if let Some(broker) = whole.head.broker {
        let destination = message.to[broker as usize].take();
        if destination.is_none() {
            return Again::Stays(format!("by [route] it does not go to {} any more", broker.as_str()));
        }
        message.to = Destinations::default();
        message.to[broker as usize] = destination;
    }
    message.replay = Some(Replay::Notification(before));
    Again::Notification(Box::new(message))
}

/// What is written beside a letter once it is replayed. It is dated so that it covers the letter by any clock.
pub fn note(head: &Head, (broker, dead_letter): (Broker, &str), before: u32, now: SystemTime) -> Message {
    let mut to = Destinations::default();
    to[broker as usize] = Some(dead_letter.to_owned());
    let event = Event {
        instance: head.instance,
        kind: head.kind.clone(),
        partition_key: head.instance.map(|instance| instance.to_string()),
        ..Event::unparsed(head.id, now.max(head.received))
    };
    let replay = Some(Replay::Note(before));
    Message { to, event, body: Bytes::new(), dead_letter: None, open: false, structured: false, replay }
}
