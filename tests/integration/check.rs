//! `check` against a real server: what is wrong is said, with the remedy.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use async_nats::jetstream::{self, stream};
use serde_json::Value;

use crate::harness::{Bridge, Nats, command, eventually, text};

/// A stream made by hand.
pub fn create(nats: &Nats, config: stream::Config) {
    let server = format!("nats://127.0.0.1:{}", nats.port);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let context = jetstream::new(async_nats::connect(server).await.unwrap());
        context.create_stream(stream::Config { name: "GREENAPI".into(), ..config }).await.unwrap();
    });
}

/// What `check` finds: about what, and how it is; with the exit code.
fn findings(bridge: &Bridge) -> (Option<i32>, Vec<Value>) {
    let answer = command("check --json", bridge.config.path());
    let json: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(json["routes"][0]["to"], "greenapi.incoming.*.*");
    assert_eq!(json["fine"], answer.status.success());
    (answer.status.code(), json["brokers"]["nats"].as_array().unwrap().clone())
}

fn wrong(findings: &[Value]) -> Vec<&str> {
    let wrong = findings.iter().filter(|finding| finding["verdict"] == "wrong");
    wrong.map(|finding| finding["about"].as_str().unwrap()).collect()
}

fn about<'f>(findings: &'f [Value], what: &str) -> &'f Value {
    findings.iter().find(|finding| finding["about"] == what).unwrap()
}

#[test]
fn offline_check_prints_routes_and_connects_to_nothing() {
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), "nats.servers = [\"nats://127.0.0.1:1\"]\n").unwrap();
    let answer = command("check --offline", config.path());
    let text = String::from_utf8(answer.stdout).unwrap();
    assert_eq!(answer.status.code(), Some(0));
    assert!(text.contains("such as greenapi.state.1101000001.stateInstanceChanged"), "{text}");
    let (routes, endpoint) = text.split_once("\n\n").unwrap();
    assert!(routes.ends_with("dead letters  nats  greenapi.dead-letter"), "{text}");
    assert_eq!(
        endpoint,
        "endpoint: 127.0.0.1:3000/green-api/webhook/\n\
        ! tokens        none: anyone who reaches 127.0.0.1:3000 may send, also through a proxy on this machine  \
        → set auth.tokens_file\n✓ from          any address\n\n\
        ✓ fine, with 1 note to read, no broker was asked\n"
    );
    std::fs::write(config.path(), "nats.subject = \"a..b\"\n").unwrap();
    assert_eq!(command("check --offline", config.path()).status.code(), Some(2));
}

#[test]
fn check_says_who_may_send() {
    let (config, tokens) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(
        tokens.path(),
        "open-to-any-instance\n7 bound-to-instances\n8 bound-to-instances\n9 another-bound-token\n",
    )
    .unwrap();
    let endpoint = |auth: &str| {
        std::fs::write(config.path(), format!("nats = {{}}\n{auth}")).unwrap();
        let answer = command("check --offline --json", config.path());
        let json: Value = serde_json::from_slice(&answer.stdout).unwrap();
        assert_eq!(answer.status.code(), Some(0), "what the operator has chosen is no fault");
        json["endpoint"].as_array().unwrap().clone()
    };
    let path = tokens.path().display();
    let found = endpoint(&format!("auth.tokens_file = \"{path}\"\nauth.allow_from = [\"10.0.0.0/8\", \"192.0.2.7\"]"));
    assert_eq!(about(&found, "tokens")["found"], "3, of which 2 bound to instances");
    assert_eq!(about(&found, "from")["found"], "only 10.0.0.0/8, 192.0.2.7/32");
    assert!(found.iter().all(|finding| finding["verdict"] == "fine"), "{found:?}");
    let found = endpoint("http.listen = \"0.0.0.0:3000\"\nauth.allow_anonymous = true");
    let open = about(&found, "tokens");
    assert_eq!(
        (&open["verdict"], &open["found"]),
        (&"note".into(), &"none: anyone who reaches 0.0.0.0:3000 may send".into())
    );
    assert_eq!(open["remedy"], "set auth.tokens_file instead of auth.allow_anonymous");
}

#[test]
fn a_provisioned_stream_passes() {
    let nats = Nats::start();
    let bridge = Bridge::start_unprovisioned(&nats, "", true);
    let (code, found) = findings(&bridge);
    assert_eq!((code, wrong(&found)), (Some(0), vec![]));
    let text = String::from_utf8(command("check", bridge.config.path()).stdout).unwrap();
    assert!(text.contains("✓ rights        account $G may publish to all of them"), "{text}");
}

#[test]
fn each_unsafe_stream_setting_is_wrong() {
    let nats = Nats::start();
    create(
        &nats,
        stream::Config {
            subjects: vec!["greenapi.incoming.>".into(), "greenapi.dead-letter".into()],
            discard: stream::DiscardPolicy::Old,
            max_bytes: 1_000_000,
            max_age: Duration::from_secs(60),
            duplicate_window: Duration::from_secs(60),
            ..stream::Config::default()
        },
    );
    let bridge = Bridge::start_unprovisioned(&nats, "", false);
    let (code, found) = findings(&bridge);
    assert_eq!(code, Some(1));
    assert_eq!(wrong(&found), ["subject", "subject", "subject", "subject", "when full", "retention", "repeats"]);
    let remedy = about(&found, "when full")["remedy"].as_str().unwrap();
    assert_eq!(remedy, "set discard to new with `nats stream edit --discard new`");
}

#[test]
fn the_largest_body_is_the_smaller_limit_of_stream_and_server() {
    let nats = Nats::start();
    let subjects = vec!["greenapi.>".into()];
    create(&nats, stream::Config { subjects, max_message_size: 10_000, ..stream::Config::default() });
    let bridge = Bridge::start_unprovisioned(&nats, "dedupe.window = \"2m\"\n", false);
    let (_, found) = findings(&bridge);
    let (size, why) = about(&found, "largest body")["found"].as_str().unwrap().split_once(' ').unwrap();
    assert!(why.contains("the stream's max_msg_size = 10000"), "{why}");
    let mut body = br#"{"typeWebhook":"incomingCall","instanceData":{"idInstance":7}}"#.to_vec();
    body.resize(size.parse().unwrap(), b' ');
    eventually("ready", Duration::from_secs(10), || bridge.get("/readyz").0 == 200);
    let trace = format!("traceparent: 00-{:032x}-{:016x}-01\r\ntracestate: a={}\r\n", 1, 1, "b".repeat(500));
    assert_eq!(bridge.post_with(&trace, &body), (200, "{\"stored\":\"broker\"}".into()));
}

#[test]
fn a_full_or_sealed_stream_is_wrong_and_an_almost_full_one_is_noted() {
    let nats = Nats::start();
    let bridge = Bridge::start_unprovisioned(&nats, "publish.timeout = \"1s\"\n", false);
    nats.put_stream(stream::Config { max_messages: 10, ..Nats::safe_stream() });
    let bridge = bridge.ready();
    let stored =
        |numbers: std::ops::Range<usize>| numbers.map(|number| bridge.post(&text(number)).0).collect::<Vec<_>>();
    assert_eq!(stored(0..9), [200; 9]);
    let (code, found) = findings(&bridge);
    let room = about(&found, "room");
    assert_eq!(
        (code, &room["verdict"], &room["found"]),
        (Some(0), &"note".into(), &"almost full: 9 of max_msgs = 10".into())
    );
    assert_eq!(stored(9..11), [200, 503]);
    let (code, found) = findings(&bridge);
    assert_eq!((code, wrong(&found)), (Some(1), vec!["room"]));
    nats.put_stream(stream::Config { max_messages: 10, sealed: true, ..Nats::safe_stream() });
    eventually("said", Duration::from_secs(15), || bridge.get("/readyz").1.contains("unsafe_stream"));
    let (code, found) = findings(&bridge);
    assert_eq!((code, wrong(&found)), (Some(1), vec!["stream"]));
    assert!(about(&found, "stream")["remedy"].as_str().unwrap().starts_with("it is sealed"), "{found:?}");
}

/// A server with these users, and what makes the bridge the user `name`.
pub fn with_users(users: &str) -> (Nats, impl Fn(&str) -> String) {
    let (mut server, mut secret) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    server.write_all(users.as_bytes()).unwrap();
    secret.write_all(b"p").unwrap();
    let nats = Nats::start_with(&["-c".into(), server.path().display().to_string()]);
    let login =
        move |name: &str| format!("nats.user = \"{name}\"\nnats.password_file = \"{}\"\n", secret.path().display());
    (nats, login)
}

#[test]
fn missing_permissions_are_named() {
    let (nats, login) = with_users(
        "authorization: { users: [
        { user: denied, password: p, permissions: { publish: { deny: [\"greenapi.incoming.>\", \"greenapi.state.7.*\"] } } }
        { user: silent, password: p, permissions: { publish: [\"greenapi.>\", \"$JS.API.>\"] } }
    ] }",
    );
    let (code, found) = findings(&Bridge::start_unprovisioned(&nats, &login("denied"), true));
    let rights: Vec<_> = found.iter().filter(|finding| finding["about"] == "rights").collect();
    assert_eq!(code, Some(1));
    assert_eq!(rights[0]["remedy"], "allow user denied to publish to greenapi.incoming.*.*");
    assert_eq!((&rights[0]["verdict"], &rights[1]["verdict"]), (&"wrong".into(), &"note".into()));
    assert_eq!((&rights[1]["found"], rights.len()), (&"may publish to only a part of greenapi.state.*.*".into(), 2));
    let (code, found) = findings(&Bridge::start_unprovisioned(&nats, &login("silent"), true));
    assert_eq!((code, &about(&found, "rights")["verdict"]), (Some(0), &"note".into()));
}

#[test]
fn the_reason_for_a_failed_stream_inspection_is_said() {
    let (nats, login) = with_users(
        "accounts: {
        WITHOUT: { users: [ { user: without, password: p } ] }
        WITH: { jetstream: enabled, users: [
            { user: deaf, password: p, permissions: { subscribe: [\"other.>\"] } }
            { user: mute, password: p, permissions: { publish: { deny: \"$JS.API.>\" } } }
        ] }
    }",
    );
    let wrong = |user: &str| {
        let (code, found) = findings(&Bridge::start_unprovisioned(&nats, &login(user), false));
        assert_eq!(code, Some(1));
        about(&found, "stream")["found"].as_str().unwrap().to_owned()
    };
    assert!(wrong("without").contains("JetStream not enabled for account"), "{}", wrong("without"));
    let bridge = Bridge::start_unprovisioned(&nats, &login("without"), false);
    let refused = String::from_utf8(command("provision", bridge.config.path()).stderr).unwrap();
    assert!(refused.contains("error code 10039); enable JetStream: start the server with -js"), "{refused}");
    assert!(wrong("deaf").contains("Subscription to \"_INBOX."), "{}", wrong("deaf"));
    assert!(wrong("mute").contains("Publish to \"$JS.API.STREAM.INFO.GREENAPI\""), "{}", wrong("mute"));
}

/// What `check` says of this journal and nothing else, with the exit code.
#[cfg(feature = "journal")]
fn of_journal(directory: &std::path::Path, rest: &str) -> (Option<i32>, Value) {
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), format!("journal.directory = {directory:?}\n{rest}")).unwrap();
    let answer = command("check --offline --json", config.path());
    let json: Value = serde_json::from_slice(&answer.stdout).unwrap();
    (answer.status.code(), json["journal"].clone())
}

#[cfg(feature = "journal")]
#[test]
fn a_journal_that_prevents_a_start_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("file"), "text").unwrap();
    for name in ["text", "database", "fine"] {
        std::fs::create_dir(path(name)).unwrap();
    }
    std::fs::write(path("text/journal.db"), "no database\n".repeat(1000)).unwrap();
    let other = rusqlite::Connection::open(path("database/journal.db")).unwrap();
    other.execute_batch("CREATE TABLE other (a); PRAGMA user_version = 1;").unwrap();
    for (name, remedy) in [
        ("file", "give a folder that this user can create and write"),
        ("file/under/it", "give a folder that this user can create and write"),
        ("text", "not a journal, or corrupt; restore a complete copy, or set journal.directory"),
        ("database", "not a journal, or corrupt; restore a complete copy, or set journal.directory"),
    ] {
        let (code, found) = of_journal(&path(name), "");
        assert_eq!((code, &found[0]["verdict"]), (Some(1), &"wrong".into()), "{name}: {found}");
        assert!(found[0]["found"].as_str().unwrap().contains(remedy), "{name}: {found}");
        let config = path("run.toml");
        std::fs::write(&config, format!("journal.directory = {:?}\nhttp.listen = \"127.0.0.1:0\"", path(name)))
            .unwrap();
        let refused = command("run", &config);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.status.code() == Some(2) && said.contains(remedy), "{name}: {said}");
    }
    // an existing folder keeps its mode, and one that others can enter is worth a note
    std::fs::set_permissions(path("fine"), std::fs::Permissions::from_mode(0o755)).unwrap();
    for (name, notes) in [("fine", 1), ("not/there/yet", 0)] {
        let (code, found) = of_journal(&path(name), "");
        let noted = found.as_array().unwrap().iter().filter(|finding| finding["verdict"] == "note").count();
        assert_eq!((code, noted), (Some(0), notes), "{found}");
    }
    assert!(!path("not").exists() && path("fine").read_dir().unwrap().next().is_none(), "nothing is made");
}

#[cfg(feature = "journal")]
#[test]
fn a_full_journal_is_reported_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let rest = "journal.max_bytes = \"18MiB\"\nhttp.max_body = \"64KiB\"\n";
    let directory = folder.path().join("data");
    let mut bridge = Bridge::with(&format!("journal.directory = {directory:?}\n{rest}"), false).ready();
    assert_eq!(of_journal(&directory, rest).0, Some(0));
    let large = |number: usize| [text(number), vec![b' '; 60_000]].concat();
    let taken = (0..100).take_while(|number| bridge.post(&large(*number)).0 == 200).count();
    // 18 MiB, less 16 for the log
    assert!((20..=34).contains(&taken), "{taken}");
    let of = " of 2.0 MiB used, plus 16.0 MiB reserved for the write-ahead log";
    let full = || {
        let (code, found) = of_journal(&directory, rest);
        assert_eq!((code, &found[0]["verdict"], &found[0]["about"]), (Some(1), &"wrong".into(), &"room".into()));
        let said = found[0]["found"].as_str().unwrap();
        assert!(said.starts_with("full: ") && said.ends_with(of), "{said}");
        assert!(found[0]["remedy"].as_str().unwrap().starts_with("raise journal.max_bytes"), "{found}");
    };
    full();
    let page = bridge.get("/").1;
    let room = page.split("capacity</th><td class=\"bad\">").nth(1).unwrap_or_else(|| panic!("{page}"));
    let room = room.split('<').next().unwrap();
    assert!(room.starts_with("✗ full: ") && room.ends_with(of), "{room}");
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));
    full();
}

#[test]
fn a_missing_server_is_reported() {
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), "nats.servers = [\"nats://127.0.0.1:1\"]\n").unwrap();
    let answer = command("check", config.path());
    let text = String::from_utf8(answer.stdout).unwrap();
    assert_eq!(answer.status.code(), Some(1));
    assert!(
        text.contains("✗ server        nats.servers = nats://127.0.0.1:1: connection refused  → start it"),
        "{text}"
    );
}

#[test]
fn the_last_line_is_the_verdict() {
    let (nats, file) = (Nats::start(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(file.path(), crate::harness::nats_servers(&[nats.port])).unwrap();
    let last = |words: &str| {
        let said = String::from_utf8(command(words, file.path()).stdout).unwrap();
        said.lines().last().unwrap_or_default().to_owned()
    };
    assert!(last("check").starts_with("✗ 1 fault to correct"), "{}", last("check"));
    assert!(last("check --offline").ends_with(", no broker was asked"), "{}", last("check --offline"));
    assert!(command("provision", file.path()).status.success());
    assert!(last("check").starts_with("✓ fine"), "{}", last("check"));
}
