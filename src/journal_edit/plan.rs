//! What an edit makes of one record.

use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::Edit;
use crate::journal::{EditResult, Record, RecordEdit};
use crate::message::{Broker, Brokers, Message, PerBroker};
use crate::notification::Notification;
use crate::route::{Received, Routes};

/// Decides what an edit makes of a record, and which result that is. Changes nothing.
pub fn plan_edit(routes: &Routes, edit: &Edit, record: &Record) -> (EditResult, RecordEdit) {
    match edit {
        Edit::Reroute { from, to } => reroute(routes, record, *from, to.unwrap_or(*from)),
        Edit::Drop { broker: Some(broker) } => (EditResult::Dropped, without_backlog(record, *broker)),
        Edit::Drop { broker: None } => (EditResult::Dropped, RecordEdit::Delete),
        Edit::Erase { chat: None, instance: Some(instance) } if is_of_instance(record, *instance) => {
            (EditResult::Erased, RecordEdit::Delete)
        }
        Edit::Erase { chat: Some(chat), .. } if is_of_chat(record, chat) => (EditResult::Erased, RecordEdit::Delete),
        Edit::Erase { .. } => (EditResult::Unrelated, RecordEdit::Keep),
    }
}

/// Whether a record names a chat. A body that is not a notification has no fields for certain: it counts as one that names
/// the chat if the chat's id stands anywhere in its text.
fn is_of_chat(record: &Record, chat: &str) -> bool {
    let body = &record.message.body;
    let in_text = || contains_word(body, chat) || contains_word(body, &chat.replace('@', "\\u0040"));
    match Notification::parse(body) {
        Ok(_) => names_chat(body, chat).unwrap_or_else(|_| in_text()),
        Err(_) => in_text(),
    }
}

/// The members that hold the id of a chat or of a person: GREEN-API's documentation of its notifications. `wid` is a
/// person's only in a list of participants, else the account's own.
const CHAT_MEMBERS: [&str; 4] = ["chatId", "sender", "from", "participant"];

/// Whether a JSON text names a chat. Reads the text member by member, because a map keeps only the last of repeated ones.
fn names_chat(body: &[u8], chat: &str) -> serde_json::Result<bool> {
    NamesChat { chat, is_id: false, of_participants: false }
        .deserialize(&mut serde_json::Deserializer::from_slice(body))
}

/// Looks for a chat in one value.
#[derive(Clone, Copy)]
struct NamesChat<'c> {
    chat: &'c str,
    /// Whether the value is the id of a chat or of a person.
    is_id: bool,
    /// Whether the value is a list of participants, or one of them.
    of_participants: bool,
}

impl<'de> DeserializeSeed<'de> for NamesChat<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<bool, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NamesChat<'_> {
    type Value = bool;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("any value")
    }

    fn visit_str<E>(self, id: &str) -> Result<bool, E> {
        Ok(self.is_id && id == self.chat)
    }

    fn visit_u64<E>(self, id: u64) -> Result<bool, E> {
        Ok(self.is_id && id.to_string() == self.chat)
    }

    fn visit_i64<E>(self, id: i64) -> Result<bool, E> {
        Ok(self.is_id && id.to_string() == self.chat)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let mut found = false;
        // a participant is an object, or the id itself
        while let Some(here) = items.next_element_seed(Self { is_id: self.of_participants, ..self })? {
            found |= here;
        }
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let mut found = false;
        while let Some(name) = members.next_key::<String>()? {
            let is_id = CHAT_MEMBERS.contains(&name.as_str()) || self.of_participants && name == "wid";
            found |= members.next_value_seed(Self { is_id, of_participants: name == "participants", ..self })?;
        }
        Ok(found)
    }
}

fn is_of_instance(record: &Record, instance: u64) -> bool {
    let known = record.message.event.instance;
    known.map_or_else(|| contains_word(&record.message.body, &instance.to_string()), |known| known == instance)
}

/// Whether a word stands in a text, and is not a part of a longer word.
fn contains_word(text: &[u8], word: &str) -> bool {
    let stands_alone = |at: usize| {
        let beside = [at.checked_sub(1), at.checked_add(word.len())].map(|at| at.and_then(|at| text.get(at)));
        !beside.into_iter().flatten().any(u8::is_ascii_alphanumeric)
    };
    memchr::memmem::find_iter(text, word.as_bytes()).any(stands_alone)
}

/// The record without its entry in the backlog of a broker.
fn without_backlog(record: &Record, broker: Broker) -> RecordEdit {
    let this = Brokers::NONE.with(broker);
    let (backlog, maybe_stored) = (record.backlog.without(this), record.maybe_stored.without(this));
    if backlog.is_empty() {
        return RecordEdit::Delete;
    }
    let mut message = Box::new(record.message.clone());
    // a destination that is in no backlog would look like one that has acked
    message.to[broker] = None;
    RecordEdit::Replace { message, backlog, maybe_stored }
}

fn reroute(routes: &Routes, record: &Record, from: Broker, to: Broker) -> (EditResult, RecordEdit) {
    let before = &record.message;
    // `to` has acked it, or has it in its own backlog
    if from != to && before.to[to].is_some() {
        return (EditResult::AlreadyThere, without_backlog(record, from));
    }
    let Some(mut message) = rendered(routes, record) else { return (EditResult::Unreadable, RecordEdit::Keep) };
    let Some(destination) = message.to[to].take() else {
        return (EditResult::NoDestination, RecordEdit::Keep);
    };
    message.to = before.to.clone();
    message.to[from] = None;
    message.to[to] = Some(destination);
    if is_same(&message, before) {
        return (EditResult::Unchanged, RecordEdit::Keep);
    }
    let only = |broker| Brokers::NONE.with(broker);
    let backlog = record.backlog.without(only(from)).and(only(to));
    // what may have been sent went to the destination before
    let maybe_stored = if from == to { record.maybe_stored } else { record.maybe_stored.without(only(from)) };
    (EditResult::Rerouted, RecordEdit::Replace { message: Box::new(message), backlog, maybe_stored })
}

fn is_same(one: &Message, other: &Message) -> bool {
    let rendered_parts = |message: &Message| {
        let Message { to, event, topic_from_payload, structured, .. } = message;
        (
            to.clone(),
            event.partition_key.clone(),
            event.class.clone(),
            event.kind.clone(),
            *topic_from_payload,
            *structured,
        )
    };
    rendered_parts(one) == rendered_parts(other)
}

/// The message that the current routes make of a record's body; a dead letter stays one and goes where the current
/// configuration puts dead letters. None means the body is not a notification any more.
pub(super) fn rendered(routes: &Routes, record: &Record) -> Option<Message> {
    let message = &record.message;
    if message.is_dead_letter() {
        let to = PerBroker::from_fn(|broker| routes.dead_letter_at(broker).map(Into::into));
        return Some(Message { to, ..message.clone() });
    }
    let event = &message.event;
    let received = Received { body: message.body.clone(), at: event.recorded, trace: event.trace.clone() };
    let rendered = routes.message_for(&Notification::parse(&message.body).ok()?, &received);
    // a replayed message has an id of its own: the broker may remember the id of the one before
    Some(Message { kind: message.kind.clone(), ..rendered })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::message::{DeadLetter, MessageKind, Reason, TraceContext};
    use crate::route::BrokerTemplate;

    const KAFKA: Brokers = Brokers::NONE.with(Broker::Kafka);
    const NATS: Brokers = Brokers::NONE.with(Broker::Nats);
    const BODY: &str = r#"{"typeWebhook":"incomingCall","instanceData":{"idInstance":7},"from":"79990000001@c.us","x":"79990000002@c.us"}"#;

    fn routes(topic: &str, subject: &str) -> Routes {
        let broker_template = |broker, key, template: &str| BrokerTemplate {
            broker,
            key,
            template: template.into(),
            dead_letter: format!("{template}-dead"),
        };
        let templates = [
            broker_template(Broker::Kafka, "kafka.topic", topic),
            broker_template(Broker::Nats, "nats.subject", subject),
        ];
        Routes::new(&crate::route::Config::default(), &templates).unwrap()
    }

    fn record(backlog: Brokers, to: [Option<&str>; 2]) -> Record {
        let received = Received { body: BODY.into(), at: UNIX_EPOCH, trace: TraceContext::default() };
        let message = routes("t", "s").message_for(&Notification::parse(&received.body).unwrap(), &received);
        let [kafka, nats] = to.map(|to| to.map(Into::into));
        let to = PerBroker::from_fn(|broker| if broker == Broker::Kafka { kafka.clone() } else { nats.clone() });
        let message = Message { to, ..message };
        Record { seq: 1, message, backlog, maybe_stored: backlog }
    }

    /// The destinations, and the brokers whose backlog has it.
    type Became = (Vec<Option<String>>, Brokers);

    fn rerouted(record: &Record, from: Broker, to: Broker) -> (EditResult, Option<Became>) {
        let (result, edit) = reroute(&routes("t2", "s2"), record, from, to);
        let became = match edit {
            RecordEdit::Replace { message, backlog, .. } => Some((message.to.values().cloned().collect(), backlog)),
            RecordEdit::Delete => Some((vec![], Brokers::NONE)),
            RecordEdit::Keep => None,
        };
        (result, became)
    }

    #[test]
    fn a_backlog_gets_the_current_destination_and_the_other_broker_keeps_its_own() {
        let both = record(KAFKA.and(NATS), [Some("t"), Some("s")]);
        let to = |kafka: Option<&str>, nats: Option<&str>| vec![kafka.map(Into::into), nats.map(Into::into)];
        assert_eq!(
            rerouted(&both, Broker::Kafka, Broker::Kafka),
            (EditResult::Rerouted, Some((to(Some("t2"), Some("s")), KAFKA.and(NATS))))
        );
        let current = record(KAFKA, [Some("t2"), None]);
        assert_eq!(rerouted(&current, Broker::Kafka, Broker::Kafka), (EditResult::Unchanged, None));
    }

    #[test]
    fn another_broker_gets_a_record_unless_it_has_it_already() {
        let to = |kafka: Option<&str>, nats: Option<&str>| vec![kafka.map(Into::into), nats.map(Into::into)];
        let one = record(KAFKA, [Some("t"), None]);
        assert_eq!(
            rerouted(&one, Broker::Kafka, Broker::Nats),
            (EditResult::Rerouted, Some((to(None, Some("s2")), NATS)))
        );
        // JetStream acknowledged it
        let had = record(KAFKA, [Some("t"), Some("s")]);
        assert_eq!(
            rerouted(&had, Broker::Kafka, Broker::Nats),
            (EditResult::AlreadyThere, Some((vec![], Brokers::NONE)))
        );
        // it is in the backlog of JetStream too
        let both = record(KAFKA.and(NATS), [Some("t"), Some("s")]);
        assert_eq!(
            rerouted(&both, Broker::Kafka, Broker::Nats),
            (EditResult::AlreadyThere, Some((to(None, Some("s")), NATS)))
        );
        // it was dropped from the backlog of JetStream, which does not have it
        let RecordEdit::Replace { message, backlog, maybe_stored } = without_backlog(&both, Broker::Nats) else {
            panic!("deleted")
        };
        assert_eq!((backlog, maybe_stored), (KAFKA, KAFKA));
        let dropped = Record { message: *message, backlog, ..both };
        assert_eq!(rerouted(&dropped, Broker::Kafka, Broker::Nats).0, EditResult::Rerouted);
    }

    #[test]
    fn a_replayed_record_keeps_its_own_id() {
        let mut replayed = record(NATS, [None, Some("s")]);
        replayed.message.kind = MessageKind::Notification { earlier_replays: Some(1) };
        let (_, edit) = reroute(&routes("t2", "s2"), &replayed, Broker::Nats, Broker::Nats);
        let RecordEdit::Replace { message, .. } = edit else { panic!("unchanged") };
        assert_eq!(message.dedupe_id(), replayed.message.dedupe_id());
        assert_ne!(message.dedupe_id(), record(NATS, [None, Some("s")]).message.dedupe_id());
    }

    #[test]
    fn a_dead_letter_stays_one() {
        let mut dead = record(NATS, [None, Some("s-dead")]);
        dead.message.kind = MessageKind::DeadLetter(DeadLetter::new(Reason::Ambiguous, "twice".into()));
        let (_, became) = rerouted(&dead, Broker::Nats, Broker::Nats);
        assert_eq!(became, Some((vec![None, Some("s2-dead".into())], NATS)));
    }

    /// The places are those of GREEN-API's documentation.
    #[test]
    fn a_chat_is_found_in_every_place_that_has_the_id_of_a_chat_or_of_a_person() {
        let names = |field: &str, chat: &str| {
            let mut one = record(NATS, [None, Some("s")]);
            one.message.body =
                format!(r#"{{"typeWebhook":"x","instanceData":{{"idInstance":7,"wid":"1@c.us"}},{field}}}"#).into();
            let erase = Edit::Erase { instance: None, chat: Some(chat.into()) };
            plan_edit(&routes("t", "s"), &erase, &one).0 == EditResult::Erased
        };
        for field in [
            r#""chatId":"5@c.us""#,
            r#""from":"5@c.us""#,
            r#""from":"6@c.us","chatId":"5@c.us""#,
            r#""senderData":{"chatId":"5@c.us"}"#,
            r#""senderData":{"chatId":"9@g.us","sender":"5@c.us"}"#,
            r#""senderData":{"chatId":"9@g.us"},"chatId":"5@c.us""#,
            r#""avatarInfo":{"chatId":"5@c.us"}"#,
            r#""messageData":{"contactMessageData":{"chatId":"5@c.us"}}"#,
            r#""messageData":{"quotedMessage":{"participant":"5@c.us"}}"#,
            r#""messageData":{"extendedTextMessageData":{"participant":"5@c.us"}}"#,
            r#""participants":[{"wid":"6@c.us"},{"wid":"5@c.us"}]"#,
            r#""statusExtendedTextMessageData":{"participants":["5@c.us"]}"#,
            r#""chatId":"5\u0040c.us""#,
            r#""chatId":"5@c.us","chatId":"6@c.us""#,
        ] {
            assert!(names(field, "5@c.us"), "{field}");
            assert!(!names(field, "7@c.us"), "{field}");
        }
        assert!(names(r#""chatId":10000000"#, "10000000"), "a number");
        assert!(!names(r#""chatId":"5@c.us""#, "1@c.us"), "the account's own id is in every notification");
        assert!(!names(r#""messageData":{"textMessageData":{"textMessage":"5@c.us"}}"#, "5@c.us"), "a text");
    }

    #[test]
    fn a_chat_is_that_of_the_notification_or_any_that_a_dead_letter_names() {
        let erase = |chat: &str| Edit::Erase { instance: None, chat: Some(chat.into()) };
        let one = record(NATS, [None, Some("s")]);
        let named = |chat, record: &Record| plan_edit(&routes("t", "s"), &erase(chat), record).0;
        assert_eq!(named("79990000001@c.us", &one), EditResult::Erased);
        assert_eq!(
            named("79990000002@c.us", &one),
            EditResult::Unrelated,
            "another chat that the notification mentions"
        );
        let mut dead = one.clone();
        dead.message.body = r#"{"x":"79990000002@c.us""#.into();
        assert_eq!(
            (named("79990000002@c.us", &dead), named("90000002@c.us", &dead)),
            (EditResult::Erased, EditResult::Unrelated)
        );
        dead.message.body = br#"{"x":"79990000002\u0040c.us","instance":1101000001"#.as_slice().into();
        assert_eq!(named("79990000002@c.us", &dead), EditResult::Erased, "JSON may escape the at sign");
        let erase = |instance| Edit::Erase { instance: Some(instance), chat: None };
        let of = |instance, record: &Record| plan_edit(&routes("t", "s"), &erase(instance), record).0;
        assert_eq!((of(7, &one), of(8, &one)), (EditResult::Erased, EditResult::Unrelated));
        dead.message.event.instance = None;
        assert_eq!(
            (of(1_101_000_001, &dead), of(101_000_001, &dead), of(7, &dead)),
            (EditResult::Erased, EditResult::Unrelated, EditResult::Unrelated)
        );
    }
}
