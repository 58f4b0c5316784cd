//! `tail`: what is in the journal, and what comes to it, in a terminal.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::harness::{Bridge, command, eventually, free_port, nats_servers, text};

fn start(folder: &Path, extra: &str) -> Bridge {
    Bridge::with(&format!("journal.directory = {:?}\n{extra}", folder.join("data")), false).ready()
}

/// A `tail` that goes on.
struct Tail {
    child: Child,
    lines: Receiver<String>,
}

impl Tail {
    fn run(words: &[&str]) -> Self {
        let mut tail = Command::new(env!("CARGO_BIN_EXE_greenapi-bridge"));
        let mut child = tail.arg("tail").args(words).stdout(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { child, lines }
    }

    fn number(&self) -> u64 {
        let line = self.lines.recv_timeout(Duration::from_secs(10)).unwrap();
        let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        event["data"]["number"].as_u64().unwrap()
    }

    fn interrupt(mut self) -> Option<i32> {
        assert!(Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap().success());
        let mut ended = None;
        eventually("it ends", Duration::from_secs(2), || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap().code()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(output: &std::process::Output) -> Vec<String> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().lines().map(String::from).collect()
}

fn numbers(output: &std::process::Output) -> Vec<u64> {
    let number = |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap()["data"]["number"].as_u64();
    lines(output).iter().map(|line| number(line).unwrap()).collect()
}

#[test]
fn tail_prints_the_last_ten_or_as_asked_with_and_without_a_running_bridge() {
    let folder = tempfile::tempdir().unwrap();
    let mut bridge = start(folder.path(), "");
    (0..30).for_each(|number| drop(bridge.post(&text(number))));
    let state = br#"{"typeWebhook":"stateInstanceChanged","instanceData":{"idInstance":8},"number":30}"#;
    assert_eq!(bridge.post(state).0, 200);
    let tail = |words: &str| command(&format!("tail --no-follow {words}"), bridge.config.path());
    assert_eq!(numbers(&tail("--json")), (21..=30).collect::<Vec<_>>());
    assert_eq!(numbers(&tail("--json -n 2 --class incoming")), [28, 29]);
    assert_eq!(numbers(&tail("--json --instance 8")), [30]);
    assert_eq!(numbers(&tail("--json --type stateInstanceChanged")), [30]);
    assert_eq!(numbers(&tail("--json --since 1h")).len(), 31);
    assert_eq!(numbers(&tail("--json --after 0")).len(), 31);
    let human = lines(&tail("-n 1"));
    assert!(human.len() == 1 && human[0].contains("  state     8           stateInstanceChanged  {"), "{human:?}");
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));
    let after = command("tail --no-follow --json -n 1", bridge.config.path());
    assert_eq!(numbers(&after), [30]);
}

#[test]
fn tail_follows_until_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = start(folder.path(), "");
    assert_eq!(bridge.post(&text(0)).0, 200);
    let config = bridge.config.path().to_str().unwrap().to_owned();
    let url = format!("http://{}", bridge.admin);
    let tails = [Tail::run(&["--json", "--config", &config]), Tail::run(&["--json", "--url", &url])];
    for tail in &tails {
        assert_eq!(tail.number(), 0);
    }
    for number in 1..5 {
        assert_eq!(bridge.post(&text(number as usize)).0, 200);
        tails.iter().for_each(|tail| assert_eq!(tail.number(), number));
    }
    for tail in tails {
        assert_eq!(tail.interrupt(), Some(0));
    }
}

#[test]
fn over_http_tail_sends_a_token_and_reconnects_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "secret-of-operators\n").unwrap();
    let mut bridge = start(folder.path(), &format!("admin.tokens_file = {tokens:?}\n"));
    let (url, tokens) = (format!("http://{}", bridge.admin), tokens.to_str().unwrap());
    (0..3).for_each(|number| drop(bridge.post(&text(number))));
    let once = format!("tail --json --no-follow -n 2 --url {url} --token-file {tokens}");
    assert_eq!(numbers(&command(&once, bridge.config.path())), [1, 2]);
    let refused = command(&format!("tail --no-follow --url {url}"), bridge.config.path());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains("401") && said.contains("--token-file"), "{said}");
    let tail = Tail::run(&["--json", "-n", "0", "--url", &url, "--token-file", tokens]);
    std::thread::sleep(Duration::from_secs(1));
    bridge.kill_and_start_again();
    let bridge = bridge.ready();
    (3..6).for_each(|number| drop(bridge.post(&text(number))));
    assert_eq!([tail.number(), tail.number(), tail.number()], [3, 4, 5]);
    assert_eq!(tail.interrupt(), Some(0));
}

#[test]
fn tail_says_when_there_is_no_backlog() {
    let folder = tempfile::tempdir().unwrap();
    let said = |bridge: &Bridge, words: &str| {
        let tail = command(&format!("tail --no-follow {words}"), bridge.config.path());
        (lines(&tail).len(), String::from_utf8(tail.stderr).unwrap())
    };
    let nothing = "greenapi-bridge: the journal has no backlog; consumers read at the broker\n";
    let owing = start(folder.path(), &nats_servers(&[free_port()]));
    assert_eq!(said(&owing, "--json"), (0, nothing.into()));
    assert_eq!(owing.post(&text(0)).0, 200);
    assert_eq!(said(&owing, "--json"), (1, String::new()));
    assert_eq!(said(&owing, "--instance 999"), (0, String::new()), "something is owed, though not of it");
    let other = tempfile::tempdir().unwrap();
    assert_eq!(said(&start(other.path(), ""), "--json"), (0, String::new()), "nothing is forwarded");
}

#[test]
fn invalid_arguments_are_refused_with_the_remedy() {
    let config = tempfile::NamedTempFile::new().unwrap();
    for (words, remedy) in [
        ("tail --after foo", "not the id of an event; give one such as 0a1b2c3d-42"),
        ("tail --instance abc", "not an instance; give its number, such as 1101000001"),
        ("tail -n many", "not a number, or one too large; give one such as 10"),
        ("send --count many", "give a number from 1 to 1000000000000"),
        ("send --instances 0", "give a number from 1 to 10000"),
        ("send --give-up abc", "not a number, or one too large; give one such as 10"),
    ] {
        let refused = command(words, config.path());
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.status.code() == Some(2) && said.contains(remedy), "{words}: {said}");
    }
}

#[test]
fn without_a_journal_tail_says_the_remedy() {
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), "nats.servers = [\"nats://127.0.0.1:1\"]\n").unwrap();
    let refused = command("tail", config.path());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("no section [journal]") && said.contains("--url"), "{said}");
    let unknown = command("tail --class inbound", config.path());
    assert_eq!(unknown.status.code(), Some(2));
}
