//! `deploy/install-certificate`, as certbot and lego call it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
#[cfg(all(feature = "nats", feature = "tls"))]
use std::time::Duration;

#[cfg(all(feature = "nats", feature = "tls"))]
use crate::harness::{Bridge, Certificates, Nats, TlsConnection, eventually};

/// A group of who runs the tests, to which files may be given.
fn own_group() -> String {
    let said = Command::new("id").arg("-gn").output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

/// Runs the hook with these variables alone.
fn install(to: &Path, variables: &[(&str, &Path)]) -> Output {
    let mut hook = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/install-certificate"));
    for name in ["RENEWED_LINEAGE", "LEGO_CERT_PATH", "LEGO_CERT_KEY_PATH"] {
        hook.env_remove(name);
    }
    hook.arg(to).arg(own_group()).envs(variables.iter().copied()).output().unwrap()
}

/// The content and the mode of each file there, by name.
fn files(folder: &Path) -> Vec<(String, String, u32)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut all: Vec<_> = entries
        .map(|entry| {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            let text = std::fs::read_to_string(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), text, mode)
        })
        .collect();
    all.sort();
    all
}

#[test]
fn the_hook_of_certbot_and_lego_installs_certificate_and_key_for_the_group_alone() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (certificate, key) = (from.path().join("fullchain.pem"), from.path().join("privkey.pem"));
    let certbot = [("RENEWED_LINEAGE", from.path())];
    let lego = [("LEGO_HOOK_CERT_PATH", &*certificate), ("LEGO_HOOK_CERT_KEY_PATH", &*key)];
    let lego_4 = [("LEGO_CERT_PATH", &*certificate), ("LEGO_CERT_KEY_PATH", &*key)];
    for (number, variables) in [&certbot[..], &lego, &lego_4].into_iter().enumerate() {
        std::fs::write(&certificate, format!("certificate {number}")).unwrap();
        std::fs::write(&key, format!("key {number}")).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let said = install(to.path(), variables);
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        // nothing else stays behind
        let expected = [("tls.crt", "certificate"), ("tls.key", "key")];
        assert_eq!(files(to.path()), expected.map(|(name, text)| (name.into(), format!("{text} {number}"), 0o640)));
    }
}

#[test]
fn the_hook_changes_nothing_where_the_key_is_missing() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(from.path().join("fullchain.pem"), "certificate").unwrap();
    std::fs::write(to.path().join("tls.crt"), "old").unwrap();
    std::fs::write(to.path().join("tls.key"), "old").unwrap();
    let before = files(to.path());
    for variables in [&[("RENEWED_LINEAGE", from.path())][..], &[]] {
        assert!(!install(to.path(), variables).status.success());
        assert_eq!(files(to.path()), before);
    }
}

#[test]
#[cfg(all(feature = "nats", feature = "tls"))]
fn a_bridge_serves_the_certificate_that_the_hook_installs() {
    let (nats, to) = (Nats::start(), tempfile::tempdir().unwrap());
    let renew = || {
        let certificates = Certificates::new();
        let (certificate, key) = (certificates.at("server"), certificates.at("server.key"));
        let variables = [("LEGO_HOOK_CERT_PATH", certificate.as_ref()), ("LEGO_HOOK_CERT_KEY_PATH", key.as_ref())];
        assert!(install(to.path(), &variables).status.success());
        certificates
    };
    let old = renew();
    let folder = to.path().display();
    let files = format!("certificate_file = \"{folder}/tls.crt\"\nkey_file = \"{folder}/tls.key\"\n");
    let bridge = Bridge::start(&nats, &format!("[http.tls]\n{files}"));
    let serves = |of: &Certificates| TlsConnection::open(bridge.http, &of.at("ca"), "localhost").is_ok();
    assert!(serves(&old));
    let new = renew();
    eventually("the new certificate is served", Duration::from_secs(20), || serves(&new));
    assert!(!serves(&old));
}
