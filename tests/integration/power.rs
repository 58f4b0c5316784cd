//! Loss of power: whatever of the writes since the last sync reaches the disk, all that was answered 200 is there.

mod recorded;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use greenapi_bridge::journal::{Config, DeadLetterConfig, DedupLimits, Journal};

use crate::harness::{Bridge, Connection};
use recorded::{Disk, Event, Random, events};

/// How many moments are tried.
const MOMENTS: usize = 320;
const SENDERS: usize = 4;
const EACH: usize = 60;

/// Sends notifications of many sizes one after the other; returns them with the port they came from.
fn send(bridge: &Bridge, sender: usize, run: usize, random: &mut Random) -> (u16, Vec<Vec<u8>>) {
    let mut connection = Connection::open(bridge.http);
    let bodies: Vec<_> = (0..EACH)
        .map(|number| {
            let filler = "x".repeat(random.below(if number % 5 == 0 { 60_000 } else { 4_000 }));
            let text = format!(r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":{sender}}},"#);
            format!(r#"{text}"run":{run},"number":{number},"filler":"{filler}"}}"#).into_bytes()
        })
        .collect();
    for body in &bodies {
        let head = "POST /green-api/webhook/ HTTP/1.1\r\nHost: x\r\nContent-Length:";
        connection.send([format!("{head} {}\r\n\r\n", body.len()).as_bytes(), body].concat());
        assert_eq!(connection.answer().status, 200);
    }
    (connection.port(), bodies)
}

type Sent = HashMap<u16, Vec<Vec<u8>>>;

/// What a bridge does to its disk under load, and what it answered meanwhile: it is killed, and ends by itself.
fn record(folder: &Path, random: &mut Random) -> (Vec<Event>, Sent) {
    let (mut all, mut sent) = (Vec::new(), Sent::new());
    for run in 0..2 {
        let trace = folder.join(format!("trace{run}"));
        let calls = "trace=pwrite64,write,writev,sendto,sendmsg,fsync,fdatasync,ftruncate,unlink,openat";
        let arguments = ["-yy", "-xx", "-s", "5000", "-e", calls, "-o", trace.to_str().unwrap()];
        let config = format!("journal.directory = {:?}\n", folder.join("data"));
        let mut bridge = Bridge::traced(&arguments, &config).ready();
        let seeds: Vec<_> = (0..SENDERS).map(|_| random.next()).collect();
        std::thread::scope(|scope| {
            let send = |(sender, seed)| {
                let bridge = &bridge;
                scope.spawn(move || send(bridge, sender, run, &mut Random(seed)))
            };
            let senders: Vec<_> = seeds.into_iter().enumerate().map(send).collect();
            sent.extend(senders.into_iter().map(|sender| sender.join().unwrap()));
        });
        bridge.signal(if run == 0 { "-KILL" } else { "-TERM" });
        bridge.exit_code();
        // strace writes its last lines after the end of what it sees
        std::thread::sleep(Duration::from_millis(300));
        all.extend(events(&std::fs::read(trace).unwrap(), &folder.join("data")));
    }
    (all, sent)
}

/// Opens the journal on a disk, and returns its bodies.
fn reopen(disk: &Disk, random: &mut Random) -> HashSet<Vec<u8>> {
    let folder = tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" }).unwrap();
    disk.after_a_loss_of_power(folder.path(), random);
    let config = Config { directory: folder.path().into(), ..Config::default() };
    let dedup = DedupLimits { window: Duration::from_secs(900), max_ids: 250_000 };
    let (journal, _) = Journal::open(&config, &DeadLetterConfig::default(), dedup).unwrap();
    let database = rusqlite::Connection::open(folder.path().join("journal.db")).unwrap();
    let sound: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let mut select = database.prepare("SELECT body FROM record").unwrap();
    let bodies = select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    journal.close();
    bodies
}

#[test]
fn every_200_survives_a_power_loss_at_any_moment() {
    let given = std::env::var("BRIDGE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64 | 1);
    eprintln!("BRIDGE_TEST_SEED={seed}");
    let mut random = Random(seed);
    let folder = tempfile::tempdir().unwrap();
    let (events, sent) = record(folder.path(), &mut random);
    let known: HashSet<_> = sent.values().flatten().collect();
    let answers = events.iter().filter(|event| matches!(event, Event::Answer(_))).count();
    assert_eq!(answers, known.len(), "each answer was seen");
    let mut moments: Vec<_> = (0..MOMENTS).map(|_| random.below(events.len())).collect();
    moments.sort_unstable();
    let (mut disk, mut answered, mut place) = (Disk::default(), HashMap::<u16, usize>::new(), 0);
    for moment in moments {
        for event in &events[place..moment] {
            match event {
                Event::Answer(port) => *answered.entry(*port).or_default() += 1,
                other => disk.apply(other),
            }
        }
        place = moment;
        let found = reopen(&disk, &mut random);
        for (port, count) in &answered {
            for (number, body) in sent[port].iter().take(*count).enumerate() {
                assert!(found.contains(body), "seed {seed}, moment {moment}: number {number} of {port} is lost");
            }
        }
        assert!(found.iter().all(|body| known.contains(body)), "seed {seed}, moment {moment}: nobody sent this");
    }
}
