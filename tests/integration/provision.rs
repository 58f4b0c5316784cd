//! `provision` against a real server: it widens, and does nothing else.

use std::time::Duration;

use async_nats::jetstream::{self, stream};
use serde_json::{Value, json};

use crate::harness::{Bridge, Nats, command, nats_servers, text};
use crate::nats_server::{denying, file};

/// Asks JetStream in its own words, which no client version leaves out.
fn ask(nats: &Nats, subject: &str, payload: &Value) -> Value {
    let server = format!("nats://127.0.0.1:{}", nats.port);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let context = jetstream::new(async_nats::connect(server).await.unwrap());
        context.request(subject.to_owned(), payload).await.unwrap()
    })
}

fn made(nats: &Nats) -> Value {
    ask(nats, "STREAM.INFO.GREENAPI", &json!({}))["config"].clone()
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap()
}

#[test]
fn a_dry_run_says_what_would_be_done_and_changes_nothing() {
    let nats = Nats::start();
    let bridge = Bridge::start_unprovisioned(&nats, "", false);
    let said = |words: &str| String::from_utf8(command(words, bridge.config.path()).stdout).unwrap();
    let would = said("provision --dry-run");
    assert!(would.contains("stream GREENAPI would be created, with\n  + replicas: 1, chosen by"), "{would}");
    assert_eq!(made(&nats), Value::Null);
    assert!(said("provision").contains("stream GREENAPI created, with\n  + replicas: 1, chosen by"));
    assert_eq!(said("provision"), "stream GREENAPI is up to date\n");
}

#[test]
fn a_dry_run_refuses_more_replicas_than_servers_like_a_real_run() {
    let nats = Nats::start();
    let bridge = Bridge::start_unprovisioned(&nats, "nats.provision.replicas = 3\n", false);
    let refused = |words: &str| {
        let answer = command(words, bridge.config.path());
        (answer.status.code(), String::from_utf8(answer.stderr).unwrap())
    };
    let said = refused("provision");
    assert_eq!(said.0, Some(1));
    assert!(said.1.contains("stream GREENAPI: more replicas than the cluster has servers; start more, or"), "{said:?}");
    assert_eq!(refused("provision --dry-run"), said);
    nats.put_stream(Nats::safe_stream());
    assert_eq!(refused("provision"), said);
    assert_eq!(refused("provision --dry-run"), said);
}

#[test]
fn a_stream_gets_missing_subjects_and_keeps_its_other_settings() {
    let nats = Nats::start();
    // inside a new subject, as one, and beside them; and a key this client does not know
    let subjects = json!(["greenapi.state.7.*", "greenapi.incoming.*.*", "mine.>"]);
    let (window, keep) = (nanos(Duration::from_secs(60)), nanos(Duration::from_secs(3600)));
    let config = json!({"name": "GREENAPI", "subjects": subjects, "retention": "limits", "storage": "file", "num_replicas": 1,
        "duplicate_window": window, "max_age": keep, "max_msgs": 1_000_000, "allow_batched": true});
    assert_eq!(ask(&nats, "STREAM.CREATE.GREENAPI", &config)["error"], Value::Null);
    let bridge = Bridge::start_unprovisioned(&nats, "nats.provision.max_age = \"2h\"\n", false);
    let before = made(&nats);
    let said = |words: &str| {
        let answer = command(words, bridge.config.path());
        assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
        String::from_utf8(answer.stdout).unwrap()
    };
    let checked = String::from_utf8(command("check", bridge.config.path()).stdout).unwrap();
    let shorter =
        "! retention     max_age 1h, less than nats.provision.max_age = 2h  → run `greenapi-bridge provision`";
    assert!(checked.contains(shorter), "{checked}");
    assert!(said("provision --dry-run").contains("  + max_age 2h instead of 1h\n"));
    assert_eq!(made(&nats), before);
    let text = said("provision");
    assert!(text.contains("  + max_age 2h instead of 1h\n"), "{text}");
    assert!(text.contains("  = keeps max_msgs 1000000: the stream is full when it has them\n"), "{text}");
    let mut wanted = before;
    let mut subjects = vec!["greenapi.incoming.*.*".to_owned(), "mine.>".into()];
    subjects.extend(["outgoing", "state", "device", "other"].map(|class| format!("greenapi.{class}.*.*")));
    subjects.push("greenapi.dead-letter".into());
    wanted["subjects"] = json!(subjects);
    wanted["duplicate_window"] = json!(nanos(Duration::from_secs(900)));
    wanted["max_age"] = json!(nanos(Duration::from_secs(2 * 3600)));
    assert_eq!(made(&nats), wanted);
}

#[test]
fn limits_are_raised_when_configured_and_never_lowered() {
    let nats = Nats::start();
    nats.put_stream(stream::Config {
        max_age: Duration::from_secs(7 * 24 * 3600),
        max_bytes: 1_000_000,
        max_messages_per_subject: 1000,
        discard: stream::DiscardPolicy::Old,
        ..Nats::safe_stream()
    });
    let before = made(&nats);
    let said = |extra: &str| {
        let bridge = Bridge::start_unprovisioned(&nats, &format!("nats.provision = {extra}\n"), false);
        String::from_utf8(command("provision", bridge.config.path()).stdout).unwrap()
    };
    let otherwise = "  = keeps discard old, not new: when full it deletes acknowledged messages
  = keeps max_msgs_per_subject 1000: beyond it acknowledged messages are deleted\n";
    assert_eq!(
        said("{ max_age = \"1h\", max_bytes = \"5000B\" }"),
        format!(
            "stream GREENAPI is unchanged\n  = keeps max_age 7days, not 1h\n  = keeps max_bytes 1000000, not 5000\n{otherwise}"
        )
    );
    assert_eq!(made(&nats), before);
    assert_eq!(
        said("{ max_age = \"0s\", max_bytes = \"2MB\" }"),
        format!(
            "stream GREENAPI now also has\n  + max_age for ever instead of 7days\n  + max_bytes 2000000 instead of 1000000\n{otherwise}"
        )
    );
    assert_eq!((&made(&nats)["max_age"], &made(&nats)["max_bytes"]), (&json!(0), &json!(2_000_000)));
    assert_eq!(made(&nats)["discard"], "old");
}

#[test]
fn a_duplicate_window_longer_than_max_age_is_refused_with_the_keys() {
    let nats = Nats::start();
    let bridge = Bridge::start_unprovisioned(&nats, "nats.provision.max_age = \"10m\"\n", false);
    let refused = |words: &str| {
        let answer = command(words, bridge.config.path());
        assert_eq!(answer.status.code(), Some(1));
        String::from_utf8(answer.stderr).unwrap()
    };
    let text = refused("provision");
    assert!(text.contains("dedupe.window = 15m: more than nats.provision.max_age = 10m"), "{text}");
    let short = json!({"name": "GREENAPI", "subjects": ["greenapi.>"], "retention": "limits", "storage": "file",
        "num_replicas": 1, "max_age": nanos(Duration::from_secs(300))});
    ask(&nats, "STREAM.CREATE.GREENAPI", &short);
    let text = refused("provision --dry-run");
    assert!(text.contains("dedupe.window = 15m: more than nats.provision.max_age = 10m"), "it is widened: {text}");
    let other = json!({"name": "GREENAPI", "subjects": ["greenapi.>"], "max_age": nanos(Duration::from_secs(780))});
    ask(&nats, "STREAM.UPDATE.GREENAPI", &other);
    let text = refused("provision --dry-run");
    assert!(text.contains("dedupe.window = 15m: more than the stream's max_age = 13m"), "{text}");
}

#[test]
fn templates_with_any_number_of_words_are_provisioned() {
    for extra in [
        "nats.subject = \"greenapi.{class}\"\n",
        "route.classes.incoming.subject = \"greenapi.incoming.{instance}.{type}\"\n",
    ] {
        let nats = Nats::start();
        let bridge = Bridge::start(&nats, extra);
        assert_eq!(command("check", bridge.config.path()).status.code(), Some(0), "{extra}");
        assert_eq!(bridge.post(&text(1)).0, 200, "{extra}");
        assert_eq!(bridge.post(b"{").0, 200, "{extra}");
    }
}

#[test]
fn a_stream_with_a_subject_for_each_class_needs_no_more() {
    let nats = Nats::start();
    let classes = ["incoming", "outgoing", "state", "device"].map(|class| format!("greenapi.{class}.>"));
    let subjects = classes.into_iter().chain(["greenapi.dead-letter".into()]).collect();
    nats.put_stream(stream::Config { subjects, ..Nats::safe_stream() });
    let bridge = Bridge::start_unprovisioned(&nats, "", true);
    let held = made(&nats)["subjects"].as_array().unwrap().len();
    assert_eq!(held, 6, "only what was missing was added");
    assert_eq!(bridge.post(&text(1)).0, 200);
}

#[test]
fn a_missing_permission_is_named_at_once() {
    for (right, there) in [("CREATE", false), ("UPDATE", true)] {
        let (nats, login, _secret) = denying(&format!("$JS.API.STREAM.{right}.>"));
        let bridge = Bridge::start_unprovisioned(&nats, &login, there);
        let asked = std::time::Instant::now();
        std::fs::write(bridge.config.path(), std::fs::read_to_string(bridge.config.path()).unwrap() + WIDER).unwrap();
        let refused = String::from_utf8(command("provision", bridge.config.path()).stderr).unwrap();
        let said =
            format!("stream GREENAPI: no right to Publish to \"$JS.API.STREAM.{right}.GREENAPI\"; allow its user");
        assert!(refused.contains(&said), "{refused}");
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }
}

/// Asks for more than there is.
const WIDER: &str = "nats.provision.max_age = \"8d\"\n";

/// Users that have the rights a command needs and no others.
#[test]
fn the_documented_permissions_are_enough() {
    let rights = |publish: &str| {
        format!(
            "password: p, permissions: {{ publish: [{publish}], subscribe: [\"_INBOX.>\", \"$JS.EVENT.ADVISORY.STREAM.*.GREENAPI\"] }}"
        )
    };
    let look = "\"$JS.API.STREAM.INFO.GREENAPI\"";
    let create = rights(&format!("{look}, \"$JS.API.STREAM.CREATE.GREENAPI\""));
    let widen = rights(&format!("{look}, \"$JS.API.STREAM.UPDATE.GREENAPI\""));
    let check = rights(&format!("{look}, \"$SYS.REQ.USER.INFO\", \"greenapi.>\""));
    let users = format!("[ {{ user: create, {create} }}, {{ user: widen, {widen} }}, {{ user: check, {check} }} ]");
    let (server, secret) = (file(&format!("authorization: {{ users: {users} }}")), file("p"));
    let nats = Nats::start_with(&["-c".to_owned(), server.path().display().to_string()]);
    let said = |user: &str, words: &str, more: &str| {
        let login = format!("nats.user = \"{user}\"\nnats.password_file = \"{}\"\n", secret.path().display());
        let bridge = Bridge::start_unprovisioned(&nats, &format!("{login}{more}"), false);
        let answer = command(words, bridge.config.path());
        assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
        String::from_utf8(answer.stdout).unwrap()
    };
    assert!(said("create", "provision", "").contains("created, with"));
    assert!(said("create", "provision", "").contains("is up to date"));
    assert!(said("widen", "provision", WIDER).contains("+ max_age 8days instead of 7days"));
    let text = said("check", "check", "");
    let (_, server) = text.split_once("\nnats: ").unwrap();
    assert!(!server.contains("\n! ") && server.contains("✓ rights        user check may publish"), "{text}");
}

#[test]
fn one_server_gets_one_replica_also_where_its_account_has_room_for_no_more() {
    let users = "accounts: { A: { jetstream: { max_file: 256M }, users: [ { user: a, password: p } ] } }";
    let (nats, login) = crate::check::with_users(users);
    let config = format!("{}nats.provision.max_bytes = \"100MiB\"\n", login("a"));
    let bridge = Bridge::start_unprovisioned(&nats, &config, false);
    let answer = command("provision", bridge.config.path());
    let said = String::from_utf8_lossy(&answer.stdout).into_owned() + &String::from_utf8_lossy(&answer.stderr);
    assert!(answer.status.success() && said.contains("replicas: 1, chosen by replicas = \"auto\""), "{said}");
}

#[test]
fn a_stream_that_cannot_be_created_is_refused_with_the_remedy() {
    let refused = |nats: &Nats, config: &str| {
        let bridge = Bridge::start_unprovisioned(nats, config, false);
        let answer = command("provision", bridge.config.path());
        assert_eq!(answer.status.code(), Some(1));
        String::from_utf8(answer.stderr).unwrap()
    };
    // a user who may not ask which stream it is
    let denied = "{ user: u, password: p, permissions: { publish: { deny: [\"$JS.API.STREAM.NAMES\"] } } }";
    let users = format!("authorization: {{ users: [ {{ user: all, password: p }}, {denied} ] }}\nno_auth_user: all");
    let (server, secret) = (file(&users), file("p"));
    let nats = Nats::start_with(&["-c".to_owned(), server.path().display().to_string()]);
    nats.put_stream(stream::Config { name: "OTHER".into(), ..Nats::safe_stream() });
    let said = refused(&nats, &format!("nats.user = \"u\"\nnats.password_file = {:?}\n", secret.path()));
    assert!(said.contains("stream GREENAPI: its subjects belong to another stream; set nats.stream to that"), "{said}");
    let users = "accounts: { A: { jetstream: { max_bytes_required: true }, users: [ { user: a, password: p } ] } }";
    let (nats, login) = crate::check::with_users(users);
    let said = refused(&nats, &login("a"));
    assert!(said.contains("the account wants a limit for every stream; set nats.provision.max_bytes"), "{said}");
}

#[test]
fn the_stream_that_has_a_subject_already_is_named_with_the_ways_out() {
    let nats = Nats::start();
    nats.put_stream(stream::Config {
        name: "OTHERS".into(),
        subjects: vec!["greenapi.incoming.>".into()],
        ..Nats::safe_stream()
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), nats_servers(&[nats.port])).unwrap();
    for words in ["provision", "provision --dry-run", "check"] {
        let answer = command(words, file.path());
        let said = String::from_utf8([answer.stdout, answer.stderr].concat()).unwrap();
        assert_eq!(answer.status.code(), Some(1), "{words}: {said}");
        assert!(said.contains("belongs to the stream OTHERS") && said.contains("set nats.stream"), "{words}: {said}");
    }
}
