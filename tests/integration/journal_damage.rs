//! A page of the journal's database is damaged on its disk: what is sound arrives, in order, and what is not is counted.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Bridge, Nats, body, command, eventually};

const PAGE: usize = 4096;
const INSTANCES: usize = 3;
const RECORDS: usize = 60;

/// A notification of one of three instances, which has its number at its begin and in its middle.
fn numbered(number: usize, padding: usize) -> Vec<u8> {
    let (instance, padding) = (number % INSTANCES + 1, "x".repeat(padding / 2));
    format!(
        r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":{instance}}},"number":{number},"a":"{padding}","middle":"number {number}.","b":"{padding}"}}"#
    )
    .into_bytes()
}

fn number(body: &[u8]) -> usize {
    let value: Value = serde_json::from_slice(body).unwrap();
    value["number"].as_u64().unwrap() as usize
}

/// A journal with a backlog for a broker that is gone, and no bridge on it.
fn with_backlog(folder: &Path, padding: usize) -> (Bridge, Nats) {
    let mut nats = Nats::start();
    let mut bridge = Bridge::start(&nats, &format!("journal.directory = {folder:?}\n"));
    eventually("connected", Duration::from_secs(10), || bridge.metric("broker_connected{broker=\"nats\"}") == 1.0);
    nats.kill();
    for number in 0..RECORDS {
        assert_eq!(bridge.post(&numbered(number, padding)).0, 200);
    }
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));
    (bridge, nats)
}

/// Overwrites the first page that has this text, or of which this holds.
fn damage(database: &Path, text: &str, is_it: impl Fn(&[u8]) -> bool, fill: u8) {
    let mut bytes = fs::read(database).unwrap();
    let has_text = |page: &[u8]| text.is_empty() || page.windows(text.len()).any(|part| part == text.as_bytes());
    let page = bytes.chunks_mut(PAGE).skip(1).find(|page| has_text(page) && is_it(page)).expect("no such page");
    page.fill(fill);
    fs::write(database, bytes).unwrap();
}

/// The numbers that the stream has, by instance.
fn stored(nats: &Nats) -> Vec<Vec<usize>> {
    let all: Vec<_> = nats.read().iter().map(|message| number(&body(message))).collect();
    (0..INSTANCES).map(|one| all.iter().copied().filter(|number| number % INSTANCES == one).collect()).collect()
}

fn output(words: &str, config: &Path) -> (Option<i32>, String, String) {
    let out = command(words, config);
    (out.status.code(), String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap())
}

/// What arrives, and what is said of the rest, which are these numbers of records.
fn goes_on_past(bridge: &mut Bridge, nats: &mut Nats, lost: &[usize]) {
    let seqs: Vec<_> = lost.iter().map(|number| number + 1).collect();
    let (code, lines, said) = output("journal export", bridge.config.path());
    assert_eq!((code, lines.lines().count()), (Some(1), RECORDS - lost.len()), "{said}");
    for seq in &seqs {
        assert!(said.contains(&format!("seq {seq}")), "{said}");
    }
    nats.start_again();
    bridge.start_again();
    let readiness = || serde_json::from_str::<Value>(&bridge.get("/readyz").1).unwrap();
    eventually("drained", Duration::from_secs(20), || {
        bridge.metric("journal_records{broker=\"nats\"}") == 0.0
            && readiness()["journal"]["unreadable"]["records"] == lost.len()
    });
    let expected = |numbers: std::ops::Range<usize>| -> Vec<Vec<usize>> {
        let sound = move |one: usize| numbers.clone().filter(move |number| number % INSTANCES == one);
        (0..INSTANCES).map(|one| sound(one).filter(|number| !lost.contains(number)).collect()).collect()
    };
    assert_eq!(stored(nats), expected(0..RECORDS));
    // and what is new is stored at once
    for number in RECORDS..RECORDS + INSTANCES {
        assert_eq!(bridge.post(&numbered(number, 10)), (200, r#"{"stored":"broker"}"#.into()));
    }
    assert_eq!(stored(nats), expected(0..RECORDS + INSTANCES));
    assert_eq!(bridge.metric("journal_unreadable_records"), lost.len() as f64);
    assert_eq!(readiness()["journal"]["degraded"], "unreadable");
    assert_eq!(readiness()["journal"]["unreadable"]["seq"], json!(seqs));
    for seq in &seqs {
        let told = bridge.log().lines().filter(|line| line.contains(&format!(r#""seq":{seq},"#))).count();
        assert_eq!(told, 1, "{}", bridge.log());
    }
    let (_, found, _) = output("check", bridge.config.path());
    let (_, status, _) = output("journal status", bridge.config.path());
    for seq in &seqs {
        assert!(found.contains(&format!("seq {seq}")) && status.contains(&format!("seq {seq}")), "{found}{status}");
    }
}

/// An operator drops what cannot be read, through the bridge and without one.
fn is_dropped(bridge: &mut Bridge, lost: &[usize]) {
    for (index, number) in lost.iter().enumerate() {
        if index == 1 {
            bridge.signal("-TERM");
            assert_eq!(bridge.exit_code(), Some(0));
        }
        let seq = number + 1;
        let (code, done, said) = output(&format!("journal drop --seq {seq} --yes"), bridge.config.path());
        assert_eq!((code, done.as_str()), (Some(0), "1 record dropped\n"), "{said}");
    }
    let (code, lines, said) = output("journal export", bridge.config.path());
    assert_eq!((code, lines.as_str()), (Some(0), ""), "{said}");
    if lost.len() > 1 {
        bridge.start_again();
    }
    eventually("nothing is unreadable", Duration::from_secs(5), || {
        bridge.metric("journal_unreadable_records") == 0.0 && !bridge.get("/readyz").1.contains("unreadable")
    });
}

#[test]
fn a_body_that_cannot_be_read_holds_back_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (mut bridge, mut nats) = with_backlog(&data, 20_000);
    // a page in the middle of the body: nothing leads from there to the rest of it
    damage(&data.join("journal.db"), "number 31.", |_| true, 0xff);
    goes_on_past(&mut bridge, &mut nats, &[31]);
    is_dropped(&mut bridge, &[31]);
}

#[test]
fn a_page_of_several_records_holds_back_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (mut bridge, mut nats) = with_backlog(&data, 1000);
    let bytes = fs::read(data.join("journal.db")).unwrap();
    let page = bytes.chunks(PAGE).find(|page| String::from_utf8_lossy(page).contains("number 31.")).unwrap();
    let page = String::from_utf8_lossy(page);
    let lost: Vec<_> = (0..RECORDS).filter(|number| page.contains(&format!("number {number}."))).collect();
    assert!((2..10).contains(&lost.len()), "{lost:?}");
    damage(&data.join("journal.db"), "number 31.", |_| true, 0);
    goes_on_past(&mut bridge, &mut nats, &lost);
    is_dropped(&mut bridge, &lost);
}

#[test]
fn a_damaged_index_and_a_damaged_dedup_window_are_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (mut bridge, mut nats) = with_backlog(&data, 300);
    let ids = greenapi_bridge::message::Id::of(&numbered(31, 300));
    let is_window = |page: &[u8]| {
        page.windows(16).any(|part| part == ids.as_u128().to_be_bytes())
            && !String::from_utf8_lossy(page).contains("number")
    };
    damage(&data.join("journal.db"), "", is_window, 0);
    // the leaf page of an index that has most cells
    let bytes = fs::read(data.join("journal.db")).unwrap();
    let cells = |page: &[u8]| if page[0] == 10 { u16::from_be_bytes([page[3], page[4]]) } else { 0 };
    let most = bytes.chunks(PAGE).map(cells).max().unwrap();
    assert!(most >= RECORDS as u16, "{most}");
    damage(&data.join("journal.db"), "", |page| cells(page) == most, 0);
    nats.start_again();
    bridge.start_again();
    eventually("drained", Duration::from_secs(20), || bridge.metric("journal_records{broker=\"nats\"}") == 0.0);
    let all: Vec<Vec<usize>> = (0..INSTANCES).map(|one| (one..RECORDS).step_by(INSTANCES).collect()).collect();
    assert_eq!(stored(&nats), all);
    assert!(bridge.log().contains("the journal's disk is damaged"), "{}", bridge.log());
    assert_eq!(bridge.post(&numbered(RECORDS, 10)).0, 200);
}
