//! Being known to a real Kafka: passwords, SCRAM, TLS, client certificates.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::harness::{Bridge, Certificates, Kafka, command, eventually, text};

fn secret(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{text}").unwrap();
    file
}

/// What `[kafka]` says besides, after its own keys.
fn sasl(protocol: &str, mechanism: &str, password: &tempfile::NamedTempFile) -> String {
    let password = password.path().display();
    format!(
        "properties = {{ \"security.protocol\" = \"{protocol}\", \"sasl.mechanism\" = \"{mechanism}\", \"sasl.username\" = \"u\" }}\n\
         secret_files = {{ \"sasl.password\" = \"{password}\" }}\n"
    )
}

/// With the secret it stores; with another it does not, and says why.
fn known_by(kafka: &Kafka, right: &str, wrong: &str) {
    let bridge = Bridge::with(&format!("{}{right}", kafka.config("k")), true).ready();
    assert_eq!(bridge.post(&text(1)).0, 200);
    let refused = Bridge::with(&format!("publish.timeout = \"3s\"\n{}{wrong}", kafka.config("k")), false);
    assert_eq!(refused.post(&text(2)).0, 503);
    let (_, ready) = refused.get("/readyz");
    assert!(ready.contains("not_authenticated"), "{ready}");
    assert!(!refused.log().contains("wrong-password"), "{}", refused.log());
}

#[test]
fn sasl_plain_logs_in() {
    let jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required user_u=\"right-password\";";
    let properties = format!("sasl.enabled.mechanisms=PLAIN\nlistener.name.client.plain.sasl.jaas.config={jaas}\n");
    let kafka = Kafka::start_with("SASL_PLAINTEXT", &properties, &[]);
    let (right, wrong) = (secret("right-password"), secret("wrong-password"));
    let config = |password| sasl("SASL_PLAINTEXT", "PLAIN", password);
    known_by(&kafka, &config(&right), &config(&wrong));
}

#[test]
fn scram_over_tls_logs_in() {
    let certificates = Certificates::new();
    let jaas = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let properties = format!(
        "sasl.enabled.mechanisms=SCRAM-SHA-512\nlistener.name.client.scram-sha-512.sasl.jaas.config={jaas}\n\
         ssl.keystore.type=PEM\nssl.keystore.location={}\n",
        certificates.joined(&["server.key", "server"])
    );
    let user = "SCRAM-SHA-512=[name=u,password=right-password]";
    let kafka = Kafka::start_with("SASL_SSL", &properties, &["--add-scram", user]);
    let (right, wrong) = (secret("right-password"), secret("wrong-password"));
    let config = |password| {
        let all = sasl("SASL_SSL", "SCRAM-SHA-512", password);
        all.replacen("{ ", &format!("{{ \"ssl.ca.location\" = \"{}\", ", certificates.at("ca")), 1)
    };
    known_by(&kafka, &config(&right), &config(&wrong));
}

#[test]
fn a_client_certificate_logs_in() {
    let certificates = Certificates::new();
    let properties = format!(
        "ssl.client.auth=required\nssl.keystore.type=PEM\nssl.keystore.location={}\n\
         ssl.truststore.type=PEM\nssl.truststore.location={}\n",
        certificates.joined(&["server.key", "server"]),
        certificates.at("ca")
    );
    let kafka = Kafka::start_with("SSL", &properties, &[]);
    let authority = format!("\"security.protocol\" = \"SSL\", \"ssl.ca.location\" = \"{}\"", certificates.at("ca"));
    let ours = format!(
        "\"ssl.certificate.location\" = \"{}\", \"ssl.key.location\" = \"{}\"",
        certificates.at("client"),
        certificates.at("client.key")
    );
    let bridge = Bridge::with(&format!("{}properties = {{ {authority}, {ours} }}\n", kafka.config("k")), true).ready();
    assert_eq!(bridge.post(&text(1)).0, 200);
    let stranger = format!("publish.timeout = \"3s\"\n{}properties = {{ {authority} }}\n", kafka.config("k"));
    assert_eq!(Bridge::with(&stranger, false).post(&text(2)).0, 503);
}

/// A broker that accepts unsigned tokens, and limits each connection to the lifetime of its token.
fn knows_tokens() -> Kafka {
    let module = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";
    let jaas = format!("{module} required unsecuredLoginStringClaim_sub=\"broker\";");
    let ours = "listener.name.client.oauthbearer";
    let properties = format!(
        "sasl.enabled.mechanisms=OAUTHBEARER\n{ours}.sasl.jaas.config={jaas}\n{ours}.connections.max.reauth.ms=3600000\n"
    );
    Kafka::start_with("SASL_PLAINTEXT", &properties, &[])
}

/// What librdkafka itself can do of OAUTHBEARER: a token without a signature, for clusters of a test.
#[test]
fn an_unsigned_oauth_token_logs_in() {
    let kafka = knows_tokens();
    let (right, wrong) =
        (secret("principal=bridge lifeSeconds=3600"), secret("principal=bridge scope=wrong-password nonsense"));
    let config = |claims: &tempfile::NamedTempFile| {
        let claims = claims.path().display();
        format!(
            "properties = {{ \"security.protocol\" = \"SASL_PLAINTEXT\", \"sasl.mechanism\" = \"OAUTHBEARER\", \
             \"enable.sasl.oauthbearer.unsecure.jwt\" = true }}\n\
             secret_files = {{ \"sasl.oauthbearer.config\" = \"{claims}\" }}\n"
        )
    };
    known_by(&kafka, &config(&right), &config(&wrong));
}

/// Puts a token in a file, as a kubelet does: all of it at once.
fn renew(file: &Path, user: &str, seconds: u64) {
    let expires = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + seconds;
    let claims = format!(r#"{{"sub":"{user}","exp":{expires}}}"#);
    let [head, claims] = [r#"{"alg":"none"}"#, &claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{head}.{claims}.")).unwrap();
    std::fs::rename(new, file).unwrap();
}

/// What a configuration says to be known by the token in this file.
fn by_token(kafka: &Kafka, file: &Path) -> String {
    let bearer = "properties = { \"security.protocol\" = \"SASL_PLAINTEXT\", \"sasl.mechanism\" = \"OAUTHBEARER\" }";
    format!("publish.timeout = \"3s\"\n{}token_file = \"{}\"\n{bearer}\n", kafka.config("k"), file.display())
}

#[test]
fn a_token_renewed_in_its_file_is_reloaded() {
    let (kafka, folder) = (knows_tokens(), tempfile::tempdir().unwrap());
    let [renewed, forgotten] = ["renewed", "forgotten"].map(|name| folder.path().join(name));
    renew(&renewed, "first", 3600);
    let config = folder.path().join("bridge.toml");
    std::fs::write(&config, by_token(&kafka, &renewed)).unwrap();
    // topics cannot be created with a token, but what does it without the bridge is said
    let answer = command("provision", &config);
    let said = String::from_utf8(answer.stderr).unwrap();
    assert_eq!(answer.status.code(), Some(1), "{said}");
    let commands: Vec<_> = said.lines().filter_map(|line| line.trim().strip_prefix("kafka-topics.sh ")).collect();
    assert_eq!(commands.len(), 6, "{said}");
    commands.iter().for_each(|words| drop(kafka.tool("tools.Topic", &words.split(' ').collect::<Vec<_>>())));
    assert_eq!(command("provision", &config).status.code(), Some(0));
    let said = String::from_utf8(command("check", &config).stdout).unwrap();
    assert!(said.contains("! settings      cannot be read with kafka.token_file"), "{said}");
    // long enough to start with
    let begun = Instant::now();
    [&renewed, &forgotten].iter().for_each(|file| renew(file, "first", 15));
    let [bridge, other] = [&renewed, &forgotten].map(|file| Bridge::with(&by_token(&kafka, file), false).ready());
    assert_eq!([&bridge, &other].map(|bridge| bridge.post(&text(1)).0), [200; 2]);
    renew(&renewed, "second", 3600);
    for number in 2.. {
        assert_eq!(bridge.post(&text(number)).0, 200, "after {:?}: {}", begun.elapsed(), bridge.log());
        if begun.elapsed() > Duration::from_secs(20) {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    eventually("the other is not known", Duration::from_secs(20), || {
        other.get("/readyz").1.contains("not_authenticated") && other.post(&text(0)).0 == 503
    });
    renew(&forgotten, "third", 3600);
    assert_eq!(other.ready().post(&text(3)).0, 200, "late is not never");
}
