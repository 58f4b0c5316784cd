//! Being known to a real Kafka: passwords, SCRAM, TLS, client certificates.

use std::io::Write;

use crate::harness::{Bridge, Certificates, Kafka, text};

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
fn by_password() {
    let jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required user_u=\"right-password\";";
    let properties = format!("sasl.enabled.mechanisms=PLAIN\nlistener.name.client.plain.sasl.jaas.config={jaas}\n");
    let kafka = Kafka::start_with("SASL_PLAINTEXT", &properties, &[]);
    let (right, wrong) = (secret("right-password"), secret("wrong-password"));
    let config = |password| sasl("SASL_PLAINTEXT", "PLAIN", password);
    known_by(&kafka, &config(&right), &config(&wrong));
}

#[test]
fn by_scram_over_tls() {
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
fn by_client_certificate() {
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

/// What librdkafka itself can do of OAUTHBEARER: a token without a signature, for clusters of a test.
#[test]
fn by_a_token_that_nobody_signed() {
    let module = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";
    let jaas = format!("{module} required unsecuredLoginStringClaim_sub=\"broker\";");
    let properties =
        format!("sasl.enabled.mechanisms=OAUTHBEARER\nlistener.name.client.oauthbearer.sasl.jaas.config={jaas}\n");
    let kafka = Kafka::start_with("SASL_PLAINTEXT", &properties, &[]);
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
