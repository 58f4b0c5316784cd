//! Being known by a `.creds` file: an operator's server, an account's user.

use std::path::Path;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::nats_server::{file, known_by};

/// A signed claim, as `nsc` would write it.
fn jwt(issuer: &KeyPair, subject: &KeyPair, nats: &Value) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let header = part(&json!({"typ": "JWT", "alg": "ed25519-nkey"}));
    let claims = json!({"iat": 1_700_000_000, "iss": issuer.public_key(), "sub": subject.public_key(), "nats": nats});
    let signed = format!("{header}.{}", part(&claims));
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

/// A user of this account, as a `.creds` file.
fn creds(account: &KeyPair) -> String {
    let user = KeyPair::new_user();
    let claims = json!({"type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1});
    format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        jwt(account, &user, &claims),
        user.seed().unwrap()
    )
}

/// A server's configuration by which an operator knows an account, the `.creds` of a user of this account, and those of a
/// stranger.
pub fn operated() -> (tempfile::NamedTempFile, String, String) {
    let (operator, account, unknown) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let limits = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1});
    let ours = jwt(&operator, &account, &json!({"type": "account", "version": 2, "limits": limits}));
    // JetStream does not start without a system account
    let system = KeyPair::new_account();
    let theirs = jwt(&operator, &system, &json!({"type": "account", "version": 2}));
    let root = jwt(&operator, &operator, &json!({"type": "operator", "version": 2}));
    let (ours, theirs) = (format!("{}: {ours}", account.public_key()), format!("{}: {theirs}", system.public_key()));
    let server = file(&format!(
        "operator: {root}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{\n{ours}\n{theirs}\n}}",
        system.public_key()
    ));
    (server, creds(&account), creds(&unknown))
}

#[test]
fn a_credentials_file_logs_in() {
    let (server, right, wrong) = operated();
    let config = |secret: &Path| format!("nats.credentials_file = \"{}\"\n", secret.display());
    let arguments = ["-c".to_owned(), server.path().display().to_string()];
    known_by(&arguments, config, &right, &wrong);
}
