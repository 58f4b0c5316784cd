//! What becomes of one record.

use super::Change;
use crate::journal::{Fate, Record};
use crate::message::{Broker, Brokers, Message};
use crate::notification::Notification;
use crate::route::{Received, Routes};

/// What becomes of a record, and what that is called.
pub fn judge(routes: &Routes, change: &Change, record: &Record) -> (&'static str, Fate) {
    match change {
        Change::Reroute { from, to } => reroute(routes, record, *from, to.unwrap_or(*from)),
        Change::Drop { broker } => ("dropped", without(record, *broker)),
        Change::Erase { chat: None, instance: Some(instance) } if is_of_instance(record, *instance) => {
            ("erased", Fate::Goes)
        }
        Change::Erase { chat: Some(chat), .. } if is_of(record, chat) => ("erased", Fate::Goes),
        Change::Erase { .. } => ("of_others", Fate::Stays),
    }
}

/// Whether a record is of a chat. Of what is no notification nothing is certain: there it counts whether the chat's id
/// stands anywhere.
fn is_of(record: &Record, chat: &str) -> bool {
    let body = &record.message.body;
    match Notification::parse(body) {
        Ok(notification) => notification.chat().as_deref() == Some(chat),
        Err(_) => names(body, chat) || names(body, &chat.replace('@', "\\u0040")),
    }
}

fn is_of_instance(record: &Record, instance: u64) -> bool {
    let of = record.message.event.instance;
    of.map_or_else(|| names(&record.message.body, &instance.to_string()), |of| of == instance)
}

/// Whether a name stands in a text, and is not a part of a longer one.
fn names(text: &[u8], name: &str) -> bool {
    let stands_alone = |at: usize| {
        let beside = [at.checked_sub(1), at.checked_add(name.len())].map(|at| at.and_then(|at| text.get(at)));
        !beside.into_iter().flatten().any(u8::is_ascii_alphanumeric)
    };
    memchr::memmem::find_iter(text, name.as_bytes()).any(stands_alone)
}

/// The record, no longer owed to a broker.
fn without(record: &Record, broker: Broker) -> Fate {
    let this = Brokers::NONE.with(broker);
    let (owed, unknown) = (record.owed.without(this), record.unknown.without(this));
    if owed.is_empty() {
        return Fate::Goes;
    }
    let mut message = Box::new(record.message.clone());
    // a way that is owed nothing would look as if it had been gone
    message.to[broker as usize] = None;
    Fate::Becomes { message, owed, unknown }
}

fn reroute(routes: &Routes, record: &Record, from: Broker, to: Broker) -> (&'static str, Fate) {
    let before = &record.message;
    // `to` has it already, or will have it
    if from != to && before.to[to as usize].is_some() {
        return ("there_already", without(record, from));
    }
    let Some(mut message) = rendered(routes, record) else { return ("unreadable", Fate::Stays) };
    let Some(there) = message.to[to as usize].take() else { return ("no_way", Fate::Stays) };
    message.to = before.to.clone();
    message.to[from as usize] = None;
    message.to[to as usize] = Some(there);
    if is_same(&message, before) {
        return ("as_before", Fate::Stays);
    }
    let of = |broker| Brokers::NONE.with(broker);
    let owed = record.owed.without(of(from)).and(of(to));
    // what may have been sent was sent elsewhere
    let unknown = if from == to { record.unknown } else { record.unknown.without(of(from)) };
    ("rerouted", Fate::Becomes { message: Box::new(message), owed, unknown })
}

fn is_same(one: &Message, other: &Message) -> bool {
    let all = |message: &Message| {
        let Message { to, event, open, structured, .. } = message;
        (to.clone(), event.partition_key.clone(), event.class.clone(), event.kind.clone(), *open, *structured)
    };
    all(one) == all(other)
}

/// A record as the routes of now would make it; a dead letter stays one, and goes where those go now.
pub fn rendered(routes: &Routes, record: &Record) -> Option<Message> {
    let message = &record.message;
    if message.dead_letter.is_some() {
        let to = Broker::ALL.map(|broker| routes.dead_letter_at(broker).map(Into::into));
        return Some(Message { to, ..message.clone() });
    }
    let event = &message.event;
    let received = Received { body: message.body.clone(), at: event.recorded, trace: event.trace.clone() };
    let rendered = routes.message_for(&Notification::parse(&message.body).ok()?, &received);
    // what was replayed keeps its own identity: the broker may remember the one before
    Some(Message { replay: message.replay, ..rendered })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::message::{DeadLetter, Reason, Replay, TraceContext};
    use crate::route::Place;

    const KAFKA: Brokers = Brokers::NONE.with(Broker::Kafka);
    const NATS: Brokers = Brokers::NONE.with(Broker::Nats);
    const BODY: &str = r#"{"typeWebhook":"incomingCall","instanceData":{"idInstance":7},"from":"79990000001@c.us","x":"79990000002@c.us"}"#;

    fn routes(topic: &str, subject: &str) -> Routes {
        let place = |broker, key, template: &str| Place {
            broker,
            key,
            template: template.into(),
            dead_letter: format!("{template}-dead"),
        };
        let places = [place(Broker::Kafka, "kafka.topic", topic), place(Broker::Nats, "nats.subject", subject)];
        Routes::new(&crate::route::Config::default(), &places).unwrap()
    }

    fn record(owed: Brokers, to: [Option<&str>; 2]) -> Record {
        let received = Received { body: BODY.into(), at: UNIX_EPOCH, trace: TraceContext::default() };
        let message = routes("t", "s").message_for(&Notification::parse(&received.body).unwrap(), &received);
        let message = Message { to: to.map(|to| to.map(Into::into)), ..message };
        Record { seq: 1, message, owed, unknown: owed }
    }

    /// Where it goes, and whom it is owed to.
    type Became = (Vec<Option<String>>, Brokers);

    fn rerouted(record: &Record, from: Broker, to: Broker) -> (&'static str, Option<Became>) {
        let (name, fate) = reroute(&routes("t2", "s2"), record, from, to);
        let became = match fate {
            Fate::Becomes { message, owed, .. } => Some((message.to.to_vec(), owed)),
            Fate::Goes => Some((vec![], Brokers::NONE)),
            Fate::Stays => None,
        };
        (name, became)
    }

    #[test]
    fn what_is_owed_goes_where_the_routes_of_now_say_and_only_that() {
        let both = record(KAFKA.and(NATS), [Some("t"), Some("s")]);
        let to = |kafka: Option<&str>, nats: Option<&str>| vec![kafka.map(Into::into), nats.map(Into::into)];
        assert_eq!(
            rerouted(&both, Broker::Kafka, Broker::Kafka),
            ("rerouted", Some((to(Some("t2"), Some("s")), KAFKA.and(NATS))))
        );
        let as_now = record(KAFKA, [Some("t2"), None]);
        assert_eq!(rerouted(&as_now, Broker::Kafka, Broker::Kafka), ("as_before", None));
    }

    #[test]
    fn another_broker_gets_it_unless_it_has_it_already() {
        let to = |kafka: Option<&str>, nats: Option<&str>| vec![kafka.map(Into::into), nats.map(Into::into)];
        let one = record(KAFKA, [Some("t"), None]);
        assert_eq!(rerouted(&one, Broker::Kafka, Broker::Nats), ("rerouted", Some((to(None, Some("s2")), NATS))));
        // JetStream acknowledged it
        let had = record(KAFKA, [Some("t"), Some("s")]);
        assert_eq!(rerouted(&had, Broker::Kafka, Broker::Nats), ("there_already", Some((vec![], Brokers::NONE))));
        // JetStream is owed it too
        let both = record(KAFKA.and(NATS), [Some("t"), Some("s")]);
        assert_eq!(rerouted(&both, Broker::Kafka, Broker::Nats), ("there_already", Some((to(None, Some("s")), NATS))));
        // JetStream was owed it, and that was given up: it does not have it
        let Fate::Becomes { message, owed, unknown } = without(&both, Broker::Nats) else { panic!("gone") };
        assert_eq!((owed, unknown), (KAFKA, KAFKA));
        let given_up = Record { message: *message, owed, ..both };
        assert_eq!(rerouted(&given_up, Broker::Kafka, Broker::Nats).0, "rerouted");
    }

    #[test]
    fn what_was_replayed_keeps_its_own_identity() {
        let mut replayed = record(NATS, [None, Some("s")]);
        replayed.message.replay = Some(Replay::Notification(1));
        let (_, fate) = reroute(&routes("t2", "s2"), &replayed, Broker::Nats, Broker::Nats);
        let Fate::Becomes { message, .. } = fate else { panic!("it stays") };
        assert_eq!(message.dedupe_id(), replayed.message.dedupe_id());
        assert_ne!(message.dedupe_id(), record(NATS, [None, Some("s")]).message.dedupe_id());
    }

    #[test]
    fn a_dead_letter_stays_one() {
        let mut dead = record(NATS, [None, Some("s-dead")]);
        dead.message.dead_letter = Some(DeadLetter::new(Reason::Ambiguous, "twice".into()));
        let (_, became) = rerouted(&dead, Broker::Nats, Broker::Nats);
        assert_eq!(became, Some((vec![None, Some("s2-dead".into())], NATS)));
    }

    #[test]
    fn a_chat_is_known_by_what_was_read_or_in_a_dead_letter_by_its_text() {
        let erase = |chat: &str| Change::Erase { instance: None, chat: Some(chat.into()) };
        let one = record(NATS, [None, Some("s")]);
        let named = |chat, record: &Record| judge(&routes("t", "s"), &erase(chat), record).0;
        assert_eq!(named("79990000001@c.us", &one), "erased");
        assert_eq!(named("79990000002@c.us", &one), "of_others", "it only names it");
        let mut dead = one.clone();
        dead.message.body = r#"{"x":"79990000002@c.us""#.into();
        assert_eq!((named("79990000002@c.us", &dead), named("90000002@c.us", &dead)), ("erased", "of_others"));
        dead.message.body = br#"{"x":"79990000002\u0040c.us","instance":1101000001"#.as_slice().into();
        assert_eq!(named("79990000002@c.us", &dead), "erased", "as JSON may write it");
        let erase = |instance| Change::Erase { instance: Some(instance), chat: None };
        let of = |instance, record: &Record| judge(&routes("t", "s"), &erase(instance), record).0;
        assert_eq!((of(7, &one), of(8, &one)), ("erased", "of_others"));
        dead.message.event.instance = None;
        assert_eq!(
            (of(1_101_000_001, &dead), of(101_000_001, &dead), of(7, &dead)),
            ("erased", "of_others", "of_others")
        );
    }
}
