//! Where a notification goes: [`Routes`] makes the [`Message`] a broker is given.
//!
//! No I/O, and nothing of a broker's wire form. A payload can choose a place inside the operator's template,
//! never a destination outside it.

mod template;

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;

pub use template::{Template, TemplateError, Variable, reduce};

use crate::message::{DeadLetter, Event, Id, Message, Reason, TraceContext};
use crate::notification::{Class, Notification, Refused, TypeTable};

/// `[route]`: which brokers, and how a message is keyed and formed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which brokers get every message. Default: those whose section is there.
    pub brokers: Option<Vec<Broker>>,
    /// What must stay in order. Default `"instance"`: GREEN-API delivers in order per instance.
    pub key: KeyBy,
    /// How CloudEvents attributes travel. Default `"binary"`: as headers, the body untouched.
    pub format: Format,
    /// The class of types this version does not know, such as `newThing = "incoming"`.
    pub types: TypeTable,
}

/// A broker a route can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Broker {
    /// NATS JetStream.
    Nats,
}

/// What a message is keyed by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyBy {
    /// The instance.
    #[default]
    Instance,
    /// `<instance>:<chat>`: more lanes, but phone numbers in keys.
    Chat,
    /// No key, no order.
    None,
}

/// The form of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// CloudEvents binary mode: the value is the body, byte for byte.
    #[default]
    Binary,
}

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
    destination: Template,
    dead_letter: String,
    key: KeyBy,
    types: TypeTable,
}

/// The longest chat id that becomes part of a key. Known ids have 30 characters at most; a key travels in
/// every message's headers.
const LONGEST_CHAT: usize = 128;

impl Routes {
    /// The routes for this configuration: `destination` for notifications, `dead_letter` for the rest.
    pub fn new(config: &Config, destination: Template, dead_letter: String) -> Self {
        Self { destination, dead_letter, key: config.key, types: config.types.clone() }
    }

    /// The class of a notification.
    pub fn class_of(&self, notification: &Notification<'_>) -> Class {
        self.types.class_of(&notification.kind)
    }

    /// The message a notification becomes.
    pub fn message_for(&self, notification: &Notification<'_>, received: &Received) -> Message {
        let class = self.class_of(notification).as_str();
        let event = Event {
            instance: Some(notification.instance),
            kind: Some(reduce(&notification.kind).into_owned()),
            class: Some(class),
            time: notification.time,
            partition_key: self.key_for(notification),
            json: true,
            trace: received.trace.clone(),
            ..Event::unparsed(Id::of(&received.body), received.at)
        };
        let destination = self.destination.render(|variable| value(notification, class, variable));
        Message { destination, event, body: received.body.clone(), dead_letter: None }
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
        Message { destination: self.dead_letter.clone(), event, body: received.body.clone(), dead_letter }
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
        Refused::TooDeep => Reason::TooDeep,
        Refused::Ambiguous(_) => Reason::Ambiguous,
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

    fn message(config: &str, template: &str, body: &'static str) -> Message {
        let config: Config = toml::from_str(config).unwrap();
        let routes = Routes::new(&config, Template::parse(template).unwrap(), "dead".into());
        let received = received(body);
        routes.message_for(&Notification::parse(&received.body).unwrap(), &received)
    }

    #[test]
    fn every_variable_is_filled() {
        let seen = message("", "{class}.{type}.{instance}.{product}.{message_type}", BODY);
        assert_eq!(seen.destination, "incoming.incomingCall.7.v3.none");
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
        assert_eq!(message("", "{class}", NEW).destination, "other");
        assert_eq!(message("types.newThing = \"device\"", "{class}", NEW).destination, "device");
    }

    #[test]
    fn a_refused_body_keeps_what_is_certain() {
        let routes = Routes::new(&Config::default(), Template::parse("x").unwrap(), "dead".into());
        let dead = |body| {
            let received = received(body);
            routes.dead_letter_for(&Notification::parse(&received.body).unwrap_err(), &received)
        };
        let no_type = dead(r#"{"instanceData":{"idInstance":7}}"#);
        assert_eq!((no_type.destination.as_str(), no_type.event.instance, no_type.event.json), ("dead", Some(7), true));
        assert_eq!(no_type.event.partition_key.as_deref(), Some("7"));
        let no_instance = dead(r#"{"typeWebhook":"a b"}"#);
        assert_eq!(no_instance.event.kind.as_deref(), Some("a_b"));
        let broken = dead("{");
        assert_eq!((broken.event.instance, broken.event.kind, broken.event.json), (None, None, false));
    }
}
