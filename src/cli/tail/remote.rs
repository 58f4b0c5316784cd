//! Follows `/events` of a bridge. A broken connection is opened again, after the last event that was printed.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Arguments, TailResult, line, print, warn_gap};
use crate::cli::output;
use crate::http_client::{EventSource, EventStream};

/// How long to wait before a new connection.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);
/// Longer than the bridge's heartbeat: a connection without data for so long is dead.
const IDLE_TIMEOUT: Duration = Duration::from_secs(40);

/// The options as the query of `/events`.
pub(super) fn query(arguments: &Arguments) -> String {
    let mut query = String::new();
    let mut put = |name: &str, value: &str| {
        let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
        // writing to memory does not fail
        let _ = write!(query, "{name}={value}&");
    };
    arguments.class.iter().for_each(|class| put("class", class));
    arguments.instance.iter().for_each(|instance| put("instance", &instance.to_string()));
    arguments.kind.iter().for_each(|kind| put("type", kind));
    match (&arguments.after, arguments.since) {
        (Some(id), _) => put("after", id),
        (None, Some(at)) => put("since", &humantime::format_rfc3339_millis(at.max(SystemTime::UNIX_EPOCH)).to_string()),
        (None, None) => put("last", &arguments.last.to_string()),
    }
    query.trim_end_matches('&').to_owned()
}

/// Prints events until all that was asked for is printed.
pub(super) async fn follow(arguments: &Arguments, source: &EventSource, url: &str) -> TailResult {
    let mut last_id: Option<String> = None;
    loop {
        let opened = source.open(last_id.as_deref()).await;
        let problem = match opened {
            Ok(stream) if stream.status == 200 => match read(arguments, stream, &mut last_id).await {
                Some(problem) => problem,
                None => return Ok(()),
            },
            // the bridge stops, or serves as many streams as it may
            Ok(stream) if stream.status == 503 && last_id.is_some() => "503".into(),
            Ok(stream) => return Err((1, refused(url, stream).await)),
            Err(why) => why,
        };
        // if no event ever came, the URL may be wrong
        if last_id.is_none() || arguments.no_follow {
            return Err((1, format!("{url}: {problem}")));
        }
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

/// Prints the events of one connection. Returns how it broke; None means all that was asked for is printed.
async fn read(arguments: &Arguments, mut stream: EventStream, last_id: &mut Option<String>) -> Option<String> {
    let (mut text, mut event) = (Vec::new(), Event::default());
    loop {
        match tokio::time::timeout(IDLE_TIMEOUT, stream.next()).await {
            Ok(Ok(Some(bytes))) => text.extend_from_slice(&bytes),
            Ok(Ok(None)) => return Some("the stream ended".into()),
            Ok(Err(why)) => return Some(why),
            Err(_) => return Some("nothing came, not even a heartbeat".into()),
        }
        let Some(end) = memchr::memrchr(b'\n', &text) else { continue };
        let rest = text.split_off(end + 1);
        for one in text[..end].split(|byte| *byte == b'\n') {
            // the bridge sends the first comment after all events it has
            if arguments.no_follow && one.starts_with(b":") {
                return None;
            }
            if let Some(whole) = event.add(one)
                && !show(arguments, &whole, last_id)
            {
                return None;
            }
        }
        text = rest;
    }
}

/// Prints an event, and sets `last_id` to its id. False if stdout is closed.
fn show(arguments: &Arguments, event: &Event, last_id: &mut Option<String>) -> bool {
    *last_id = Some(event.id.clone());
    if event.name == "reset" {
        let data: serde_json::Value = serde_json::from_slice(&event.data).unwrap_or_default();
        warn_gap(data["reason"].as_str().unwrap_or("unknown"));
        return true;
    }
    event.data.is_empty() || print(&line::format(&event.id, &event.data, arguments.json))
}

/// One server-sent event, as far as it was received.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Event {
    id: String,
    name: String,
    data: Vec<u8>,
}

impl Event {
    /// Takes a line; the event, if that was its end.
    fn add(&mut self, line: &[u8]) -> Option<Self> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if line.is_empty() {
            let whole = std::mem::take(self);
            return (whole != Self::default()).then_some(whole);
        }
        if let Some(id) = line.strip_prefix(b"id: ") {
            self.id = text(id);
        } else if let Some(name) = line.strip_prefix(b"event: ") {
            self.name = text(name);
        } else if let Some(data) = line.strip_prefix(b"data: ") {
            self.data = data.to_vec();
        }
        None
    }
}

/// Why the bridge refused the request.
async fn refused(url: &str, mut stream: EventStream) -> String {
    let body = stream.next().await.ok().flatten().unwrap_or_default();
    let body = output::beginning(&body);
    let remedy = if stream.status == 401 { "; give its token with --token-file" } else { "" };
    format!("{url}: {}: {body}{remedy}", stream.status)
}
