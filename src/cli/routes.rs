//! The routes of a configuration as a table: which destination each class has at each broker.

use serde::Serialize;

use crate::config::{Config, ConfigError};
use crate::message::{Broker, Destinations, TraceContext};
use crate::notification::{Class, Notification};
use crate::route::{BrokerTemplate, ConfiguredTemplate, Received, Routes};

/// The routes, and the brokers they use.
pub(super) struct Plan {
    routes: Routes,
    brokers: Vec<BrokerTemplate>,
}

/// The destination of one class at one broker.
#[derive(Debug, Serialize)]
pub(super) struct Route {
    class: &'static str,
    /// Set if this instance has routes of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<u64>,
    broker: &'static str,
    /// The pattern of its subjects, or the template of its topics, with the class filled in.
    to: String,
    /// One such subject or topic.
    example: String,
}

/// One type of each class, for the examples.
const EXAMPLE_TYPES: [(Class, &str); 5] = [
    (Class::Incoming, "incomingMessageReceived"),
    (Class::Outgoing, "outgoingMessageStatus"),
    (Class::State, "stateInstanceChanged"),
    (Class::Device, "deviceInfo"),
    (Class::Other, "notKnownYet"),
];

/// An instance for the examples.
const EXAMPLE_INSTANCE: u64 = 1_101_000_001;

impl Plan {
    pub(super) fn new(config: &Config) -> Result<Self, ConfigError> {
        let mut brokers = config.broker_templates();
        let routes = Routes::new(&config.route, &brokers)?;
        // a broker without a route needs no check
        brokers.retain(|template| routes.uses_broker(template.broker));
        Ok(Self { routes, brokers })
    }

    /// The routes by which the bridge renders messages.
    pub(super) fn table(&self) -> &Routes {
        &self.routes
    }

    /// Whether a route leads to this broker.
    pub(super) fn uses_broker(&self, broker: Broker) -> bool {
        self.routes.uses_broker(broker)
    }

    /// A route for each class and broker, also those of instances with routes of their own.
    pub(super) fn routes(&self) -> Vec<Route> {
        let instances = std::iter::once(None).chain(self.routes.instances().into_iter().map(Some));
        let each = instances.flat_map(|instance| EXAMPLE_TYPES.map(|(class, kind)| (instance, class, kind)));
        each.flat_map(|(instance, class, kind)| {
            let examples = self.example_destinations(instance.unwrap_or(EXAMPLE_INSTANCE), kind);
            let templates: Vec<_> = self.routes.of(class, instance).values().copied().flatten().collect();
            templates.into_iter().map(move |template| Route {
                class: class.as_str(),
                instance,
                broker: template.broker.as_str(),
                to: with_class(template, class),
                example: examples[template.broker].clone().unwrap_or_default(),
            })
        })
        .collect()
    }

    fn example_destinations(&self, instance: u64, kind: &str) -> Destinations {
        let body = format!(
            r#"{{"typeWebhook":"{kind}","instanceData":{{"idInstance":{instance},"typeInstance":"whatsapp"}},"messageData":{{"typeMessage":"textMessage"}}}}"#
        );
        let received =
            Received { body: body.into(), at: std::time::SystemTime::UNIX_EPOCH, trace: TraceContext::default() };
        let parsed = Notification::parse(&received.body).ok();
        parsed.map(|notification| self.routes.message_for(&notification, &received).to).unwrap_or_default()
    }

    /// The destination of dead letters at each broker.
    pub(super) fn dead_letters(&self) -> serde_json::Map<String, serde_json::Value> {
        let each = self.brokers.iter();
        each.map(|template| (template.broker.as_str().to_owned(), template.dead_letter.clone().into())).collect()
    }

    /// The subjects the stream must capture.
    pub(super) fn subjects(&self) -> Vec<String> {
        self.routes.patterns(Broker::Nats)
    }

    /// The topics whose names do not depend on notifications.
    pub(super) fn topics(&self) -> Vec<String> {
        self.routes.fixed_destinations(Broker::Kafka)
    }

    /// The templates whose topics depend on notifications.
    pub(super) fn dynamic_topics(&self) -> Vec<&str> {
        let templates = self.templates(Broker::Kafka).into_iter();
        templates.filter(|template| template.template.all().is_none()).map(|template| template.text.as_str()).collect()
    }

    pub(super) fn print(&self) {
        let routes = self.routes();
        let width = routes.iter().map(|route| route.to.len()).max().unwrap_or_default();
        for Route { class, instance, broker, to, example } in &routes {
            let of = instance.map(|instance| format!("{instance}: ")).unwrap_or_default();
            println!("{:<13} {broker:<5} {to:<width$}  such as {example}", format!("{of}{class}"));
        }
        if routes.is_empty() {
            println!("everything    is stored in the journal; read it at /events of [admin]");
        }
        for template in &self.brokers {
            println!("{:<13} {:<5} {}", "dead letters", template.broker.as_str(), template.dead_letter);
        }
    }

    fn templates(&self, broker: Broker) -> Vec<&ConfiguredTemplate> {
        self.routes.templates().into_iter().filter(|template| template.broker == broker).collect()
    }
}

/// The pattern of the subjects, or the template of the topics, of one class.
fn with_class(template: &ConfiguredTemplate, class: Class) -> String {
    match template.broker {
        Broker::Nats => template.template.pattern(class),
        Broker::Kafka => template.text.replace("{class}", class.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(toml: &str) -> Plan {
        Plan::new(&toml::from_str(toml).unwrap()).unwrap()
    }

    #[test]
    fn each_class_has_a_pattern_and_an_example_at_each_broker() {
        let plan = plan("kafka = {}\n[nats]\nsubject = \"g.{class}.{type}\"");
        let routes: Vec<_> = plan.routes().into_iter().map(|route| (route.broker, route.to, route.example)).collect();
        assert_eq!(routes[0], ("kafka", "greenapi.incoming".into(), "greenapi.incoming".into()));
        assert_eq!(routes[1], ("nats", "g.incoming.*".into(), "g.incoming.incomingMessageReceived".into()));
        assert_eq!(routes[9], ("nats", "g.other.*".into(), "g.other.notKnownYet".into()));
        assert_eq!(routes.len(), 2 * Class::ALL.len());
        let classes = ["incoming", "outgoing", "state", "device", "other"].map(|class| format!("g.{class}.*"));
        assert_eq!(plan.subjects()[..5], classes);
        assert_eq!(plan.subjects()[5..], ["greenapi.dead-letter"]);
        assert_eq!(plan.topics().len(), Class::ALL.len() + 1);
    }

    #[test]
    fn broker_of_one_class_needs_a_dead_letter_subject() {
        let plan = plan("kafka = {}\nnats = {}\n[route]\nbrokers = [\"kafka\"]\nclasses.state.brokers = [\"nats\"]");
        assert_eq!(plan.subjects(), ["greenapi.state.*.*", "greenapi.dead-letter"]);
        let refused = plan.routes.dead_letter_for(
            &Notification::parse(b"{").unwrap_err(),
            &Received { body: "{".into(), at: std::time::UNIX_EPOCH, trace: TraceContext::default() },
        );
        assert_eq!(
            refused.to[Broker::Nats],
            None,
            "a body that is not a notification goes to the broker of most classes"
        );
    }

    #[test]
    fn topics_that_depend_on_notifications_are_listed() {
        let plan = plan("[kafka]\ntopic = \"g.{type}\"\n[route.instances.7]\ntopic = \"seven\"");
        assert_eq!(plan.dynamic_topics(), ["g.{type}"]);
        assert_eq!(plan.topics(), ["seven", "greenapi.dead-letter"]);
        assert_eq!(plan.routes()[5].to, "seven");
    }
}
