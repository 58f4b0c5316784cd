//! `[route]`.

use std::collections::HashMap;

use serde::Deserialize;

use crate::message::Broker;
use crate::notification::{Class, TypeTable};

/// `[route]`: which brokers, and the key and format of messages.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which brokers get every message. Default: those that have a section.
    pub brokers: Option<Vec<Broker>>,
    /// What must stay in order. Default `"instance"`: GREEN-API delivers in order per instance.
    pub key: KeyBy,
    /// How CloudEvents attributes travel. Default `"binary"`: as headers, the body untouched.
    pub format: Format,
    /// How many topics payloads may choose, where a template lets them. Default 1000: a client never forgets a topic.
    pub max_destinations: usize,
    /// The class of types this version does not know, such as `newThing = "incoming"`.
    pub types: TypeTable,
    /// Overrides for one class, such as `[route.classes.incoming]`.
    pub classes: HashMap<Class, Override>,
    /// Overrides for one instance, such as `[route.instances.1101000001]`; they override those of its classes.
    pub instances: HashMap<String, Override>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            brokers: None,
            key: KeyBy::default(),
            format: Format::default(),
            max_destinations: 1000,
            types: TypeTable::default(),
            classes: HashMap::new(),
            instances: HashMap::new(),
        }
    }
}

/// What is different for a class or an instance. A key that is not set has its general value.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Override {
    /// Which brokers.
    pub brokers: Option<Vec<Broker>>,
    /// The Kafka topic template.
    pub topic: Option<String>,
    /// The NATS subject template.
    pub subject: Option<String>,
}

impl Override {
    /// The key of a broker's template, and the template if it is set.
    pub(super) fn template(&self, broker: Broker) -> (&'static str, Option<&str>) {
        match broker {
            Broker::Kafka => ("topic", self.topic.as_deref()),
            Broker::Nats => ("subject", self.subject.as_deref()),
        }
    }
}

/// The key of a message: messages of one key stay in order.
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

/// The format of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// CloudEvents binary mode: the value is the body, byte for byte.
    #[default]
    Binary,
    /// CloudEvents structured mode: the value is a JSON envelope with the body, byte for byte, as `data`.
    Structured,
}
