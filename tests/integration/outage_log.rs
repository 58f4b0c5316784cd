//! The log of an outage of two minutes under load: few lines that tell what happens. `tests/run full clusters` runs it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use crate::harness::{Bridge, Nats, eventually};

const INSTANCES: usize = 100;
/// Two lines of an outage that lasts, and two counts of what was not stored.
const OUTAGE: Duration = Duration::from_secs(135);
const PAGE: &str = "docs/operate.md";
/// Rewrites the page instead of comparing with it.
const ACCEPT: &str = "BRIDGE_TEST_ACCEPT";

/// Each instance posts about one notification a second, until `act` is over.
fn under_load(bridge: &Bridge, act: impl FnOnce()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for instance in 1..=INSTANCES {
            let over = &over;
            scope.spawn(move || {
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let body = format!(
                        r#"{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":{instance}}},"number":{number}}}"#
                    );
                    let (status, _) = bridge.post(body.as_bytes());
                    assert!(status == 200 || status == 503, "{status}");
                    std::thread::sleep(Duration::from_secs(1));
                }
            });
        }
        act();
        over.store(true, Ordering::Relaxed);
    });
}

/// The whole log of a bridge whose NATS is away for two minutes, with the port of NATS as everybody has it.
fn log_of_an_outage(extra: &str) -> String {
    let mut nats = Nats::start();
    let mut bridge = Bridge::start(&nats, &format!("publish.timeout = \"2s\"\nlog.format = \"text\"\n{extra}"));
    let connected = || bridge.metric("broker_connected{broker=\"nats\"}") == 1.0;
    eventually("connected", Duration::from_secs(10), connected);
    nats.kill();
    eventually("down", Duration::from_secs(5), || bridge.log().contains("no connection yet"));
    under_load(&bridge, || {
        std::thread::sleep(OUTAGE);
        nats.start_again();
        eventually("ended", Duration::from_secs(30), || bridge.log().contains("outage ended"));
    });
    let drained = || bridge.metric("journal_records{broker=\"nats\"}") == 0.0;
    eventually("drained", Duration::from_secs(60), drained);
    std::thread::sleep(Duration::from_secs(2));
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));
    bridge.log().replace(&format!("127.0.0.1:{}", nats.port), "127.0.0.1:4222")
}

/// The lines of the outage, with times that count from its begin.
fn example(log: &str) -> String {
    let time = |line: &str| humantime::parse_rfc3339(line.split(' ').next().unwrap()).unwrap();
    let lines: Vec<_> = log.lines().skip_while(|line| !line.contains("broker down")).collect();
    let began = time(lines[0]);
    let noon = humantime::parse_rfc3339("2026-01-31T12:00:00Z").unwrap();
    let shown = lines.iter().map(|line| {
        let at: SystemTime = noon + time(line).duration_since(began).unwrap();
        format!("{} {}\n", humantime::format_rfc3339_seconds(at), line.split_once(' ').unwrap().1)
    });
    shown.collect()
}

/// The names of its events. Which lines stand between them, and their numbers, change from run to run.
fn events(example: &str) -> BTreeSet<&str> {
    example.split("event=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// Puts the examples into the page, or compares them with it.
fn assert_on_page(examples: &[(&str, String)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let mut page = std::fs::read_to_string(&path).unwrap();
    for (title, example) in examples {
        let start = page.find(title).unwrap_or_else(|| panic!("{PAGE} does not say {title}"));
        let begin = start + page[start..].find("```text\n").unwrap() + "```text\n".len();
        let end = begin + page[begin..].find("```\n").unwrap();
        if std::env::var_os(ACCEPT).is_some() {
            page.replace_range(begin..end, example);
        } else {
            assert_eq!(events(&page[begin..end]), events(example), "{PAGE}, {title}; as it is now:\n{example}");
        }
    }
    if std::env::var_os(ACCEPT).is_some() {
        std::fs::write(&path, page).unwrap();
    }
}

/// Each line is there, in this order.
fn assert_tells(log: &str, story: &[&str]) {
    let mut rest = log;
    for told in story {
        let at = rest.find(told).unwrap_or_else(|| panic!("no {told} in its place in\n{log}"));
        rest = &rest[at + told.len()..];
    }
    assert!(log.lines().count() < 30, "{log}");
}

#[test]
fn an_outage_of_two_minutes_is_told_in_few_lines() {
    let folder = tempfile::tempdir().unwrap();
    let journal = format!("journal.directory = {:?}\n", folder.path().join("data"));
    let (without, with) = std::thread::scope(|scope| {
        let without = scope.spawn(|| log_of_an_outage(""));
        let with = scope.spawn(|| log_of_an_outage(&journal));
        (without.join().unwrap(), with.join().unwrap())
    });
    let answered = "notifications are answered 503 and GREEN-API repeats them";
    assert_tells(&without, &["broker down", answered, "not stored ", "outage lasts", "outage lasts", "outage ended"]);
    let journalled = "notifications go to the journal and are forwarded later";
    let story = ["broker down", journalled, "free_capacity_bytes=", "outage lasts", "outage lasts", "outage ended"];
    assert_tells(&with, &story);
    assert!(with.contains("journal backlog drained") && !with.contains("not stored "), "{with}");
    assert_on_page(&[("An outage without a journal", example(&without)), ("An outage with a journal", example(&with))]);
}
