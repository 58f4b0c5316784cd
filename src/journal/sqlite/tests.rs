use std::time::Instant;

use futures_util::future::join_all;
use rusqlite::TransactionBehavior;

use super::*;
use crate::journal::{AppendResult, JournalRefusal};
use crate::message::{Broker, Brokers, Event, Id, Message, PerBroker};

const NATS: Brokers = Brokers::NONE.with(Broker::Nats);

pub(super) fn message(number: usize, bytes: usize) -> Message {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(bytes.max(8), 7);
    let event = Event { instance: Some(number as u64 % 50), ..Event::unparsed(Id::of(&body), SystemTime::now()) };
    Message::notification(PerBroker::only(Broker::Nats, "subject".into()), event, body.into())
}

pub(super) const DEDUP: DedupLimits = DedupLimits { window: Duration::from_secs(900), max_ids: 250_000 };

fn open_with(folder: &Path, max_bytes: usize) -> (Journal, Recovered) {
    let config = Config { directory: folder.into(), max_bytes, min_free: 0, ..Config::default() };
    super::open(&config, &DeadLetterConfig::default(), DEDUP).unwrap()
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn on_disk(folder: &Path) -> u64 {
    ["journal.db", "journal.db-wal"]
        .map(|file| std::fs::metadata(folder.join(file)).map_or(0, |file| file.len()))
        .iter()
        .sum()
}

fn append_all(runtime: &tokio::runtime::Runtime, journal: &Journal, messages: Vec<Message>) -> Vec<AppendResult> {
    runtime.block_on(join_all(messages.into_iter().map(|message| journal.append(message, NATS, Brokers::NONE))))
}

#[test]
fn the_largest_body_fits_into_an_empty_journal_and_into_one_that_was_full() {
    for largest in [1, 20].map(|mib| mib * 1024 * 1024) {
        let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
        let config = Config { directory: folder.path().into(), min_free: 0, max_body: largest, ..Config::default() };
        let config = Config { max_bytes: config.least_bytes(), ..config };
        let (journal, _) =
            super::open(&config, &DeadLetterConfig::default(), DedupLimits { window: Duration::ZERO, max_ids: 1 })
                .unwrap();
        let ack_all = |answers: Vec<AppendResult>, bytes| {
            answers.iter().flatten().for_each(|seq| journal.ack(*seq, Broker::Nats, bytes));
            runtime.block_on(journal.synced());
            answers.iter().all(Result::is_ok)
        };
        let append = |messages| append_all(&runtime, &journal, messages);
        assert!(ack_all(append(vec![message(1, largest)]), largest), "{largest} into an empty one");
        let fill = append((0..config.max_bytes / 4_200).map(|number| message(number, 4_200)).collect());
        assert!(append(vec![message(2, largest)])[0].is_err(), "{largest} into a full one");
        assert!(!ack_all(fill, 4_200));
        assert!(ack_all(append(vec![message(3, largest)]), largest), "{largest} into one that was full");
        assert!(on_disk(folder.path()) <= config.max_bytes as u64);
        journal.close();
    }
}

#[test]
fn journal_never_exceeds_its_capacity_and_accepts_again_after_acks() {
    const MOST: usize = 40 * 1024 * 1024;
    for bytes in [8, 600, 2_100, 4_200, 50_000] {
        let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
        let (journal, _) = open_with(folder.path(), MOST);
        let mut stored = Vec::new();
        let mut refusals = 0;
        let full = loop {
            let numbers = stored.len()..stored.len() + 400;
            let answers = append_all(&runtime, &journal, numbers.map(|number| message(number, bytes)).collect());
            let refused = answers.iter().find_map(|answer| answer.err());
            stored.extend(answers.into_iter().flatten());
            assert!(on_disk(folder.path()) <= MOST as u64, "{} with bodies of {bytes}", on_disk(folder.path()));
            let reason = journal.state().borrow().reason();
            refusals += usize::from(refused.is_some());
            // a checkpoint may have made space since the refusal: then it is up again, and soon full again
            match refused {
                Some(refused) if reason.is_some() || refusals > 100 => break (refused, reason),
                _ => {}
            }
        };
        assert_eq!(full, (JournalRefusal::Full, Some(JournalRefusal::Full)));
        assert!(on_disk(folder.path()) > MOST as u64 / 2, "{} with bodies of {bytes}", on_disk(folder.path()));
        for seq in stored {
            journal.ack(seq, Broker::Nats, bytes);
        }
        runtime.block_on(journal.synced());
        assert!(append_all(&runtime, &journal, vec![message(0, bytes)])[0].is_ok(), "bodies of {bytes}");
        runtime.block_on(journal.synced());
        assert!(journal.state().borrow().is_up());
        // the largest body fits into an empty journal
        let large = append_all(&runtime, &journal, vec![message(1, 8 * 1024 * 1024)]);
        assert!(large[0].is_ok(), "after bodies of {bytes}: {large:?}");
        assert!(on_disk(folder.path()) <= MOST as u64, "{} with bodies of {bytes}", on_disk(folder.path()));
        journal.close();
    }
}

#[test]
fn a_reader_that_does_not_end_delays_no_append() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let (journal, _) = open_with(folder.path(), 32 * 1024 * 1024);
    append_all(&runtime, &journal, vec![message(0, 600)]);
    let mut reader = readable(&folder.path().join("journal.db")).unwrap();
    let open = reader.transaction_with_behavior(TransactionBehavior::Deferred).unwrap();
    let _: i64 = open.query_row("SELECT count(*) FROM record", [], |row| row.get(0)).unwrap();
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
    assert_eq!(journal.state().borrow().reason(), Some(JournalRefusal::LogHeld));
    assert!(on_disk(folder.path()) <= 32 * 1024 * 1024);
    open.commit().unwrap();
    // what was in the WAL twice is free again
    assert!(append_all(&runtime, &journal, vec![message(number, 600)])[0].is_ok());
    journal.close();
}

#[test]
fn readers_that_overlap_do_not_make_the_log_grow() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let (journal, _) = open_with(folder.path(), 512 * 1024 * 1024);
    append_all(&runtime, &journal, (0..500).map(|one| message(one, 600)).collect());
    let (path, over) = (folder.path().join("journal.db"), CancellationToken::new());
    let until = over.clone();
    let reading = std::thread::spawn(move || {
        let connections = [readable(&path).unwrap(), readable(&path).unwrap()];
        let mut open: [bool; 2] = [false; 2];
        // each begins before the other ends
        for place in (0..2).cycle().take_while(|_| !until.is_cancelled()) {
            if std::mem::replace(&mut open[place], true) {
                connections[place].execute_batch("COMMIT").unwrap();
            }
            connections[place].execute_batch("BEGIN").unwrap();
            // as long as in the beginning, however many records there are
            let of_first = "SELECT count(*) FROM record WHERE seq <= 500";
            let _: i64 = connections[place].query_row(of_first, [], |row| row.get(0)).unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    let (mut most, mut number) = (0, 1000);
    // twelve times what the WAL should have, however long the machine takes for it
    while (number - 1000) as u64 * 4_000 < 12 * capacity::WAL_BYTES {
        append_all(&runtime, &journal, (number..number + 20).map(|one| message(one, 4_000)).collect());
        std::thread::sleep(Duration::from_millis(5));
        number += 20;
        most = most.max(std::fs::metadata(folder.path().join("journal.db-wal")).unwrap().len());
    }
    over.cancel();
    reading.join().unwrap();
    journal.close();
    // and less than half of what was written
    assert!(most <= 6 * capacity::WAL_BYTES, "{most} bytes of WAL");
}

#[test]
fn many_appends_at_once_share_few_transactions() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let (journal, _) = open_with(folder.path(), 64 * 1024 * 1024);
    let begun = Instant::now();
    let stored = append_all(&runtime, &journal, (0..1000).map(|one| message(one, 600)).collect());
    assert!(stored.iter().all(Result::is_ok) && begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    // each transaction with records adds one row of ids
    let database = readable(&folder.path().join("journal.db")).unwrap();
    let transactions: usize = database.query_row("SELECT count(*) FROM seen", [], |row| row.get(0)).unwrap();
    assert!(transactions < 100, "{transactions}");
    journal.close();
}

/// A journal of the first version with these many records.
fn of_version_1(folder: &Path, records: usize) -> std::path::PathBuf {
    let path = Directory::lock(folder).unwrap().database();
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
    crate::journal::push_id(&mut ids, Id::from(5), NATS);
    let now = millis(SystemTime::now());
    connection.execute("INSERT INTO seen (at, ids) VALUES (?1, ?2)", rusqlite::params![now, ids]).unwrap();
    path
}

#[test]
fn a_journal_of_the_first_version_is_migrated_with_everything_in_it() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let path = of_version_1(folder.path(), 20);
    // a migration that was killed halfway changed nothing
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
        let backlog = &recovered.backlog[Broker::Nats];
        assert_eq!(backlog.iter().map(|backlog| (backlog.lane.0, backlog.records)).collect::<Vec<_>>(), [(9, 20)]);
        assert_eq!(recovered.ids.iter().map(|(_, id, by)| (*id, *by)).collect::<Vec<_>>(), [(Id::from(5), NATS)]);
        let read = runtime.block_on(journal.batch(Broker::Nats, crate::journal::Lane(9), usize::MAX)).unwrap();
        let crate::journal::LaneBatch::Records(records) = read else { panic!("too large") };
        let found: Vec<_> = records.iter().map(|record| (record.seq, record.message.body.clone())).collect();
        let expected: Vec<_> = (0..20_usize).map(|one| (one as i64 + 1, message(one, 600).body)).collect();
        assert_eq!(found, expected);
        assert!(records.iter().all(|record| record.maybe_stored.is_empty() && record.backlog == NATS));
        journal.close();
    }
}

#[test]
fn the_disk_has_no_more_ids_than_the_dedup_window() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let config = Config { directory: folder.path().into(), min_free: 0, ..Config::default() };
    let open = || super::open(&config, &DeadLetterConfig::default(), DedupLimits { max_ids: 1000, ..DEDUP }).unwrap();
    let count = || -> u64 {
        let database = readable(&folder.path().join("journal.db")).unwrap();
        database.query_row("SELECT sum(length(ids)) / 17 FROM seen", [], |row| row.get(0)).unwrap()
    };
    let saw = |journal: &Journal, ids: std::ops::Range<u128>| {
        let mut bytes = Vec::new();
        ids.for_each(|id| crate::journal::push_id(&mut bytes, Id::from(id), NATS));
        journal.append_dedup_ids(bytes, None);
        runtime.block_on(journal.synced());
    };
    let (journal, _) = open();
    (0..30).for_each(|row| saw(&journal, row * 100..(row + 1) * 100));
    journal.close();
    // ids of before the start count too
    let (journal, recovered) = open();
    let last: Vec<_> = (2000..3000).map(|id| (Id::from(id), NATS)).collect();
    assert_eq!(recovered.ids.into_iter().map(|(_, id, by)| (id, by)).collect::<Vec<_>>(), last);
    let end = Instant::now() + Duration::from_secs(10);
    while count() > 1125 {
        assert!(Instant::now() < end, "{}", count());
        std::thread::sleep(Duration::from_millis(50));
    }
    saw(&journal, 3000..3100);
    journal.close();
    let (journal, recovered) = open();
    assert_eq!(recovered.ids.first().unwrap().1, Id::from(2100));
    journal.close();
}

#[test]
fn a_rewrite_copies_records_beside_the_database_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let connection = opened(&of_version_1(folder.path(), 1)).unwrap();
    assert!(edit::rewrite(&connection, u64::MAX).unwrap());
    let copied_to: String = connection.pragma_query_value(None, "temp_store_directory", |row| row.get(0)).unwrap();
    assert_eq!(Path::new(&copied_to), folder.path());
}

#[test]
fn the_database_of_another_program_is_refused_and_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = Connection::open(folder.path().join("journal.db")).unwrap();
    foreign.execute_batch("CREATE TABLE cookies (value)").unwrap();
    let config = Config { directory: folder.path().into(), ..Config::default() };
    let opened = super::open(&config, &DeadLetterConfig::default(), DEDUP);
    for refused in [opened.err().unwrap(), preflight::preflight(&config).unwrap_err()].map(|error| error.to_string()) {
        assert!(refused.contains("the database of another program; give another folder"), "{refused}");
    }
    let mode: String = foreign.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "delete");
}

#[test]
fn a_journal_of_a_newer_version_is_refused_and_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = of_version_1(folder.path(), 1);
    let newer = schema::VERSION + 1;
    opened(&path).unwrap().pragma_update(None, "user_version", newer).unwrap();
    let config = Config { directory: folder.path().into(), ..Config::default() };
    let opened = super::open(&config, &DeadLetterConfig::default(), DEDUP);
    let refused = opened.err().unwrap().to_string();
    assert!(refused.contains(&format!("of version {newer}, this program knows {}", schema::VERSION)), "{refused}");
    assert!(refused.contains("use the program that wrote it"), "{refused}");
    assert_eq!(schema::version(&readable(&path).unwrap()).unwrap(), newer);
}
