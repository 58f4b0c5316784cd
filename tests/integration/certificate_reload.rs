//! A new certificate is in use without a restart: no request fails, and a bad one changes nothing.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Bridge, Certificates, Nats, TlsConnection, eventually, text};

/// A certificate is in use after two reads of its files, a second apart.
const SOON: Duration = Duration::from_secs(10);

/// A bridge, and the files of its certificate.
struct Rotated {
    bridge: Bridge,
    authority: Certificates,
    folder: tempfile::TempDir,
}

impl Rotated {
    fn start(nats: &Nats) -> Self {
        let (authority, folder) = (Certificates::new(), tempfile::tempdir().unwrap());
        let [certificate, key] = ["tls.crt", "tls.key"].map(|name| folder.path().join(name));
        fs::copy(authority.at("server"), &certificate).unwrap();
        fs::copy(authority.at("server.key"), &key).unwrap();
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        let section = format!("[http.tls]\ncertificate_file = {certificate:?}\nkey_file = {key:?}\n");
        Self { bridge: Bridge::start(nats, &section), authority, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces the two files one after the other, as certbot does: new ones take their names.
    fn replace(&self, certificate: &str, key: &str, mode: u32) {
        for (name, text, mode) in [("tls.crt", certificate, 0o644), ("tls.key", key, mode)] {
            let new = self.file("new");
            fs::write(&new, text).unwrap();
            fs::set_permissions(&new, Permissions::from_mode(mode)).unwrap();
            fs::rename(&new, self.file(name)).unwrap();
        }
    }

    /// Replaces the link above both files, as Kubernetes does.
    fn swap(&self, certificate: &str, key: &str, number: usize) {
        let version = format!("..{number}");
        fs::create_dir(self.file(&version)).unwrap();
        for (name, text, mode) in [("tls.crt", certificate, 0o644), ("tls.key", key, 0o640)] {
            let file = self.file(&version).join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        }
        self.link(Path::new(&version), "..data");
        for name in ["tls.crt", "tls.key"] {
            self.link(&Path::new("..data").join(name), name);
        }
    }

    /// Makes a link take this name.
    fn link(&self, to: &Path, name: &str) {
        let new = self.file("new");
        symlink(to, &new).unwrap();
        fs::rename(&new, self.file(name)).unwrap();
    }

    /// A new certificate of the same authority: DER, PEM, and its key.
    fn issue(&self) -> (Vec<u8>, String, String) {
        let der = self.authority.issue("next");
        let read = |name| fs::read_to_string(self.authority.at(name)).unwrap();
        (der, read("next"), read("next.key"))
    }

    fn connect(&self) -> TlsConnection {
        TlsConnection::open(self.bridge.http, &self.authority.at("ca"), "localhost").unwrap()
    }

    /// The certificate that a new handshake gets.
    fn shown(&self) -> Vec<u8> {
        self.connect().session().peer_certificates().unwrap()[0].to_vec()
    }

    fn reloads(&self, result: &str) -> f64 {
        self.bridge.metric(&format!("reloads_total{{result=\"{result}\",what=\"certificate\"}}"))
    }

    /// What `/readyz` says of the certificate; null if there is nothing to say.
    fn failure(&self) -> Value {
        let (status, text) = self.bridge.get("/readyz");
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()["reload"]["certificate"].clone()
    }

    /// The problems of the failed reloads that are logged.
    fn logged(&self) -> Vec<String> {
        let lines = self.bridge.log();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let failed = lines.filter(|line| line["event"] == "reload_failed" && line["what"] == "certificate");
        failed.map(|line| line["problem"].as_str().unwrap().to_owned()).collect()
    }
}

fn post(connection: &mut TlsConnection, number: usize) {
    let body = text(number);
    let head =
        format!("POST /green-api/webhook/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    connection.send([head.as_bytes(), &body].concat()).unwrap();
    let answer = connection.answer();
    assert_eq!((answer.status, answer.is_last()), (200, false));
}

/// Posts on one open connection until `over`, and each time on a new one too; returns how many.
fn sender(rotated: &Rotated, over: &AtomicBool) -> usize {
    let (mut open, mut sent) = (rotated.connect(), 0);
    while !over.load(Relaxed) {
        post(&mut open, sent);
        post(&mut rotated.connect(), sent + 1);
        sent += 2;
        std::thread::sleep(Duration::from_millis(5));
    }
    sent
}

/// Ends the sender also when a check fails: the test would wait for it for ever.
struct EndsSender<'f>(&'f AtomicBool);

impl Drop for EndsSender<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn five_new_certificates_are_in_use_at_new_handshakes_and_fail_no_request_and_drop_no_connection() {
    let nats = Nats::start();
    let rotated = Rotated::start(&nats);
    let over = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let sender = scope.spawn(|| sender(&rotated, &over));
        let end = EndsSender(&over);
        for change in 0..5 {
            let (der, certificate, key) = rotated.issue();
            if change < 3 {
                rotated.replace(&certificate, &key, 0o600);
            } else {
                rotated.swap(&certificate, &key, change);
            }
            eventually("a new handshake gets the new certificate", SOON, || rotated.shown() == der);
        }
        drop(end);
        sender.join().unwrap()
    });
    assert!(sent >= 50, "too few were sent to prove anything: {sent}");
    assert_eq!(nats.read().len(), sent);
    assert_eq!((rotated.reloads("loaded"), rotated.reloads("failed")), (5.0, 0.0));
}

#[test]
fn a_bad_certificate_keeps_the_old_one_and_is_logged_once_counted_and_shown_until_a_good_one_comes() {
    let nats = Nats::start();
    let rotated = Rotated::start(&nats);
    let mut open = rotated.connect();
    let mut in_use = rotated.shown();
    let (_, certificate, key) = rotated.issue();
    let (_, other, other_key) = rotated.issue();
    let half = &certificate[..certificate.len() / 2];
    for (number, (certificate, key, mode, file, problem)) in [
        (half, key.as_str(), 0o600, "certificate_file", "not PEM"),
        (&certificate, other_key.as_str(), 0o600, "key_file", "not the key of the certificate"),
        (&other, other_key.as_str(), 0o604, "key_file", "chmod o-rwx"),
    ]
    .into_iter()
    .enumerate()
    {
        rotated.replace(certificate, key, mode);
        eventually("it is shown", SOON, || rotated.failure()["state"] == "failed");
        // several looks later
        std::thread::sleep(Duration::from_secs(3));
        let logged = rotated.logged();
        assert_eq!(logged.len(), number + 1, "{logged:?}");
        let said = &logged[number];
        assert!(said.starts_with(&format!("http.tls.{file} = ")) && said.contains(problem), "{said}");
        assert!(!said.contains("PRIVATE KEY"), "{said}");
        assert_eq!(rotated.reloads("failed"), (number + 1) as f64);
        assert!(rotated.shown() == in_use, "the old certificate stays");
        post(&mut open, number);
        let (der, certificate, key) = rotated.issue();
        rotated.replace(&certificate, &key, 0o600);
        eventually("the next one is in use", SOON, || rotated.shown() == der);
        eventually("no failure is left", SOON, || rotated.failure().is_null());
        in_use = der;
    }
}
