//! `send`, the command: against real bridges and a real nats-server.

use std::collections::HashMap;
use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

#[cfg(feature = "tls")]
use crate::harness::Certificates;
use crate::harness::{Act, Bridge, Nats, ScriptedServer, body, eventually};

fn sender(bridge: &str, words: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["60", env!("CARGO_BIN_EXE_greenapi-bridge"), "send"]).args(words.split_whitespace());
    command.args(["--url", bridge]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn url(bridge: &Bridge) -> String {
    format!("http://{}/green-api/webhook/", bridge.http)
}

/// The exit code, and the summary.
fn outcome(output: &Output) -> (i32, Value) {
    let summary = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.code().unwrap(), summary)
}

fn sent(bridge: &Bridge, words: &str) -> (i32, Value) {
    outcome(&sender(&url(bridge), &format!("--json {words}")).output().unwrap())
}

fn temporary(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// A ledger: the ids of each instance in the order of their answers. The rest of each line is checked.
fn ledger(path: &std::path::Path) -> HashMap<String, Vec<String>> {
    let mut ids: HashMap<String, Vec<String>> = HashMap::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let [instance, sequence, id, "200", "broker" | "duplicate", at] = fields[..] else { panic!("{line}") };
        let of_instance = ids.entry(instance.into()).or_default();
        of_instance.push(id.into());
        assert_eq!(sequence.parse(), Ok(of_instance.len()), "{line}");
        assert!(at.parse::<u64>().unwrap() > 1_700_000_000_000, "{line}");
    }
    ids
}

/// The same, from the messages in the broker.
fn held(nats: &Nats) -> HashMap<String, Vec<String>> {
    let mut ids: HashMap<String, Vec<String>> = HashMap::new();
    for message in nats.read() {
        let header = |name: &str| message["headers"][name].as_str().unwrap().to_owned();
        ids.entry(header("ce-instance")).or_default().push(header("ce-id"));
    }
    ids
}

#[test]
fn every_sample_arrives_and_the_ledger_equals_the_broker() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let (code, summary) = sent(&bridge, &format!("--instances 3 --ledger {}", path.display()));
    let samples = greenapi_bridge::simulator::Sample::all().len();
    assert_eq!(code, 0);
    assert_eq!(summary["answered"], serde_json::json!({"200": samples}));
    assert_eq!(summary["stored"], serde_json::json!({"broker": samples}));
    let (written, held) = (ledger(&path), held(&nats));
    assert_eq!(written.len(), 3);
    assert_eq!(written, held);
    let kinds =
        |kind: &str| nats.read().iter().filter(|message| message["subject"].as_str().unwrap().ends_with(kind)).count();
    assert!(kinds(".incomingMessageReceived") > 20 && kinds(".quotaExceeded") == 1);
}

#[test]
fn after_a_503_the_same_notification_is_sent_until_stored_in_order() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "publish.timeout = \"500ms\"\n");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let words = format!("--json --instances 2 --count 200 --pause 200ms --ledger {}", path.display());
    nats.signal("-STOP");
    let sending = sender(&url(&bridge), &words).spawn().unwrap();
    eventually("refused", Duration::from_secs(20), || {
        bridge.get("/metrics").1.contains(r#"requests_total{status="503"} 4"#)
    });
    nats.signal("-CONT");
    let (code, summary) = outcome(&sending.wait_with_output().unwrap());
    let refused = summary["answered"]["503"].as_u64().unwrap();
    assert_eq!((code, &summary["sent"], &summary["answered"]["200"]), (0, &200.into(), &200.into()));
    assert!(refused >= 4 && summary["repeats"] == refused, "{summary}");
    assert_eq!(ledger(&path), held(&nats));
}

#[test]
fn a_wrong_token_is_refused_and_a_corrected_one_works() {
    let nats = Nats::start();
    let tokens = temporary("1101000009 bound-for-one-only\n# the next\ngood-enough-token\n");
    let bridge = Bridge::start(&nats, &format!("auth.tokens_file = \"{}\"\n", tokens.path().display()));
    let wrong = temporary("wrong\n");
    let with =
        |file: &tempfile::NamedTempFile| format!("--count 1 --pause 100ms --token-file {}", file.path().display());
    let (code, summary) = sent(&bridge, &format!("{} --give-up 2 --keep-going", with(&wrong)));
    assert_eq!((code, &summary["lost"], &summary["repeats"]), (1, &1.into(), &2.into()));
    assert_eq!(summary["answered"], serde_json::json!({"401": 3}));
    assert_eq!(sent(&bridge, &with(&tokens)).0, 0);
    let by_config = crate::harness::command("send --json --count 1", bridge.config.path());
    assert_eq!(outcome(&by_config).0, 0);
    assert_eq!(nats.read().len(), 2);
}

#[test]
fn a_signal_ends_it_with_a_summary_of_what_was_stored() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenapi-bridge"));
    command.args(["send", "--json", "--count", "1000000", "--url", &url(&bridge)]);
    let sending = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("it sends", Duration::from_secs(10), || nats.read().len() > 2);
    interrupt(&sending);
    let (code, summary) = outcome(&sending.wait_with_output().unwrap());
    assert_eq!(code, 1, "not all that was asked for was sent");
    assert_eq!(summary["answered"], serde_json::json!({"200": nats.read().len()}));
    assert_eq!((&summary["faults"], &summary["lost"]), (&0.into(), &0.into()));
}

fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn a_second_signal_does_not_wait_for_an_answer() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    nats.signal("-STOP");
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenapi-bridge"));
    command.args(["send", "--json", "--url", &url(&bridge)]);
    let mut sending = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    bridge.wait_for_in_flight(1);
    interrupt(&sending);
    std::thread::sleep(Duration::from_millis(500));
    assert!(sending.try_wait().unwrap().is_none(), "it waits for the answer");
    interrupt(&sending);
    let begun = std::time::Instant::now();
    let (code, summary) = outcome(&sending.wait_with_output().unwrap());
    // the answer would come after 12 s, with publish.timeout
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert_eq!((code, &summary["sent"], &summary["faults"]), (1, &1.into(), &1.into()));
}

#[test]
fn the_summary_is_in_words_and_bodies_have_the_requested_size() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let words = "--types textMessage,deviceInfo --count 10 --size 20KiB --rate 0 --duration";
    let refused = sender(&url(&bridge), &format!("{words} 1s")).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "a count or a time, not both");
    let output =
        sender(&url(&bridge), "--types textMessage,deviceInfo --count 10 --size 20KiB --rate 0").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.starts_with("10 notifications sent in "), "{said}");
    assert!(said.contains("answered 200           10  broker 10\n"), "{said}");
    assert!(nats.read().iter().all(|message| body(message).len() == 20 * 1024));
}

#[cfg(feature = "tls")]
#[test]
fn a_certificate_is_trusted_only_with_its_authority() {
    let (ours, others) = (Certificates::new(), Certificates::new());
    let scripted_server = ScriptedServer::start_secure(&ours);
    let url = format!("https://localhost:{}/", scripted_server.address.port());
    let send = |words: &str| sender(&url, &format!("--json --count 2 --give-up 0 {words}")).output().unwrap();
    for words in [String::new(), format!("--ca-file {}", others.at("ca"))] {
        let output = send(&words);
        assert_eq!(outcome(&output).0, 1);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("certificate") && said.contains("name its authority with --ca-file"), "{said}");
    }
    assert_eq!(scripted_server.seen().len(), 0, "nothing is sent to someone not believed");
    for words in ["--insecure".into(), format!("--ca-file {}", ours.at("ca"))] {
        assert_eq!(outcome(&send(&words)).0, 0);
    }
    assert_eq!(scripted_server.seen().len(), 4);
    let refused = send(&format!("--ca-file {}", ours.at("ca.nowhere")));
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn flags_that_cannot_be_used_are_refused_with_the_remedy() {
    let (bound, taken) = (temporary("7 bound\n"), temporary(""));
    let bound = format!("--token-file {}", bound.path().display());
    let taken = format!("--ledger {}", taken.path().display());
    for (url, words, remedy) in [
        ("http://h/", "--types incomming", "the nearest known one is `incoming`"),
        ("http://h/", "--types incoming,stateInstanceChangd", "the nearest known one is `stateInstanceChanged`"),
        ("http://h/", "--types bogus", "`greenapi-bridge send --help` lists all"),
        ("http://h/", "--pause 10", "a number and a unit"),
        ("http://h/", "--pause 0s", "give a duration above 0"),
        ("http://h/", "--size big", "such as \"8MiB\""),
        ("http://h/", "--instances 0", "give a number from 1 to 10000"),
        ("http://h/", "--insecure --ca-file x", "cannot be used with"),
        ("http://h/", "--token-file /nowhere", "--token-file /nowhere: No such file"),
        ("http://h/", &bound, "a token alone on its line"),
        ("http://h/", &taken, "name a new file"),
        ("ftp://h/", "", "give http:// or https://"),
        ("h:3000", "", "give one such as http://127.0.0.1:3000/green-api/webhook/"),
    ] {
        let output = sender(url, words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{url} {words} {said}");
        assert!(said.contains(remedy), "{url} {words}: {said}");
    }
    let secret = sender("http://u:hidden@h/?token=hidden", "").output().unwrap();
    assert!(!String::from_utf8_lossy(&secret.stderr).contains("hidden"), "{secret:?}");
}

#[test]
fn the_remedy_for_a_refusal_is_printed_once() {
    let wrong = temporary("wrong\n");
    let token = format!("--token-file {}", wrong.path().display());
    for (status, words, says) in [
        (401, "", "answered 401: the bridge requires a token; give --config or --token-file"),
        (
            401,
            &token,
            "answered 401: the bridge does not accept this token; give one of its own with --config or --token-file",
        ),
        (403, "", "auth.allow_from"),
        (404, "", "correct --url"),
        (413, "", "lower --size"),
        (503, "", ""),
    ] {
        let scripted_server = ScriptedServer::start(&[status; 4].map(Act::Answer));
        let words = format!("--count 4 --rate 0 --give-up 0 --pause 10ms --keep-going {words}");
        let output = sender(&format!("http://{}/", scripted_server.address), &words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let told: Vec<_> =
            said.lines().filter(|line| line.contains(": answered ") && !line.contains("instance")).collect();
        assert_eq!(told.len(), usize::from(!says.is_empty()), "{said}");
        assert!(told.iter().all(|line| line.contains(says)), "{said}");
    }
}

#[test]
fn an_answer_that_no_repeat_mends_ends_the_command_at_once() {
    for status in [401, 403, 404] {
        let scripted_server = ScriptedServer::start(&[status; 2].map(Act::Answer));
        let begun = std::time::Instant::now();
        // the pause after it is GREEN-API's, 60 s
        let output = sender(&format!("http://{}/", scripted_server.address), "--count 3").output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{status}");
        assert!(begun.elapsed() < Duration::from_secs(20) && scripted_server.seen().len() == 1, "{status}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("answered {status}: ")), "{output:?}");
    }
}

#[test]
fn each_instance_posts_to_a_url_of_its_own() {
    let scripted_server = ScriptedServer::start(&[]);
    let url = format!("http://{}/webhook/?instance={{instance}}", scripted_server.address);
    let output = sender(&url, "--instances 3 --first-instance 70 --count 30 --rate 0").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut instances = std::collections::BTreeSet::new();
    for request in scripted_server.seen() {
        let instance = serde_json::from_slice::<Value>(&request.body).unwrap()["instanceData"]["idInstance"].clone();
        assert!(request.head.starts_with(&format!("POST /webhook/?instance={instance} ")), "{}", request.head);
        instances.insert(instance.as_u64().unwrap());
    }
    assert!(instances.into_iter().eq(70..73));
}

#[test]
fn the_help_lists_every_name_of_a_sample() {
    let output = Command::new(env!("CARGO_BIN_EXE_greenapi-bridge")).args(["send", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let (_, names) = help.split_once("Names for --types: ").unwrap();
    let names: Vec<_> = names.split_whitespace().collect();
    for sample in greenapi_bridge::simulator::Sample::all() {
        let of_sample = [Some(sample.class.as_str()), Some(&sample.kind), sample.message_type.as_deref()];
        assert!(of_sample.into_iter().flatten().all(|name| names.contains(&name)), "{sample:?}");
    }
}

#[test]
fn without_a_configuration_none_is_read() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    let mut command = sender(&url(&bridge), "--json --count 1");
    let output =
        command.env("BRIDGE_NATS__SERVERS", "nonsense").env("BRIDGE_HTTP__LISTEN", "nonsense").output().unwrap();
    assert_eq!(outcome(&output).0, 0);
}
