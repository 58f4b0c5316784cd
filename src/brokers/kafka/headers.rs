//! CloudEvents binary mode over Kafka: attributes as `ce_` headers, UTF-8 as they are.

use rdkafka::message::{Header, OwnedHeaders};

use crate::message::Message;

/// The headers of a message.
pub(super) fn headers(message: &Message) -> OwnedHeaders {
    let mut name = String::with_capacity(24);
    let start = OwnedHeaders::new_with_capacity(12);
    let attributes = message.attributes().fold(start, |headers, (attribute, value)| {
        name.clear();
        name.push_str("ce_");
        name.push_str(attribute);
        headers.insert(Header { key: &name, value: Some(&*value) })
    });
    message.headers().fold(attributes, |headers, (key, value)| headers.insert(Header { key, value: Some(&*value) }))
}
