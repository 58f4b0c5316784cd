//! Where things go, as people read it.

use serde::Serialize;

use crate::config::{Config, ConfigError};
use crate::message::{Broker, TraceContext};
use crate::notification::{Class, Notification};
use crate::route::{Named, Place, Received, Routes};

/// Every way there is.
pub(super) struct Plan {
    routes: Routes,
    places: Vec<Place>,
}

/// Where one class goes at one broker.
#[derive(Debug, Serialize)]
pub(super) struct Route {
    class: &'static str,
    /// Set where this instance has a way of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<u64>,
    broker: &'static str,
    /// The pattern of its subjects, or the template of its topics, with the class filled in.
    to: String,
    /// One of them.
    example: String,
}

/// One type of each class, for examples.
const TYPES: [(Class, &str); 5] = [
    (Class::Incoming, "incomingMessageReceived"),
    (Class::Outgoing, "outgoingMessageStatus"),
    (Class::State, "stateInstanceChanged"),
    (Class::Device, "deviceInfo"),
    (Class::Other, "notKnownYet"),
];

/// An instance for examples.
const INSTANCE: u64 = 1_101_000_001;

impl Plan {
    pub(super) fn new(config: &Config) -> Result<Self, ConfigError> {
        let mut places = config.places();
        let routes = Routes::new(&config.route, &places)?;
        // a broker that nothing goes to is nobody's concern
        places.retain(|place| routes.use_broker(place.broker));
        Ok(Self { routes, places })
    }

    /// Whether anything goes to this broker.
    pub(super) fn use_broker(&self, broker: Broker) -> bool {
        self.routes.use_broker(broker)
    }

    /// A line for each class and broker, and those of instances with ways of their own.
    pub(super) fn routes(&self) -> Vec<Route> {
        let instances = std::iter::once(None).chain(self.routes.instances().into_iter().map(Some));
        let each = instances.flat_map(|instance| TYPES.map(|(class, kind)| (instance, class, kind)));
        each.flat_map(|(instance, class, kind)| {
            let examples = self.example(instance.unwrap_or(INSTANCE), kind);
            self.routes.of(class, instance).into_iter().flatten().map(move |named| Route {
                class: class.as_str(),
                instance,
                broker: named.broker.as_str(),
                to: filled(named, class),
                example: examples[named.broker as usize].clone().unwrap_or_default(),
            })
        })
        .collect()
    }

    fn example(&self, instance: u64, kind: &str) -> [Option<String>; Broker::ALL.len()] {
        let body = format!(
            r#"{{"typeWebhook":"{kind}","instanceData":{{"idInstance":{instance},"typeInstance":"whatsapp"}},"messageData":{{"typeMessage":"textMessage"}}}}"#
        );
        let received =
            Received { body: body.into(), at: std::time::SystemTime::UNIX_EPOCH, trace: TraceContext::default() };
        let parsed = Notification::parse(&received.body).ok();
        parsed.map(|notification| self.routes.message_for(&notification, &received).to).unwrap_or_default()
    }

    /// Where dead letters go, at each broker.
    pub(super) fn dead_letters(&self) -> serde_json::Map<String, serde_json::Value> {
        let each = self.places.iter();
        each.map(|place| (place.broker.as_str().to_owned(), place.dead_letter.clone().into())).collect()
    }

    /// The subjects the stream must hold.
    #[cfg(feature = "nats")]
    pub(super) fn subjects(&self) -> Vec<String> {
        self.routes.patterns(Broker::Nats)
    }

    /// The topics whose names are known before a notification comes.
    #[cfg(feature = "kafka")]
    pub(super) fn topics(&self) -> Vec<String> {
        self.routes.known(Broker::Kafka)
    }

    /// The templates whose topics depend on what notifications hold.
    #[cfg(feature = "kafka")]
    pub(super) fn open_topics(&self) -> Vec<&str> {
        let templates = self.templates(Broker::Kafka).into_iter();
        templates.filter(|named| named.template.all().is_none()).map(|named| named.text.as_str()).collect()
    }

    pub(super) fn print(&self) {
        let routes = self.routes();
        let width = routes.iter().map(|route| route.to.len()).max().unwrap_or_default();
        for Route { class, instance, broker, to, example } in &routes {
            let of = instance.map(|instance| format!("{instance}: ")).unwrap_or_default();
            println!("{:<13} {broker:<5} {to:<width$}  such as {example}", format!("{of}{class}"));
        }
        if routes.is_empty() {
            println!("everything    kept in the journal; read it at /events of [admin]");
        }
        for place in &self.places {
            println!("{:<13} {:<5} {}", "dead letters", place.broker.as_str(), place.dead_letter);
        }
    }

    #[cfg(feature = "kafka")]
    fn templates(&self, broker: Broker) -> Vec<&Named> {
        self.routes.templates().into_iter().filter(|named| named.broker == broker).collect()
    }
}

fn filled(named: &Named, class: Class) -> String {
    match named.broker {
        Broker::Nats => named.template.pattern(class),
        Broker::Kafka => named.text.replace("{class}", class.as_str()),
    }
}

#[cfg(test)]
#[cfg(all(feature = "kafka", feature = "nats"))]
mod tests {
    use super::*;

    fn plan(toml: &str) -> Plan {
        Plan::new(&toml::from_str(toml).unwrap()).unwrap()
    }

    #[test]
    fn each_class_has_a_pattern_and_an_example_at_each_broker() {
        let plan = plan("kafka = {}\n[nats]\nsubject = \"g.{class}.{type}\"");
        let seen: Vec<_> = plan.routes().into_iter().map(|route| (route.broker, route.to, route.example)).collect();
        assert_eq!(seen[0], ("kafka", "greenapi.incoming".into(), "greenapi.incoming".into()));
        assert_eq!(seen[1], ("nats", "g.incoming.*".into(), "g.incoming.incomingMessageReceived".into()));
        assert_eq!(seen[9], ("nats", "g.other.*".into(), "g.other.notKnownYet".into()));
        assert_eq!(seen.len(), 2 * Class::ALL.len());
        let classes = ["incoming", "outgoing", "state", "device", "other"].map(|class| format!("g.{class}.*"));
        assert_eq!(plan.subjects()[..5], classes);
        assert_eq!(plan.subjects()[5..], ["greenapi.dead-letter"]);
        assert_eq!(plan.topics().len(), Class::ALL.len() + 1);
    }

    #[test]
    fn a_broker_of_one_class_needs_a_place_for_what_it_will_not_take() {
        let plan = plan("kafka = {}\nnats = {}\n[route]\nbrokers = [\"kafka\"]\nclasses.state.brokers = [\"nats\"]");
        assert_eq!(plan.subjects(), ["greenapi.state.*.*", "greenapi.dead-letter"]);
        let refused = plan.routes.dead_letter_for(
            &Notification::parse(b"{").unwrap_err(),
            &Received { body: "{".into(), at: std::time::UNIX_EPOCH, trace: TraceContext::default() },
        );
        assert_eq!(refused.to[Broker::Nats as usize], None, "a body that is no notification goes where most go");
    }

    #[test]
    fn topics_that_cannot_be_known_are_said() {
        let plan = plan("[kafka]\ntopic = \"g.{type}\"\n[route.instances.7]\ntopic = \"seven\"");
        assert_eq!(plan.open_topics(), ["g.{type}"]);
        assert_eq!(plan.topics(), ["seven", "greenapi.dead-letter"]);
        assert_eq!(plan.routes()[5].to, "seven");
    }
}
