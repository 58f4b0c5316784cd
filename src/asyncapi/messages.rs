//! The messages: one for each type, the dead letter, and the replay marker.

use serde_json::{Value, json};

use super::headers::{self, Owner};
use super::{parsed, reference};
use crate::config::Config;
use crate::message::Broker;
use crate::notification::{Class, TypeTable, schemas};
use crate::route::{self, Format, KeyBy};

/// The name of the message for a type that this version does not know.
const UNKNOWN: &str = "unknownType";

/// The name of the message for a dead letter.
pub(super) const DEAD_LETTER: &str = "deadLetter";

/// The name of the message for a replay marker.
pub(super) const REPLAY_MARKER: &str = "replayMarker";

/// The name of the schema of structured mode's envelope.
pub(super) const ENVELOPE: &str = "cloudEvent";

/// The types of a class, as the names of their messages.
pub(super) fn types_of(class: Class, table: &TypeTable) -> Vec<String> {
    let mut types: Vec<String> = Class::known_types().map(str::to_owned).collect();
    types.extend(table.added().filter(|added| !Class::known_types().any(|known| known == *added)).map(str::to_owned));
    types.retain(|kind| table.class_of(kind) == class);
    if class == Class::Other {
        types.push(UNKNOWN.into());
    }
    types
}

/// The message of a type.
pub(super) fn notification(config: &Config, broker: Broker, kind: &str) -> Value {
    let schema = if schemas::types().any(|known| known == kind) { kind } else { "notification" };
    let text = schemas::with_references("").find(|(name, _)| *name == schema).map(|(_, text)| text);
    let described = text.and_then(|text| parsed(&text)).unwrap_or_default();
    let structured = config.route.format == Format::Structured;
    let payload = reference(&format!("components/schemas/{schema}"));
    let (content_type, payload) = if structured {
        let envelope = reference(&format!("components/schemas/{ENVELOPE}"));
        ("application/cloudevents+json", json!({"allOf": [envelope, {"properties": {"data": payload}}]}))
    } else {
        ("application/json", payload)
    };
    let (summary, example) = if kind == UNKNOWN {
        const ABOUT: &str = "A type that this version does not know: only what all notifications have is certain.";
        (ABOUT.into(), common_example("notKnownYet"))
    } else if schema == kind {
        (described["description"].clone(), described["examples"][0].clone())
    } else {
        const ABOUT: &str = "A type that `[route.types]` places here: only what all notifications have is certain.";
        (ABOUT.into(), common_example(kind))
    };
    let mut message = json!({
        "name": kind,
        "title": if schema == kind { described["title"].clone() } else { kind.into() },
        "summary": summary,
        "contentType": content_type,
        "headers": reference(&format!("components/schemas/{}", Owner::Notification.schema_name(broker))),
        "payload": payload,
    });
    if !structured {
        message["examples"] = json!([{"name": kind, "payload": example}]);
    }
    add_key(&mut message, broker, config.route.key);
    message
}

/// What all notifications have, with the name of this type.
fn common_example(kind: &str) -> Value {
    let instance = json!({"idInstance": 1_101_000_001, "wid": "79990000001@c.us", "typeInstance": "whatsapp"});
    json!({"typeWebhook": kind, "instanceData": instance, "timestamp": 1_763_972_458})
}

/// The message of a dead letter: any bytes.
pub(super) fn dead_letter(broker: Broker) -> Value {
    let mut message = json!({
        "name": DEAD_LETTER,
        "title": "DeadLetter",
        "summary": "A body that is not a notification, or that the broker does not accept: exactly the bytes received, or one part of them. See `bridge-reason`.",
        "contentType": "application/octet-stream",
        "headers": reference(&format!("components/schemas/{}", Owner::DeadLetter.schema_name(broker))),
        "payload": {"description": "The body as it was received. `content-type` says whether it is JSON."},
    });
    add_key(&mut message, broker, KeyBy::Instance);
    message
}

/// The message of a replay marker: no bytes.
pub(super) fn replay_marker(broker: Broker) -> Value {
    let mut message = json!({
        "name": REPLAY_MARKER,
        "title": "ReplayMarker",
        "summary": "The dead letter with the same id, received before, was replayed. A consumer of dead letters skips it.",
        "contentType": "application/octet-stream",
        "headers": reference(&format!("components/schemas/{}", Owner::ReplayMarker.schema_name(broker))),
        "payload": {"description": "Empty.", "type": "string", "maxLength": 0},
    });
    add_key(&mut message, broker, KeyBy::Instance);
    message
}

fn add_key(message: &mut Value, broker: Broker, key: KeyBy) {
    if broker == Broker::Kafka
        && let Some((description, example)) = key_description(key)
    {
        let key = json!({"type": "string", "description": description, "examples": [example]});
        message["bindings"] = json!({"kafka": {"key": key, "bindingVersion": "0.5.0"}});
    }
}

/// What the key is, and an example. `None` means that there is no key.
pub(super) fn key_description(key: KeyBy) -> Option<(&'static str, &'static str)> {
    match key {
        KeyBy::Instance => Some(("The instance: its messages stay in order.", "1101000001")),
        KeyBy::Chat => Some((
            "The instance and the chat, or the instance alone: messages of a chat stay in order.",
            "1101000001:79990001020@c.us",
        )),
        KeyBy::None => None,
    }
}

/// The CloudEvents JSON envelope of structured mode.
pub(super) fn envelope(config: &route::Config) -> Value {
    let attributes = headers::attributes(config.key);
    let always = attributes.iter().filter(|one| one.required).map(|one| one.attribute.as_str());
    let required: Vec<_> = always.chain(["datacontenttype", "data"]).collect();
    let mut properties: serde_json::Map<_, _> =
        attributes.iter().map(|one| (one.attribute.as_str().to_owned(), one.schema())).collect();
    properties.insert("datacontenttype".into(), json!({"type": "string", "const": "application/json"}));
    properties.insert("data".into(), json!({"type": "object", "description": "The body as GREEN-API sent it."}));
    json!({"title": "CloudEvent", "type": "object", "required": required, "properties": properties})
}
