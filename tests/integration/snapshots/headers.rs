//! What a consumer receives: destination, key, headers and value, on NATS and on Kafka.

use serde_json::Value;

use crate::harness::{Bridge, assert_snapshot, body, id_of, is_time};

const TRACE: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\ntracestate: vendor=1\r\n";

/// One body of each class, with the type the class is known by.
fn notifications() -> Vec<(&'static str, Vec<u8>)> {
    let of = |kind: &str, rest: &str| {
        format!(
            r#"{{"typeWebhook":"{kind}","instanceData":{{"idInstance":1101000001,"wid":"79990000001@c.us","typeInstance":"whatsapp"}},"timestamp":1767225600{rest}}}"#
        )
        .into_bytes()
    };
    let chat = r#","senderData":{"chatId":"7999 é%,\"/@c.us"},"messageData":{"typeMessage":"textMessage"}"#;
    vec![
        ("incoming", of("incomingMessageReceived", chat)),
        ("outgoing", of("outgoingMessageStatus", r#","chatId":"79990000002@c.us","status":"read""#)),
        ("state", of("stateInstanceChanged", r#","stateInstance":"authorized""#)),
        ("device", of("deviceInfo", "")),
        ("other, a type with characters no destination may have", of("new.thing ü/>*", "")),
        (
            "without a plausible timestamp",
            br#"{"typeWebhook":"incomingCall","instanceData":{"idInstance":"7"},"timestamp":1}"#.to_vec(),
        ),
    ]
}

/// One body for each reason that lies in the body alone.
pub(super) fn dead_letters() -> Vec<(&'static str, Vec<u8>)> {
    let nested = format!(
        r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":7}},"deep":{}{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    vec![
        ("not JSON", b"{\"typeWebhook\":".to_vec()),
        ("not an object", b"[1,2]".to_vec()),
        ("no type", br#"{"instanceData":{"idInstance":7}}"#.to_vec()),
        ("no instance", br#"{"typeWebhook":"incomingCall"}"#.to_vec()),
        ("ambiguous", br#"{"typeWebhook":"incomingCall","typeWebhook":"x","instanceData":{"idInstance":7}}"#.to_vec()),
        ("too deep", nested.into_bytes()),
    ]
}

const ENCODED: &str = "sent as gzip";

/// One body for each reason that lies elsewhere too.
fn other_dead_letters() -> Vec<(&'static str, Vec<u8>)> {
    let encoded = br#"{"typeWebhook":"incomingCall","instanceData":{"idInstance":7},"sent":"as gzip"}"#;
    vec![(ENCODED, encoded.to_vec()), ("too large for the broker", too_large())]
}

fn too_large() -> Vec<u8> {
    // no two parts of it are the same
    let numbers: String = (0..215_000).map(|number| format!(",{number:06}")).collect();
    format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":7}},"timestamp":1767225600,"text":"{numbers}"}}"#)
        .into_bytes()
}

/// Posts all of them; each is stored.
fn post_all(bridge: &Bridge, bodies: &[(&'static str, Vec<u8>)]) {
    for (what, body) in bodies {
        let headers = match *what {
            // the first with a trace of its own
            "incoming" => TRACE,
            ENCODED => "Content-Encoding: gzip\r\n",
            _ => "",
        };
        let (status, said) = bridge.post_with(headers, body);
        assert_eq!(status, 200, "{what}: {said}");
    }
}

/// Headers by their names, with a placeholder for what differs from run to run.
fn headers(message: &Value, id: &str) -> String {
    let mut lines: Vec<_> = message["headers"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| {
            let value = value.as_str().unwrap();
            let value = if is_time(value) && name.ends_with("recordedtime") { "<time>" } else { value };
            format!("  {name}: {}\n", value.replace(id, "<id>"))
        })
        .collect();
    lines.sort_unstable();
    lines.concat()
}

/// What the value of a message is, of the body that was sent.
fn value(message: &Value, sent: &[u8], id: &str) -> String {
    let value = body(message);
    if value == sent {
        return "the body".into();
    }
    if value.is_empty() {
        return "empty".into();
    }
    if let Some(part) = sent.windows(value.len()).position(|part| part == value) {
        return format!("bytes {part} to {} of the body", part + value.len());
    }
    let text = String::from_utf8(value).unwrap().replace(id, "<id>");
    let time =
        serde_json::from_str::<Value>(&text).ok().and_then(|event| Some(event["recordedtime"].as_str()?.to_owned()));
    text.replace(&time.filter(|time| is_time(time)).unwrap_or("<no time>".into()), "<time>")
        .replace(std::str::from_utf8(sent).unwrap(), "<the body>")
}

#[cfg(feature = "nats")]
mod nats {
    use super::*;
    use crate::harness::{Nats, command};

    /// Everything the stream has of these bodies, in their order.
    fn arrived(nats: &Nats, bodies: &[(&'static str, Vec<u8>)]) -> String {
        let all = nats.read();
        let mut shown = String::new();
        for (what, sent) in bodies {
            let id = id_of(sent);
            let of = all.iter().filter(|message| message["headers"].to_string().contains(&id));
            for message in of {
                let subject = message["subject"].as_str().unwrap();
                let value = value(message, sent, &id);
                shown += &format!("{what}\nsubject: {subject}\n{}value: {value}\n\n", headers(message, &id));
            }
        }
        shown
    }

    #[test]
    fn headers_of_what_is_stored_on_nats() {
        let nats = Nats::start();
        let bridge = Bridge::start(&nats, "");
        let all = [notifications(), dead_letters(), other_dead_letters()].concat();
        post_all(&bridge, &all);
        assert_snapshot("headers_nats.txt", &arrived(&nats, &all));
    }

    #[test]
    fn headers_of_envelopes_that_are_stored_on_nats() {
        let nats = Nats::start();
        let bridge = Bridge::start(&nats, "route.format = \"structured\"\nroute.key = \"chat\"\n");
        let all = [notifications(), dead_letters()].concat();
        post_all(&bridge, &all);
        let structured = arrived(&nats, &all);
        let nats = Nats::start();
        let bridge =
            Bridge::start(&nats, "route.key = \"chat\"\nnats.subject = \"greenapi.{product}.{message_type}\"\n");
        post_all(&bridge, &notifications()[..1]);
        let nats_of_chats = arrived(&nats, &notifications()[..1]);
        let text = format!("# structured, key = chat\n\n{structured}# binary, key = chat\n\n{nats_of_chats}");
        assert_snapshot("headers_nats_routes.txt", &text);
    }

    /// A dead letter of an earlier version that is a notification now: the note beside it, and where it goes.
    #[test]
    fn headers_of_replays_that_are_stored_on_nats() {
        let nats = Nats::start();
        let bridge = Bridge::start(&nats, "");
        let (_, sent) = notifications().remove(2);
        let id = id_of(&sent);
        let headers = [
            ("ce-id", id.as_str()),
            ("ce-recordedtime", "2026-01-01T00:00:00.000Z"),
            ("bridge-reason", "no_type"),
            ("bridge-detail", "of another time"),
            ("Nats-Msg-Id", &format!("dl-{id}")),
        ];
        nats.store("greenapi.dead-letter", &headers, &sent);
        for again in ["", " --again"] {
            let replayed = command(&format!("dead-letter replay --all{again}"), bridge.config.path());
            assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
        }
        assert_snapshot("headers_nats_replays.txt", &arrived(&nats, &[("a replay", sent)]));
    }
}

#[cfg(feature = "kafka")]
mod kafka {
    use super::*;
    use crate::harness::{Kafka, command};
    use crate::snapshots::file;

    /// The last part of each topic a bridge with the default routes has.
    const TOPICS: [&str; 6] = ["incoming", "outgoing", "state", "device", "other", "dead"];

    /// A bridge of which these topics take records already: `provision` ends before they do.
    fn start(kafka: &Kafka, prefix: &str, routes: &str, topics: &[&str]) -> Bridge {
        let config = format!("{routes}{}", kafka.config(prefix));
        assert!(command("provision", file(&config).path()).status.success());
        topics.iter().for_each(|topic| kafka.acknowledges(&format!("{prefix}.{topic}")));
        Bridge::with(&config, false).ready()
    }

    /// Of what was read, everything in topics of this prefix that is of these bodies, in their order.
    fn arrived(all: &[Value], prefix: &str, bodies: &[(&'static str, Vec<u8>)]) -> String {
        let all = all.iter().filter(|record| record["topic"].as_str().unwrap().rsplit_once('.').unwrap().0 == prefix);
        let all: Vec<_> = all.collect();
        let mut shown = String::new();
        for (what, sent) in bodies {
            let id = id_of(sent);
            let mut of: Vec<_> = all.iter().filter(|record| has_id(record, &id)).copied().collect();
            // without a key its parts lie in several partitions
            of.sort_by_key(|record| record["headers"]["bridge-part"].to_string());
            assert!(!of.is_empty(), "{what} is not there");
            for record in of {
                shown += &format!("{what}\n{}\n", self::record(record, sent, &id));
            }
        }
        shown
    }

    /// Whether a record is of the body with this id; an envelope has it in its value.
    fn has_id(record: &Value, id: &str) -> bool {
        record["headers"]["ce_id"] == id
            || serde_json::from_slice::<Value>(&body(record)).is_ok_and(|event| event["id"] == id)
    }

    fn record(record: &Value, sent: &[u8], id: &str) -> String {
        let in_envelope =
            serde_json::from_slice(&body(record)).map_or(Value::Null, |event: Value| event["recordedtime"].clone());
        let recorded = record["headers"]["ce_recordedtime"].as_str().or(in_envelope.as_str()).unwrap();
        let recorded = humantime::parse_rfc3339(recorded).unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
        let same = record["timestamp"].as_u64() == Some(recorded.as_millis() as u64);
        let timestamp = if same { "recordedtime" } else { "another" };
        let (topic, key) = (record["topic"].as_str().unwrap(), &record["key"]);
        let value = value(record, sent, id);
        format!("topic: {topic}\nkey: {key}\ntimestamp: {timestamp}\n{}value: {value}\n", headers(record, id))
    }

    #[test]
    fn headers_of_what_is_stored_on_kafka() {
        let kafka = Kafka::shared();
        let bridge = start(kafka, "frozen", "", &TOPICS);
        let all = [notifications(), dead_letters(), other_dead_letters()].concat();
        post_all(&bridge, &all);
        let routes =
            "route.format = \"structured\"\nroute.key = \"chat\"\nroute.classes.state.topic = \"nowhere.{type}\"\n";
        let bridge = start(kafka, "frozen.chats", routes, &["incoming", "dead"]);
        let some = [notifications().remove(0), ("no destination", notifications().remove(2).1)];
        post_all(&bridge, &some);
        let topics = ["frozen", "frozen.chats"].map(|prefix| TOPICS.map(|topic| format!("{prefix}.{topic}"))).concat();
        let read = kafka.read(&topics.iter().map(String::as_str).collect::<Vec<_>>());
        let [binary, structured] = [arrived(&read, "frozen", &all), arrived(&read, "frozen.chats", &some)];
        let text = format!("{binary}# structured, key = chat\n\n{structured}");
        assert_snapshot("headers_kafka.txt", &text);
    }
}
