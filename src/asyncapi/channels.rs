//! The channels: a topic, or the subjects of a template, with the classes that go there; and the dead letters.

use serde_json::{Map, Value, json};

use super::{messages, reference, servers};
use crate::brokers::Replicas;
use crate::config::Config;
use crate::message::Broker;
use crate::notification::Class;
use crate::route::Routes;

/// A topic, or the subjects of a template.
pub(super) struct Channel {
    broker: Broker,
    /// The topic or subject, with `{…}` for what depends on the notification.
    address: String,
    content: Content,
}

enum Content {
    /// Notifications of these classes, of one instance or of all that have no routes of their own.
    Notifications {
        classes: Vec<Class>,
        instance: Option<u64>,
    },
    DeadLetters,
}

impl Channel {
    /// All channels: each address of a broker once.
    pub(super) fn of(config: &Config, routes: &Routes) -> Vec<Self> {
        let mut channels: Vec<Self> = Vec::new();
        for instance in std::iter::once(None).chain(routes.instances().into_iter().map(Some)) {
            for class in Class::ALL {
                for template in routes.of(class, instance).values().copied().flatten() {
                    let address = template.text.replace("{class}", class.as_str());
                    add(&mut channels, template.broker, address, class, instance);
                }
            }
        }
        let dead_letters = config.broker_templates().into_iter().filter(|section| routes.uses_broker(section.broker));
        channels.extend(dead_letters.map(|section| Self {
            broker: section.broker,
            address: section.dead_letter,
            content: Content::DeadLetters,
        }));
        channels
    }

    /// The broker with what the channel carries, such as `kafka-incoming`.
    pub(super) fn id(&self) -> String {
        let broker = self.broker.as_str();
        match &self.content {
            Content::DeadLetters => format!("{broker}-dead-letter"),
            Content::Notifications { classes, instance } => {
                let classes = classes.iter().map(|class| class.as_str()).collect::<Vec<_>>().join("-");
                let instance = instance.map(|instance| format!("-{instance}")).unwrap_or_default();
                format!("{broker}-{classes}{instance}")
            }
        }
    }

    pub(super) fn json(&self, config: &Config) -> Value {
        let servers = servers::names(config, self.broker);
        let mut channel = json!({
            "address": self.address,
            "title": self.title(),
            "servers": servers.iter().map(|name| reference(&format!("servers/{name}"))).collect::<Vec<_>>(),
            "messages": self.messages(config).iter()
                .map(|(name, id)| (name.clone(), reference(&format!("components/messages/{id}"))))
                .collect::<Map<_, _>>(),
        });
        let parameters = parameters(&self.address);
        match self.broker {
            Broker::Kafka => channel["bindings"] = json!({"kafka": kafka_binding(config, &self.address, &parameters)}),
            Broker::Nats => channel["x-jetstream-stream"] = config.nats.as_ref().map(|nats| nats.stream.clone()).into(),
        }
        if !parameters.is_empty() {
            channel["parameters"] = parameters.into();
        }
        channel
    }

    pub(super) fn operation(&self, config: &Config) -> Value {
        let mut operation = json!({
            "action": "send",
            "channel": reference(&format!("channels/{}", self.id())),
            "summary": format!("The bridge publishes {}.", self.title()),
        });
        match self.broker {
            Broker::Kafka => {
                let client = json!({"type": "string", "const": client_id(config)});
                operation["bindings"] = json!({"kafka": {"clientId": client, "bindingVersion": "0.5.0"}});
            }
            Broker::Nats => operation["bindings"] = json!({"nats": {"bindingVersion": "0.1.0"}}),
        }
        operation
    }

    /// Adds the messages of this channel, each once.
    pub(super) fn add_messages(&self, config: &Config, all: &mut Map<String, Value>) {
        for (name, id) in self.messages(config) {
            let message = match &self.content {
                Content::Notifications { .. } => messages::notification(config, self.broker, &name),
                Content::DeadLetters if name == messages::REPLAY_MARKER => messages::replay_marker(self.broker),
                Content::DeadLetters => messages::dead_letter(self.broker),
            };
            all.insert(id, message);
        }
    }

    /// The name of each message, and the id of its component: the headers of a type differ between the brokers.
    fn messages(&self, config: &Config) -> Vec<(String, String)> {
        let names: Vec<_> = match &self.content {
            Content::DeadLetters => [messages::DEAD_LETTER, messages::REPLAY_MARKER].map(str::to_owned).into(),
            Content::Notifications { classes, .. } => {
                classes.iter().flat_map(|class| messages::types_of(*class, &config.route.types)).collect()
            }
        };
        names.into_iter().map(|name| (name.clone(), format!("{}-{name}", self.broker.as_str()))).collect()
    }

    fn title(&self) -> String {
        match &self.content {
            Content::DeadLetters => format!("dead letters to {}", brand(self.broker)),
            Content::Notifications { classes, instance } => {
                let classes = classes.iter().map(|class| class.as_str()).collect::<Vec<_>>().join(", ");
                let of = instance.map(|instance| format!(" of instance {instance}")).unwrap_or_default();
                format!("notifications of class {classes}{of} to {}", brand(self.broker))
            }
        }
    }
}

/// The name of a broker as its makers write it.
fn brand(broker: Broker) -> &'static str {
    match broker {
        Broker::Kafka => "Kafka",
        Broker::Nats => "NATS",
    }
}

/// The configured name of the bridge at Kafka, or its own.
fn client_id(config: &Config) -> String {
    let configured = config.kafka.as_ref().and_then(|kafka| kafka.properties.get("client.id"));
    configured.map_or_else(|| "greenapi-bridge".into(), ToString::to_string)
}

/// Adds a class to the channel of its address.
fn add(channels: &mut Vec<Channel>, broker: Broker, address: String, class: Class, instance: Option<u64>) {
    let known = channels.iter_mut().find(|channel| (channel.broker, &channel.address) == (broker, &address));
    match known.map(|channel| &mut channel.content) {
        Some(Content::Notifications { classes, .. }) if !classes.contains(&class) => classes.push(class),
        Some(_) => {}
        None => {
            let content = Content::Notifications { classes: vec![class], instance };
            channels.push(Channel { broker, address, content });
        }
    }
}

/// What may stand in an address for what depends on the notification.
const PARAMETERS: [(&str, &str, &str); 4] = [
    ("instance", "The instance.", "1101000001"),
    ("type", "`typeWebhook`.", "incomingMessageReceived"),
    ("product", "`instanceData.typeInstance`, or `none`.", "whatsapp"),
    ("message_type", "`messageData.typeMessage`, or `none`.", "textMessage"),
];

fn parameters(address: &str) -> Map<String, Value> {
    let used = PARAMETERS.into_iter().filter(|(name, ..)| address.contains(&format!("{{{name}}}")));
    used.map(|(name, what, example)| {
        let description =
            format!("{what} At most 64 characters: all but ASCII letters, digits, `_` and `-` is replaced by `_`.");
        (name.to_owned(), json!({"description": description, "examples": [example]}))
    })
    .collect()
}

/// The topic as `provision` creates it; a topic whose name depends on notifications has no name here.
fn kafka_binding(config: &Config, address: &str, parameters: &Map<String, Value>) -> Value {
    let mut binding = json!({"bindingVersion": "0.5.0"});
    if parameters.is_empty() {
        binding["topic"] = address.into();
    }
    if let Some(kafka) = &config.kafka {
        binding["partitions"] = kafka.provision.partitions.into();
        if let Replicas::Count(count) = kafka.provision.replicas {
            binding["replicas"] = count.into();
        }
        let retention = u64::try_from(kafka.provision.retention.as_millis()).unwrap_or(u64::MAX);
        binding["topicConfiguration"] = json!({"cleanup.policy": ["delete"], "retention.ms": retention});
    }
    binding
}
