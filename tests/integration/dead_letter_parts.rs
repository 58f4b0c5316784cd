//! What is too large for the broker is stored all the same, in parts.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Bridge, Nats, body, eventually, stream, text};

/// A notification of exactly this size.
pub fn sized(size: usize) -> Vec<u8> {
    let mut large = text(size);
    large.resize(size, b' ');
    large
}

/// All messages of this body in the stream, in order.
fn stored(nats: &Nats, whole: &[u8]) -> Vec<Value> {
    let id = greenapi_bridge::message::Id::of(whole).to_string();
    nats.read().into_iter().filter(|message| message["headers"]["ce-id"] == id).collect()
}

fn assert_parts(parts: &[Value], whole: &[u8]) {
    assert_eq!(parts.iter().flat_map(body).collect::<Vec<_>>(), whole);
    for (number, part) in (1..).zip(parts) {
        assert_eq!(part["subject"], "greenapi.dead-letter");
        assert_eq!(part["headers"]["bridge-part"], format!("{number}/{}", parts.len()));
        assert_eq!(part["headers"]["bridge-reason"], "too_large");
        assert_eq!(part["headers"]["ce-class"], "incoming");
    }
    let ids: HashSet<_> = parts.iter().map(|part| part["headers"]["Nats-Msg-Id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), parts.len());
}

#[test]
fn parts_fit_the_default_limits() {
    let nats = Nats::start();
    let bridge = Bridge::start(&nats, "");
    for (size, parts) in [(999_000, 1), (1_048_576, 2), (8 * 1024 * 1024, 16)] {
        let large = sized(size);
        let answer = if parts == 1 { "broker" } else { "dead_letter" };
        assert_eq!(bridge.post(&large), (200, format!("{{\"stored\":\"{answer}\"}}")), "{size}");
        let found = stored(&nats, &large);
        assert_eq!(found.len(), parts, "{size}");
        assert_eq!(body(&found[0]).len(), size / parts, "{size}");
        if parts > 1 {
            assert_parts(&found, &large);
        }
    }
    assert_eq!(bridge.metric("dead_letters_total{reason=\"too_large\"}"), 2.0);
}

#[test]
fn parts_fit_a_server_with_a_small_limit() {
    let mut config = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut config, b"max_payload: 65536\n").unwrap();
    let nats = Nats::start_with(&["-c".to_owned(), config.path().display().to_string()]);
    let bridge = Bridge::start(&nats, "");
    let large = sized(300_000);
    assert_eq!(bridge.post(&large), (200, "{\"stored\":\"dead_letter\"}".into()));
    let parts = stored(&nats, &large);
    assert_eq!(parts.len(), 10, "of 32 KiB, the largest power of two that fits");
    assert_parts(&parts, &large);
}

#[test]
fn parts_fit_a_stream_with_a_small_limit() {
    let nats = Nats::start();
    nats.put_stream(stream::Config { max_message_size: 20_000, ..Nats::safe_stream() });
    let bridge = Bridge::start(&nats, "");
    let large = sized(100_000);
    assert_eq!(bridge.post(&large), (200, "{\"stored\":\"dead_letter\"}".into()));
    let parts = stored(&nats, &large);
    assert_eq!(parts.len(), 7, "of 16 KiB");
    assert_parts(&parts, &large);
}

#[test]
fn a_stream_with_a_tiny_limit_stores_nothing() {
    let nats = Nats::start();
    nats.put_stream(stream::Config { max_message_size: 2_000, ..Nats::safe_stream() });
    let bridge = Bridge::start(&nats, "publish.timeout = \"1s\"\n");
    assert_eq!(bridge.post(&sized(3_000)).0, 503);
    assert_eq!(bridge.post(&text(1)).0, 200);
    assert_eq!(nats.read().len(), 1);
}

#[test]
fn a_limit_that_a_reload_of_the_server_raised_is_noticed() {
    let mut config = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut config, b"max_payload: 65536\n").unwrap();
    let nats = Nats::start_with(&["-c".to_owned(), config.path().display().to_string()]);
    let bridge = Bridge::start(&nats, "");
    assert_eq!(bridge.post(&sized(100_000)), (200, "{\"stored\":\"dead_letter\"}".into()));
    std::fs::write(config.path(), "max_payload: 1048576\n").unwrap();
    nats.signal("-HUP");
    let mut size = 100_000;
    eventually("it is stored whole", Duration::from_secs(25), || {
        size += 1;
        bridge.post(&sized(size)) == (200, "{\"stored\":\"broker\"}".into())
    });
    assert!(bridge.log().contains("max_payload was raised"), "{}", bridge.log());
    assert_eq!(bridge.log().matches("max_payload was raised").count(), 1);
}

#[cfg(feature = "journal")]
#[test]
fn a_lane_that_waits_for_a_larger_limit_says_so_and_goes_on_when_it_is_raised() {
    let (mut config, folder) = (tempfile::NamedTempFile::new().unwrap(), tempfile::tempdir().unwrap());
    std::io::Write::write_all(&mut config, b"max_payload: 1024\n").unwrap();
    let nats = Nats::start_with(&["-c".to_owned(), config.path().display().to_string()]);
    let bridge = Bridge::start(&nats, &format!("journal.directory = {:?}\n", folder.path().join("data")));
    let bodies: Vec<_> = (0..10).map(|number| sized(900 + number)).collect();
    for body in &bodies {
        assert_eq!(bridge.post(body), (200, "{\"stored\":\"journal\"}".into()));
    }
    let blocked = || bridge.log().contains("\"reason\":\"too_large\"");
    eventually("the log says it", Duration::from_secs(10), blocked);
    std::fs::write(config.path(), "max_payload: 1048576\n").unwrap();
    nats.signal("-HUP");
    let forwarded = || bridge.metric("journal_records{broker=\"nats\"}") == 0.0;
    eventually("forwarded", Duration::from_secs(40), forwarded);
    assert_eq!(nats.read().iter().map(body).collect::<Vec<_>>(), bodies);
}
