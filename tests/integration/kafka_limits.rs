//! Limits with a real Kafka: sizes of topics, overload, start, stop, and the properties of the client.

use std::collections::HashSet;
use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use greenapi_bridge::brokers::kafka::{Config, Publisher};
use greenapi_bridge::message::{Broker, Event, Id, Message, PerBroker};

use crate::harness::{Bridge, Connection, Kafka, body, command, eventually, not_tested, refusals, signal, text};

fn create(kafka: &Kafka, topic: &str, most: usize) {
    kafka.create(topic, 1, &[&format!("max.message.bytes={most}")]);
}

fn sized(number: usize, bytes: usize) -> Vec<u8> {
    let mut body = text(number);
    body.resize(bytes, b' ');
    body
}

#[test]
fn a_body_too_large_for_its_topic_is_a_dead_letter_in_parts_that_fit() {
    let kafka = Kafka::shared();
    create(kafka, "small.incoming", 20_000);
    create(kafka, "small.dead", 40_000);
    let bridge = Bridge::with(&kafka.config("small"), true).ready();
    let answers = [15_000, 25_000, 300_000].map(|bytes| bridge.post(&sized(1, bytes)).1);
    let [stored, dead] = ["broker", "dead_letter"].map(|what| format!("{{\"stored\":\"{what}\"}}"));
    assert_eq!(answers, [stored, dead.clone(), dead]);
    assert_eq!(kafka.read(&["small.incoming"]).len(), 1);
    let letters = kafka.read(&["small.dead"]);
    let of = |bytes| {
        let id = greenapi_bridge::message::Id::of(&sized(1, bytes)).to_string();
        letters.iter().filter(move |letter| letter["headers"]["ce_id"] == id.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(of(25_000).len(), 1, "whole where it fits");
    let parts = of(300_000);
    assert_eq!(parts.iter().flat_map(|part| body(part)).collect::<Vec<_>>(), sized(1, 300_000));
    let count = parts.len();
    for (number, part) in (1..).zip(&parts) {
        assert_eq!(part["headers"]["bridge-part"], format!("{number}/{count}"), "each part once");
    }
}

#[test]
fn a_record_too_large_harms_none_of_its_batch() {
    let kafka = Kafka::start();
    create(&kafka, "batch.incoming", 10_000);
    let bridge = Bridge::with(&kafka.config("batch"), true).ready();
    assert_eq!(bridge.post(&text(0)).0, 200);
    // what comes while it stands still travels together
    kafka.signal("-STOP");
    let bodies: Vec<_> = (1..40).map(|number| sized(number, if number == 20 { 12_000 } else { 3_000 })).collect();
    let mut begun: Vec<_> = bodies.iter().map(|body| bridge.begin(body)).collect();
    bridge.wait_for_in_flight(bodies.len());
    kafka.signal("-CONT");
    let answers: Vec<_> = begun.iter_mut().map(|begun| begun.answer().body).collect();
    let dead: Vec<_> = (1..).zip(&answers).filter(|(_, answer)| answer.contains("dead_letter")).collect();
    assert_eq!(dead.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [20], "{answers:?}");
    assert!(answers.iter().all(|answer| answer.contains("stored\":")), "{answers:?}");
    assert_eq!(kafka.read(&["batch.incoming"]).len(), bodies.len());
    assert_eq!(kafka.read(&["batch.dead"]).iter().map(body).collect::<Vec<_>>(), [bodies[19].clone()]);
}

#[test]
fn a_full_wait_queue_refuses_at_once_and_requests_in_flight_are_stored() {
    let kafka = Kafka::start();
    let limits = "http.answer_within = \"6s\"\npublish.timeout = \"5s\"\n\
        http.limits.in_flight = 2\nhttp.limits.waiting = 2\n";
    let bridge = Bridge::with(&format!("{limits}{}", kafka.config("full")), true).ready();
    assert_eq!(bridge.post(&text(0)).0, 200);
    kafka.signal("-STOP");
    let mut begun: Vec<Connection> = Vec::new();
    for number in 1..5 {
        begun.push(bridge.begin(&text(number)));
        bridge.wait_for_in_flight(number);
    }
    assert_eq!(bridge.begin(&text(5)).answer().status, 503);
    assert!(begun.iter().all(|begun| !begun.has_answered()), "not at once");
    kafka.signal("-CONT");
    assert_eq!(begun.iter_mut().map(|begun| begun.answer().status).collect::<Vec<_>>(), [200; 4]);
    assert_eq!(kafka.read(&["full.incoming"]).len(), 5, "what was refused was never begun");
}

#[test]
fn a_bridge_started_while_kafka_is_down_is_ready_once_it_is_up() {
    let mut kafka = Kafka::start();
    let config = kafka.config("first");
    drop(Bridge::with(&config, true).ready());
    kafka.kill();
    let bridge = Bridge::with(&format!("publish.timeout = \"1s\"\n{config}"), false);
    assert_eq!(bridge.post(&text(1)).0, 503);
    assert_eq!(bridge.get("/readyz").0, 503);
    kafka.start_again();
    let bridge = bridge.ready();
    eventually("it stores", Duration::from_secs(10), || bridge.post(&text(1)).0 == 200);
    assert_eq!(kafka.read(&["first.incoming"]).len(), 1);
}

/// A notification on a connection that stays open.
fn kept(body: &[u8]) -> Vec<u8> {
    let head = format!("POST /green-api/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[test]
fn a_stop_under_load_loses_nothing_answered_200() {
    let kafka = Kafka::shared();
    let mut bridge = Bridge::with(&kafka.config("stop"), true).ready();
    let at = bridge.http;
    // each on a connection that stays open until an answer announces the close
    let send = move |sender: usize| {
        let (mut connection, mut answered) = (Connection::open(at), Vec::new());
        for number in (0..).map(|number| sender * 1_000_000 + number) {
            connection.send(kept(&text(number)));
            let answer = connection.answer();
            assert!(answer.status == 200 || answer.status == 503, "{answer:?}");
            if answer.status == 200 {
                answered.push(text(number));
            }
            if answer.is_last() {
                break;
            }
        }
        answered
    };
    let answered: Vec<_> = std::thread::scope(|scope| {
        let senders: Vec<_> = (1..=8).map(|sender| scope.spawn(move || send(sender))).collect();
        std::thread::sleep(Duration::from_secs(1));
        bridge.signal("-TERM");
        assert_eq!(bridge.exit_code(), Some(0), "{}", bridge.log());
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    assert!(answered.len() > 100, "only {}", answered.len());
    let held: HashSet<_> = kafka.read(&["stop.incoming"]).iter().map(body).collect();
    assert_eq!(answered.iter().filter(|body| !held.contains(*body)).count(), 0, "of {}", answered.len());
}

#[test]
fn properties_reach_the_client_and_wrong_ones_are_refused_at_start() {
    let kafka = Kafka::start_with("PLAINTEXT", "", &[]);
    let zipped = "properties = { \"compression.type\" = \"gzip\" }\n";
    let bridge = Bridge::with(&format!("{}{zipped}", kafka.config("props")), true).ready();
    let large = sized(1, 500_000);
    assert_eq!(bridge.post(&large).0, 200);
    assert!(kafka.stored_bytes("props.incoming") < 100_000, "it was not compressed");
    assert_eq!(kafka.read(&["props.incoming"]).iter().map(body).collect::<Vec<_>>(), [large]);
    for (property, says) in [
        ("\"compression.type\" = \"rar\"", ["kafka.properties.\"compression.type\" = rar", "Invalid value"]),
        ("\"compresion.type\" = \"gzip\"", ["kafka.properties.\"compresion.type\": ", "correct its name"]),
        ("\"retries\" = \"many\"", ["kafka.properties.\"retries\" = many", "nvalid"]),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{}properties = {{ {property} }}\n", kafka.config("props"))).unwrap();
        let answer = command("run", file.path());
        let said = refusals(&answer.stderr);
        assert_eq!(answer.status.code(), Some(2), "{said}");
        assert!(says.iter().all(|says| said.contains(says)), "{said}");
    }
}

/// What became of a record that was received so long ago, as far as a clock here can tell.
async fn published(publisher: &Publisher, topic: &str, hours: u64) -> Result<(), &'static str> {
    let at = SystemTime::now() - Duration::from_secs(hours * 3600);
    let event = Event::unparsed(Id::from(u128::from(hours)), at);
    let (to, body) = (PerBroker::only(Broker::Kafka, topic.to_owned()), Bytes::from_static(b"{}"));
    let message = Message::notification(to, event, body);
    publisher.publish(&message).await.map_err(|fault| fault.reason.as_str())
}

#[test]
fn a_timestamp_so_old_that_kafka_would_delete_the_record_is_refused() {
    let kafka = Kafka::shared();
    create(kafka, "slow.state", 1_000_000);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{}provision.retention = \"4h\"\n", kafka.config("slow"))).unwrap();
    let said = String::from_utf8(command("provision", file.path()).stdout).unwrap();
    assert!(said.contains("+ message.timestamp.before.max.ms 2h\n"), "{said}");
    assert!(said.contains("= keeps message.timestamp.before.max.ms without limit, not 2h\n"), "{said}");
    let said = String::from_utf8(command("check", file.path()).stdout).unwrap();
    let notes: Vec<_> = said.lines().filter(|line| line.contains("deleted at once")).collect();
    assert!(notes.len() == 1 && notes[0].starts_with("! retention     slow.state: "), "{said}");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let config = Config { bootstrap_servers: vec![kafka.server()], ..Config::default() };
        let topics = vec!["slow.incoming".into()];
        let publisher = Publisher::start(&config, topics, 0, Duration::from_secs(10)).unwrap();
        publisher.state().wait_for(|state| state.is_up()).await.unwrap();
        assert_eq!(published(&publisher, "slow.incoming", 1).await, Ok(()));
        assert_eq!(published(&publisher, "slow.incoming", 3).await, Err("wrong_clock"));
    });
    assert_eq!(kafka.read(&["slow.incoming"]).len(), 1);
}

/// A client of librdkafka that is dropped waits for its name server. Needs root, to put another one in its place.
#[test]
fn a_silent_name_server_does_not_delay_the_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let Ok(_silent) = UdpSocket::bind("127.0.0.99:53") else { return not_tested("port 53 is not ours") };
    let resolver = "nameserver 127.0.0.99\noptions timeout:30 attempts:5\n";
    std::fs::write(folder.path().join("resolv.conf"), resolver).unwrap();
    let config = "http.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\n\
                  kafka.bootstrap_servers = [\"kafka.example.com:9092\"]\n";
    std::fs::write(folder.path().join("bridge.toml"), config).unwrap();
    let with_it = |then: &str| {
        let mut run = Command::new("unshare");
        run.args(["-m", "sh", "-c", &format!("mount --bind resolv.conf /etc/resolv.conf && {then}")]);
        run.current_dir(&folder);
        run
    };
    if !with_it("true").status().is_ok_and(|status| status.success()) {
        return not_tested("a file cannot be mounted here");
    }
    let mut run = with_it("exec \"$0\" run --config bridge.toml");
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    run.arg(env!("CARGO_BIN_EXE_greenapi-bridge")).stderr(log);
    let mut bridge = run.spawn().unwrap();
    // the moments differ: while it looks for the cluster another thread has the client
    std::thread::sleep(Duration::from_millis(10_500));
    assert!(bridge.try_wait().unwrap().is_none(), "it runs");
    signal(&bridge, "-TERM");
    eventually("its end", Duration::from_secs(5), || bridge.try_wait().unwrap().is_some());
    assert_eq!(bridge.wait().unwrap().code(), Some(0));
}
