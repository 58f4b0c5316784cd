//! `/`: how the bridge is, for people. One document without a script, that asks for nothing from anywhere else.

use std::fmt::Write;
use std::time::Duration;

use http_body_util::{Either, Full};
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderName};
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::{Body, response, with};
use crate::journal;
use crate::observe::Health;

/// What is in the journal.
pub struct Held {
    /// Records kept for their own sake.
    pub kept: u64,
    /// Records owed to brokers, of those that are owed any.
    pub owed: Vec<(&'static str, u64)>,
    /// Bytes that something is in.
    pub used: u64,
    /// The most there may be on disk.
    pub capacity: u64,
    /// Those of them that are kept for the log.
    pub for_log: u64,
    /// The age of the first record.
    pub oldest: Option<Duration>,
}

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:0 auto;padding:1rem;\
color:#1c1c1c;background:#fff}h1{font-size:1.25rem}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.4rem .6rem .4rem 0;border-bottom:1px solid #ccc;overflow-wrap:anywhere}\
th{font-weight:400;color:#555;width:45%}.good{color:#156b2d}.bad{color:#b3161d;font-weight:700}\
a{color:#0b57d0}nav a{display:inline-block;padding:.5rem 1rem .5rem 0}\
@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}th{color:#aaa}th,td{border-color:#444}\
.good{color:#7bd88f}.bad{color:#ff8a80}a{color:#8ab4f8}}";

/// Nothing but its own style, which is known by its SHA-256.
const POLICY: &str = "default-src 'none'; style-src 'sha256-I5nD4hDIjQQckcKlGCgMcSetVN4vlHD04b5b7MPO1Hw='; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn answer(health: &Health, journal: Option<Held>) -> Response<Body> {
    let (ready, said) = health.ready();
    let page = page(ready, &said, journal.as_ref());
    let answer = response(StatusCode::OK, "text/html; charset=utf-8", Either::Left(Full::from(page)));
    let answer = with(answer, CONTENT_SECURITY_POLICY, POLICY);
    with(answer, HeaderName::from_static("referrer-policy"), "no-referrer")
}

fn page(ready: bool, said: &Value, journal: Option<&Held>) -> String {
    let mut rows = String::new();
    let stopping = said["stopping"] == true;
    row(&mut rows, "notifications", ready, if ready { "are stored" } else { "are not stored" });
    if stopping {
        row(&mut rows, "bridge", false, "stopping");
    }
    for (name, broker) in said["brokers"].as_object().into_iter().flatten() {
        let state = broker["state"].as_str().unwrap_or_default();
        let lacks = broker["lacks"].as_str().map(|lacks| format!(", but: {lacks}")).unwrap_or_default();
        row(&mut rows, name, state == "up" && lacks.is_empty(), &format!("{state}{lacks}"));
    }
    if let Some(state) = said["journal"]["state"].as_str() {
        row(&mut rows, "journal", state == "up", state);
    }
    if let Some(held) = journal {
        of_journal(&mut rows, held, said["journal"]["state"].as_str().filter(|state| *state != "up"));
    }
    let events = if journal.is_some() { "<a href=\"/events?last=100\">events</a>" } else { "" };
    let word = if ready { "ready" } else { "not ready" };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"refresh\" content=\"15\">\
         <title>greenapi-bridge: {word}</title><style>{STYLE}</style></head>\n<body><main>\
         <h1>greenapi-bridge {version}</h1>\n<table>{rows}</table>\n\
         <nav><a href=\"/metrics\">metrics</a>{events}<a href=\"/readyz\">readyz</a></nav></main></body></html>\n",
        version = env!("CARGO_PKG_VERSION"),
    )
}

/// `refuses` is why it keeps nothing now, if so.
fn of_journal(rows: &mut String, held: &Held, refuses: Option<&str>) {
    plain(rows, "records kept", &held.kept.to_string());
    for (broker, records) in &held.owed {
        plain(rows, &format!("records owed to {broker}"), &records.to_string());
    }
    let age = held
        .oldest
        .map_or("none".into(), |age| humantime::format_duration(Duration::from_secs(age.as_secs())).to_string());
    plain(rows, "age of the oldest record", &age);
    let room = held.capacity.saturating_sub(held.for_log);
    let almost = held.used.saturating_mul(10) >= room.saturating_mul(9);
    let why = refuses.map(|why| format!("{why}: ")).unwrap_or_default();
    let taken = journal::taken(held.used, held.capacity, held.for_log);
    row(rows, "room", !almost && refuses.is_none(), &format!("{why}{taken}"));
}

fn row(rows: &mut String, name: &str, good: bool, value: &str) {
    let (class, mark) = if good { ("good", "✓") } else { ("bad", "✗") };
    // writing to memory does not fail; all of it is our own words
    let _ = writeln!(rows, "<tr><th scope=\"row\">{name}</th><td class=\"{class}\">{mark} {value}</td></tr>");
}

fn plain(rows: &mut String, name: &str, value: &str) {
    let _ = writeln!(rows, "<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>");
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn its_style_is_the_one_its_policy_lets_in() {
        let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
        assert!(POLICY.contains(&format!("'sha256-{hash}'")), "{hash}");
    }

    #[test]
    fn it_says_what_is_wrong() {
        let said = serde_json::json!({"stopping": true, "journal": {"state": "full"}, "brokers": {
            "nats": {"state": "disconnected"}, "kafka": {"state": "up", "lacks": "no_topic"}}});
        let held = Held {
            kept: 3,
            owed: vec![("nats", 7)],
            used: 40,
            capacity: 100,
            for_log: 45,
            oldest: Some(Duration::from_millis(61_999)),
        };
        let page = page(false, &said, Some(&held));
        for part in [
            "<title>greenapi-bridge: not ready</title>",
            "nats</th><td class=\"bad\">✗ disconnected",
            "kafka</th><td class=\"bad\">✗ up, but: no_topic",
            "journal</th><td class=\"bad\">✗ full",
            "records kept</th><td>3<",
            "records owed to nats</th><td>7<",
            "age of the oldest record</th><td>1m 1s<",
            "room</th><td class=\"bad\">✗ full: 40 B of 55 B taken, 45 B more are kept for its log<",
            "stopping",
        ] {
            assert!(page.contains(part), "no {part} in {page}");
        }
        assert!(!page.contains("<script") && !page.contains("://"), "{page}");
    }

    #[test]
    fn it_says_that_room_runs_out_before_there_is_none() {
        let said = serde_json::json!({"journal": {"state": "up"}});
        let room = |used| {
            let held = Held { kept: 0, owed: Vec::new(), used, capacity: 116, for_log: 16, oldest: None };
            let page = page(true, &said, Some(&held));
            page.split("room</th>").nth(1).unwrap().split('<').nth(1).unwrap().to_owned()
        };
        assert!(room(89).contains('✓'), "{}", room(89));
        assert!(room(90).contains('✗'), "nine of ten bytes of records are taken: {}", room(90));
    }
}
