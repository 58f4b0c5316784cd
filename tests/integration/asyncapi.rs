//! What `asyncapi` prints is what consumers receive: addresses, keys and headers of real messages.

use serde_json::Value;

use crate::harness::{Bridge, Kafka, Nats, command, nats_servers, text};

const STATE: &[u8] =
    br#"{"typeWebhook":"stateInstanceChanged","instanceData":{"idInstance":7},"timestamp":1767225600,"stateInstance":"authorized"}"#;
const TRACE: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\ntracestate: vendor=1\r\n";

/// Posts a notification of two types, one with a trace, and a body that is none; returns the document.
fn publish(bridge: &Bridge) -> Value {
    for (headers, body) in [("", &*text(1)), (TRACE, STATE), ("", b"{")] {
        assert_eq!(bridge.post_with(headers, body).0, 200);
    }
    let said = command("asyncapi", bridge.config.path());
    assert_eq!(said.status.code(), Some(0));
    serde_json::from_slice(&said.stdout).unwrap()
}

/// Whether an address with parameters is that of a destination.
fn matches(address: &str, destination: &str) -> bool {
    let (address, destination): (Vec<_>, Vec<_>) = (address.split('.').collect(), destination.split('.').collect());
    let same = |(of, to): (&&str, &&str)| of == to || of.starts_with('{') && of.ends_with('}');
    address.len() == destination.len() && address.iter().zip(&destination).all(same)
}

/// The message in the channel of this destination, by the type that its headers name.
fn described<'d>(document: &'d Value, broker: &str, destination: &str, kind: &str) -> &'d Value {
    let channels = document["channels"].as_object().unwrap().iter();
    let mut of_broker = channels
        .filter(|(id, channel)| id.starts_with(broker) && matches(channel["address"].as_str().unwrap(), destination));
    let (_, channel) = of_broker.next().unwrap_or_else(|| panic!("no channel of {broker} for {destination}"));
    let kind = kind.strip_prefix("com.green-api.").unwrap();
    let name =
        if destination.rsplit('.').next().is_some_and(|last| last.starts_with("dead")) { "deadLetter" } else { kind };
    resolve(document, &channel["messages"][name])
}

fn resolve<'d>(document: &'d Value, reference: &Value) -> &'d Value {
    document.pointer(reference["$ref"].as_str().unwrap().strip_prefix('#').unwrap()).unwrap()
}

/// Every header is described, and every required one is there.
fn assert_described(document: &Value, message: &Value, headers: &Value) {
    let described = resolve(document, &message["headers"]);
    for name in headers.as_object().unwrap().keys() {
        assert!(described["properties"][name].is_object(), "{name} is not described: {headers}");
    }
    for required in described["required"].as_array().unwrap() {
        assert!(headers[required.as_str().unwrap()].is_string(), "{required} is missing: {headers}");
    }
}

#[test]
fn the_document_describes_what_consumers_receive() {
    let (nats, kafka) = (Nats::start(), Kafka::shared());
    let bridge = Bridge::with(&format!("{}{}", nats_servers(&[nats.port]), kafka.config("described")), true).ready();
    let document = publish(&bridge);
    let on_nats = nats.read();
    let topics = ["described.incoming", "described.state", "described.dead"];
    let on_kafka = kafka.read(&topics);
    assert_eq!((on_nats.len(), on_kafka.len()), (3, 3));
    for message in &on_nats {
        let (headers, subject) = (&message["headers"], message["subject"].as_str().unwrap());
        let described = described(&document, "nats", subject, headers["ce-type"].as_str().unwrap());
        assert_described(&document, described, headers);
    }
    for message in &on_kafka {
        let (headers, topic) = (&message["headers"], message["topic"].as_str().unwrap());
        let described = described(&document, "kafka", topic, headers["ce_type"].as_str().unwrap());
        assert_described(&document, described, headers);
        // a body that is no notification has none
        assert!(message["key"].is_null() || described["bindings"]["kafka"]["key"]["type"] == "string");
    }
}
