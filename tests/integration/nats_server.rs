//! Being known to the server, and servers whose acknowledgement does not mean stored.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use async_nats::jetstream::stream;

use crate::check::create;
use crate::harness::{Bridge, Certificates, Nats, command, eventually};

const BODY: &[u8] = br#"{"typeWebhook":"incomingCall","instanceData":{"idInstance":7}}"#;

pub fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{text}").unwrap();
    file
}

fn arguments(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// With the secret it stores, with another it does not.
pub fn known_by(server: &[String], config: impl Fn(&Path) -> String, secret: &str, wrong_secret: &str) {
    let nats = Nats::start_with(server);
    let (right, wrong) = (file(secret), file(wrong_secret));
    let bridge = Bridge::start(&nats, &config(right.path()));
    assert_eq!(bridge.post(BODY).0, 200);
    let refused =
        Bridge::start_unprovisioned(&nats, &format!("publish.timeout = \"1s\"\n{}", config(wrong.path())), false);
    assert_eq!(refused.post(BODY).0, 503);
    // named with its key at once, by the commands and in the log; never with what is in the file
    let cause = format!("authorization violation with {}", named(&config(wrong.path())));
    let asked = std::time::Instant::now();
    let check = command("check", refused.config.path());
    let provision = command("provision", refused.config.path());
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    let [check, provision] = [check.stdout, provision.stderr].map(|said| String::from_utf8(said).unwrap());
    eventually("logged", Duration::from_secs(5), || refused.log().contains(&cause));
    for said in [check, provision, refused.log()] {
        assert!(said.contains(&cause), "{said}");
        assert!(!said.contains(secret) && !said.contains(wrong_secret), "{said}");
    }
}

/// The lines of a configuration as an error names them.
fn named(config: &str) -> String {
    config.trim_end().replace('"', "").replace('\n', ", ")
}

#[test]
fn user_and_password_log_in() {
    let config = |secret: &Path| format!("nats.user = \"u\"\nnats.password_file = \"{}\"\n", secret.display());
    known_by(&arguments("--user u --pass right-password"), config, "right-password", "another-password");
}

#[test]
fn a_token_logs_in() {
    let config = |secret: &Path| format!("nats.token_file = \"{}\"\n", secret.display());
    known_by(&arguments("--auth right-token"), config, "right-token", "another-token");
}

#[test]
fn an_nkey_logs_in() {
    let (ours, other) = (nkeys::KeyPair::new_user(), nkeys::KeyPair::new_user());
    let server = file(&format!("authorization: {{ users: [ {{ nkey: {} }} ] }}", ours.public_key()));
    let config = |secret: &Path| format!("nats.nkey_file = \"{}\"\n", secret.display());
    let arguments = ["-c".to_owned(), server.path().display().to_string()];
    known_by(&arguments, config, &ours.seed().unwrap(), &other.seed().unwrap());
}

/// A stream that acknowledges what it may lose is down, whatever it answers.
fn not_trusted(config: stream::Config) {
    let nats = Nats::start();
    create(&nats, stream::Config { subjects: vec!["greenapi.>".into()], ..config });
    let bridge = Bridge::start_unprovisioned(&nats, "publish.timeout = \"1s\"\n", false);
    eventually("said", Duration::from_secs(5), || bridge.get("/readyz").1.contains("unsafe_stream"));
    assert_eq!(bridge.post(BODY).0, 503);
    assert_eq!(command("check", bridge.config.path()).status.code(), Some(1));
    assert_eq!(nats.read().len(), 0);
}

#[test]
fn a_stream_in_memory_is_not_trusted() {
    not_trusted(stream::Config { storage: stream::StorageType::Memory, ..stream::Config::default() });
}

#[test]
fn a_stream_that_acknowledges_before_it_stores_is_not_trusted() {
    not_trusted(stream::Config { persist_mode: Some(stream::PersistenceMode::Async), ..stream::Config::default() });
}

#[test]
fn a_jetstream_domain_is_reached_by_its_name() {
    let server = file("jetstream: { domain: hub }");
    let nats = Nats::start_with(&["-c".to_owned(), server.path().display().to_string()]);
    let bridge = Bridge::start(&nats, "nats.domain = \"hub\"\n");
    assert_eq!(bridge.post(BODY).0, 200);
    let other = "nats.domain = \"other\"\npublish.timeout = \"1s\"\n";
    let bridge = Bridge::start_unprovisioned(&nats, other, false);
    assert_eq!(bridge.post(BODY).0, 503);
    let said = String::from_utf8(command("provision", bridge.config.path()).stderr).unwrap();
    assert!(said.contains("no domain other answers; correct nats.domain"), "{said}");
}

#[test]
fn an_inbox_prefix_is_the_only_subscription_needed() {
    let rules = "authorization: { users: [ { user: u, password: p, permissions: { subscribe: [\"mine.>\"] } } ] }";
    let (server, secret) = (file(rules), file("p"));
    let nats = Nats::start_with(&["-c".to_owned(), server.path().display().to_string()]);
    let login = format!("nats.user = \"u\"\nnats.password_file = \"{}\"\n", secret.path().display());
    let bridge = Bridge::start(&nats, &format!("nats.inbox_prefix = \"mine\"\n{login}"));
    assert_eq!(bridge.post(BODY).0, 200);
    assert_eq!(command("check", bridge.config.path()).status.code(), Some(0));
    let deaf = Bridge::start_unprovisioned(&nats, &format!("publish.timeout = \"1s\"\n{login}"), false);
    assert_eq!(deaf.post(BODY).0, 503);
}

#[test]
fn a_client_certificate_over_tls_logs_in() {
    let certificates = Certificates::new();
    let at = |name: &str| certificates.at(name);
    let server =
        format!("--tlsverify --tlscert {} --tlskey {} --tlscacert {}", at("server"), at("server.key"), at("ca"));
    let nats = Nats::start_with(&arguments(&server));
    let authority = format!("nats.tls.ca_file = \"{}\"\n", at("ca"));
    let client =
        format!("nats.tls.certificate_file = \"{}\"\nnats.tls.key_file = \"{}\"\n", at("client"), at("client.key"));
    let bridge = Bridge::start(&nats, &format!("{authority}{client}"));
    assert_eq!(bridge.post(BODY).0, 200);
    let stranger = Bridge::start_unprovisioned(&nats, &format!("publish.timeout = \"1s\"\n{authority}"), false);
    assert_eq!(stranger.post(BODY).0, 503);
    let said = |brokers: &str| {
        let bridge = Bridge::with(brokers, false);
        String::from_utf8(command("check", bridge.config.path()).stdout).unwrap()
    };
    let at = |nats: &Nats, tls: &str| said(&format!("nats.servers = [\"nats://127.0.0.1:{}\"]\n{tls}", nats.port));
    let text = at(&nats, &authority);
    assert!(
        text.contains("CertificateRequired: it asks for a client certificate  → set nats.tls.certificate"),
        "{text}"
    );
    let text = at(&nats, "");
    assert!(
        text.contains("UnknownIssuer  → name the authority that signed the server's certificate in nats.tls"),
        "{text}"
    );
    let text = at(&Nats::start(), &authority);
    assert!(text.contains("it answers without TLS  → remove [nats.tls]"), "{text}");
}

/// A server that waits for TLS before it says anything.
#[test]
fn a_handshake_before_the_first_word_has_a_key() {
    let certificates = Certificates::new();
    let at = |name: &str| certificates.at(name);
    let tls = format!("cert_file: \"{}\", key_file: \"{}\"", at("server"), at("server.key"));
    let waiting = file(&format!("tls {{ {tls}, handshake_first: true }}"));
    let waiting = Nats::start_with(&["-c".to_owned(), waiting.path().display().to_string()]);
    let speaking = file(&format!("tls {{ {tls} }}"));
    let speaking = Nats::start_with(&["-c".to_owned(), speaking.path().display().to_string()]);
    let authority = format!("nats.tls.ca_file = \"{}\"\n", at("ca"));
    let first = format!("{authority}nats.tls.handshake_first = true\n");
    assert_eq!(Bridge::start(&waiting, &first).post(BODY).0, 200);
    for (nats, tls, remedy) in [
        (&waiting, &authority, "set nats.tls.handshake_first = true"),
        (&speaking, &first, "it speaks before TLS begins  → remove nats.tls.handshake_first"),
    ] {
        let bridge = Bridge::with(&format!("nats.servers = [\"nats://127.0.0.1:{}\"]\n{tls}", nats.port), false);
        let said = String::from_utf8(command("check", bridge.config.path()).stdout).unwrap();
        assert!(said.contains(remedy), "{said}");
    }
}

#[test]
fn a_missing_login_is_reported() {
    let nats = Nats::start_with(&arguments("--auth right-token"));
    let bridge = Bridge::start_unprovisioned(&nats, "", false);
    let said = String::from_utf8(command("check", bridge.config.path()).stdout).unwrap();
    assert!(said.contains(": authorization violation, and no login is set  → set nats.credentials_file"), "{said}");
}

#[test]
fn the_reason_for_a_failed_reconnect_is_logged_once() {
    let mut nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    nats.kill();
    let cause = format!("nats.servers = nats://127.0.0.1:{}: connection refused; start it", nats.port);
    eventually("said", Duration::from_secs(5), || bridge.log().contains(&cause));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(bridge.log().matches(&cause).count(), 1, "{}", bridge.log());
}

/// A server that lets nobody publish to `subject`, and how to be known to it.
pub fn denying(subject: &str) -> (Nats, String, tempfile::NamedTempFile) {
    let permissions = format!("{{ publish: {{ deny: [\"{subject}\"] }} }}");
    let user = format!("{{ user: u, password: p, permissions: {permissions} }}");
    let (server, secret) = (file(&format!("authorization: {{ users: [ {user} ] }}")), file("p"));
    let nats = Nats::start_with(&["-c".to_owned(), server.path().display().to_string()]);
    let login = format!("nats.user = \"u\"\nnats.password_file = \"{}\"\n", secret.path().display());
    (nats, login, secret)
}

#[test]
fn a_missing_publish_permission_is_found_at_once() {
    let (nats, login, _secret) = denying("greenapi.incoming.>");
    let bridge = Bridge::start(&nats, &login);
    let asked = std::time::Instant::now();
    assert_eq!(bridge.post(BODY).0, 503);
    // publish.timeout is 12 s
    assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
    let state = br#"{"typeWebhook":"stateInstanceChanged","instanceData":{"idInstance":7}}"#;
    assert_eq!(bridge.post(state).0, 200, "other destinations are unharmed");
}
