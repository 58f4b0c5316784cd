//! `[validation] mode = "strict"`, and the schemas that it uses.

use std::io::Write;

use serde_json::{Value, json};

use crate::dead_letter::{id, listed, live, run, said};
use crate::harness::{Bridge, Nats, body, command};

const STRICT: &str = "[validation]\nmode = \"strict\"\n";

fn message(chat: Value) -> Vec<u8> {
    let message = json!({
        "typeWebhook": "incomingMessageReceived", "instanceData": {"idInstance": 7}, "timestamp": 1_767_225_600,
        "idMessage": "A1", "senderData": {"chatId": chat, "notKnownYet": [null]},
        "messageData": {"typeMessage": "textMessage", "textMessageData": {"textMessage": "a secret"}}
    });
    serde_json::to_vec(&message).unwrap()
}

#[test]
fn strict_validation_sends_a_broken_field_to_the_dead_letter_with_its_pointer() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, STRICT);
    let (sound, broken) = (message(json!("79990000001@c.us")), message(json!(79_990_000_002_u64)));
    let unknown = br#"{"typeWebhook":"notKnownYet","instanceData":{"idInstance":7},"senderData":5}"#.to_vec();
    for body in [&sound, &unknown] {
        assert_eq!(bridge.post(body), (200, "{\"stored\":\"broker\"}".into()));
    }
    assert_eq!(bridge.post(&broken), (200, "{\"stored\":\"dead_letter\"}".into()));
    assert_eq!(live(&nats).iter().map(body).collect::<Vec<_>>(), [sound, unknown]);
    let config = bridge.config.path();
    let dead = listed("", config).remove(0);
    assert_eq!(
        (&dead["reason"], &dead["detail"]),
        (&"schema".into(), &"/senderData/chatId is an integer, a string is needed".into())
    );
    assert_eq!((&dead["instance"], &dead["type"]), (&7.into(), &"incomingMessageReceived".into()));
    assert_eq!(command(&format!("dead-letter show {}", id(&broken)), config).stdout, broken);
    assert!(!bridge.log().contains("secret") && !bridge.log().contains("79990000002"));

    let checked = String::from_utf8(command("check --offline", config).stdout).unwrap();
    assert!(checked.contains("validation") && checked.contains("strict"), "{checked}");
    let (code, told) = run("replay --all", config);
    assert!(code == Some(1) && told.contains("still not a notification: /senderData/chatId is"), "{told}");
    let mut tolerant = tempfile::NamedTempFile::new().unwrap();
    tolerant.write_all(std::fs::read_to_string(config).unwrap().replace(STRICT, "").as_bytes()).unwrap();
    assert_eq!(run("replay --all", tolerant.path()).0, Some(0));
    assert_eq!(body(&live(&nats)[2]), broken);
}

#[test]
fn schema_prints_all_or_one_or_the_names() {
    let nowhere = std::path::Path::new("/does/not/exist.toml");
    let printed = |words: &str| {
        let output = command(words, nowhere);
        assert!(output.status.success(), "{words}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let whole: Value = serde_json::from_str(&printed("schema")).unwrap();
    let names = printed("schema --list");
    assert!(names.lines().count() > 35, "{names}");
    for name in names.lines() {
        let one: Value = serde_json::from_str(&printed(&format!("schema {name}"))).unwrap();
        assert_eq!(one["title"], whole["definitions"][name]["title"]);
        assert_eq!(one["$schema"], whole["$schema"]);
    }
    let unknown = command("schema incomingCal", nowhere);
    assert_eq!((unknown.status.code(), unknown.stdout.len()), (Some(2), 0));
    assert!(said(&unknown).contains("the nearest known one is `incomingCall`"), "{}", said(&unknown));
}
