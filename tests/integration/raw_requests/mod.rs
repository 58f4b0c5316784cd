//! Everything that a client may send as bytes, and the one answer to it.
//!
//! A [`Row`] is a claim about some bytes; the rows are grouped by what is odd in them. What is expected comes from RFC
//! 9110 and 9112 and from the table of answers. Where they leave a choice to hyper, the row says what hyper does, and a
//! comment why that is safe.

mod chunks;
mod connections;
pub(crate) mod exchange;
mod fields;
mod lengths;
mod order;
mod request_lines;
pub(crate) mod row;
mod transfer_codings;

use std::collections::{BTreeSet, HashSet};
use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Bridge, Nats, body, eventually};
use exchange::{NEVER, Reply, exchange};
use row::{Row, Sample, TOKEN, TOKEN_OF_EIGHT, TOKEN_OF_SEVEN, Times};

/// Every row.
pub(crate) fn rows() -> Vec<Row> {
    [
        lengths::rows(),
        transfer_codings::rows(),
        chunks::rows(),
        request_lines::rows(),
        fields::rows(),
        connections::rows(),
        order::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The rows with a notification that only another reading of the bytes finds. A strict proxy answers them itself, or
/// closes the connection; whatever it passes on, the bridge must not store what is in [`Row::hidden`]. A proxy that takes
/// the bytes behind a row's request for another one, and sends that as such, is not strict.
pub(crate) fn smuggling_rows() -> Vec<Row> {
    rows().into_iter().filter(|row| !row.hidden.is_empty()).collect()
}

/// The tokens file that the rows need.
pub(crate) fn tokens() -> tempfile::NamedTempFile {
    let mut tokens = tempfile::NamedTempFile::new().unwrap();
    write!(tokens, "{TOKEN}\n7 {TOKEN_OF_SEVEN}\n8 {TOKEN_OF_EIGHT}\n").unwrap();
    tokens
}

/// A bridge for the rows whose client takes its time, and one for those whose claim is that a wait ends.
struct Bridges {
    long: Bridge,
    short: Bridge,
    nats: Nats,
    _tokens: tempfile::NamedTempFile,
}

const LONG: &str = "http.body_time = \"60s\"\nhttp.limits = { head = \"60s\", idle = \"75s\" }\n";
const SHORT: &str = "http.body_time = \"1s\"\nhttp.limits = { head = \"1s\", idle = \"1s\" }\n";

impl Bridges {
    fn start() -> Self {
        let nats = Nats::start();
        let tokens = tokens();
        let (path, max) = (tokens.path().display(), lengths::MAX_BODY);
        let config = |times| format!("auth.tokens_file = \"{path}\"\nhttp.max_body = \"{max}B\"\n{times}");
        let (long, short) = (Bridge::start(&nats, &config(LONG)), Bridge::start(&nats, &config(SHORT)));
        Self { long, short, nats, _tokens: tokens }
    }

    fn each(&self) -> [&Bridge; 2] {
        [&self.long, &self.short]
    }

    /// Sends all rows, several at once, and returns what came back. Fails with every row that was answered otherwise.
    fn answer(&self, rows: &[Row]) -> Vec<Reply> {
        let (next, done) = (Mutex::new(rows.iter()), Mutex::new((Vec::new(), Vec::new())));
        let work = || {
            while let Some(row) = { next.lock().unwrap().next() } {
                let bridge = if row.times == Times::Long { &self.long } else { &self.short };
                let stream = TcpStream::connect(bridge.http).unwrap();
                stream.set_read_timeout(Some(NEVER)).unwrap();
                stream.set_nodelay(true).unwrap();
                let exchanged = exchange(row, stream);
                let (replies, failures) = &mut *done.lock().unwrap();
                match exchanged {
                    Ok(answered) => replies.extend(answered),
                    Err(difference) => failures.push(format!("{}: {difference}", row.claim)),
                }
            }
        };
        std::thread::scope(|scope| (0..16).for_each(|_| drop(scope.spawn(work))));
        let (replies, failures) = done.into_inner().unwrap();
        assert!(failures.is_empty(), "{} of {} rows:\n{}", failures.len(), rows.len(), failures.join("\n"));
        replies
    }
}

/// A body, and its reason if it is a dead letter.
type Stored = (Vec<u8>, Option<String>);

/// What the broker has and should not have, and what it should have and does not.
fn differences(mut stored: Vec<Stored>, expected: Vec<Stored>) -> [Vec<Stored>; 2] {
    let missing = expected.into_iter().filter(|one| match stored.iter().position(|other| other == one) {
        Some(place) => {
            stored.swap_remove(place);
            false
        }
        None => true,
    });
    let missing = missing.collect();
    [stored, missing]
}

fn shown(stored: &[Stored]) -> String {
    let lines = stored.iter().map(|(body, reason)| format!("{} {reason:?}\n", String::from_utf8_lossy(body)));
    lines.collect()
}

fn resident_bytes(bridge: &Bridge) -> u64 {
    let (_, metrics) = bridge.get("/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes ")).unwrap();
    line.parse::<f64>().unwrap() as u64
}

#[test]
fn each_raw_request_has_one_answer_and_stores_what_its_row_says() {
    let rows = rows();
    assert_eq!(rows.iter().map(|row| row.claim).collect::<HashSet<_>>().len(), rows.len(), "two rows of one name");
    let bridges = Bridges::start();
    let before = bridges.each().map(resident_bytes);
    bridges.answer(&rows);
    let last = Sample("the bridge still serves").body();
    for bridge in bridges.each() {
        // it is accepted behind those that are closed already, so that these are counted below
        assert_eq!(bridge.post_with(&format!("Authorization: Bearer {TOKEN}\r\n"), &last).0, 200);
        eventually("every connection is closed", Duration::from_secs(20), || bridge.metric("connections") == 0.0);
        eventually("every request is answered", Duration::from_secs(20), || bridge.metric("in_flight") == 0.0);
    }
    let expected = rows.iter().flat_map(|row| row.stored.clone()).chain([(last, None)]);
    let expected = expected.map(|(body, reason)| (body, reason.map(str::to_owned)));
    let reason = |message: &Value| message["headers"]["bridge-reason"].as_str().map(str::to_owned);
    let stored: Vec<_> = bridges.nats.read().iter().map(|message| (body(message), reason(message))).collect();
    let hidden: HashSet<_> = smuggling_rows().into_iter().flat_map(|row| row.hidden).collect();
    let smuggled: Vec<_> = stored.iter().filter(|(body, _)| hidden.contains(body)).cloned().collect();
    assert!(smuggled.is_empty(), "stored, and were not to be found:\n{}", shown(&smuggled));
    let [more, missing] = differences(stored, expected.collect());
    assert!(more.is_empty(), "stored, and no row says so:\n{}", shown(&more));
    assert!(missing.is_empty(), "not stored:\n{}", shown(&missing));
    for (bridge, before) in bridges.each().into_iter().zip(before) {
        let after = resident_bytes(bridge);
        eprintln!("{} rows: {} KiB resident before, {} KiB after", rows.len(), before / 1024, after / 1024);
        assert!(after < before + 64 * 1024 * 1024, "{before} bytes before, {after} after");
    }
}

/// Every status line and field that a stranger may see: status, what only this answer has, and what any may have.
fn is_in_the_table(reply: &Reply) -> bool {
    let (reason, field) = match reply.status() {
        100 => ("Continue", None),
        200 => ("OK", None),
        400 => ("Bad Request", None),
        401 => ("Unauthorized", Some(("www-authenticate", "Bearer"))),
        404 => ("Not Found", None),
        405 => ("Method Not Allowed", Some(("allow", "POST"))),
        408 => ("Request Timeout", None),
        413 => ("Payload Too Large", None),
        414 => ("URI Too Long", None),
        431 => ("Request Header Fields Too Large", None),
        _ => return false,
    };
    let line = format!("{} {reason}", reply.status());
    let is_known = |(name, value): (&str, &str)| match name {
        "content-type" => value == "application/json",
        "content-length" => value.bytes().all(|byte| byte.is_ascii_digit()),
        "connection" => ["close", "keep-alive"].contains(&value),
        "date" => value.len() == "Mon, 30 Nov 2026 02:54:37 GMT".len() && value.ends_with(" GMT"),
        _ => field == Some((name, value)),
    };
    let has_own = field.is_none_or(|field| reply.fields().any(|one| one == field));
    let first = reply.head.lines().next().unwrap_or_default();
    [format!("HTTP/1.1 {line}"), format!("HTTP/1.0 {line}")].contains(&first.to_owned())
        && has_own
        && reply.fields().all(is_known)
}

/// Bodies are compared with the table by every row; these are the heads, also of answers that hyper writes.
#[test]
fn no_answer_names_its_server_or_says_more_than_the_table() {
    let replies = Bridges::start().answer(&rows());
    let others: Vec<_> = replies.iter().filter(|reply| !is_in_the_table(reply)).collect();
    assert!(others.is_empty(), "{others:#?}");
    let statuses: BTreeSet<_> = replies.iter().map(Reply::status).collect();
    assert_eq!(statuses, BTreeSet::from([100, 200, 400, 401, 404, 405, 408, 413, 414, 431]));
}
