//! A stream that is changed, or made anew, under a bridge that publishes to it.

use std::time::Duration;

use async_nats::jetstream::stream;

use crate::harness::{Bridge, Nats, eventually, text};

#[test]
fn a_stream_made_anew_in_memory_is_not_trusted_for_one_message() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "publish.timeout = \"1s\"\n");
    assert_eq!(bridge.post(&text(1)).0, 200);
    nats.replace_stream(stream::Config { storage: stream::StorageType::Memory, ..Nats::safe_stream() });
    assert_eq!(bridge.post(&text(2)).0, 503);
    eventually("said", Duration::from_secs(1), || bridge.get("/readyz").1.contains("unsafe_stream"));
    nats.replace_stream(Nats::safe_stream());
    let bridge = bridge.ready();
    assert_eq!(bridge.post(&text(2)), (200, "{\"stored\":\"broker\"}".into()));
    assert_eq!(nats.read().len(), 1);
}

#[test]
fn a_stream_made_anew_on_file_costs_one_look() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "publish.timeout = \"2s\"\n");
    assert_eq!(bridge.post(&text(1)).0, 200);
    nats.replace_stream(Nats::safe_stream());
    assert_eq!(bridge.post(&text(2)), (200, "{\"stored\":\"broker\"}".into()));
    assert_eq!(nats.read().len(), 1);
    assert!(bridge.log().contains("it is looked at again"), "{}", bridge.log());
}

#[test]
fn a_stream_that_begins_to_delete_what_it_has_is_not_trusted_for_one_message() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "publish.timeout = \"1s\"\n");
    assert_eq!(bridge.post(&text(1)).0, 200);
    // without a consumer that deletes everything, and its numbers go on
    nats.put_stream(stream::Config { retention: stream::RetentionPolicy::Interest, ..Nats::safe_stream() });
    assert_eq!(bridge.post(&text(2)).0, 503);
    assert!(bridge.get("/readyz").1.contains("unsafe_stream"));
    nats.put_stream(Nats::safe_stream());
    assert_eq!(bridge.ready().post(&text(3)).0, 200);
}

#[test]
fn numbers_that_go_on_do_not_hide_a_stream_made_anew() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "publish.timeout = \"1s\"\n");
    let memory = stream::Config { storage: stream::StorageType::Memory, ..Nats::safe_stream() };
    // no number is known yet
    nats.replace_stream(memory.clone());
    assert_eq!(bridge.post(&text(1)).0, 503);
    nats.replace_stream(Nats::safe_stream());
    let bridge = bridge.ready();
    assert_eq!(bridge.post(&text(1)).0, 200);
    nats.replace_stream(stream::Config { first_sequence: Some(1000), ..memory });
    assert_eq!(bridge.post(&text(2)).0, 503);
}

#[test]
fn what_is_gone_with_its_stream_is_no_duplicate() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    assert_eq!(bridge.post(&text(1)), (200, "{\"stored\":\"broker\"}".into()));
    assert_eq!(bridge.post(&text(1)), (200, "{\"stored\":\"duplicate\"}".into()));
    nats.replace_stream(Nats::safe_stream());
    assert_eq!(bridge.post(&text(2)), (200, "{\"stored\":\"broker\"}".into()));
    assert_eq!(bridge.post(&text(1)), (200, "{\"stored\":\"broker\"}".into()));
    assert_eq!(nats.read().len(), 2);
}
