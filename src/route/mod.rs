//! Where a notification goes: [`Routes`] makes the [`Message`] a broker is given.
//!
//! No I/O, and nothing of a broker's wire form. A payload can choose a place inside the operator's template,
//! never a destination outside it.

mod config;
mod table;
mod template;

use std::borrow::Cow;

use bytes::Bytes;

pub use config::{Config, Format, KeyBy, Override};
pub use table::{Named, Place, RouteError};
pub use template::{Template, TemplateError, Variable, reduce};

use crate::message::{Broker, DeadLetter, Destinations, Event, Id, Message, Reason, TraceContext};
use crate::notification::{Class, Notification, Refused, TypeTable};
use table::Table;

/// What came in with a body.
#[derive(Debug, Clone)]
pub struct Received {
    /// The body, byte for byte.
    pub body: Bytes,
    /// When its last byte came.
    pub at: std::time::SystemTime,
    /// The request's trace context.
    pub trace: TraceContext,
}

/// The routes of one configuration.
#[derive(Debug)]
pub struct Routes {
    table: Table,
    /// Where dead letters go at each broker there is a way to.
    dead_letters: Destinations,
    /// Where bodies that are refused go: the brokers of `[route]`.
    refused: Destinations,
    key: KeyBy,
    format: Format,
    types: TypeTable,
}

/// The longest chat id that becomes part of a key. Known ids have 30 characters at most; a key travels in
/// every message's headers.
const LONGEST_CHAT: usize = 128;

impl Routes {
    /// The routes of this configuration to these brokers.
    ///
    /// # Errors
    /// [`RouteError`]: a template that is none, or that reaches the dead letter; a route without a broker.
    pub fn new(config: &Config, places: &[Place]) -> Result<Self, RouteError> {
        let table = Table::new(config, places)?;
        let named = |broker| config.brokers.as_ref().is_none_or(|named| named.contains(&broker));
        let used = |broker| table.templates().into_iter().any(|template| template.broker == broker);
        let [mut dead_letters, mut refused] = [Destinations::default(), Destinations::default()];
        for Place { broker, dead_letter, .. } in places {
            let at = |is_one: bool| is_one.then(|| dead_letter.clone());
            refused[*broker as usize] = at(named(*broker));
            dead_letters[*broker as usize] = at(named(*broker) || used(*broker));
        }
        let (key, format, types) = (config.key, config.format, config.types.clone());
        Ok(Self { table, dead_letters, refused, key, format, types })
    }

    /// Every template there is, each once at each broker.
    pub fn templates(&self) -> Vec<&Named> {
        self.table.templates()
    }

    /// Where a class goes at each broker; for all instances, or for one.
    pub fn of(&self, class: Class, instance: Option<u64>) -> [Option<&Named>; Broker::ALL.len()] {
        self.table.of(class, instance).each_ref().map(Option::as_ref)
    }

    /// The instances that have routes of their own.
    pub fn instances(&self) -> Vec<u64> {
        self.table.instances()
    }

    /// Whether anything goes to this broker.
    pub fn use_broker(&self, broker: Broker) -> bool {
        self.dead_letters[broker as usize].is_some()
    }

    /// The destinations at a broker whose names are known before a notification comes, dead letters last.
    pub fn known(&self, broker: Broker) -> Vec<String> {
        let here = self.templates().into_iter().filter(|named| named.broker == broker);
        let mut known: Vec<_> = here.filter_map(|named| named.template.all()).flatten().collect();
        known.extend(self.dead_letters[broker as usize].clone());
        known
    }

    /// Whether payloads choose destinations at a broker.
    pub fn is_open(&self, broker: Broker) -> bool {
        self.templates().into_iter().any(|named| named.broker == broker && named.template.all().is_none())
    }

    /// The patterns of all destinations at a broker: each class in one of its own, dead letters last, each once.
    pub fn patterns(&self, broker: Broker) -> Vec<String> {
        let tables = std::iter::once(None).chain(self.instances().into_iter().map(Some));
        let ways = tables.flat_map(|instance| Class::ALL.map(|class| (class, self.of(class, instance))));
        let classes = ways.filter_map(|(class, to)| Some(to[broker as usize]?.template.pattern(class)));
        let mut all: Vec<String> = Vec::new();
        for pattern in classes.chain(self.dead_letters[broker as usize].clone()) {
            if !all.contains(&pattern) {
                all.push(pattern);
            }
        }
        all
    }

    /// The class of a notification.
    pub fn class_of(&self, notification: &Notification<'_>) -> Class {
        self.types.class_of(&notification.kind)
    }

    /// The message a notification becomes.
    pub fn message_for(&self, notification: &Notification<'_>, received: &Received) -> Message {
        let class = self.class_of(notification);
        let event = Event {
            instance: Some(notification.instance),
            kind: Some(reduce(&notification.kind).into_owned()),
            class: Some(class.as_str().into()),
            time: notification.time,
            partition_key: self.key_for(notification),
            json: true,
            trace: received.trace.clone(),
            ..Event::unparsed(Id::of(&received.body), received.at)
        };
        let fill = |variable| value(notification, class.as_str(), variable);
        let templates = self.table.of(class, Some(notification.instance));
        let to = templates.each_ref().map(|named| named.as_ref().map(|named| named.template.render(fill)));
        let structured = self.format == Format::Structured;
        let topic = templates[Broker::Kafka as usize].as_ref();
        let open = topic.is_some_and(|named| named.template.all().is_none());
        Message { to, event, body: received.body.clone(), dead_letter: None, open, structured, replay: None }
    }

    /// The dead letter a refused body becomes.
    pub fn dead_letter_for(&self, refused: &Refused, received: &Received) -> Message {
        let reason = reason(refused);
        let event = Event {
            instance: refused.instance(),
            kind: refused.kind().map(|kind| reduce(kind).into_owned()),
            partition_key: refused.instance().map(|instance| instance.to_string()),
            json: reason != Reason::NotJson,
            trace: received.trace.clone(),
            ..Event::unparsed(Id::of(&received.body), received.at)
        };
        let dead_letter = Some(DeadLetter::new(reason, refused.to_string()));
        Message {
            to: self.refused.clone(),
            event,
            body: received.body.clone(),
            dead_letter,
            open: false,
            structured: false,
            replay: None,
        }
    }

    fn key_for(&self, notification: &Notification<'_>) -> Option<String> {
        let instance = notification.instance;
        match self.key {
            KeyBy::None => None,
            KeyBy::Instance => Some(instance.to_string()),
            KeyBy::Chat => Some(match notification.chat().filter(|chat| chat.len() <= LONGEST_CHAT) {
                Some(chat) => format!("{instance}:{chat}"),
                None => instance.to_string(),
            }),
        }
    }
}

fn value<'n>(notification: &'n Notification<'_>, class: &'static str, variable: Variable) -> Cow<'n, str> {
    match variable {
        Variable::Class => class.into(),
        Variable::Type => notification.kind.as_ref().into(),
        Variable::Instance => notification.instance.to_string().into(),
        Variable::Product => notification.product().unwrap_or_default().into(),
        Variable::MessageType => notification.message_type().unwrap_or_default().into(),
    }
}

fn reason(refused: &Refused) -> Reason {
    match refused {
        Refused::NotJson(_) => Reason::NotJson,
        Refused::NotObject => Reason::NotObject,
        Refused::TooDeep { .. } => Reason::TooDeep,
        Refused::Ambiguous { .. } => Reason::Ambiguous,
        Refused::NoType { .. } => Reason::NoType,
        Refused::NoInstance { .. } => Reason::NoInstance,
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const BODY: &str = r#"{"typeWebhook":"incomingCall","instanceData":{"idInstance":7,"typeInstance":"v3"},
        "timestamp":1588091580,"from":"79990000001@c.us"}"#;

    fn received(body: &'static str) -> Received {
        Received { body: Bytes::from_static(body.as_bytes()), at: UNIX_EPOCH, trace: TraceContext::default() }
    }

    fn routes(config: &str, template: &str) -> Routes {
        let place =
            Place { broker: Broker::Nats, key: "nats.subject", template: template.into(), dead_letter: "dead".into() };
        Routes::new(&toml::from_str(config).unwrap(), &[place]).unwrap()
    }

    fn message(config: &str, template: &str, body: &'static str) -> Message {
        let routes = routes(config, template);
        let received = received(body);
        routes.message_for(&Notification::parse(&received.body).unwrap(), &received)
    }

    #[test]
    fn every_variable_is_filled() {
        let seen = message("", "{class}.{type}.{instance}.{product}.{message_type}", BODY);
        assert_eq!(seen.destination(Broker::Nats), "incoming.incomingCall.7.v3.none");
        assert_eq!(seen.body, BODY);
    }

    #[test]
    fn the_key_is_what_the_operator_says() {
        let key = |config| message(config, "x", BODY).event.partition_key;
        assert_eq!(key("").as_deref(), Some("7"));
        assert_eq!(key("key = \"chat\"").as_deref(), Some("7:79990000001@c.us"));
        assert_eq!(key("key = \"none\""), None);
    }

    #[test]
    fn a_new_type_goes_where_the_operator_places_it() {
        const NEW: &str = r#"{"typeWebhook":"newThing","instanceData":{"idInstance":7}}"#;
        assert_eq!(message("", "{class}", NEW).destination(Broker::Nats), "other");
        assert_eq!(message("types.newThing = \"device\"", "{class}", NEW).destination(Broker::Nats), "device");
    }

    #[test]
    fn a_refused_body_keeps_what_is_certain() {
        let routes = routes("", "x");
        let dead = |body| {
            let received = received(body);
            routes.dead_letter_for(&Notification::parse(&received.body).unwrap_err(), &received)
        };
        let no_type = dead(r#"{"instanceData":{"idInstance":7}}"#);
        assert_eq!(
            (no_type.destination(Broker::Nats), no_type.event.instance, no_type.event.json),
            ("dead", Some(7), true)
        );
        assert_eq!(no_type.event.partition_key.as_deref(), Some("7"));
        let no_instance = dead(r#"{"typeWebhook":"a b"}"#);
        assert_eq!(no_instance.event.kind.as_deref(), Some("a_b"));
        let broken = dead("{");
        assert_eq!((broken.event.instance, broken.event.kind, broken.event.json), (None, None, false));
    }
}
