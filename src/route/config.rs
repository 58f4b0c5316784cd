//! `[route]`.

use std::collections::HashMap;

use serde::Deserialize;

use crate::message::Broker;
use crate::notification::{Class, TypeTable};

/// `[route]`: which brokers, and how a message is keyed and formed.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which brokers get every message. Default: those whose section is there.
    pub brokers: Option<Vec<Broker>>,
    /// What must stay in order. Default `"instance"`: GREEN-API delivers in order per instance.
    pub key: KeyBy,
    /// How CloudEvents attributes travel. Default `"binary"`: as headers, the body untouched.
    pub format: Format,
    /// How many topics payloads may choose, where a template lets them. Default 1000: a client keeps each for ever.
    pub max_destinations: usize,
    /// The class of types this version does not know, such as `newThing = "incoming"`.
    pub types: TypeTable,
    /// What is different for one class, such as `[route.classes.incoming]`.
    pub classes: HashMap<Class, Override>,
    /// What is different for one instance, such as `[route.instances.1101000001]`; stronger than its classes.
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

/// What is different for a class or an instance. What is not set is as for all.
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
    /// The template it has for a broker, and the key that holds it.
    pub(super) fn template(&self, broker: Broker) -> (&'static str, Option<&str>) {
        match broker {
            Broker::Kafka => ("topic", self.topic.as_deref()),
            Broker::Nats => ("subject", self.subject.as_deref()),
        }
    }
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
    /// CloudEvents structured mode: the value is a JSON envelope with the body, byte for byte, as `data`.
    Structured,
}
