//! `check --ready`: a health check by the program itself.

use std::process::{Command, Output};

use crate::harness::{Act, Bridge, Certificates, ScriptedServer, free_port};

/// In an environment and a folder whose configurations cannot be used.
fn check(words: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bridge.toml"), "nonsense").unwrap();
    let mut bounded = Command::new("timeout");
    bounded.args(["60", env!("CARGO_BIN_EXE_greenapi-bridge"), "check", "--ready"]).args(words);
    bounded.current_dir(folder.path()).env("BRIDGE_CONFIG", "/does/not/exist.toml");
    bounded.output().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

#[test]
fn check_ready_needs_no_configuration() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let url = format!("http://127.0.0.1:{port}/readyz");
    let (code, text) = said(&check(&[&url]));
    assert_eq!(code, Some(1));
    assert!(text.starts_with(&format!("greenapi-bridge: not ready: {url}: no connection to 127.0.0.1")), "{text}");
    let config = format!(
        "journal.directory = \"{}\"\nprobes.listen = \"127.0.0.1:{port}\"\n",
        folder.path().join("data").display()
    );
    let bridge = Bridge::with(&config, false).ready();
    assert_eq!(said(&check(&[&url])), (Some(0), "ready\n".into()));
    drop(bridge);
    assert_eq!(said(&check(&[&url])).0, Some(1));
}

#[test]
fn check_ready_says_what_was_answered_instead() {
    let server = ScriptedServer::start(&[Act::Answer(503), Act::Break, Act::Silence]);
    let url = format!("http://{}/readyz?secret=1", server.address);
    for expected in [": 503", ": the connection broke", ": no answer within 3 s"] {
        let (code, text) = said(&check(&[&url]));
        assert!(code == Some(1) && text.contains(&format!("/readyz{expected}")), "{code:?} {text}");
    }
    let heads: Vec<_> = server.seen().into_iter().map(|request| request.head).collect();
    assert!(heads.iter().all(|head| head.starts_with("GET /readyz?secret=1 HTTP/1.1\r\n")), "{heads:?}");
}

#[test]
fn check_ready_trusts_the_authorities_it_is_given() {
    let certificates = Certificates::new();
    let server = ScriptedServer::start_secure(&certificates);
    let url = format!("https://localhost:{}/readyz", server.address.port());
    let authority = certificates.at("ca");
    // it is trusted, and is no bridge
    let (code, text) = said(&check(&[&url, "--ca-file", &authority]));
    assert!(code == Some(1) && text.contains(": 200, but not as /readyz of a bridge answers"), "{code:?} {text}");
    let (code, text) = said(&check(&[&url]));
    assert!(code == Some(1) && text.contains("name its authority with --ca-file"), "{text}");
    for (words, problem) in [
        (&[&url, "--ca-file", "/does/not/exist"][..], "--ca-file = /does/not/exist: "),
        (&["ftp://localhost/"], "--ready = ftp://localhost/: scheme `ftp` is not supported"),
        (&["http://user:secret@localhost/"], "--ready = …: user and password in a URL are not sent"),
        (&[&url, "--offline"], "cannot be used with"),
    ] {
        let (code, text) = said(&check(words));
        assert!(code == Some(2) && text.contains(problem) && !text.contains("secret"), "{text}");
    }
}
