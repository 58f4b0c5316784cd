//! The AsyncAPI 3.0 document of what the bridge publishes: servers, channels, keys, headers and messages of the
//! configured routes.
//!
//! In: the configuration, its routes, and the schemas of `notification`. Out: a JSON document, which is also valid YAML.
//! It connects to nothing, and names no secret.

mod channels;
mod headers;
mod messages;
mod servers;

use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::message::Broker;
use crate::notification::schemas;
use crate::route::{Format, Routes};
use channels::Channel;
use headers::Owner;

/// The version of AsyncAPI.
const VERSION: &str = "3.0.0";

const ABOUT: &str = "Notifications of GREEN-API (WhatsApp, Telegram, MAX), as greenapi-bridge publishes them.

* Each message is stored at least once. Its CloudEvents `id` is made from the bytes of its body: a consumer that has worked
  on that id has worked on this message.
* Messages with the same key are in the order in which GREEN-API sent them, within one topic or stream. Without keys
  (`route.key = \"none\"`) no order is guaranteed.
* New types, fields and values may come at any time: a consumer ignores what it does not know. A type that this version does
  not know is in the class `other`, unless `[route.types]` places it.
* A body that is not a notification, or that a broker never accepts, is a dead letter.";

/// The document. `None` means that no route leads to a broker.
pub fn document(config: &Config, routes: &Routes) -> Option<Value> {
    let channels = Channel::of(config, routes);
    let brokers: Vec<_> = Broker::ALL.into_iter().filter(|broker| routes.uses_broker(*broker)).collect();
    if brokers.is_empty() {
        return None;
    }
    let mut messages = Map::new();
    channels.iter().for_each(|channel| channel.add_messages(config, &mut messages));
    Some(json!({
        "asyncapi": VERSION,
        "info": {
            "title": "GREEN-API notifications",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": env!("CARGO_PKG_LICENSE")},
        },
        "defaultContentType": "application/json",
        "servers": servers::servers(config, &brokers),
        "channels": channels.iter().map(|channel| (channel.id(), channel.json(config))).collect::<Map<_, _>>(),
        "operations": channels.iter().map(|channel| (format!("publish-{}", channel.id()), channel.operation(config))).collect::<Map<_, _>>(),
        "components": {"messages": messages, "schemas": schemas_of(config, &brokers)},
    }))
}

/// The schemas of the notifications, and those of each broker's headers.
fn schemas_of(config: &Config, brokers: &[Broker]) -> Map<String, Value> {
    let mut all: Map<_, _> = schemas::with_references("#/components/schemas/")
        .filter_map(|(name, text)| Some((name.to_owned(), parsed(&text)?)))
        .collect();
    for broker in brokers {
        all.extend(Owner::ALL.map(|owner| (owner.schema_name(*broker), owner.schema(*broker, &config.route))));
    }
    if config.route.format == Format::Structured {
        all.insert(messages::ENVELOPE.into(), messages::envelope(&config.route));
    }
    all
}

/// A schema as the value of a component, which names no version of its own.
fn parsed(text: &str) -> Option<Value> {
    let mut schema: Value = serde_json::from_str(text).ok()?;
    schema.as_object_mut()?.remove("$schema");
    Some(schema)
}

fn reference(path: &str) -> Value {
    json!({"$ref": format!("#/{path}")})
}

#[cfg(test)]
mod tests;
