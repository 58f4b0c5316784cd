//! CloudEvents binary mode over NATS: attributes as `ce-` headers, percent-encoded as the binding says.

use std::borrow::Cow;
use std::time::UNIX_EPOCH;

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::message::{Attribute, DeadLetter, Destinations, Event, Id, Message, Part, Reason, TraceContext};

/// Space, double quote, percent, and all that is not visible ASCII (CloudEvents NATS binding, 3.1.3.2).
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The headers of a message that is published to `stream`.
pub(super) fn headers(message: &Message, stream: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut put = |name: &'static str, value: String| {
        // every value is visible ASCII here; if one were not, the message would matter more than its header
        if memchr::memchr2(b'\r', b'\n', value.as_bytes()).is_none() {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    };
    for (attribute, value) in message.attributes() {
        put(name(attribute), encoded(value));
    }
    if !message.structured {
        put("ce-datacontenttype", message.event.content_type().into());
    }
    for (name, value) in message.headers() {
        put(name, value.into_owned());
    }
    put("Nats-Msg-Id", message.dedupe_id());
    put("Nats-Expected-Stream", stream.into());
    headers
}

const fn name(attribute: Attribute) -> &'static str {
    match attribute {
        Attribute::Id => "ce-id",
        Attribute::Source => "ce-source",
        Attribute::Type => "ce-type",
        Attribute::SpecVersion => "ce-specversion",
        Attribute::Time => "ce-time",
        Attribute::RecordedTime => "ce-recordedtime",
        Attribute::PartitionKey => "ce-partitionkey",
        Attribute::Class => "ce-class",
        Attribute::Instance => "ce-instance",
    }
}

/// Percent-encoded; few values need it.
fn encoded(value: Cow<'_, str>) -> String {
    let changed = match Cow::from(utf8_percent_encode(&value, ENCODED)) {
        Cow::Owned(changed) => Some(changed),
        Cow::Borrowed(_) => None,
    };
    changed.unwrap_or_else(|| value.into_owned())
}

/// The bytes these headers take on the wire; the server's `max_payload` counts them.
pub(super) fn wire_size(headers: &HeaderMap) -> usize {
    let line = |name: &HeaderName, value: &HeaderValue| {
        let name: &str = name.as_ref();
        name.len() + value.as_str().len() + ": \r\n".len()
    };
    let lines: usize =
        headers.iter().flat_map(|(name, values)| values.iter().map(move |value| line(name, value))).sum();
    "NATS/1.0\r\n".len() + lines + "\r\n".len()
}

/// The most bytes the headers of a notification can take, or those of a dead letter or a part of one: every attribute
/// at its longest.
pub(super) fn max_wire_size(stream: &str, dead_letter: Option<DeadLetter>) -> usize {
    let event = Event {
        instance: Some(u64::MAX),
        // route reduces a type to 64 characters, and leaves chats over 128 out of keys; each may be encoded
        kind: Some("x".repeat(64)),
        class: Some("incoming".into()),
        time: Some(0),
        partition_key: Some("%".repeat(20 + 1 + 128)),
        json: false,
        trace: TraceContext { parent: Some("x".repeat(55)), state: Some("x".repeat(512)) },
        ..Event::unparsed(Id::from(0), UNIX_EPOCH)
    };
    let (to, body) = (Destinations::default(), Bytes::new());
    let message = match dead_letter {
        None => Message::notification(to, event, body),
        Some(dead) => Message::dead_letter(to, event, body, dead),
    };
    wire_size(&headers(&message, stream))
}

/// The dead letter, or part of one, with the longest headers.
pub(super) fn longest_dead_letter() -> DeadLetter {
    let part = Some(Part { number: 9999, count: 9999 });
    DeadLetter { part, ..DeadLetter::new(Reason::NoDestination, "x".repeat(200)) }
}
