//! Whose acknowledgement means stored, where others answer too: a hub, and a leaf node whose own JetStream has a stream
//! of the same name on the same subjects.

use std::time::Duration;

use crate::harness::{Bridge, Nats, command, eventually, free_port, nats_servers, stream, text};
use crate::nats_server::file;

const STATE: &[u8] = br#"{"typeWebhook":"stateInstanceChanged","instanceData":{"idInstance":7}}"#;

/// A hub whose stream has one class, and a leaf node whose stream has all of them.
fn hub_and_leaf(domain_of_hub: &str) -> [Nats; 2] {
    let port = free_port();
    let hub = file(&format!("jetstream: {{ {domain_of_hub} }}, leafnodes: {{ listen: \"127.0.0.1:{port}\" }}"));
    let remotes = format!("remotes: [ {{ url: \"nats://127.0.0.1:{port}\" }} ]");
    let leaf = file(&format!("jetstream: {{ domain: leaf }}, leafnodes: {{ {remotes} }}"));
    let [hub, leaf] =
        [hub, leaf].map(|config| Nats::start_with(&["-c".to_owned(), config.path().display().to_string()]));
    hub.put_stream(stream::Config { subjects: vec!["greenapi.incoming.>".into()], ..Nats::safe_stream() });
    leaf.put_stream(Nats::safe_stream());
    let through_hub = file(&format!("{}nats.domain = \"leaf\"", nats_servers(&[hub.port])));
    eventually("the hub hears the leaf", Duration::from_secs(20), || {
        String::from_utf8_lossy(&command("check", through_hub.path()).stdout).contains("✓ stream")
    });
    [hub, leaf]
}

/// What the leaf acknowledges is not stored in the hub.
fn only_the_hubs_count(domain_of_hub: &str, at_leaf: bool, config: &str) {
    let [hub, leaf] = hub_and_leaf(domain_of_hub);
    let bridge = Bridge::start_unprovisioned(
        if at_leaf { &leaf } else { &hub },
        &format!("publish.timeout = \"2s\"\n{config}"),
        false,
    )
    .ready();
    assert_eq!(bridge.post(&text(1)), (200, "{\"stored\":\"broker\"}".into()));
    assert_eq!(bridge.post(STATE), (503, "{\"error\":\"not_stored\"}".into()));
    assert_eq!(hub.read().len(), 1);
    assert_eq!(leaf.read().len(), 2, "the leaf has stored both, and said so");
}

#[test]
fn only_acks_of_the_configured_domain_count() {
    only_the_hubs_count("domain: hub", true, "nats.domain = \"hub\"\n");
}

#[test]
fn without_a_configured_domain_acks_of_the_streams_domain_count() {
    only_the_hubs_count("domain: hub", false, "");
}

#[test]
fn acks_of_another_domain_do_not_count_for_a_stream_without_one() {
    only_the_hubs_count("", false, "");
}
