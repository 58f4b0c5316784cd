use std::time::SystemTime;

use bytes::Bytes;

use super::*;
use crate::message::{DeadLetter, Destinations, Event, Id, Message, Reason};

fn documented(toml: &str) -> Option<Value> {
    let config: Config = toml::from_str(toml).unwrap();
    let routes = Routes::new(&config.route, &config.broker_templates()).unwrap();
    document(&config, &routes)
}

fn of(toml: &str) -> Value {
    documented(toml).unwrap()
}

/// Every `$ref` at any depth.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    for toml in ["nats = {}\nkafka = {}", "nats = {}\n[route]\nformat = \"structured\"\ntypes.newThing = \"incoming\""]
    {
        let document = of(toml);
        let mut all = Vec::new();
        references(&document, &mut all);
        assert!(all.len() > 100, "{}", all.len());
        for reference in all {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}

#[test]
fn a_channel_has_the_address_the_key_and_the_messages_of_its_route() {
    let document = of("nats = {}\n[kafka]\nbootstrap_servers = [\"a:1\", \"b:2\"]\n");
    let channels = document["channels"].as_object().unwrap();
    assert_eq!(channels.len(), 12, "five classes and the dead letters, at two brokers");
    let kafka = &channels["kafka-state"];
    assert_eq!(
        (&kafka["address"], &kafka["bindings"]["kafka"]["topic"]),
        (&json!("greenapi.state"), &json!("greenapi.state"))
    );
    assert_eq!(kafka["servers"], json!([{"$ref": "#/servers/kafka-1"}, {"$ref": "#/servers/kafka-2"}]));
    let messages: Vec<_> = kafka["messages"].as_object().unwrap().keys().collect();
    assert_eq!(messages, ["quotaExceeded", "stateInstanceChanged", "statusInstanceChanged"]);
    let message = &document["components"]["messages"]["kafka-stateInstanceChanged"];
    assert_eq!(message["payload"]["$ref"], "#/components/schemas/stateInstanceChanged");
    assert_eq!(message["bindings"]["kafka"]["key"]["examples"], json!(["1101000001"]));
    let nats = &channels["nats-other"];
    assert_eq!(
        (&nats["address"], &nats["x-jetstream-stream"]),
        (&json!("greenapi.other.{instance}.{type}"), &json!("GREENAPI"))
    );
    assert_eq!(nats["parameters"].as_object().unwrap().keys().collect::<Vec<_>>(), ["instance", "type"]);
    let unknown = &document["components"]["messages"]["nats-unknownType"];
    assert_eq!(unknown["payload"]["$ref"], "#/components/schemas/notification");
    assert!(channels["nats-dead-letter"]["messages"]["deadLetter"].is_object());
    assert_eq!(document["operations"]["publish-nats-other"]["action"], "send");
    assert_eq!(
        document["operations"]["publish-kafka-other"]["bindings"]["kafka"]["clientId"]["const"],
        "greenapi-bridge"
    );
    assert_eq!(nats["title"], "notifications of class other to NATS");
    assert_eq!(channels["kafka-dead-letter"]["title"], "dead letters to Kafka");
}

#[test]
fn the_example_of_a_message_is_of_its_own_type() {
    let document = of("nats = {}\n[route]\ntypes.newThing = \"incoming\"");
    let mut seen = 0;
    for (id, message) in document["components"]["messages"].as_object().unwrap() {
        let name = id.strip_prefix("nats-").unwrap();
        let Some(payload) = message["examples"][0].get("payload") else { continue };
        assert_eq!(payload["typeWebhook"], if name == "unknownType" { "notKnownYet" } else { name });
        seen += 1;
    }
    assert_eq!(seen, 14, "the types, an added one, and the unknown ones");
    let summary = |name: &str| document["components"]["messages"][name]["summary"].as_str().unwrap();
    assert!(summary("nats-newThing").contains("`[route.types]`"));
    assert!(summary("nats-unknownType").contains("this version does not know"));
}

/// The required headers of a schema that a message lacks, and the headers of the message that it does not describe.
fn differences(schema: &Value, message: &Message) -> (Vec<String>, Vec<String>) {
    let attributes = message.attributes().map(|(attribute, _)| format!("ce_{}", attribute.as_str()));
    let sent: Vec<_> = attributes.chain(message.headers().map(|(name, _)| name.to_owned())).collect();
    let required = schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
    let lacking = required.filter(|name| !sent.contains(name)).collect();
    (lacking, sent.iter().filter(|name| !schema["properties"][name.as_str()].is_object()).cloned().collect())
}

#[test]
fn dead_letters_and_replay_markers_have_the_headers_that_are_required_of_them() {
    let document = of("kafka = {}");
    let schemas = &document["components"]["schemas"];
    let to = || Destinations::only(Broker::Kafka, "dead".into());
    let (unknown, nothing) = (Event::unparsed(Id::from(7), SystemTime::UNIX_EPOCH), (Vec::new(), Vec::new()));
    let known = Event {
        instance: Some(7),
        kind: Some("newThing".into()),
        class: Some("other".into()),
        time: Some(1_763_972_458),
        partition_key: Some("7".into()),
        ..unknown.clone()
    };
    for event in [unknown.clone(), known] {
        let dead = DeadLetter::new(Reason::NotJson, "x".into());
        let dead_letter = Message::dead_letter(to(), event, Bytes::from_static(b"{"), dead);
        assert_eq!(differences(&schemas["kafkaDeadLetterHeaders"], &dead_letter), nothing);
    }
    let known_type =
        Event { instance: Some(7), kind: Some("x".into()), partition_key: Some("7".into()), ..unknown.clone() };
    for event in [unknown.clone(), known_type] {
        let marker = Message::replay_marker(to(), event, 0);
        assert_eq!(differences(&schemas["kafkaReplayMarkerHeaders"], &marker), nothing);
        let (lacking, _) = differences(&schemas["kafkaDeadLetterHeaders"], &marker);
        assert_eq!(lacking, ["bridge-reason", "bridge-detail"]);
    }
    let messages = document["channels"]["kafka-dead-letter"]["messages"].as_object().unwrap();
    assert_eq!(messages.keys().collect::<Vec<_>>(), ["deadLetter", "replayMarker"]);
    assert_eq!(document["components"]["messages"]["kafka-replayMarker"]["payload"]["maxLength"], 0);
}

#[test]
fn classes_and_instances_that_share_an_address_share_a_channel() {
    let document = of(
        "nats = {}\n[kafka]\ntopic = \"all\"\n[route]\ninstances.7.brokers = [\"nats\"]\ninstances.7.subject = \"seven.{class}\"",
    );
    let all = &document["channels"]["kafka-incoming-outgoing-state-device-other"];
    assert_eq!((&all["address"], all["messages"].as_object().unwrap().len()), (&json!("all"), 13));
    assert_eq!(document["channels"]["nats-state-7"]["address"], "seven.state");
}

#[test]
fn a_configuration_shows_in_keys_formats_and_types() {
    let document = of("kafka = {}\n[route]\nkey = \"none\"\nformat = \"structured\"\ntypes.newThing = \"incoming\"");
    let message = &document["components"]["messages"]["kafka-newThing"];
    assert_eq!((&message["contentType"], &message["bindings"]), (&json!("application/cloudevents+json"), &Value::Null));
    assert_eq!(message["payload"]["allOf"][1]["properties"]["data"]["$ref"], "#/components/schemas/notification");
    let headers = document["components"]["schemas"]["kafkaHeaders"]["properties"].as_object().unwrap();
    assert!(!headers.contains_key("ce_id"), "the envelope has it");
    let envelope = document["components"]["schemas"]["cloudEvent"]["required"].as_array().unwrap();
    for name in ["id", "datacontenttype", "data"] {
        assert!(envelope.contains(&name.into()), "{name}");
    }
    let named = of("kafka.properties.\"client.id\" = \"shop\"");
    assert_eq!(named["operations"]["publish-kafka-state"]["bindings"]["kafka"]["clientId"]["const"], "shop");
    assert_eq!(documented(""), None);
}

#[test]
fn no_secret_of_an_address_is_shown() {
    let document = of("[nats]\nservers = [\"nats://user:hunter2@broker:4222\"]");
    assert_eq!(document["servers"]["nats"]["host"], "broker:4222");
    assert!(!document.to_string().contains("hunter2"));
    let kafka = of("[kafka]\nbootstrap_servers = [\"PLAINTEXT://a:1, b:2\"]");
    let hosts: Vec<_> = kafka["servers"].as_object().unwrap().values().map(|server| server["host"].clone()).collect();
    assert_eq!(hosts, ["a:1", "b:2"]);
    let secure = of("[kafka]\nproperties = { \"security.protocol\" = \"sasl_ssl\" }");
    assert_eq!(secure["servers"]["kafka"]["protocol"], "kafka-secure");
}
