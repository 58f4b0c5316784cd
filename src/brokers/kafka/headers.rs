//! CloudEvents binary mode over Kafka: attributes as `ce_` headers in UTF-8.

use rdkafka::message::{Header, OwnedHeaders};

use crate::message::{Attribute, Message};

/// The headers of a message.
pub(super) fn headers(message: &Message) -> OwnedHeaders {
    let attributes = message.attributes().map(|(attribute, value)| (name(attribute), value));
    let all = attributes.chain(message.headers());
    all.fold(OwnedHeaders::new_with_capacity(12), |headers, (key, value)| {
        headers.insert(Header { key, value: Some(&*value) })
    })
}

const fn name(attribute: Attribute) -> &'static str {
    match attribute {
        Attribute::Id => "ce_id",
        Attribute::Source => "ce_source",
        Attribute::Type => "ce_type",
        Attribute::SpecVersion => "ce_specversion",
        Attribute::Time => "ce_time",
        Attribute::RecordedTime => "ce_recordedtime",
        Attribute::PartitionKey => "ce_partitionkey",
        Attribute::Class => "ce_class",
        Attribute::Instance => "ce_instance",
    }
}
