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

#[cfg(feature = "journal")]
mod remembered {
    use super::*;

    const BROKER: &str = r#"{"stored":"broker"}"#;
    const DUPLICATE: &str = r#"{"stored":"duplicate"}"#;

    /// A bridge that stored one notification directly, remembers it on disk, and has ended.
    fn ended(nats: &Nats, folder: &tempfile::TempDir) -> Bridge {
        let journal = format!("journal.directory = {:?}\n", folder.path().join("data"));
        let mut bridge = Bridge::start(nats, &journal);
        let connected = || bridge.metric("broker_connected{broker=\"nats\"}") == 1.0;
        eventually("connected", Duration::from_secs(10), connected);
        assert_eq!(bridge.post(&text(1)), (200, BROKER.into()));
        end(&mut bridge);
        bridge
    }

    fn end(bridge: &mut Bridge) {
        bridge.signal("-TERM");
        assert_eq!(bridge.exit_code(), Some(0));
    }

    #[test]
    fn what_is_gone_with_a_stream_made_anew_under_no_bridge_is_no_duplicate() {
        let (nats, folder) = (Nats::start(), tempfile::tempdir().unwrap());
        let mut bridge = ended(&nats, &folder);
        nats.replace_stream(Nats::safe_stream());
        for _ in 0..2 {
            bridge.start_again();
            // at once: what it remembers waits for the first look at the stream
            let first = bridge.post(&text(1));
            assert!(first.0 == 200 && nats.read().len() == 1, "{first:?}");
            assert_eq!(bridge.post(&text(1)), (200, DUPLICATE.into()));
            end(&mut bridge);
        }
        nats.replace_stream(Nats::safe_stream());
        bridge.start_again();
        assert_eq!(bridge.post(&text(1)), (200, BROKER.into()));
        assert_eq!(nats.read().len(), 1);
    }

    #[test]
    fn what_is_still_there_is_a_duplicate_also_while_nobody_can_look() {
        let (mut nats, folder) = (Nats::start(), tempfile::tempdir().unwrap());
        let mut bridge = ended(&nats, &folder);
        nats.kill();
        bridge.start_again();
        assert_eq!(bridge.post(&text(1)), (200, DUPLICATE.into()));
        assert_eq!(bridge.post(&text(2)), (200, r#"{"stored":"journal"}"#.into()));
        nats.start_again();
        eventually("forwarded", Duration::from_secs(10), || nats.read().len() == 2);
        for number in [1, 2] {
            assert_eq!(bridge.post(&text(number)), (200, DUPLICATE.into()), "{number}");
        }
    }
}
