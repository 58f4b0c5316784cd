//! A stream that is changed or recreated while a bridge publishes to it.

use std::time::Duration;

use async_nats::jetstream::stream;

use crate::harness::{Bridge, Nats, eventually, text};

#[test]
fn a_stream_recreated_in_memory_stores_no_message() {
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
fn a_stream_recreated_on_file_is_inspected_once() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "publish.timeout = \"2s\"\n");
    assert_eq!(bridge.post(&text(1)).0, 200);
    nats.replace_stream(Nats::safe_stream());
    assert_eq!(bridge.post(&text(2)), (200, "{\"stored\":\"broker\"}".into()));
    assert_eq!(nats.read().len(), 1);
    assert!(bridge.log().contains("inspecting it"), "{}", bridge.log());
}

#[test]
fn a_stream_changed_to_delete_messages_stores_no_message() {
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
fn a_stream_that_deletes_what_it_acknowledged_stores_no_message() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "publish.timeout = \"1s\"\n");
    assert_eq!(bridge.post(&text(1)).0, 200);
    for deletes in [
        stream::Config { discard: stream::DiscardPolicy::Old, max_messages: 1000, ..Nats::safe_stream() },
        stream::Config { max_messages_per_subject: 10, ..Nats::safe_stream() },
    ] {
        nats.put_stream(deletes);
        let unsafe_stream = || bridge.get("/readyz").1.contains("unsafe_stream");
        eventually("it is noticed", Duration::from_secs(15), unsafe_stream);
        assert_eq!(bridge.post(&text(2)).0, 503);
        nats.put_stream(Nats::safe_stream());
        eventually("it is safe again", Duration::from_secs(15), || bridge.get("/readyz").0 == 200);
    }
    assert_eq!(bridge.post(&text(3)).0, 200);
}

#[test]
fn continued_sequence_numbers_do_not_hide_a_recreated_stream() {
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
fn deleting_the_stream_clears_its_dedup_entries() {
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
    use crate::harness::command;

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
    fn recreating_the_stream_while_no_bridge_runs_clears_its_dedup_entries() {
        let (nats, folder) = (Nats::start(), tempfile::tempdir().unwrap());
        let mut bridge = ended(&nats, &folder);
        nats.replace_stream(Nats::safe_stream());
        for _ in 0..2 {
            bridge.start_again();
            // at once: the dedup entries wait for the first inspection of the stream
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
    fn a_stored_message_is_a_duplicate_while_the_stream_cannot_be_inspected() {
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

    #[test]
    fn records_imported_before_the_stream_is_inspected_are_stored_if_they_are_gone_with_it() {
        for recreated in [true, false] {
            let (mut nats, folder) = (Nats::start(), tempfile::tempdir().unwrap());
            let mut bridge = ended(&nats, &folder);
            nats.kill();
            bridge.start_again();
            assert_eq!(bridge.post(&text(2)), (200, r#"{"stored":"journal"}"#.into()));
            let file = folder.path().join("export.jsonl");
            let exported = command(&format!("journal export --output {}", file.display()), bridge.config.path());
            assert!(exported.status.success());
            nats.start_again();
            eventually("forwarded", Duration::from_secs(10), || nats.read().len() == 2);
            end(&mut bridge);
            if recreated {
                nats.replace_stream(Nats::safe_stream());
            }
            nats.kill();
            bridge.start_again();
            let imported = command(&format!("journal import {}", file.display()), bridge.config.path());
            let said = String::from_utf8(imported.stdout).unwrap();
            assert!(imported.status.success() && said.contains("1 record imported"), "{said}");
            nats.start_again();
            eventually("forwarded", Duration::from_secs(20), || {
                bridge.metric("journal_records{broker=\"nats\"}") == 0.0
            });
            let stored: Vec<_> = nats.read().iter().map(crate::harness::body).collect();
            let all = if recreated { vec![text(2)] } else { vec![text(1), text(2)] };
            assert_eq!(stored, all);
        }
    }
}
