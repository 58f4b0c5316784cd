//! A record of a dead letter topic or subject, as read from its broker.

use std::time::SystemTime;

use bytes::Bytes;

use super::{Attribute, Broker};

/// One record. It is not checked yet whether the bridge wrote it.
#[derive(Debug, Clone)]
pub struct DlqRecord {
    /// The broker it was read from. None means the journal.
    pub broker: Option<Broker>,
    /// Its position there: `partition/offset` of a topic, or the number in a stream or in the journal.
    pub position: String,
    /// The broker's own timestamp.
    pub at: SystemTime,
    /// Names as the broker has them, and for the journal as in Kafka; values decoded.
    pub headers: Vec<(String, String)>,
    /// Its value; empty if only headers were read.
    pub body: Bytes,
    /// The size of its value in bytes.
    pub size: usize,
}

impl DlqRecord {
    /// The value of a header whose name is the same at every broker.
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
