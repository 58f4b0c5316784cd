//! A record of a dead letter topic or subject, as its broker has it.

use std::time::SystemTime;

use bytes::Bytes;

use super::{Attribute, Broker};

/// One record. Whether it is of the bridge's making is not known yet.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Where it lies; none: in the journal.
    pub broker: Option<Broker>,
    /// Its place there: `partition/offset` of a topic, or the number in a stream or in the journal.
    pub position: String,
    /// The broker's own time of it.
    pub at: SystemTime,
    /// Names as the broker has them, in the journal as in Kafka; values decoded.
    pub headers: Vec<(String, String)>,
    /// Its value; empty where only headers were asked for.
    pub body: Bytes,
    /// How many bytes its value has.
    pub size: usize,
}

impl Letter {
    /// The value of a header that every broker has under the same name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of a CloudEvents attribute.
    pub fn attribute(&self, attribute: Attribute) -> Option<&str> {
        let prefix = match self.broker {
            Some(Broker::Nats) => "ce-",
            Some(Broker::Kafka) | None => "ce_",
        };
        let name = attribute.as_str();
        let found = self.headers.iter().find(|(known, _)| known.strip_prefix(prefix) == Some(name));
        found.map(|(_, value)| value.as_str())
    }
}
