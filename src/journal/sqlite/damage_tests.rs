use std::fs;

use futures_util::future::join_all;

use super::super::super::{Journal, Lane, LaneBatch, OpenError};
use super::super::schema;
use super::super::tests::{DEDUP, message, runtime};
use crate::journal::{Config, DeadLetterConfig};
use crate::message::{Broker, Brokers, Id};

const RECORDS: usize = 100;
const PAGE: usize = 4096;
const NATS: Brokers = Brokers::NONE.with(Broker::Nats);

/// What becomes of a journal that was damaged.
#[derive(Debug, Default)]
struct Outcome {
    arrived: usize,
    /// Of those, the ones whose bodies are not those that were stored.
    altered: usize,
    unreadable: usize,
}

/// Opens a journal, takes every record out of it, and stores some more.
async fn used(config: &Config) -> Result<Outcome, OpenError> {
    let (journal, recovered) = Journal::open(config, &DeadLetterConfig::default(), DEDUP)?;
    let lanes: Vec<Lane> = recovered.backlog[Broker::Nats].iter().map(|backlog| backlog.lane).collect();
    let mut outcome = Outcome::default();
    for lane in &lanes {
        loop {
            let batch = journal.batch(Broker::Nats, *lane, usize::MAX).await.unwrap();
            let LaneBatch::Records(records) = batch else { panic!("too large") };
            if records.is_empty() {
                break;
            }
            assert!(records.is_sorted_by_key(|record| record.seq));
            for record in records {
                outcome.arrived += 1;
                outcome.altered += usize::from(Id::of(&record.message.body) != record.message.event.id);
                journal.ack(record.seq, Broker::Nats, record.message.body.len());
            }
            assert!(journal.synced().await);
        }
    }
    outcome.unreadable = journal.reader.unreadable().await.unwrap().len();
    let more = (RECORDS..RECORDS + 20).map(|number| journal.append(message(number, 600), NATS, Brokers::NONE));
    let more: Vec<_> = join_all(more).await;
    assert!(more.iter().all(Result::is_ok), "{more:?}");
    for seq in more.iter().flatten() {
        journal.ack(*seq, Broker::Nats, 600);
    }
    assert!(journal.synced().await);
    assert!(journal.reader.is_drained().await.unwrap());
    journal.close();
    Ok(outcome)
}

#[test]
fn whichever_page_is_damaged_the_other_records_are_there_and_new_ones_can_be_stored() {
    let (whole, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let config = |folder: &std::path::Path| Config { directory: folder.into(), min_free: 0, ..Config::default() };
    let (journal, _) = Journal::open(&config(whole.path()), &DeadLetterConfig::default(), DEDUP).unwrap();
    // several in one page, and some of several pages
    let all =
        (0..RECORDS).map(|number| journal.append(message(number, [300, 300, 9000][number % 3]), NATS, Brokers::NONE));
    assert!(runtime.block_on(join_all(all)).iter().all(Result::is_ok));
    journal.close();
    let bytes = fs::read(whole.path().join("journal.db")).unwrap();
    let (mut broken, mut damaged) = (Vec::new(), 0);
    for page in 1..bytes.len() / PAGE {
        let fill = if page % 2 == 0 { 0 } else { 0xff };
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = bytes.clone();
        bytes[page * PAGE..][..PAGE].fill(fill);
        fs::write(folder.path().join("journal.db"), bytes).unwrap();
        match runtime.block_on(used(&config(folder.path()))) {
            Ok(Outcome { arrived, altered, unreadable }) => {
                assert_eq!(arrived + unreadable, RECORDS, "page {page} with {fill}");
                // as many as fit into one page: those below a damaged one are found
                assert!(altered + unreadable <= 12, "page {page} with {fill}: {altered} and {unreadable}");
                damaged += altered + unreadable;
            }
            Err(OpenError::Broken { .. }) => broken.push(page),
            Err(error) => panic!("page {page} with {fill}: {error}"),
        }
    }
    assert!(damaged > RECORDS / 2, "{damaged}");
    // that of the journal's name
    assert!(broken.len() == 1, "{broken:?}");
}

/// SQLite finds no row below a damaged page, though their own pages are sound.
#[test]
fn records_below_a_damaged_page_are_found() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let config = Config { directory: folder.path().into(), ..Config::default() };
    let root = runtime.block_on(async {
        let (journal, _) = Journal::open(&config, &DeadLetterConfig::default(), DEDUP).unwrap();
        let stored = (0..40).map(|number| journal.append(message(number, 600), NATS, Brokers::NONE));
        assert!(join_all(stored).await.iter().all(Result::is_ok));
        journal.close();
        let db = rusqlite::Connection::open(folder.path().join("journal.db")).unwrap();
        db.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'record'", [], |row| row.get::<_, usize>(0))
            .unwrap()
    });
    let path = folder.path().join("journal.db");
    let mut file = fs::read(&path).unwrap();
    file[(root - 1) * PAGE..root * PAGE].fill(0xa5);
    fs::write(&path, &file).unwrap();
    let outcome = runtime.block_on(used(&config)).unwrap();
    assert_eq!((outcome.arrived, outcome.altered, outcome.unreadable), (40, 0, 0));
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<_> = names.filter(|name| name.starts_with("journal.db-search")).collect();
    assert!(left.is_empty(), "nothing is left of the search: {left:?}");
}

#[test]
fn records_that_nobody_can_name_are_not_given_up() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let config = Config { directory: folder.path().into(), min_free: 0, ..Config::default() };
    let (journal, _) = Journal::open(&config, &DeadLetterConfig::default(), DEDUP).unwrap();
    let all = (0..RECORDS).map(|number| journal.append(message(number, 300), NATS, Brokers::NONE));
    assert!(runtime.block_on(join_all(all)).iter().all(Result::is_ok));
    journal.close();
    let path = folder.path().join("journal.db");
    let mut bytes = fs::read(&path).unwrap();
    // a leaf of the table and the largest leaf of an index, in the format of SQLite's database file
    let table_leaf = (1..bytes.len() / PAGE).filter(|page| bytes[page * PAGE] == 13).nth(8).unwrap();
    let cells = |page: usize| u16::from_be_bytes([bytes[page * PAGE + 3], bytes[page * PAGE + 4]]);
    let index_leaf =
        (1..bytes.len() / PAGE).filter(|page| bytes[page * PAGE] == 10).max_by_key(|page| cells(*page)).unwrap();
    for page in [table_leaf, index_leaf] {
        bytes[page * PAGE..][..PAGE].fill(0);
    }
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(runtime.block_on(used(&config)), Err(OpenError::Broken { .. })));
    // for `sqlite3 journal.db .recover`
    let number = |number: usize| message(number, 300).body;
    let left = fs::read(&path).unwrap();
    let there = (0..RECORDS).filter(|one| left.windows(300).any(|part| part == &number(*one)[..])).count();
    assert!(there >= RECORDS - 12, "{there}");
}

#[test]
fn a_journal_of_the_version_before_can_be_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let mut old = rusqlite::Connection::open(folder.path().join("journal.db")).unwrap();
    schema::migrate_to(schema::VERSION - 1, &mut old).unwrap();
    drop(old);
    let config = Config { directory: folder.path().into(), min_free: 0, ..Config::default() };
    assert!(Journal::preflight(&config).unwrap().unreadable.is_empty());
}

#[test]
fn a_damaged_dedup_window_with_long_rows_is_made_anew_and_so_is_the_list_of_empty_pages() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let config = Config { directory: folder.path().into(), min_free: 0, ..Config::default() };
    let (journal, _) = Journal::open(&config, &DeadLetterConfig::default(), DEDUP).unwrap();
    // a row of many ids, which has pages of its own
    journal.append_dedup_ids((0..17 * 2000).map(|one| one as u8).collect(), None);
    assert!(runtime.block_on(journal.synced()));
    let many: Vec<_> = runtime
        .block_on(join_all((0..300).map(|number| journal.append(message(number, 9000), NATS, Brokers::NONE))))
        .into_iter()
        .map(Result::unwrap)
        .collect();
    many[RECORDS..].iter().for_each(|seq| journal.ack(*seq, Broker::Nats, 9000));
    assert!(runtime.block_on(journal.synced()));
    journal.close();
    let path = folder.path().join("journal.db");
    let whole = fs::read(&path).unwrap();
    let ids: Vec<u8> = (0..1000_usize).map(|one| (one + 13_000) as u8).collect();
    let of_ids = whole.chunks(PAGE).position(|page| page.windows(1000).any(|part| part == ids)).unwrap();
    // the header of a database names the first page of that list
    let empty = u32::from_be_bytes(whole[32..36].try_into().unwrap()) as usize - 1;
    for page in [of_ids, empty] {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = whole.clone();
        bytes[page * PAGE..][..PAGE].fill(0xff);
        fs::write(folder.path().join("journal.db"), bytes).unwrap();
        let config = Config { directory: folder.path().into(), min_free: 0, ..Config::default() };
        let Outcome { arrived, altered, unreadable } = runtime.block_on(used(&config)).unwrap();
        assert_eq!((arrived, altered, unreadable), (RECORDS, 0, 0), "page {page} of {of_ids} and {empty}");
    }
}
