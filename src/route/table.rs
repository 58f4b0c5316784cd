//! Which templates apply to a notification: those of its instance, else of its class, else the general ones.

use std::collections::HashMap;

use thiserror::Error;

use super::config::{Config, Override};
use super::template::Template;
use crate::message::{Broker, Brokers, PerBroker};
use crate::notification::Class;

/// A broker's own section: the template and the dead letter destination.
#[derive(Debug, Clone)]
pub struct BrokerTemplate {
    /// The broker.
    pub broker: Broker,
    /// The key that holds the template, such as `nats.subject`.
    pub key: &'static str,
    /// The template of notifications.
    pub template: String,
    /// Where dead letters go.
    pub dead_letter: String,
}

/// An invalid route: which key, its value, and what to do.
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
pub struct ConfiguredTemplate {
    /// The broker it is for.
    pub broker: Broker,
    /// The key.
    pub key: String,
    /// The text in the configuration.
    pub text: String,
    /// The parsed template.
    pub template: Template,
}

/// The template at each broker of a route.
pub(super) type Templates = PerBroker<Option<ConfiguredTemplate>>;

/// The templates of every class.
type ByClass = [Templates; Class::ALL.len()];

/// The templates of every class, and those of each instance that has routes of its own.
#[derive(Debug)]
pub(super) struct Table {
    classes: ByClass,
    instances: HashMap<u64, ByClass>,
}

impl Table {
    pub(super) fn new(config: &Config, sections: &[BrokerTemplate]) -> Result<Self, RouteError> {
        let all = Override { brokers: config.brokers.clone(), ..Override::default() };
        let unchanged = Override::default();
        let class_layer = |class: &Class| config.classes.get(class).unwrap_or(&unchanged);
        let of_class = |class: Class, instance: Option<(&str, &Override)>| {
            let class_key = format!("route.classes.{}", class.as_str());
            let layers = [("route".to_owned(), &all), (class_key, class_layer(&class))];
            let instance = instance.map(|(id, own)| (format!("route.instances.{id}"), own));
            templates(layers.into_iter().chain(instance), sections)
        };
        let by_class = |instance| {
            let mut all = ByClass::default();
            for class in Class::ALL {
                all[class as usize] = of_class(class, instance)?;
            }
            Ok(all)
        };
        let mut instances = HashMap::new();
        for (id, own) in &config.instances {
            // an instance is written in one form only, so no two keys mean the same
            let number =
                id.parse().ok().filter(|number: &u64| number.to_string() == *id).ok_or_else(|| RouteError {
                    key: format!("route.instances.{id}"),
                    value: id.clone(),
                    problem: "not an instance; give its number, such as 1101000001".into(),
                })?;
            instances.insert(number, by_class(Some((id, own)))?);
        }
        Ok(Self { classes: by_class(None)?, instances })
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

    /// Every template, each once at each broker.
    pub(super) fn templates(&self) -> Vec<&ConfiguredTemplate> {
        let mut all: Vec<&ConfiguredTemplate> = Vec::new();
        let by_class = std::iter::once(&self.classes).chain(self.instances.values()).flatten();
        for one in by_class.flat_map(PerBroker::values).flatten() {
            if !all.iter().any(|known| (known.broker, &known.text) == (one.broker, &one.text)) {
                all.push(one);
            }
        }
        all
    }
}

/// The templates that apply after all layers, each a key and what it overrides; a later layer overrides an earlier one.
fn templates<'l>(
    layers: impl Iterator<Item = (String, &'l Override)>,
    sections: &[BrokerTemplate],
) -> Result<Templates, RouteError> {
    let mut brokers: Brokers = sections.iter().map(|section| section.broker).collect();
    let mut texts: Vec<(String, &str)> =
        sections.iter().map(|section| (section.key.to_owned(), section.template.as_str())).collect();
    for (key, layer) in layers {
        if let Some(named) = &layer.brokers {
            brokers = check_brokers(&key, named, sections)?;
        }
        check_templates(&key, layer, sections)?;
        for (section, text) in sections.iter().zip(&mut texts) {
            if let (name, Some(own)) = layer.template(section.broker) {
                *text = (format!("{key}.{name}"), own);
            }
        }
    }
    let mut found = Templates::default();
    for (section, (key, text)) in sections.iter().zip(texts).filter(|(section, _)| brokers.has(section.broker)) {
        let wrong = |problem: String| RouteError { key: key.clone(), value: text.into(), problem };
        let template = Template::parse(text).map_err(|error| wrong(error.to_string()))?;
        if template.can_render(&section.dead_letter) {
            let dead_letter = &section.dead_letter;
            return Err(wrong(format!("could send notifications to the dead letter {dead_letter}; choose another")));
        }
        found[section.broker] = Some(ConfiguredTemplate { broker: section.broker, key, text: text.into(), template });
    }
    Ok(found)
}

/// A template for a broker without a section would have no effect.
fn check_templates(key: &str, layer: &Override, sections: &[BrokerTemplate]) -> Result<(), RouteError> {
    let missing = Broker::ALL.into_iter().filter(|broker| !sections.iter().any(|section| section.broker == *broker));
    for (broker, template) in missing.map(|broker| (broker, layer.template(broker))) {
        if let (name, Some(text)) = template {
            let problem = format!("there is no section [{}]; add it, or remove this", broker.as_str());
            return Err(RouteError { key: format!("{key}.{name}"), value: text.into(), problem });
        }
    }
    Ok(())
}

fn check_brokers(key: &str, named: &[Broker], sections: &[BrokerTemplate]) -> Result<Brokers, RouteError> {
    let names: Vec<_> = named.iter().map(|broker| broker.as_str()).collect();
    let wrong = |problem: String| RouteError { key: format!("{key}.brokers"), value: format!("{names:?}"), problem };
    // only [route] may name no broker: then the journal alone stores notifications
    if named.is_empty() && key != "route" {
        return Err(wrong("no broker: nothing could be stored; name one".into()));
    }
    if let Some(missing) = named.iter().find(|broker| !sections.iter().any(|section| section.broker == **broker)) {
        return Err(wrong(format!("there is no section [{0}]; add it, or leave out \"{0}\"", missing.as_str())));
    }
    Ok(named.iter().copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections() -> Vec<BrokerTemplate> {
        let section = |broker, key, template: &str| BrokerTemplate {
            broker,
            key,
            template: template.into(),
            dead_letter: "greenapi.dead-letter".into(),
        };
        vec![
            section(Broker::Kafka, "kafka.topic", "greenapi.{class}"),
            section(Broker::Nats, "nats.subject", "greenapi.{class}.{instance}.{type}"),
        ]
    }

    fn rendered(config: &str, class: Class, instance: u64) -> PerBroker<Option<String>> {
        let table = Table::new(&toml::from_str(config).unwrap(), &sections()).unwrap();
        let render = |configured: &ConfiguredTemplate| configured.template.render(|_| class.as_str().into());
        table.of(class, Some(instance)).each_ref().map(|found| found.as_ref().map(render))
    }

    #[test]
    fn the_last_layer_overrides_key_by_key() {
        let config = "classes.incoming.topic = \"in\"\nclasses.state.brokers = [\"nats\"]\n\
            instances.7.topic = \"seven.{class}\"\ninstances.8.brokers = [\"kafka\"]";
        let templates = |class, instance| {
            let all = rendered(config, class, instance).map(Option::unwrap_or_default);
            Broker::ALL.map(|broker| all[broker].clone())
        };
        assert_eq!(templates(Class::Incoming, 1), ["in", "greenapi.incoming.incoming.incoming"]);
        assert_eq!(templates(Class::State, 1), ["", "greenapi.state.state.state"]);
        assert_eq!(templates(Class::Incoming, 7), ["seven.incoming", "greenapi.incoming.incoming.incoming"]);
        assert_eq!(templates(Class::State, 7), ["", "greenapi.state.state.state"]);
        assert_eq!(templates(Class::State, 8), ["greenapi.state", ""]);
    }

    #[test]
    fn errors_name_the_wrong_key() {
        let error = |config: &str, sections: &[BrokerTemplate]| {
            Table::new(&toml::from_str(config).unwrap(), sections).unwrap_err().to_string()
        };
        for (config, begins) in [
            ("classes.state.brokers = []", "route.classes.state.brokers = []: no broker"),
            ("classes.state.topic = \"{x}\"", "route.classes.state.topic = {x}: unknown variable {x}"),
            ("instances.7.subject = \"greenapi.{type}\"", "route.instances.7.subject = greenapi.{type}: could send"),
            ("instances.x.topic = \"a\"", "route.instances.x = x: not an instance"),
        ] {
            assert!(error(config, &sections()).starts_with(begins), "{}", error(config, &sections()));
        }
        let missing = error("instances.7.brokers = [\"kafka\"]", &sections()[1..]);
        assert!(
            missing.starts_with("route.instances.7.brokers = [\"kafka\"]: there is no section [kafka]"),
            "{missing}"
        );
    }
}
