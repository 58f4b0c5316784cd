//! Where things go, as people read it.

use serde::Serialize;

use crate::brokers::nats;
use crate::config::Config;
use crate::message::TraceContext;
use crate::notification::{Class, Notification};
use crate::route::{Received, Routes, Template};

/// Where one class goes.
#[derive(Debug, Serialize)]
pub(super) struct Route {
    class: &'static str,
    /// The pattern of its subjects.
    pub(super) subject: String,
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

/// A line for each class.
pub(super) fn table(config: &Config, nats: &nats::Config) -> Vec<Route> {
    let parsed = |text: &str| Template::parse(text).ok();
    let line = |(class, kind): (Class, &str)| {
        let class = class.as_str();
        let subject = parsed(&nats.subject.replace("{class}", class))?.pattern();
        let routes = Routes::new(&config.route, parsed(&nats.subject)?, nats.dead_letter_subject.clone());
        let example = example(&routes, kind)?;
        Some(Route { class, subject, example })
    };
    // a template that is none was refused when the configuration was loaded
    TYPES.into_iter().filter_map(line).collect()
}

fn example(routes: &Routes, kind: &str) -> Option<String> {
    let body = format!(
        r#"{{"typeWebhook":"{kind}","instanceData":{{"idInstance":1101000001,"typeInstance":"whatsapp"}},"messageData":{{"typeMessage":"textMessage"}}}}"#
    );
    let received =
        Received { body: body.into(), at: std::time::SystemTime::UNIX_EPOCH, trace: TraceContext::default() };
    Some(routes.message_for(&Notification::parse(&received.body).ok()?, &received).destination)
}

/// The patterns the stream must hold: all classes in one, and the dead letter.
pub(super) fn patterns(nats: &nats::Config) -> Vec<String> {
    let pattern = Template::parse(&nats.subject).map(|template| template.pattern()).unwrap_or_default();
    vec![pattern, nats.dead_letter_subject.clone()]
}

pub(super) fn print(routes: &[Route], nats: &nats::Config) {
    let width = routes.iter().map(|route| route.subject.len()).max().unwrap_or_default();
    for Route { class, subject, example } in routes {
        println!("{class:<13} {subject:<width$}  such as {example}");
    }
    println!("{:<13} {}", "dead letters", nats.dead_letter_subject);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_a_pattern_and_an_example() {
        let config: Config = toml::from_str("[nats]\nsubject = \"g.{class}.{type}\"").unwrap();
        let routes = table(&config, config.nats.as_ref().unwrap());
        let seen: Vec<_> = routes.iter().map(|route| (route.subject.as_str(), route.example.as_str())).collect();
        assert_eq!(seen[0], ("g.incoming.*", "g.incoming.incomingMessageReceived"));
        assert_eq!(seen[4], ("g.other.*", "g.other.notKnownYet"));
        assert_eq!(routes.len(), Class::ALL.len());
    }
}
