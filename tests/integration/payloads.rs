//! Every body under `tests/payloads`, and under the folder `BRIDGE_TEST_PAYLOADS` names, against an oracle in
//! another language that was written from the contract alone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use bytes::Bytes;
use greenapi_bridge::message::{Broker, Message, TraceContext};
use greenapi_bridge::notification::{Notification, Validation};
use greenapi_bridge::route::{BrokerTemplate, Config, Received, Routes};
use serde_json::Value;

fn folders() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads");
    let others = std::env::var_os("BRIDGE_TEST_PAYLOADS").map(PathBuf::from);
    [Some(own), others].into_iter().flatten().collect()
}

pub fn bodies() -> Vec<PathBuf> {
    let kinds = folders().into_iter().flat_map(|folder| ["valid", "invalid"].map(|kind| folder.join(kind)));
    let files = kinds.flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    files.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect()
}

pub fn expected(files: &[PathBuf]) -> Vec<Value> {
    let python = std::env::var("BRIDGE_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let oracle = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers/expected.py");
    let answer = Command::new(python).arg(oracle).args(files).output().unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let lines = String::from_utf8(answer.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn routed(body: Vec<u8>) -> Message {
    let place = BrokerTemplate {
        broker: Broker::Nats,
        key: "nats.subject",
        template: "greenapi.{class}.{instance}.{type}".into(),
        dead_letter: "greenapi.dead-letter".into(),
    };
    let routes = Routes::new(&Config::default(), &[place]).unwrap();
    let received = Received { body: Bytes::from(body), at: SystemTime::now(), trace: TraceContext::default() };
    match Notification::parse(&received.body) {
        Ok(notification) => routes.message_for(&notification, &received),
        Err(refused) => routes.dead_letter_for(&refused, &received),
    }
}

#[test]
fn every_body_is_routed_as_the_contract_says() {
    let files = bodies();
    assert!(files.len() > 250, "only {} bodies found", files.len());
    for (file, expected) in files.iter().zip(expected(&files)) {
        let message = routed(std::fs::read(file).unwrap());
        let reason = message.as_dead_letter().map(|dead| dead.reason.as_str());
        assert_eq!(reason, expected["reason"].as_str(), "{}", file.display());
        assert_eq!(Some(message.destination(Broker::Nats)), expected["subject"].as_str(), "{}", file.display());
        let headers = expected["headers"].as_object().unwrap();
        assert_eq!(Some(message.dedupe_id().as_str()), headers["Nats-Msg-Id"].as_str(), "{}", file.display());
        let mut seen = 0;
        let attributes = message.event.attributes().map(|(attribute, value)| (attribute.as_str(), value));
        for (name, value) in attributes.filter(|(name, _)| *name != "recordedtime") {
            assert_eq!(headers[&format!("ce-{name}")].as_str(), Some(value.as_ref()), "{name} {}", file.display());
            seen += 1;
        }
        let named = headers.keys().filter(|name| name.starts_with("ce-") && *name != "ce-datacontenttype").count();
        assert_eq!(seen, named, "{}", file.display());
        assert_eq!(headers["content-type"].as_str(), Some(message.event.content_type()), "{}", file.display());
    }
}

/// The bodies under `valid` that break a rule of GREEN-API's documentation, with the first such field. A bridge must take them,
/// unless it validates strictly.
const BREAK_A_RULE: [(&str, &str); 12] = [
    ("incomingMessageReceived__textMessage__null-fields", "/idMessage"),
    ("incomingMessageReceived__textMessage__null-messagedata", "/messageData"),
    ("incomingMessageReceived__textMessage__timestamp-absent", "/timestamp"),
    ("incomingMessageReceived__textMessage__timestamp-boolean", "/timestamp"),
    ("incomingMessageReceived__textMessage__timestamp-float", "/timestamp"),
    ("incomingMessageReceived__textMessage__timestamp-null", "/timestamp"),
    ("incomingMessageReceived__textMessage__timestamp-object", "/timestamp"),
    ("incomingMessageReceived__textMessage__timestamp-string", "/timestamp"),
    ("incomingMessageReceived__textMessage__timestamp-twice-last-no-integer", "/timestamp"),
    ("incomingMessageReceived__textMessage__without-messagedata", "/messageData"),
    ("incomingMessageReceived__textMessage__without-senderdata", "/senderData"),
    ("stateInstanceChanged__none__minimal", "/timestamp"),
];

#[test]
fn strict_validation_accepts_what_is_published_and_refuses_what_breaks_a_rule() {
    let strict = Validation::new(&toml::from_str("mode = \"strict\"").unwrap()).unwrap();
    for file in bodies() {
        let body = std::fs::read(&file).unwrap();
        let refused = strict.parse(&body).err().map(|error| error.to_string());
        let name = file.file_stem().unwrap().to_str().unwrap();
        let rule = BREAK_A_RULE.iter().find(|(broken, _)| *broken == name).map(|(_, pointer)| *pointer);
        match (Notification::parse(&body), rule) {
            (Err(error), _) => assert_eq!(refused, Some(error.to_string()), "{name}"),
            (Ok(_), None) => assert_eq!(refused, None, "{name}"),
            (Ok(_), Some(pointer)) => {
                assert_eq!(refused.as_deref().and_then(|text| text.split(' ').next()), Some(pointer), "{name}");
            }
        }
    }
}
