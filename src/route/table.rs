//! Which templates hold for a notification: those of its instance, else of its class, else of all.

use std::collections::HashMap;

use thiserror::Error;

use super::config::{Config, Override};
use super::template::Template;
use crate::message::{Broker, Brokers};
use crate::notification::Class;

/// What a broker's own section says of where messages go.
#[derive(Debug, Clone)]
pub struct Place {
    /// The broker.
    pub broker: Broker,
    /// The key that holds the template, such as `nats.subject`.
    pub key: &'static str,
    /// The template of notifications.
    pub template: String,
    /// Where dead letters go.
    pub dead_letter: String,
}

/// A route that cannot be: which key, its value, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{key} = {value}: {problem}")]
pub struct RouteError {
    /// The key, with its section.
    pub key: String,
    /// Its value.
    pub value: String,
    /// What is wrong, and the remedy.
    pub problem: String,
}

/// A template and the key it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The broker it is for.
    pub broker: Broker,
    /// The key.
    pub key: String,
    /// As it was written.
    pub text: String,
    /// As it was understood.
    pub template: Template,
}

/// The template at each broker of a route.
pub(super) type Templates = [Option<Named>; Broker::ALL.len()];

/// The templates of every class, and of every class of an instance with routes of its own.
#[derive(Debug)]
pub(super) struct Table {
    classes: [Templates; Class::ALL.len()],
    instances: HashMap<u64, [Templates; Class::ALL.len()]>,
}

impl Table {
    pub(super) fn new(config: &Config, places: &[Place]) -> Result<Self, RouteError> {
        let all = Override { brokers: config.brokers.clone(), ..Override::default() };
        let unchanged = Override::default();
        let class_of = |class: &Class| config.classes.get(class).unwrap_or(&unchanged);
        let layers = |class: Class, instance: Option<(&str, &Override)>| {
            let class_key = format!("route.classes.{}", class.as_str());
            let layers = [("route".to_owned(), &all), (class_key, class_of(&class))];
            let instance = instance.map(|(id, own)| (format!("route.instances.{id}"), own));
            templates(layers.into_iter().chain(instance), places)
        };
        let every = |instance| {
            let mut all = <[Templates; Class::ALL.len()]>::default();
            for class in Class::ALL {
                all[class as usize] = layers(class, instance)?;
            }
            Ok(all)
        };
        let mut instances = HashMap::new();
        for (id, own) in &config.instances {
            // one instance has one way to be written
            let number =
                id.parse().ok().filter(|number: &u64| number.to_string() == *id).ok_or_else(|| RouteError {
                    key: format!("route.instances.{id}"),
                    value: id.clone(),
                    problem: "not an instance; give its number, such as 1101000001".into(),
                })?;
            instances.insert(number, every(Some((id, own)))?);
        }
        Ok(Self { classes: every(None)?, instances })
    }

    pub(super) fn of(&self, class: Class, instance: Option<u64>) -> &Templates {
        let own = instance.and_then(|instance| self.instances.get(&instance));
        &own.unwrap_or(&self.classes)[class as usize]
    }

    pub(super) fn instances(&self) -> Vec<u64> {
        let mut all: Vec<_> = self.instances.keys().copied().collect();
        all.sort_unstable();
        all
    }

    /// Every template there is, each once at each broker.
    pub(super) fn templates(&self) -> Vec<&Named> {
        let mut all: Vec<&Named> = Vec::new();
        let sets = std::iter::once(&self.classes).chain(self.instances.values()).flatten();
        for named in sets.flatten().flatten() {
            if !all.iter().any(|known| (known.broker, &known.text) == (named.broker, &named.text)) {
                all.push(named);
            }
        }
        all
    }
}

/// The templates that hold after all layers, the last one the strongest.
fn templates<'l>(
    layers: impl Iterator<Item = (String, &'l Override)>,
    places: &[Place],
) -> Result<Templates, RouteError> {
    let mut brokers: Brokers = places.iter().map(|place| place.broker).collect();
    let mut texts: Vec<(String, &str)> =
        places.iter().map(|place| (place.key.to_owned(), place.template.as_str())).collect();
    for (section, layer) in layers {
        if let Some(named) = &layer.brokers {
            brokers = checked(&section, named, places)?;
        }
        unused(&section, layer, places)?;
        for (place, text) in places.iter().zip(&mut texts) {
            if let (name, Some(own)) = layer.template(place.broker) {
                *text = (format!("{section}.{name}"), own);
            }
        }
    }
    let mut found = Templates::default();
    for (place, (key, text)) in places.iter().zip(texts).filter(|(place, _)| brokers.has(place.broker)) {
        let wrong = |problem: String| RouteError { key: key.clone(), value: text.into(), problem };
        let template = Template::parse(text).map_err(|error| wrong(error.to_string()))?;
        if template.can_render(&place.dead_letter) {
            let problem = format!("could send notifications to the dead letter {}; choose another", place.dead_letter);
            return Err(wrong(problem));
        }
        found[place.broker as usize] = Some(Named { broker: place.broker, key, text: text.into(), template });
    }
    Ok(found)
}

/// A template of a broker there is no section for would be passed over.
fn unused(section: &str, layer: &Override, places: &[Place]) -> Result<(), RouteError> {
    let missing = Broker::ALL.into_iter().filter(|broker| !places.iter().any(|place| place.broker == *broker));
    for (broker, template) in missing.map(|broker| (broker, layer.template(broker))) {
        if let (name, Some(text)) = template {
            let problem = format!("there is no section [{}]; add it, or remove this", broker.as_str());
            return Err(RouteError { key: format!("{section}.{name}"), value: text.into(), problem });
        }
    }
    Ok(())
}

fn checked(section: &str, named: &[Broker], places: &[Place]) -> Result<Brokers, RouteError> {
    let names: Vec<_> = named.iter().map(|broker| broker.as_str()).collect();
    let wrong =
        |problem: String| RouteError { key: format!("{section}.brokers"), value: format!("{names:?}"), problem };
    // for all of them none may be named: then what comes is kept in the journal
    if named.is_empty() && section != "route" {
        return Err(wrong("no broker: nothing could be stored; name one".into()));
    }
    if let Some(missing) = named.iter().find(|broker| !places.iter().any(|place| place.broker == **broker)) {
        return Err(wrong(format!("there is no section [{0}]; add it, or leave out \"{0}\"", missing.as_str())));
    }
    Ok(named.iter().copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Vec<Place> {
        let place = |broker, key, template: &str| Place {
            broker,
            key,
            template: template.into(),
            dead_letter: "greenapi.dead-letter".into(),
        };
        vec![
            place(Broker::Kafka, "kafka.topic", "greenapi.{class}"),
            place(Broker::Nats, "nats.subject", "greenapi.{class}.{instance}.{type}"),
        ]
    }

    fn rendered(config: &str, class: Class, instance: u64) -> [Option<String>; 2] {
        let table = Table::new(&toml::from_str(config).unwrap(), &places()).unwrap();
        let render = |named: &Named| named.template.render(|_| class.as_str().into());
        table.of(class, Some(instance)).each_ref().map(|named| named.as_ref().map(render))
    }

    #[test]
    fn the_closest_layer_wins_key_by_key() {
        let config = "classes.incoming.topic = \"in\"\nclasses.state.brokers = [\"nats\"]\n\
            instances.7.topic = \"seven.{class}\"\ninstances.8.brokers = [\"kafka\"]";
        let seen = |class, instance| rendered(config, class, instance).map(Option::unwrap_or_default);
        assert_eq!(seen(Class::Incoming, 1), ["in", "greenapi.incoming.incoming.incoming"]);
        assert_eq!(seen(Class::State, 1), ["", "greenapi.state.state.state"]);
        assert_eq!(seen(Class::Incoming, 7), ["seven.incoming", "greenapi.incoming.incoming.incoming"]);
        assert_eq!(seen(Class::State, 7), ["", "greenapi.state.state.state"]);
        assert_eq!(seen(Class::State, 8), ["greenapi.state", ""]);
    }

    #[test]
    fn faults_name_the_key_that_is_wrong() {
        let fault = |config: &str, places: &[Place]| {
            Table::new(&toml::from_str(config).unwrap(), places).unwrap_err().to_string()
        };
        for (config, begins) in [
            ("classes.state.brokers = []", "route.classes.state.brokers = []: no broker"),
            ("classes.state.topic = \"{x}\"", "route.classes.state.topic = {x}: unknown variable {x}"),
            ("instances.7.subject = \"greenapi.{type}\"", "route.instances.7.subject = greenapi.{type}: could send"),
            ("instances.x.topic = \"a\"", "route.instances.x = x: not an instance"),
        ] {
            assert!(fault(config, &places()).starts_with(begins), "{}", fault(config, &places()));
        }
        let missing = fault("instances.7.brokers = [\"kafka\"]", &places()[1..]);
        assert!(
            missing.starts_with("route.instances.7.brokers = [\"kafka\"]: there is no section [kafka]"),
            "{missing}"
        );
    }
}
