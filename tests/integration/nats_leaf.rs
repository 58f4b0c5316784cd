//! A leaf node whose hub takes less than it announces: what the hub cuts off never gets an ack.

use std::io::Write;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use greenapi_bridge::brokers::nats::{AckTimeouts, Config, Publisher};
use greenapi_bridge::brokers::{Fault, FaultKind, FaultReason};
use greenapi_bridge::message::{Broker, Event, Id, Message, PerBroker};
use tokio::time::{Instant, sleep};

use crate::harness::{Bridge, Nats, command, free_port, nats_servers};

const HUB_TAKES: usize = 64 * 1024;

/// A hub with JetStream, and a leaf node of it that takes more.
fn leaf_and_hub() -> (Nats, Nats, [tempfile::NamedTempFile; 2]) {
    let port = free_port();
    let server = |text: String| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "{text}").unwrap();
        let nats = Nats::start_with(&["-c".to_owned(), file.path().display().to_string()]);
        (nats, file)
    };
    let hub = "max_payload: 65536\njetstream { domain: hub }\nleafnodes { listen: \"127.0.0.1:{port}\" }\n";
    let (hub, hub_file) = server(hub.replace("{port}", &port.to_string()));
    let leaf = format!(
        "jetstream {{ domain: leaf }}\nleafnodes {{ reconnect: 1, remotes: [ {{ url: \"nats-leaf://127.0.0.1:{port}\" }} ] }}\n"
    );
    let (leaf, leaf_file) = server(leaf);
    (leaf, hub, [hub_file, leaf_file])
}

fn message(bytes: usize, fill: u8) -> Message {
    let body = vec![fill; bytes];
    let event = Event::unparsed(Id::of(&body), SystemTime::now());
    let to = PerBroker::only(Broker::Nats, "greenapi.incoming.7.incomingCall".into());
    Message::notification(to, event, Bytes::from(body))
}

/// Publishes until there is an ack: the link to the hub is cut whenever a message is too large for it.
async fn acked(publisher: &Publisher, message: &Message) {
    let end = Instant::now() + Duration::from_secs(20);
    while let Err(fault) = publisher.publish(message).await {
        assert!(Instant::now() < end, "{fault:?}");
        sleep(Duration::from_millis(200)).await;
    }
}

#[test]
fn a_message_that_a_server_on_the_way_cuts_off_is_too_large_in_the_end() {
    let (leaf, hub, _files) = leaf_and_hub();
    let at_hub = Bridge::start(&hub, "nats.domain = \"hub\"\n");
    drop(at_hub);
    let config = Config {
        servers: vec![format!("nats://127.0.0.1:{}", leaf.port)],
        domain: Some("hub".into()),
        ..Config::default()
    };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let timeouts = AckTimeouts { ack: Duration::from_secs(1), too_large_after: Duration::from_secs(6) };
        let publisher = Publisher::start(&config, vec!["greenapi.>".into()], timeouts).await.unwrap();
        publisher.state().wait_for(|state| state.is_up()).await.unwrap();
        let large = message(HUB_TAKES + 40_000, 1);
        assert!(publisher.max_body_len(&large) > large.body.len(), "the leaf node takes it");
        let begun = Instant::now();
        let fault = loop {
            let Fault { kind, reason, detail, .. } = publisher.publish(&large).await.unwrap_err();
            if kind == FaultKind::Record {
                break (reason, detail);
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{detail}");
            publisher.state().wait_for(|state| state.is_up()).await.unwrap();
            acked(&publisher, &message(20_000, 2)).await;
        };
        assert_eq!(fault.0, FaultReason::TooLarge);
        assert!(begun.elapsed() >= Duration::from_secs(6), "{:?}", begun.elapsed());
        assert!(fault.1.contains("bodies of up to 20000 bytes"), "{}", fault.1);
        // its parts get an ack, and other messages may be as large as before
        let most = publisher.max_body_len(&large);
        assert!((16 * 1024..20_000).contains(&most), "{most}");
        assert!(publisher.max_body_len(&message(30_000, 3)) > HUB_TAKES);
        acked(&publisher, &message(HUB_TAKES - 2000, 4)).await;
        publisher.close().await;
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{}nats.domain = \"hub\"\n", nats_servers(&[leaf.port]))).unwrap();
    let said = String::from_utf8(command("check", file.path()).stdout).unwrap();
    assert!(
        said.contains("servers on the way to the domain hub may take less") && said.contains("max_msg_size"),
        "{said}"
    );
}
