//! `/`: the state of the bridge, for people. One document without a script, which fetches nothing.

use std::fmt::Write;
use std::time::Duration;

use hyper::header::CONTENT_SECURITY_POLICY;
use hyper::{Response, StatusCode};

use super::health::Readiness;
use super::response::{Body, response, with_header};
use crate::journal;
use crate::telemetry::{Availability, TimedAvailability};

/// The journal in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JournalSummary {
    /// Records that only the journal stores.
    pub(super) journal_only: u64,
    /// The backlog of each broker that has one.
    pub(super) backlog: Vec<(&'static str, u64)>,
    /// Bytes in use.
    pub(super) used: u64,
    /// The most bytes on disk.
    pub(super) capacity: u64,
    /// The part of `capacity` that is for the WAL.
    pub(super) wal_share: u64,
    /// The age of the oldest record. `None` means that there is no record.
    pub(super) oldest: Option<Duration>,
}

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:0 auto;padding:1rem;\
color:#1c1c1c;background:#fff}h1{font-size:1.25rem}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.4rem .6rem .4rem 0;border-bottom:1px solid #ccc;overflow-wrap:anywhere}\
th{font-weight:400;color:#555;width:45%}.good{color:#156b2d}.bad{color:#b3161d;font-weight:700}\
a{color:#0b57d0}nav a{display:inline-block;padding:.5rem 1rem .5rem 0}\
@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}th{color:#aaa}th,td{border-color:#444}\
.good{color:#7bd88f}.bad{color:#ff8a80}a{color:#8ab4f8}}";

/// Allows nothing but its own style, which it names by its SHA-256.
const POLICY: &str = "default-src 'none'; style-src 'sha256-I5nD4hDIjQQckcKlGCgMcSetVN4vlHD04b5b7MPO1Hw='; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page. Without a summary it shows no journal.
pub(super) fn answer(readiness: &Readiness, journal: Option<&JournalSummary>) -> Response<Body> {
    let answer = response(StatusCode::OK, "text/html; charset=utf-8", page(readiness, journal));
    with_header(answer, CONTENT_SECURITY_POLICY, POLICY)
}

fn page(readiness: &Readiness, journal: Option<&JournalSummary>) -> String {
    let ready = readiness.is_ready();
    let mut rows = String::new();
    state_row(&mut rows, "notifications", ready, if ready { "are stored" } else { "are not stored" });
    if readiness.stopping {
        state_row(&mut rows, "bridge", false, "stopping");
    }
    for (name, state) in &readiness.brokers {
        state_row(&mut rows, name, state.reason().is_none(), &describe(state));
    }
    let journal_reason = readiness.journal.as_ref().and_then(|state| state.reason());
    if let Some(state) = &readiness.journal {
        state_row(&mut rows, "journal", journal_reason.is_none(), &describe(state));
    }
    for (what, since) in &readiness.failed_reloads {
        let since = humantime::format_rfc3339_seconds(*since);
        state_row(
            &mut rows,
            &format!("reload of {what}"),
            false,
            &format!("failed since {since}: the old one is in use"),
        );
    }
    if !readiness.needs_restart.is_empty() {
        state_row(&mut rows, "restart needed for", false, &readiness.needs_restart.join(", "));
    }
    if let Some(journal) = journal {
        journal_rows(&mut rows, journal, journal_reason);
    }
    let events = if journal.is_some() { "<a href=\"/events?last=100\">events</a>" } else { "" };
    let title = if ready { "ready" } else { "not ready" };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"refresh\" content=\"15\">\
         <title>greenapi-bridge: {title}</title><style>{STYLE}</style></head>\n<body><main>\
         <h1>greenapi-bridge {version}</h1>\n<table>{rows}</table>\n\
         <nav><a href=\"/metrics\">metrics</a>{events}<a href=\"/readyz\">readyz</a></nav></main></body></html>\n",
        version = env!("CARGO_PKG_VERSION"),
    )
}

fn describe(state: &TimedAvailability<&'static str>) -> String {
    let since = humantime::format_rfc3339_seconds(state.since());
    match &**state {
        Availability::Up => format!("up since {since}"),
        Availability::Degraded { reason, .. } => format!("up, degraded since {since}: {reason}"),
        Availability::Down { reason, .. } => format!("{reason} since {since}"),
    }
}

/// `refuses` is the reason why the journal accepts no record now. `None` means that it accepts them.
fn journal_rows(rows: &mut String, journal: &JournalSummary, refuses: Option<&str>) {
    row(rows, "records only in the journal", &journal.journal_only.to_string());
    for (broker, records) in &journal.backlog {
        row(rows, &format!("backlog of {broker}"), &records.to_string());
    }
    let age = journal
        .oldest
        .map_or("none".into(), |age| humantime::format_duration(Duration::from_secs(age.as_secs())).to_string());
    row(rows, "age of the oldest record", &age);
    let for_records = journal.capacity.saturating_sub(journal.wal_share);
    let nearly_full = journal.used.saturating_mul(10) >= for_records.saturating_mul(9);
    let reason = refuses.map(|reason| format!("{reason}: ")).unwrap_or_default();
    let usage = journal::describe_usage(journal.used, journal.capacity, journal.wal_share);
    state_row(rows, "capacity", !nearly_full && refuses.is_none(), &format!("{reason}{usage}"));
}

/// A row with a mark that says whether all is well.
fn state_row(rows: &mut String, name: &str, good: bool, value: &str) {
    let (class, mark) = if good { ("good", "✓") } else { ("bad", "✗") };
    // writing to memory does not fail; no value comes from outside, so none is escaped
    let _ = writeln!(rows, "<tr><th scope=\"row\">{name}</th><td class=\"{class}\">{mark} {value}</td></tr>");
}

fn row(rows: &mut String, name: &str, value: &str) {
    let _ = writeln!(rows, "<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>");
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use base64::{Engine, engine::general_purpose::STANDARD};
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_policy_allows_the_style() {
        let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
        assert!(POLICY.contains(&format!("'sha256-{hash}'")), "{hash}");
    }

    #[test]
    fn the_page_says_what_is_wrong() {
        let timed = |state| TimedAvailability::new(state, SystemTime::UNIX_EPOCH);
        let brokers = vec![
            ("nats", timed(Availability::down("disconnected"))),
            ("kafka", timed(Availability::degraded("no_topic"))),
        ];
        let journal = Some(timed(Availability::down("full")));
        let readiness = Readiness {
            stopping: true,
            brokers,
            journal,
            unreadable: Vec::new(),
            failed_reloads: vec![("tokens", SystemTime::UNIX_EPOCH)],
            needs_restart: vec!["http.workers".into(), "route.types".into()],
        };
        let summary = JournalSummary {
            journal_only: 3,
            backlog: vec![("nats", 7)],
            used: 40,
            capacity: 100,
            wal_share: 45,
            oldest: Some(Duration::from_millis(61_999)),
        };
        let page = page(&readiness, Some(&summary));
        let usage = journal::describe_usage(40, 100, 45);
        for part in [
            "<title>greenapi-bridge: not ready</title>",
            "nats</th><td class=\"bad\">✗ disconnected since 1970-01-01T00:00:00Z<",
            "kafka</th><td class=\"bad\">✗ up, degraded since 1970-01-01T00:00:00Z: no_topic<",
            "journal</th><td class=\"bad\">✗ full since 1970",
            "records only in the journal</th><td>3<",
            "backlog of nats</th><td>7<",
            "age of the oldest record</th><td>1m 1s<",
            &format!("capacity</th><td class=\"bad\">✗ full: {usage}<"),
            "stopping",
            "reload of tokens</th><td class=\"bad\">✗ failed since 1970-01-01T00:00:00Z: the old one is in use<",
            "restart needed for</th><td class=\"bad\">✗ http.workers, route.types<",
        ] {
            assert!(page.contains(part), "no {part} in {page}");
        }
        assert!(!page.contains("<script") && !page.contains("://"), "{page}");
    }

    #[test]
    fn the_page_warns_before_the_journal_is_full() {
        let journal = Some(TimedAvailability::new(Availability::Up, SystemTime::UNIX_EPOCH));
        let readiness = Readiness {
            stopping: false,
            brokers: Vec::new(),
            journal,
            unreadable: Vec::new(),
            failed_reloads: Vec::new(),
            needs_restart: Vec::new(),
        };
        let space = |used| {
            let summary = JournalSummary {
                journal_only: 0,
                backlog: Vec::new(),
                used,
                capacity: 116,
                wal_share: 16,
                oldest: None,
            };
            let page = page(&readiness, Some(&summary));
            page.split("capacity</th>").nth(1).unwrap().split('<').nth(1).unwrap().to_owned()
        };
        assert!(space(89).contains('✓'), "{}", space(89));
        assert!(space(90).contains('✗'), "nine of ten bytes of records are in use: {}", space(90));
    }
}
