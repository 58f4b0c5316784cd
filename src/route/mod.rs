//! Where a notification goes.
//!
//! In: a [`Notification`], or the [`ParseError`] of a body that is none. Out: the [`Message`] for the brokers:
//! destinations, key, CloudEvents attributes and the body, byte for byte. [`Routes`] does no I/O and knows nothing of a
//! broker's wire format. A payload can fill the variables of the operator's template, but never choose a destination
//! outside it.

mod config;
mod table;
mod template;

use std::borrow::Cow;

use bytes::Bytes;

pub use config::{Config, Format, KeyBy, Override};
pub use table::{BrokerTemplate, ConfiguredTemplate, RouteError};
pub use template::{Template, TemplateError, Variable, sanitize};

use crate::message::{Broker, DeadLetter, Destinations, Event, Id, Message, PerBroker, Reason, TraceContext};
use crate::notification::{Class, Notification, ParseError, TypeTable};
use table::Table;

/// A body, and what was received with it.
#[derive(Debug, Clone)]
pub struct Received {
    /// The body, byte for byte.
    pub body: Bytes,
    /// When its last byte was received.
    pub at: std::time::SystemTime,
    /// The request's trace context.
    pub trace: TraceContext,
}

/// The routes of one configuration.
#[derive(Debug)]
pub struct Routes {
    table: Table,
    /// The dead letter destination at each broker that any route uses.
    dead_letters: Destinations,
    /// The destinations of bodies that are not notifications: those of the brokers in `[route]`.
    unparsed: Destinations,
    key: KeyBy,
    format: Format,
    types: TypeTable,
}

/// The longest chat id that becomes part of a key. Known ids have 30 characters at most; a key travels in
/// every message's headers.
const LONGEST_CHAT: usize = 128;

impl Routes {
    /// The routes of this configuration; `brokers` are the brokers that have a section.
    ///
    /// # Errors
    /// [`RouteError`]: a template that is invalid or can render the dead letter destination; a route without a broker.
    pub fn new(config: &Config, brokers: &[BrokerTemplate]) -> Result<Self, RouteError> {
        let table = Table::new(config, brokers)?;
        let named = |broker| config.brokers.as_ref().is_none_or(|named| named.contains(&broker));
        let used = |broker| table.templates().into_iter().any(|template| template.broker == broker);
        let (mut dead_letters, mut unparsed) = (Destinations::default(), Destinations::default());
        for BrokerTemplate { broker, dead_letter, .. } in brokers {
            unparsed[*broker] = named(*broker).then(|| dead_letter.clone());
            dead_letters[*broker] = (named(*broker) || used(*broker)).then(|| dead_letter.clone());
        }
        let (key, format, types) = (config.key, config.format, config.types.clone());
        Ok(Self { table, dead_letters, unparsed, key, format, types })
    }

    /// Every template, each once at each broker.
    pub fn templates(&self) -> Vec<&ConfiguredTemplate> {
        self.table.templates()
    }

    /// The template of a class at each broker, for one instance. An instance of None means any without routes of its own.
    pub fn of(&self, class: Class, instance: Option<u64>) -> PerBroker<Option<&ConfiguredTemplate>> {
        self.table.of(class, instance).each_ref().map(Option::as_ref)
    }

    /// The instances that have routes of their own.
    pub fn instances(&self) -> Vec<u64> {
        self.table.instances()
    }

    /// Whether anything goes to this broker.
    pub fn uses_broker(&self, broker: Broker) -> bool {
        self.dead_letters[broker].is_some()
    }

    /// Where dead letters go at this broker.
    pub fn dead_letter_at(&self, broker: Broker) -> Option<&str> {
        self.dead_letters[broker].as_deref()
    }

    /// The destinations at a broker that no payload chooses, dead letters last.
    pub fn fixed_destinations(&self, broker: Broker) -> Vec<String> {
        let of_broker = self.templates().into_iter().filter(|configured| configured.broker == broker);
        let mut fixed: Vec<_> = of_broker.filter_map(|configured| configured.template.all()).flatten().collect();
        fixed.extend(self.dead_letters[broker].clone());
        fixed
    }

    /// Whether payloads choose destinations at a broker.
    pub fn has_dynamic_destinations(&self, broker: Broker) -> bool {
        let mut of_broker = self.templates().into_iter().filter(|configured| configured.broker == broker);
        of_broker.any(|configured| configured.template.all().is_none())
    }

    /// The patterns of all destinations at a broker: one for each class, dead letters last, without duplicates.
    pub fn patterns(&self, broker: Broker) -> Vec<String> {
        let tables = std::iter::once(None).chain(self.instances().into_iter().map(Some));
        let routes = tables.flat_map(|instance| Class::ALL.map(|class| (class, self.of(class, instance))));
        let classes = routes.filter_map(|(class, to)| Some(to[broker]?.template.pattern(class)));
        let mut all: Vec<String> = Vec::new();
        for pattern in classes.chain(self.dead_letters[broker].clone()) {
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

    /// The message for a notification.
    pub fn message_for(&self, notification: &Notification<'_>, received: &Received) -> Message {
        let class = self.class_of(notification);
        let event = Event {
            instance: Some(notification.instance),
            kind: Some(sanitize(&notification.kind).into_owned()),
            class: Some(class.as_str().into()),
            time: notification.time,
            partition_key: self.key_for(notification),
            json: true,
            trace: received.trace.clone(),
            ..Event::unparsed(Id::of(&received.body), received.at)
        };
        let fill = |variable| value(notification, class.as_str(), variable);
        let templates = self.table.of(class, Some(notification.instance));
        let to = templates.each_ref().map(|configured| configured.as_ref().map(|found| found.template.render(fill)));
        let structured = self.format == Format::Structured;
        let topic = templates[Broker::Kafka].as_ref();
        let topic_from_payload = topic.is_some_and(|configured| configured.template.all().is_none());
        Message { topic_from_payload, structured, ..Message::notification(to, event, received.body.clone()) }
    }

    /// The dead letter for a body that is not a notification.
    pub fn dead_letter_for(&self, error: &ParseError, received: &Received) -> Message {
        let reason = reason(error);
        let event = Event {
            instance: error.instance(),
            kind: error.kind().map(|kind| sanitize(kind).into_owned()),
            partition_key: error.instance().map(|instance| instance.to_string()),
            json: !matches!(reason, Reason::NotJson | Reason::Encoded),
            trace: received.trace.clone(),
            ..Event::unparsed(Id::of(&received.body), received.at)
        };
        let dead = DeadLetter::new(reason, error.to_string());
        Message::dead_letter(self.unparsed.clone(), event, received.body.clone(), dead)
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

fn reason(error: &ParseError) -> Reason {
    match error {
        ParseError::NotJson(_) => Reason::NotJson,
        ParseError::NotObject => Reason::NotObject,
        ParseError::TooDeep { .. } => Reason::TooDeep,
        ParseError::Ambiguous { .. } => Reason::Ambiguous,
        ParseError::NoType { .. } => Reason::NoType,
        ParseError::NoInstance { .. } => Reason::NoInstance,
        ParseError::Encoded { .. } => Reason::Encoded,
        ParseError::BreaksSchema { .. } => Reason::Schema,
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
        let (broker, key, dead_letter) = (Broker::Nats, "nats.subject", "dead".into());
        let nats = BrokerTemplate { broker, key, template: template.into(), dead_letter };
        Routes::new(&toml::from_str(config).unwrap(), &[nats]).unwrap()
    }

    fn message(config: &str, template: &str, body: &'static str) -> Message {
        let routes = routes(config, template);
        let received = received(body);
        routes.message_for(&Notification::parse(&received.body).unwrap(), &received)
    }

    #[test]
    fn every_variable_is_filled() {
        let message = message("", "{class}.{type}.{instance}.{product}.{message_type}", BODY);
        assert_eq!(message.destination(Broker::Nats), "incoming.incomingCall.7.v3.none");
        assert_eq!(message.body, BODY);
    }

    #[test]
    fn the_key_is_as_configured() {
        let key = |config| message(config, "x", BODY).event.partition_key;
        assert_eq!(key("").as_deref(), Some("7"));
        assert_eq!(key("key = \"chat\"").as_deref(), Some("7:79990000001@c.us"));
        assert_eq!(key("key = \"none\""), None);
    }

    #[test]
    fn a_new_type_goes_to_its_configured_class() {
        const NEW: &str = r#"{"typeWebhook":"newThing","instanceData":{"idInstance":7}}"#;
        assert_eq!(message("", "{class}", NEW).destination(Broker::Nats), "other");
        assert_eq!(message("types.newThing = \"device\"", "{class}", NEW).destination(Broker::Nats), "device");
    }

    #[test]
    fn a_dead_letter_has_the_attributes_that_are_certain() {
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
