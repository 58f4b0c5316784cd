//! Commands that reach an admin listener with TLS: which certificate they accept, and what they say of another.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::harness::{Bridge, Certificates, Connection, command, eventually, exchange, free_port, nats_servers, text};

/// Writes a certificate that is signed by itself, and its key.
fn signed_by_itself(folder: &Path, is_authority: bool) {
    let mut parameters = rcgen::CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "bridge");
    if is_authority {
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    }
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(folder.join("tls.crt"), parameters.self_signed(&key).unwrap().pem()).unwrap();
    write_key(folder, &key.serialize_pem());
}

fn write_key(folder: &Path, key: &str) {
    std::fs::write(folder.join("tls.key"), key).unwrap();
    std::fs::set_permissions(folder.join("tls.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A bridge whose admin listener has the certificate of this folder, with two records that wait for a broker.
fn start(folder: &Path) -> Bridge {
    let at = |name: &str| folder.join(name);
    let config = format!(
        "journal.directory = {:?}\nadmin.tls.certificate_file = {:?}\nadmin.tls.key_file = {:?}\n{}",
        at("data"),
        at("tls.crt"),
        at("tls.key"),
        nats_servers(&[free_port()])
    );
    let bridge = Bridge::with(&config, false);
    let stored = |number| bridge.post(&text(number)).0 == 200;
    eventually("they are stored", Duration::from_secs(20), || stored(1) && stored(2));
    bridge
}

/// The exit code of a command, and all it says.
fn run(words: &str, config: &Path) -> (Option<i32>, String) {
    let done = command(words, config);
    let said = [done.stdout, done.stderr].map(|said| String::from_utf8(said).unwrap()).concat();
    (done.status.code(), said)
}

#[test]
fn an_edit_reaches_the_bridge_by_the_configured_certificate_whatever_name_it_is_for() {
    let (folder, certificates) = (tempfile::tempdir().unwrap(), Certificates::valid_for(&["bridge.example"]));
    std::fs::copy(certificates.at("server"), folder.path().join("tls.crt")).unwrap();
    write_key(folder.path(), &std::fs::read_to_string(certificates.at("server.key")).unwrap());
    let bridge = start(folder.path());
    let config = bridge.config.path();
    let (code, said) = run("journal drop --broker nats --seq 1 --yes", config);
    assert!(code == Some(0) && said.contains("1 record"), "{code:?} {said}");

    // another one stands in the file: the bridge runs with the old one until it has read the new one
    let other = tempfile::tempdir().unwrap();
    let named = std::fs::read_to_string(config)
        .unwrap()
        .replace(folder.path().join("tls.").to_str().unwrap(), other.path().join("tls.").to_str().unwrap());
    signed_by_itself(other.path(), false);
    std::fs::write(other.path().join("bridge.toml"), named).unwrap();
    let (code, said) = run("journal drop --broker nats --yes", &other.path().join("bridge.toml"));
    assert_eq!(code, Some(1), "{said}");
    let path = other.path().join("tls.crt");
    assert!(said.contains(&format!("it has another certificate than {}", path.display())), "{said}");
    assert!(said.contains("reload it, or give --url and --ca-file"), "{said}");

    let url = format!("--url https://localhost:{}", bridge.admin.port());
    let (code, said) = run(&format!("journal drop --broker nats --yes {url}"), config);
    assert!(code == Some(1) && said.contains("name its authority with --ca-file"), "{code:?} {said}");
    assert!(!said.contains("--insecure"), "there is no such option: {said}");
    let status = run("journal status --json", config).1;
    assert!(status.contains("\"records\":1") || status.contains("\"records\": 1"), "none of these was made: {status}");
}

#[test]
fn tail_and_edits_by_a_url_accept_the_authority_or_the_certificate_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    signed_by_itself(folder.path(), false);
    let bridge = start(folder.path());
    let config = bridge.config.path();
    let url = format!("--url https://localhost:{}", bridge.admin.port());
    let (code, said) = run(&format!("tail --no-follow {url}"), config);
    assert!(code == Some(1) && said.contains("name its authority with --ca-file"), "{code:?} {said}");
    assert!(!said.contains("--insecure"), "there is no such option: {said}");

    let file = format!("--ca-file {}", folder.path().join("tls.crt").display());
    let (code, said) = run(&format!("tail --no-follow {url} {file}"), config);
    assert!(code == Some(0) && said.lines().count() == 2, "{code:?} {said}");
    let plain = url.replace("https", "http");
    let (code, said) = run(&format!("tail --no-follow {plain}"), config);
    assert!(code == Some(1) && said.contains("this port speaks TLS; use https://"), "{code:?} {said}");
    let (code, said) = run(&format!("tail --no-follow {url} --ca-file /not/there"), config);
    assert!(code == Some(2) && said.contains("--ca-file = /not/there: "), "{code:?} {said}");
    let (code, said) = run(&format!("tail --no-follow {file}"), config);
    assert!(code == Some(2) && said.contains("--url"), "{code:?} {said}");
    // without a URL it reads the folder, and needs no certificate
    let (code, said) = run("tail --no-follow", config);
    assert!(code == Some(0) && said.lines().count() == 2, "{code:?} {said}");

    let (code, said) = run(&format!("journal drop --broker nats --yes {url} {file}"), config);
    assert!(code == Some(0) && said.contains("2 records"), "{code:?} {said}");
}

/// `openssl req -x509` makes such ones, and rustls takes them for no server's.
#[test]
fn the_certificate_of_an_authority_is_refused_by_a_url_with_the_remedy_and_accepted_where_it_is_configured() {
    let folder = tempfile::tempdir().unwrap();
    signed_by_itself(folder.path(), true);
    let bridge = start(folder.path());
    let config = bridge.config.path();
    let url = format!("--url https://localhost:{}", bridge.admin.port());
    let file = format!("--ca-file {}", folder.path().join("tls.crt").display());
    let (code, said) = run(&format!("tail --no-follow {url} {file}"), config);
    assert!(code == Some(1) && said.contains("make the server one with basicConstraints=CA:FALSE"), "{code:?} {said}");
    let (code, said) = run("journal drop --broker nats --yes", config);
    assert!(code == Some(0) && said.contains("2 records"), "{code:?} {said}");
}

#[test]
fn a_failed_handshake_of_the_admin_listener_is_counted_and_its_connections_are_not() {
    let (folder, probes) = (tempfile::tempdir().unwrap(), free_port());
    let certificates = Certificates::new();
    let config = format!(
        "journal.directory = {:?}\nprobes.listen = \"127.0.0.1:{probes}\"\n{}",
        folder.path().join("data"),
        certificates.section("admin.tls")
    );
    let bridge = Bridge::with(&config, false);
    let metrics = || exchange(([127, 0, 0, 1], probes).into(), b"GET /metrics HTTP/1.0\r\nHost: x\r\n\r\n").1;
    let failed = || metrics().contains("greenapi_bridge_refused_total{reason=\"handshake_failed\"} 1\n");
    assert!(!failed());
    let mut garbage = Connection::open(bridge.admin);
    garbage.send([0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5]);
    eventually("it is counted", Duration::from_secs(5), failed);
    let _open = Connection::open(bridge.admin);
    assert!(metrics().contains("greenapi_bridge_connections 0\n"), "the gauge is that of the webhook listener");
}
