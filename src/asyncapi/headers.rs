//! The headers of messages: CloudEvents attributes under the names of each broker's binding, and the bridge's own.

use serde_json::{Map, Value, json};

use super::messages::key_description;
use crate::message::{Attribute, Broker, MessageKind, Reason};
use crate::route::{self, Format, KeyBy};

/// A CloudEvents attribute as consumers see it.
pub(super) struct Described {
    pub(super) attribute: Attribute,
    /// Whether every notification has it.
    pub(super) required: bool,
    about: &'static str,
    example: &'static str,
}

impl Described {
    pub(super) fn schema(&self) -> Value {
        json!({"type": "string", "description": self.about, "examples": [self.example]})
    }
}

/// The attributes of a notification.
pub(super) fn attributes(key: KeyBy) -> Vec<Described> {
    let always = |attribute, about, example| Described { attribute, required: true, about, example };
    let mut all = vec![
        always(
            Attribute::Id,
            "The first 16 bytes of the body's SHA-256, in hex: the same for every copy of it.",
            "4f1c0a5be2d94f0a8c3b7d6e5f401122",
        ),
        always(Attribute::Source, "The instance that sent it.", "urn:greenapi:instance:1101000001"),
        always(
            Attribute::Type,
            "`com.green-api.` and `typeWebhook`, of which ASCII letters, digits, `_` and `-` stay, at most 64 characters.",
            "com.green-api.incomingMessageReceived",
        ),
        always(Attribute::SpecVersion, "The version of CloudEvents.", "1.0"),
        always(Attribute::RecordedTime, "When the bridge received it.", "2026-01-31T10:00:00.000Z"),
        always(Attribute::Class, "`incoming`, `outgoing`, `state`, `device` or `other`.", "incoming"),
        always(Attribute::Instance, "The instance.", "1101000001"),
        Described {
            attribute: Attribute::Time,
            required: false,
            about: "When it happened: `timestamp`, where that is a time.",
            example: "2026-01-31T09:59:58Z",
        },
    ];
    if let Some((about, example)) = key_description(key) {
        all.push(always(Attribute::PartitionKey, about, example));
    }
    all
}

/// Which messages have the headers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Owner {
    Notification,
    DeadLetter,
    ReplayMarker,
}

impl Owner {
    /// Every kind of message.
    pub(super) const ALL: [Self; 3] = [Self::Notification, Self::DeadLetter, Self::ReplayMarker];

    /// The name of the schema of these headers at a broker.
    pub(super) fn schema_name(self, broker: Broker) -> String {
        let owner = match self {
            Self::Notification => "",
            Self::DeadLetter => "DeadLetter",
            Self::ReplayMarker => "ReplayMarker",
        };
        format!("{}{owner}Headers", broker.as_str())
    }

    /// The schema of these headers at a broker.
    pub(super) fn schema(self, broker: Broker, config: &route::Config) -> Value {
        match self {
            Self::Notification => of_notification(broker, config),
            Self::DeadLetter => of_dead_letter(broker),
            Self::ReplayMarker => of_replay_marker(broker),
        }
    }
}

/// The headers of a notification. In structured mode the envelope has the attributes.
fn of_notification(broker: Broker, config: &route::Config) -> Value {
    let mut headers = Headers::default();
    let structured = config.format == Format::Structured;
    if structured {
        headers.add(true, "content-type", "The format of the value.", "application/cloudevents+json");
    } else {
        headers.add(true, "content-type", "The format of the value.", "application/json");
        headers.add_attributes(broker, &attributes(config.key));
    }
    headers.add_of_broker(broker, structured, "4f1c0a5be2d94f0a8c3b7d6e5f401122");
    headers.schema()
}

/// The headers of a dead letter. It is never structured.
fn of_dead_letter(broker: Broker) -> Value {
    let mut headers = Headers::default();
    headers.add(true, "content-type", "Whether the body is JSON.", "application/octet-stream");
    headers.add_attributes(broker, &attributes_that_could_be_read());
    let reasons = Reason::ALL.map(|reason| format!("`{}`", reason.as_str())).join(", ");
    headers.add(true, "bridge-reason", &format!("Why it is a dead letter: {reasons}."), "not_json");
    headers.add(true, "bridge-detail", "The same in words.", "not JSON: EOF at line 1 column 18");
    headers.add(false, "bridge-part", "Which part of the body, if it is stored in parts.", "1/3");
    headers.add_of_broker(broker, false, "dl-4f1c0a5be2d94f0a8c3b7d6e5f401122");
    headers.schema()
}

/// The headers of a replay marker, which has the attributes of its dead letter.
fn of_replay_marker(broker: Broker) -> Value {
    let mut headers = Headers::default();
    headers.add(true, "content-type", "The marker has no body.", "application/octet-stream");
    let mut described = attributes_that_could_be_read();
    described.retain(|one| !matches!(one.attribute, Attribute::Time | Attribute::Class));
    headers.add_attributes(broker, &described);
    let replayed = "How often the dead letter of this id was replayed.";
    headers.add(true, MessageKind::REPLAYED_HEADER, replayed, "1");
    headers.add_of_broker(broker, false, "replayed-0-4f1c0a5be2d94f0a8c3b7d6e5f401122");
    headers.schema()
}

/// The attributes of a dead letter: those that could be read from the body, and those that every message has.
fn attributes_that_could_be_read() -> Vec<Described> {
    let mut all = attributes(KeyBy::Instance);
    for one in &mut all {
        match one.attribute {
            Attribute::Id | Attribute::SpecVersion | Attribute::RecordedTime => {}
            Attribute::Source => {
                one.about = "The instance that sent it; `urn:greenapi:instance:unknown` where it could not be read.";
            }
            Attribute::Type => {
                one.about = "`com.green-api.` and `typeWebhook`; `com.green-api.unparsed` where it could not be read.";
            }
            _ => one.required = false,
        }
    }
    all
}

#[derive(Default)]
struct Headers {
    properties: Map<String, Value>,
    required: Vec<String>,
}

impl Headers {
    fn add(&mut self, required: bool, name: &str, about: &str, example: &str) {
        let schema = json!({"type": "string", "description": about, "examples": [example]});
        self.properties.insert(name.into(), schema);
        if required {
            self.required.push(name.into());
        }
    }

    fn add_attributes(&mut self, broker: Broker, described: &[Described]) {
        let prefix = match broker {
            Broker::Kafka => "ce_",
            Broker::Nats => "ce-",
        };
        for one in described {
            let name = format!("{prefix}{}", one.attribute.as_str());
            self.add(one.required, &name, one.about, one.example);
        }
    }

    /// The headers that each broker has for itself, and those of tracing.
    fn add_of_broker(&mut self, broker: Broker, structured: bool, dedupe_id: &str) {
        if broker == Broker::Nats {
            if !structured {
                self.add(true, "ce-datacontenttype", "The same as `content-type`.", "application/json");
            }
            self.add(true, "Nats-Msg-Id", "JetStream finds repeats by this.", dedupe_id);
            self.add(true, "Nats-Expected-Stream", "The stream.", "GREENAPI");
        }
        let trace = "The W3C trace context of the request, if it had one.";
        self.add(false, "traceparent", trace, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        self.add(false, "tracestate", trace, "vendor=1");
    }

    fn schema(self) -> Value {
        json!({"type": "object", "required": self.required, "properties": self.properties})
    }
}
