//! Output that nobody reads, or that cannot be written: no command panics, and a lost result is a failure.

use std::process::{Command, Output, Stdio};

use crate::harness::{Bridge, Nats, text};

/// Commands that print what is in the journal.
const OF_THE_JOURNAL: [&str; 6] = [
    "journal status",
    "journal status --json",
    "journal export",
    "journal drop --broker nats --dry-run",
    "tail --no-follow",
    "tail --no-follow --json",
];

/// Commands that print what a broker or the bridge has.
const OF_THE_BROKER: [&str; 11] = [
    "check",
    "check --json",
    "check --offline",
    "provision --dry-run",
    "dead-letter list",
    "dead-letter list --json",
    "dead-letter replay --all --dry-run",
    "send --count 1 --give-up 1 --pause 10ms",
    "--help",
    "journal --help",
    "--version",
];

fn run(shell: &str, bridge: &Bridge, words: &str) -> Output {
    let program =
        format!("{} {words} --config {}", env!("CARGO_BIN_EXE_greenapi-bridge"), bridge.config.path().display());
    let mut command = Command::new("timeout");
    command.args(["30", "bash", "-c", &shell.replace("PROGRAM", &program)]);
    command.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn no_command_panics_where_its_output_goes_nowhere() {
    let (mut nats, folder) = (Nats::start(), tempfile::tempdir().unwrap());
    let journal = format!("journal.directory = {:?}\n", folder.path().join("data"));
    let bridge = Bridge::start(&nats, &journal);
    assert_eq!(bridge.post(b"no notification").0, 200);
    nats.kill();
    for number in 0..200 {
        assert_eq!(bridge.post(&text(number)).0, 200);
    }
    OF_THE_JOURNAL.into_iter().for_each(|words| no_panic(&bridge, words));
    nats.start_again();
    OF_THE_BROKER.into_iter().for_each(|words| no_panic(&bridge, words));
}

fn no_panic(bridge: &Bridge, words: &str) {
    // the pipe is closed before the first line; the exit code is that of the command
    let closed = run("PROGRAM | true; exit ${PIPESTATUS[0]}", bridge, words);
    let (code, said) = (closed.status.code(), String::from_utf8_lossy(&closed.stderr).into_owned());
    assert!(code != Some(101) && !said.contains("panicked"), "{words} | true: {code:?} {said}");
    assert!(!said.to_lowercase().contains("broken pipe"), "{words} | true: {said}");
    let full = run("PROGRAM >/dev/full", bridge, words);
    let (code, said) = (full.status.code(), String::from_utf8_lossy(&full.stderr).into_owned());
    assert_eq!(code, Some(1), "{words} >/dev/full: {said}");
    assert!(said.contains("the result cannot be written: No space left"), "{words} >/dev/full: {said}");
    let deaf = run("PROGRAM 2>/dev/full", bridge, words);
    assert!(deaf.status.code() != Some(101), "{words} 2>/dev/full");
}

#[test]
fn on_a_terminal_a_bridge_begins_with_four_lines() {
    let folder = tempfile::tempdir().unwrap();
    let [http, admin] = [(); 2].map(|()| crate::harness::free_port());
    let config = folder.path().join("bridge.toml");
    let text = format!(
        "http.listen = \"127.0.0.1:{http}\"\n[journal]\ndirectory = \"data\"\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n"
    );
    std::fs::write(&config, text).unwrap();
    let run = format!("timeout -s TERM 2 {} run -c {}", env!("CARGO_BIN_EXE_greenapi-bridge"), config.display());
    // `script` gives it a terminal
    let shown = Command::new("script").args(["-qec", &run, "/dev/null"]).output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).replace('\r', "");
    let data = folder.path().join("data");
    for line in [
        format!("post to  http://127.0.0.1:{http}/green-api/webhook/"),
        format!("look at  http://127.0.0.1:{admin}/"),
        format!("goes to  the journal in {}", data.display()),
        format!("next     try it: greenapi-bridge send --url http://127.0.0.1:{http}/green-api/webhook/"),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
    }
}
