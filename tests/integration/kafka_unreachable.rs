//! A Kafka that cannot be reached: `check`, `provision` and the running bridge name the address, the cause and the remedy.

use std::time::{Duration, Instant};

use crate::harness::{Bridge, Certificates, Kafka, Nats, command, eventually, free_port, kafka_config};

/// What `check` and `provision` say with this configuration, which neither accepts.
fn refused(config: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let path = file.path();
    // each waits for a broker that may be starting
    let [check, provision] = std::thread::scope(|scope| {
        let begun = ["check", "provision"].map(|name| scope.spawn(move || command(name, path)));
        begun.map(|command| command.join().unwrap())
    });
    assert_eq!((check.status.code(), provision.status.code()), (Some(1), Some(1)), "{config}");
    let (check, provision) = (String::from_utf8(check.stdout).unwrap(), String::from_utf8(provision.stderr).unwrap());
    assert!(!check.contains("brokers are down") && !provision.contains("brokers are down"), "{check}{provision}");
    format!("{check}{provision}")
}

/// That both say each of these.
fn both_say(said: &str, texts: &[&str]) {
    for text in texts {
        assert!(said.matches(text).count() >= 2, "{text} in {said}");
    }
}

#[test]
fn what_stands_at_the_address_is_named() {
    let (kafka, nats) = (Kafka::shared(), Nats::start());
    let begun = Instant::now();
    let unknown = kafka_config(&["no-such-host.invalid:9092".into()], "u");
    both_say(&refused(&unknown), &["no-such-host.invalid:9092: its name cannot be resolved"]);
    let a_nats = format!("127.0.0.1:{}", nats.port);
    both_say(&refused(&kafka_config(&[a_nats], "u")), &["a NATS server answers", "[nats]"]);
    let encrypted = format!("{}properties.\"security.protocol\" = \"SSL\"\n", kafka.config("u"));
    both_say(&refused(&encrypted), &["its listener is not encrypted", "\"security.protocol\" = \"PLAINTEXT\""]);
    assert!(begun.elapsed() < Duration::from_secs(30), "none of these passes by waiting: {:?}", begun.elapsed());
    let closed = format!("127.0.0.1:{}", free_port());
    both_say(
        &refused(&kafka_config(std::slice::from_ref(&closed), "u")),
        &[&closed, "nothing listens there", "start the broker"],
    );
}

#[test]
fn an_encrypted_listener_is_named() {
    let certificates = Certificates::new();
    let keys = certificates.joined(&["server.key", "server"]);
    let properties = format!("ssl.keystore.type=PEM\nssl.keystore.location={keys}\n");
    let kafka = Kafka::start_with("SSL", &properties, &[]);
    both_say(&refused(&kafka.config("u")), &["its listener is encrypted", "\"security.protocol\" = \"SSL\""]);
}

#[test]
fn an_advertised_address_that_nobody_reaches_is_named() {
    let advertised = format!("127.0.0.1:{}", free_port());
    let kafka = Kafka::advertised_as(&advertised);
    let said = refused(&kafka.config("u"));
    both_say(&said, &["the cluster names its broker 1 as", &advertised, "set advertised.listeners"]);
}

#[test]
fn more_replicas_than_brokers_say_how_many_there_are() {
    let config = format!("{}provision.replicas = 3\n", Kafka::shared().config("many"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let answer = command("provision", file.path());
    let said = String::from_utf8(answer.stderr).unwrap();
    assert_eq!(answer.status.code(), Some(1), "{said}");
    assert!(said.contains("3 replicas need as many brokers, and 1 are up"), "{said}");
}

#[test]
fn the_log_of_a_bridge_names_the_address_and_the_cause() {
    let closed = format!("127.0.0.1:{}", free_port());
    let bridge = Bridge::with(&kafka_config(std::slice::from_ref(&closed), "u"), false);
    let down = || bridge.log().lines().find(|line| line.contains("broker down")).map(ToOwned::to_owned);
    eventually("it is down", Duration::from_secs(15), || down().is_some());
    let said = down().unwrap();
    assert!(said.contains(&closed) && said.contains("Connection refused"), "{said}");
}
