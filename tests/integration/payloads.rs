//! Every body under `tests/payloads`, and under the folder `BRIDGE_TEST_PAYLOADS` names, against an oracle in
//! another language that was written from the contract alone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use bytes::Bytes;
use greenapi_bridge::message::{Broker, Message, TraceContext};
use greenapi_bridge::notification::Notification;
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
