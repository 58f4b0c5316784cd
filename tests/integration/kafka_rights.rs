//! Rights on a real Kafka: `check` names those that are missing and stores nothing, and at run time a missing one harms
//! only its own topic.

use std::io::Write;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};
use serde_json::Value;

use crate::harness::{Bridge, Kafka, command, eventually, text};

/// One that knows six users, and lets only `admin` do what nobody has allowed.
fn broker() -> &'static Kafka {
    static BROKER: OnceLock<Kafka> = OnceLock::new();
    BROKER.get_or_init(|| {
        let users =
            ["admin", "most", "reader", "late", "writer", "looker"].map(|user| format!("user_{user}=\"p\"")).join(" ");
        let jaas = format!("org.apache.kafka.common.security.plain.PlainLoginModule required {users};");
        let properties = format!(
            "sasl.enabled.mechanisms=PLAIN\nlistener.name.client.plain.sasl.jaas.config={jaas}\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:ANONYMOUS;User:admin\n"
        );
        Kafka::start_with("SASL_PLAINTEXT", &properties, &[])
    })
}

/// What makes the bridge this user.
struct User {
    config: String,
    _password: tempfile::NamedTempFile,
}

fn user(name: &str, prefix: &str, extra: &str) -> User {
    let mut password = tempfile::NamedTempFile::new().unwrap();
    password.write_all(b"p").unwrap();
    let login = format!(
        "properties = {{ \"security.protocol\" = \"SASL_PLAINTEXT\", \"sasl.mechanism\" = \"PLAIN\", \"sasl.username\" = \"{name}\" }}\n\
         secret_files = {{ \"sasl.password\" = \"{}\" }}\n",
        password.path().display()
    );
    User { config: format!("{extra}{}{login}", broker().config(prefix)), _password: password }
}

/// Topics that `admin` made.
fn provisioned(prefix: &str) {
    let (admin, file) = (user("admin", prefix, ""), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(file.path(), &admin.config).unwrap();
    let answer = command("provision", file.path());
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
}

/// `--allow-principal User:x --operation …`, in words.
fn acl(words: &str) {
    broker().tool("tools.Acl", &words.split(' ').collect::<Vec<_>>());
}

/// What `check` finds, as this user: each verdict with what it is about and what was found, or what is to be done.
fn found(name: &str, prefix: &str) -> (Option<i32>, Vec<[String; 4]>) {
    let (user, file) = (user(name, prefix, ""), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(file.path(), &user.config).unwrap();
    let answer = command("check --json", file.path());
    let json: Value = serde_json::from_slice(&answer.stdout).unwrap();
    let lines = json["brokers"]["kafka"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| ["verdict", "about", "found", "remedy"].map(|key| line[key].as_str().unwrap().to_owned()));
    (answer.status.code(), lines.collect())
}

/// The line of this kind about this, which says this.
fn line<'f>(found: &'f [[String; 4]], verdict: &str, about: &str, says: &str) -> &'f [String; 4] {
    let mut lines = found.iter().filter(|line| line[0] == verdict && line[1] == about && line[2].contains(says));
    lines.next().unwrap_or_else(|| panic!("no {verdict} {about} {says} in {found:?}"))
}

/// How many records these topics have ever been given.
fn ends(topics: &[String]) -> i64 {
    let client: BaseProducer = ClientConfig::new().set("bootstrap.servers", broker().inside()).create().unwrap();
    let end = |topic: &String| {
        let of = |partition| client.client().fetch_watermarks(topic, partition, Duration::from_secs(5)).unwrap().1;
        (0..6).map(of).sum::<i64>()
    };
    topics.iter().map(end).sum()
}

#[test]
fn check_names_topics_without_write_permission_and_stores_nothing() {
    provisioned("asked");
    acl(
        "--add --allow-principal User:most --operation Write --operation DescribeConfigs --topic asked. --resource-pattern-type prefixed",
    );
    acl("--add --deny-principal User:most --operation Write --topic asked.other");
    acl("--add --deny-principal User:most --operation All --topic asked.dead");
    acl(
        "--add --allow-principal User:reader --operation Describe --operation DescribeConfigs --topic asked. --resource-pattern-type prefixed",
    );
    acl("--add --allow-principal User:writer --operation Write --topic asked. --resource-pattern-type prefixed");
    acl(
        "--add --deny-principal User:writer --operation DescribeConfigs --topic asked. --resource-pattern-type prefixed",
    );
    let (code, all) = found("most", "asked");
    assert_eq!(code, Some(1), "{all:?}");
    line(&all, "fine", "rights", "may write to asked.incoming, asked.outgoing, asked.state, asked.device");
    let denied = line(&all, "wrong", "rights", "may not write to asked.other");
    assert!(denied[3].contains("--allow-principal User:most --operation Write"), "{denied:?}");
    line(&all, "wrong", "topics", "asked.dead: ");
    line(&all, "fine", "topics", "5 of 6: asked.incoming (6 partitions), ");
    let (code, none) = found("reader", "asked");
    assert_eq!(code, Some(1), "{none:?}");
    line(&none, "wrong", "rights", "may write to none of them");
    let (code, unseen) = found("writer", "asked");
    assert_eq!(code, Some(0), "{unseen:?}");
    line(&unseen, "note", "rights", "not known for asked.incoming");
    line(&unseen, "note", "settings", "not allowed to read them");
    let (code, every) = found("admin", "asked");
    assert_eq!(code, Some(0), "{every:?}");
    line(&every, "fine", "rights", "may write to all of them");
    let topics = ["incoming", "outgoing", "state", "device", "other", "dead"].map(|class| format!("asked.{class}"));
    assert_eq!(ends(&topics), 0);
}

#[test]
fn check_does_not_probe_topics_that_would_store_the_probe() {
    let topic = |name: &str, setting: &str| broker().create(&format!("taker.{name}"), 6, &[setting]);
    topic("incoming", "message.timestamp.after.max.ms=9223372036854775807");
    topic("state", "message.timestamp.type=LogAppendTime");
    provisioned("taker");
    let (code, all) = found("admin", "taker");
    assert_eq!(code, Some(0), "{all:?}");
    line(&all, "note", "rights", "not known for taker.incoming, taker.state: it would store");
    assert_eq!(ends(&["incoming", "state", "other"].map(|class| format!("taker.{class}"))), 0);
}

#[test]
fn a_topic_without_write_permission_is_a_503_at_once_and_harms_no_other() {
    provisioned("live");
    acl(
        "--add --allow-principal User:most --operation Write --operation DescribeConfigs --topic live. --resource-pattern-type prefixed",
    );
    acl("--add --deny-principal User:most --operation Write --topic live.other");
    // a broker learns a rule from the controller a moment after the tool has ended
    eventually("the rule counts", Duration::from_secs(10), || found("most", "live").0 == Some(1));
    let bridge = Bridge::with(&user("most", "live", "").config, false).ready();
    let other = br#"{"typeWebhook":"newThing","instanceData":{"idInstance":7}}"#;
    for _ in 0..2 {
        let asked = Instant::now();
        assert_eq!(bridge.post(other), (503, "{\"error\":\"not_stored\"}".into()));
        // publish.timeout is 12 s
        assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
    }
    assert_eq!(bridge.post(&text(1)), (200, "{\"stored\":\"broker\"}".into()));
    assert_eq!(bridge.metric("publish_failures_total{broker=\"kafka\",reason=\"not_authorized\"}"), 2.0);
    assert_eq!(bridge.log().matches("not stored").count(), 1, "the repeat is counted: {}", bridge.log());
    assert_eq!(bridge.get("/readyz").0, 200);
    assert_eq!(broker().read(&["live.dead", "live.other"]).len(), 0);
    acl("--remove --force --deny-principal User:most --operation Write --topic live.other");
    eventually("what is allowed later counts", Duration::from_secs(30), || bridge.post(other).0 == 200);
    assert_eq!(broker().read(&["live.other"]).len(), 1);
}

#[test]
fn without_any_write_permission_the_bridge_is_not_ready() {
    provisioned("later");
    let allow = "--allow-principal User:late --topic later. --resource-pattern-type prefixed --operation";
    acl(&format!("--add {allow} Describe"));
    let bridge = Bridge::with(&user("late", "later", "publish.timeout = \"3s\"\n").config, false);
    eventually("it says so", Duration::from_secs(10), || bridge.get("/readyz").1.contains("not_authorized"));
    let asked = Instant::now();
    assert_eq!(bridge.post(&text(1)).0, 503);
    assert!(asked.elapsed() < Duration::from_secs(6), "twice publish.timeout: {:?}", asked.elapsed());
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(bridge.log().matches("broker down").count(), 1, "{}", bridge.log());
    acl(&format!("--add {allow} Write"));
    let bridge = bridge.ready();
    assert_eq!(bridge.post(&text(1)), (200, "{\"stored\":\"broker\"}".into()));
    assert_eq!(broker().read(&["later.incoming"]).len(), 1);
}

#[test]
fn listing_dead_letters_needs_the_read_permission_and_no_consumer_group() {
    provisioned("look");
    acl("--add --allow-principal User:writer --operation Write --operation Describe --topic look.dead");
    acl("--add --allow-principal User:looker --operation Read --operation Describe --topic look.dead");
    let listed = |name: &str| {
        let (user, file) = (user(name, "look", ""), tempfile::NamedTempFile::new().unwrap());
        std::fs::write(file.path(), &user.config).unwrap();
        let answer = command("dead-letter list --json", file.path());
        (answer.status.code(), String::from_utf8(answer.stdout).unwrap(), String::from_utf8(answer.stderr).unwrap())
    };
    let admin = user("admin", "look", "");
    let bridge = Bridge::with(&admin.config, false).ready();
    assert_eq!(bridge.post(b"{").0, 200);
    let (code, letters, said) = listed("looker");
    assert_eq!((code, letters.lines().count()), (Some(0), 1), "{said}");
    let (code, letters, said) = listed("writer");
    assert_eq!((code, letters.as_str()), (Some(1), ""));
    assert!(said.contains("topic look.dead") && said.contains("allow its user Describe and Read on it"), "{said}");
}
