//! People's data and secrets over a whole run: markers stand in all that is somebody's, and are found in the bodies that a
//! consumer gets, and nowhere else.
//!
//! What shows content by design is not searched: bodies at the broker, `journal export`, `tail`, `dead-letter show`,
//! `/events` for those who may see it, the answer to an operator's own wrong request, which repeats what is wrong with it, keys with `route.key = "chat"`, a `tracestate` that belongs to a valid `traceparent`,
//! and, in destinations and `ce-type`, the `typeWebhook` that the sender wrote.

mod markers;
mod story;

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::harness::{Bridge, Kafka, Nats, body, command, text};
use crate::nats_server::file;
use markers::{Markers, SECRET, found_in};
use story::Story;

/// What GREEN-API says of people, and of the owner of an instance.
const FIELDS: [&str; 27] = [
    "chatId@c.us",
    "chatId@g.us",
    "chatId@lid",
    "sender@c.us",
    "from@c.us",
    "wid@c.us",
    "participant@c.us",
    "optionVoters@c.us",
    "phoneNumber",
    "senderName",
    "chatName",
    "displayName",
    "vcard",
    "textMessage",
    "text",
    "caption",
    "fileName",
    "downloadUrl",
    "jpegThumbnail",
    "quoted textMessage",
    "optionName",
    "nameLocation",
    "address",
    "latitude",
    "deviceModel",
    "urlAvatar",
    "groupName",
];

/// A server that asks the bridge for a password, and nobody else; it logs what it can but for bodies.
fn nats_with_password(password: &str, log: &std::path::Path) -> (Nats, tempfile::NamedTempFile) {
    let users = format!("{{ user: bridge, password: \"{password}\" }}, {{ user: reader, password: reader }}");
    let config = file(&format!(
        "authorization: {{ users: [ {users} ] }}\nno_auth_user: reader\ndebug: true\nlog_file: \"{}\"",
        log.display()
    ));
    let nats = Nats::start_with(&["-c".to_owned(), config.path().display().to_string()]);
    (nats, config)
}

/// The message without its body.
fn around(message: &Value) -> Vec<u8> {
    let mut around = message.clone();
    around.as_object_mut().unwrap().remove("body").unwrap();
    around.to_string().into_bytes()
}

/// Every marker came with the bodies, which have no secret; nothing is anywhere else.
fn assert_only_in_bodies(markers: &Markers, messages: &[Value], story: &Story) {
    FIELDS.iter().for_each(|field| assert!(!markers.of(field).is_empty()));
    let bodies: Vec<_> = messages.iter().map(body).collect();
    assert_eq!(markers.missing_in(&bodies), Vec::<&str>::new(), "the search proves nothing of them");
    let shows_secret = |body: &&Vec<u8>| String::from_utf8_lossy(body).contains(SECRET);
    assert!(!bodies.iter().any(|body| shows_secret(&body)));
    let messages =
        messages.iter().map(|message| ("a message's destination, key and headers".to_owned(), around(message)));
    let places = story.places.iter().cloned().chain(messages);
    let leaks: Vec<_> = places.filter_map(|(place, bytes)| Some((place, found_in(&bytes)?))).collect();
    let first: Vec<_> = leaks.iter().take(12).map(|(place, around)| format!("{place}: {around}")).collect();
    assert!(leaks.is_empty(), "{} leaks, such as\n{}", leaks.len(), first.join("\n\n"));
}

#[test]
fn over_nats_everything_of_people_is_in_the_bodies_and_nowhere_else() {
    let (folder, mut markers) = (tempfile::tempdir().unwrap(), Markers::default());
    let (password, server_log) = (format!("{SECRET}-nats-password"), folder.path().join("nats.log"));
    let ((mut nats, _server), secret) = (nats_with_password(&password, &server_log), file(&password));
    let login = format!("nats.user = \"bridge\"\nnats.password_file = {:?}\n", secret.path());
    let brokers = format!("{}{login}", crate::harness::nats_servers(&[nats.port]));
    let mut story = Story::start(&folder, &brokers);

    let samples = markers.samples();
    let (store, outage) = samples.split_at(samples.len() / 2);
    story.store(store);
    story.store(&store[..3]);
    story.store(&dead_letters(&mut markers));
    story.store_encoded(&mut markers);
    story.refuse(&mut markers, &samples[0]);
    nats.kill();
    story.store(outage);
    story.commands_of_journal(&mut markers);
    story.reload_badly();
    nats.start_again();
    story.backlog_drained();
    story.admin_pages();
    story.commands();
    story.stop("async_nats");
    story.note("the log of nats-server", std::fs::read(&server_log).unwrap());
    assert_only_in_bodies(&markers, &nats.read(), &story);
}

#[test]
fn strict_validation_shows_nothing_of_the_fields_it_refuses() {
    let (folder, mut markers, nats) = (tempfile::tempdir().unwrap(), Markers::default(), Nats::start());
    let brokers = format!("{}validation.mode = \"strict\"\n", crate::harness::nats_servers(&[nats.port]));
    let mut story = Story::start(&folder, &brokers);
    story.store(&markers.samples());
    story.store(&markers.samples_of_wrong_kinds());
    let key = markers.new_text("a key of the sender");
    let timestamp = markers.new_text("no time");
    story.store(&[
        format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":7,"{key}":1}},"timestamp":"{timestamp}"}}"#)
            .into_bytes(),
        format!(r#"{{"typeWebhook":"quotaExceeded","instanceData":{{"idInstance":7}},"quotaData":{{"{key}":"{timestamp}"}}}}"#)
            .into_bytes(),
    ]);
    story.stop("async_nats");
    let messages = nats.read();
    let schema = messages.iter().filter(|message| message["headers"]["bridge-reason"] == "schema").count();
    assert!(schema > 10, "{schema} are refused");
    assert_only_in_bodies(&markers, &messages, &story);
}

#[test]
fn over_kafka_everything_of_people_is_in_the_bodies_and_nowhere_else() {
    let (folder, mut markers, password) =
        (tempfile::tempdir().unwrap(), Markers::default(), format!("{SECRET}-kafka-password"));
    let jaas = format!("org.apache.kafka.common.security.plain.PlainLoginModule required user_u=\"{password}\";");
    let properties = format!("sasl.enabled.mechanisms=PLAIN\nlistener.name.client.plain.sasl.jaas.config={jaas}\n");
    let (mut kafka, secret) = (Kafka::start_with("SASL_PLAINTEXT", &properties, &[]), file(&password));
    let login = format!(
        "properties = {{ \"security.protocol\" = \"SASL_PLAINTEXT\", \"sasl.mechanism\" = \"PLAIN\", \
         \"sasl.username\" = \"u\", \"debug\" = \"all\" }}\nsecret_files = {{ \"sasl.password\" = {:?} }}\n",
        secret.path()
    );
    let mut story = Story::start(&folder, &format!("{}{login}", kafka.config("people")));

    let samples = markers.samples();
    let (store, outage) = samples.split_at(samples.len() / 2);
    story.store(store);
    story.store(&dead_letters(&mut markers));
    kafka.kill();
    story.store(outage);
    kafka.start_again();
    story.backlog_drained();
    story.admin_pages();
    story.commands();
    story.stop("librdkafka");
    let topics = ["incoming", "outgoing", "state", "device", "other", "dead"].map(|class| format!("people.{class}"));
    let messages = kafka.read(&topics.each_ref().map(String::as_str));
    assert_only_in_bodies(&markers, &messages, &story);
}

/// Bodies that are no notifications, each wrong where somebody's data stands.
fn dead_letters(markers: &mut Markers) -> Vec<Vec<u8>> {
    let mut of = |what: &str| markers.new_text(what);
    let (json, object, repeated) = (of("not JSON"), of("no object"), of("repeated"));
    let (kind, instance, encoding) = (of("no type"), of("no instance"), of("no UTF-8"));
    let head = r#"{"typeWebhook":"incomingCall","instanceData":{"idInstance":7}"#;
    let large = format!(r#"{head},"text":"{}{}"}}"#, "x".repeat(1_200_000), of("in parts"));
    let texts = [
        format!(r#"{head},"senderName":{json}}}"#),
        format!(r#"{head},"senderName":"{json}\x"}}"#),
        format!(r#"{head}}}{json}"#),
        format!("\u{feff}{head},\"text\":\"{json}\"}}"),
        format!(r#""{object}""#),
        format!(r#"["{object}"]"#),
        format!(r#"{head},"typeWebhook":"{repeated}"}}"#),
        format!(r#"{head},"instanceData":{{"idInstance":"{repeated}"}}}}"#),
        format!(r#"{{"typeWebhook":{{"{kind}":"{kind}"}},"instanceData":{{"idInstance":7}}}}"#),
        format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":"{instance}"}}}}"#),
        format!(r#"{{"typeWebhook":"incomingCall","instanceData":"{instance}"}}"#),
        format!(r#"{head},"deep":{}"{}"{}}}"#, "[".repeat(200), of("too deep"), "]".repeat(200)),
        large,
    ];
    let invalid = [encoding.as_bytes(), b"\xff\xfe"].concat();
    texts.map(String::into_bytes).into_iter().chain([invalid]).collect()
}

#[test]
fn a_core_dump_would_have_one_byte() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = Bridge::with(&format!("journal.directory = {:?}\n", folder.path().join("data")), false).ready();
    let limits = bridge.of_process("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["1", "1"], "{limits}");
}

#[test]
fn a_journal_in_a_folder_that_others_can_enter_has_private_files_and_a_warning() {
    let mode =
        |path: &std::path::Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    mode(folder.path(), 0o755);
    let bridge = Bridge::with(&format!("journal.directory = {:?}\n", folder.path()), false).ready();
    assert_eq!(bridge.post(&text(1)).0, 200);
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap()).collect();
    assert!(files.len() > 2, "{files:?}");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", file.path().display());
    }
    let problem = "its mode is 0755: other users can enter it";
    assert!(bridge.log().contains(problem), "{}", bridge.log());
    let check = String::from_utf8(command("check", bridge.config.path()).stdout).unwrap();
    assert!(check.lines().any(|line| line.trim_start().starts_with('!') && line.contains(problem)), "{check}");
    mode(folder.path(), 0o700);
    assert!(!String::from_utf8(command("check", bridge.config.path()).stdout).unwrap().contains("other users"));
}
