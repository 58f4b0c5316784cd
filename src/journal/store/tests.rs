use std::time::Instant;

use futures_util::future::join_all;
use rusqlite::TransactionBehavior;

use super::*;
use crate::journal::Kept;
use crate::message::{Broker, Brokers, Event, Id, Message};

const NATS: Brokers = Brokers::NONE.with(Broker::Nats);

fn message(number: usize, bytes: usize) -> Message {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(bytes.max(8), 7);
    let event = Event { instance: Some(number as u64 % 50), ..Event::unparsed(Id::of(&body), SystemTime::now()) };
    let to = [None, Some("subject".into())];
    Message { to, event, body: body.into(), dead_letter: None, open: false, structured: false, replay: None }
}

fn open_with(folder: &Path, max_bytes: usize) -> (Journal, Recovered) {
    let config = Config { directory: folder.into(), max_bytes, min_free: 0, ..Config::default() };
    super::open(&config, &DeadLetterConfig::default(), (Duration::from_secs(900), 250_000)).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn on_disk(folder: &Path) -> u64 {
    ["journal.db", "journal.db-wal"]
        .map(|file| std::fs::metadata(folder.join(file)).map_or(0, |file| file.len()))
        .iter()
        .sum()
}

fn append_all(runtime: &tokio::runtime::Runtime, journal: &Journal, messages: Vec<Message>) -> Vec<Kept> {
    runtime.block_on(join_all(messages.into_iter().map(|message| journal.append(message, NATS, Brokers::NONE))))
}

#[test]
fn the_largest_body_has_room_in_an_empty_journal_and_in_one_that_was_full() {
    for largest in [1, 20].map(|mib| mib * 1024 * 1024) {
        let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
        let config = Config { directory: folder.path().into(), min_free: 0, largest, ..Config::default() };
        let config = Config { max_bytes: config.least_bytes(), ..config };
        let (journal, _) = super::open(&config, &DeadLetterConfig::default(), (Duration::ZERO, 1)).unwrap();
        let settle = |answers: Vec<Kept>, bytes| {
            answers.iter().flatten().for_each(|seq| journal.settle(*seq, Broker::Nats, bytes));
            runtime.block_on(journal.synced());
            answers.iter().all(Result::is_ok)
        };
        let append = |messages| append_all(&runtime, &journal, messages);
        assert!(settle(append(vec![message(1, largest)]), largest), "{largest} into an empty one");
        let fill = append((0..config.max_bytes / 4_200).map(|number| message(number, 4_200)).collect());
        assert!(append(vec![message(2, largest)])[0].is_err(), "{largest} into a full one");
        assert!(!settle(fill, 4_200));
        assert!(settle(append(vec![message(3, largest)]), largest), "{largest} into one that was full");
        assert!(on_disk(folder.path()) <= config.max_bytes as u64);
        journal.close();
    }
}

#[test]
fn it_never_takes_more_than_it_may_and_goes_on_once_there_is_room() {
    const MOST: usize = 40 * 1024 * 1024;
    for bytes in [8, 600, 2_100, 4_200, 50_000] {
        let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
        let (journal, _) = open_with(folder.path(), MOST);
        let mut kept = Vec::new();
        let full = loop {
            let numbers = kept.len()..kept.len() + 400;
            let answers = append_all(&runtime, &journal, numbers.map(|number| message(number, bytes)).collect());
            let refused = answers.iter().find_map(|answer| answer.err());
            kept.extend(answers.into_iter().flatten());
            assert!(on_disk(folder.path()) <= MOST as u64, "{} with bodies of {bytes}", on_disk(folder.path()));
            if let Some(refused) = refused {
                break refused;
            }
        };
        assert_eq!((full.reason, journal.state().borrow().reason), ("full", "full"));
        assert!(on_disk(folder.path()) > MOST as u64 / 2, "{} with bodies of {bytes}", on_disk(folder.path()));
        for seq in kept {
            journal.settle(seq, Broker::Nats, bytes);
        }
        runtime.block_on(journal.synced());
        assert!(append_all(&runtime, &journal, vec![message(0, bytes)])[0].is_ok(), "bodies of {bytes}");
        runtime.block_on(journal.synced());
        assert!(journal.state().borrow().up);
        // one as large as can be has room in what is empty
        let large = append_all(&runtime, &journal, vec![message(1, 8 * 1024 * 1024)]);
        assert!(large[0].is_ok(), "after bodies of {bytes}: {large:?}");
        assert!(on_disk(folder.path()) <= MOST as u64, "{} with bodies of {bytes}", on_disk(folder.path()));
        journal.close();
    }
}

#[test]
fn a_reader_that_does_not_end_keeps_nobody_waiting() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let (journal, _) = open_with(folder.path(), 32 * 1024 * 1024);
    append_all(&runtime, &journal, vec![message(0, 600)]);
    let mut reader = readable(&folder.path().join("journal.db")).unwrap();
    let held = reader.transaction_with_behavior(TransactionBehavior::Deferred).unwrap();
    let _: i64 = held.query_row("SELECT count(*) FROM record", [], |row| row.get(0)).unwrap();
    let (mut refused, mut number) = (0, 0);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(2500) {
        let asked = Instant::now();
        let answers = append_all(&runtime, &journal, (number..number + 40).map(|one| message(one, 9_000)).collect());
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?} for one answer", asked.elapsed());
        number += 40;
        refused += answers.iter().filter(|answer| answer.is_err()).count();
    }
    assert!(refused > 0, "the log has no end");
    assert!(on_disk(folder.path()) <= 32 * 1024 * 1024);
    held.commit().unwrap();
    // what the log held twice is room again
    assert!(append_all(&runtime, &journal, vec![message(number, 600)])[0].is_ok());
    journal.close();
}

#[test]
fn readers_that_follow_each_other_do_not_keep_the_log_growing() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let (journal, _) = open_with(folder.path(), 512 * 1024 * 1024);
    append_all(&runtime, &journal, (0..500).map(|one| message(one, 600)).collect());
    let (path, over) = (folder.path().join("journal.db"), CancellationToken::new());
    let until = over.clone();
    let reading = std::thread::spawn(move || {
        let connections = [readable(&path).unwrap(), readable(&path).unwrap()];
        let mut held: [bool; 2] = [false; 2];
        // one always begins before the other ends
        for place in (0..2).cycle().take_while(|_| !until.is_cancelled()) {
            if std::mem::replace(&mut held[place], true) {
                connections[place].execute_batch("COMMIT").unwrap();
            }
            connections[place].execute_batch("BEGIN").unwrap();
            let _: i64 = connections[place].query_row("SELECT count(*) FROM record", [], |row| row.get(0)).unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    let (mut most, begun, mut number) = (0, Instant::now(), 1000);
    while begun.elapsed() < Duration::from_secs(5) {
        append_all(&runtime, &journal, (number..number + 20).map(|one| message(one, 4_000)).collect());
        std::thread::sleep(Duration::from_millis(5));
        number += 20;
        most = most.max(std::fs::metadata(folder.path().join("journal.db-wal")).unwrap().len());
    }
    over.cancel();
    reading.join().unwrap();
    journal.close();
    let written = (number - 1000) as u64 * 4_000;
    assert!(most <= 6 * room::LOG && most < written / 2, "{most} bytes of log for {written}");
}

#[test]
fn many_at_once_share_few_transactions() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let (journal, _) = open_with(folder.path(), 64 * 1024 * 1024);
    let begun = Instant::now();
    let kept = append_all(&runtime, &journal, (0..1000).map(|one| message(one, 600)).collect());
    assert!(kept.iter().all(Result::is_ok) && begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    // each transaction with records adds one row of ids
    let count =
        |db: &mut Connection| db.query_row("SELECT count(*) FROM seen", [], |row| row.get::<_, usize>(0)).unwrap();
    let transactions = runtime.block_on(journal.change(count)).unwrap();
    assert!(transactions < 100, "{transactions}");
    journal.close();
}

/// A journal of the first version with these many records.
fn of_version_1(folder: &Path, records: usize) -> std::path::PathBuf {
    let path = Directory::take(folder).unwrap().database();
    let mut connection = opened(&path).unwrap();
    make_durable(&connection).unwrap();
    schema::migrate_to(1, &mut connection).unwrap();
    for number in 0..records {
        let message = message(number, 600);
        let columns = crate::journal::record::Columns::of(&message);
        connection
            .execute(
                "INSERT INTO record (seq, owed, id, received, instance, nats, rest, body)
                 VALUES (?1, 4, ?2, ?3, ?4, 9, ?5, ?6)",
                rusqlite::params![
                    number + 1,
                    columns.id,
                    columns.received,
                    columns.instance,
                    columns.rest,
                    &message.body[..]
                ],
            )
            .unwrap();
    }
    let mut ids = Vec::new();
    crate::journal::seen_as(&mut ids, Id::from(5), NATS);
    let now = millis(SystemTime::now());
    connection.execute("INSERT INTO seen (at, ids) VALUES (?1, ?2)", rusqlite::params![now, ids]).unwrap();
    path
}

#[test]
fn a_journal_of_the_first_version_is_brought_up_to_date_with_all_in_it() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let path = of_version_1(folder.path(), 20);
    // one that was killed halfway changed nothing
    let killed = tempfile::tempdir().unwrap();
    {
        let mut connection = opened(&path).unwrap();
        let half = connection.transaction().unwrap();
        half.execute_batch("ALTER TABLE record ADD COLUMN unknown INTEGER NOT NULL DEFAULT 0").unwrap();
        for file in ["journal.db", "journal.db-wal"] {
            std::fs::copy(folder.path().join(file), killed.path().join(file)).unwrap();
        }
    }
    for folder in [folder.path(), killed.path()] {
        let (journal, recovered) = open_with(folder, 64 * 1024 * 1024);
        let owed = &recovered.owed[Broker::Nats as usize];
        assert_eq!(owed.iter().map(|owed| (owed.lane.0, owed.records)).collect::<Vec<_>>(), [(9, 20)]);
        assert_eq!(recovered.seen.iter().map(|(_, id, by)| (*id, *by)).collect::<Vec<_>>(), [(Id::from(5), NATS)]);
        let read = runtime.block_on(journal.batch(Broker::Nats, crate::journal::Lane(9), usize::MAX)).unwrap();
        let crate::journal::Batch::Records(records) = read else { panic!("it has room") };
        let found: Vec<_> = records.iter().map(|record| (record.seq, record.message.body.clone())).collect();
        let expected: Vec<_> = (0..20_usize).map(|one| (one as i64 + 1, message(one, 600).body)).collect();
        assert_eq!(found, expected);
        assert!(records.iter().all(|record| record.unknown.is_empty() && record.owed == NATS));
        journal.close();
    }
}

#[test]
fn of_ids_that_were_seen_no_more_are_kept_than_are_remembered() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let config = Config { directory: folder.path().into(), min_free: 0, ..Config::default() };
    let open = || super::open(&config, &DeadLetterConfig::default(), (Duration::from_secs(900), 1000)).unwrap();
    let count = || -> u64 {
        let database = readable(&folder.path().join("journal.db")).unwrap();
        database.query_row("SELECT sum(length(ids)) / 17 FROM seen", [], |row| row.get(0)).unwrap()
    };
    let saw = |journal: &Journal, ids: std::ops::Range<u128>| {
        let mut bytes = Vec::new();
        ids.for_each(|id| crate::journal::seen_as(&mut bytes, Id::from(id), NATS));
        journal.seen(bytes, None);
        runtime.block_on(journal.synced());
    };
    let (journal, _) = open();
    (0..30).for_each(|row| saw(&journal, row * 100..(row + 1) * 100));
    journal.close();
    // what was there before counts too
    let (journal, recovered) = open();
    let last: Vec<_> = (2000..3000).map(|id| (Id::from(id), NATS)).collect();
    assert_eq!(recovered.seen.into_iter().map(|(_, id, by)| (id, by)).collect::<Vec<_>>(), last);
    let end = Instant::now() + Duration::from_secs(10);
    while count() > 1125 {
        assert!(Instant::now() < end, "{}", count());
        std::thread::sleep(Duration::from_millis(50));
    }
    saw(&journal, 3000..3100);
    journal.close();
    let (journal, recovered) = open();
    assert_eq!(recovered.seen.first().unwrap().1, Id::from(2100));
    journal.close();
}

#[test]
fn what_stays_is_copied_beside_the_database_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let connection = opened(&of_version_1(folder.path(), 1)).unwrap();
    assert!(steps::rewrite(&connection, u64::MAX).unwrap());
    let copied_to: String = connection.pragma_query_value(None, "temp_store_directory", |row| row.get(0)).unwrap();
    assert_eq!(Path::new(&copied_to), folder.path());
}

#[test]
fn the_database_of_another_program_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = Connection::open(folder.path().join("journal.db")).unwrap();
    foreign.execute_batch("CREATE TABLE cookies (value)").unwrap();
    let config = Config { directory: folder.path().into(), ..Config::default() };
    let opened = super::open(&config, &DeadLetterConfig::default(), (Duration::from_secs(900), 250_000));
    for refused in [opened.err().unwrap(), look_at(&config).unwrap_err()].map(|error| error.to_string()) {
        assert!(refused.contains("the database of another program; give another folder"), "{refused}");
    }
    let mode: String = foreign.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "delete");
}

#[test]
fn one_of_a_newer_version_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = of_version_1(folder.path(), 1);
    let newer = schema::VERSION + 1;
    opened(&path).unwrap().pragma_update(None, "user_version", newer).unwrap();
    let config = Config { directory: folder.path().into(), ..Config::default() };
    let opened = super::open(&config, &DeadLetterConfig::default(), (Duration::from_secs(900), 250_000));
    let refused = opened.err().unwrap().to_string();
    assert!(refused.contains(&format!("of version {newer}, this program knows {}", schema::VERSION)), "{refused}");
    assert!(refused.contains("use the program that wrote it"), "{refused}");
    assert_eq!(schema::version(&readable(&path).unwrap()).unwrap(), newer);
}
