//! Reading at `/events` of a bridge: again, from where it was, when the connection breaks.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Arguments, Ended, line, print, warn_lost};
use crate::sender::{Reading, Target};

/// How long a refused or broken connection waits for the next.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Longer than the bridge's heartbeat: a connection that is silent for so long is dead.
const SILENT: Duration = Duration::from_secs(40);

/// What is asked for, as the query of `/events`.
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
        (Some(place), _) => put("after", place),
        (None, Some(at)) => put("since", &humantime::format_rfc3339_millis(at.max(SystemTime::UNIX_EPOCH)).to_string()),
        (None, None) => put("last", &arguments.last.to_string()),
    }
    query.trim_end_matches('&').to_owned()
}

/// Prints what comes.
pub(super) async fn follow(arguments: &Arguments, target: &Target, url: &str) -> Ended {
    let mut place: Option<String> = None;
    loop {
        let begun = Reading::begin(target, place.as_deref()).await;
        let broke = match begun {
            Ok(reading) if reading.status == 200 => match read(arguments, reading, &mut place).await {
                Some(broke) => broke,
                None => return Ok(()),
            },
            // a bridge that stops, or whose streams are all taken
            Ok(reading) if reading.status == 503 && place.is_some() => "503".into(),
            Ok(reading) => return Err((1, refused(url, reading).await)),
            Err(why) => why,
        };
        // what was never reached may be named wrongly
        if place.is_none() || arguments.no_follow {
            return Err((1, format!("{url}: {broke}")));
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Prints one connection's events. How it broke; none: all that was asked for is printed.
async fn read(arguments: &Arguments, mut reading: Reading, place: &mut Option<String>) -> Option<String> {
    let (mut text, mut event) = (Vec::new(), Event::default());
    loop {
        match tokio::time::timeout(SILENT, reading.next()).await {
            Ok(Ok(Some(bytes))) => text.extend_from_slice(&bytes),
            Ok(Ok(None)) => return Some("the stream ended".into()),
            Ok(Err(why)) => return Some(why),
            Err(_) => return Some("nothing came, not even a heartbeat".into()),
        }
        let Some(end) = memchr::memrchr(b'\n', &text) else { continue };
        let rest = text.split_off(end + 1);
        for one in text[..end].split(|byte| *byte == b'\n') {
            // the first comment says that all that was there has come
            if arguments.no_follow && one.starts_with(b":") {
                return None;
            }
            if let Some(whole) = event.add(one)
                && !show(arguments, &whole, place)
            {
                return None;
            }
        }
        text = rest;
    }
}

/// Prints an event, and remembers the place behind it. False where nobody reads any more.
fn show(arguments: &Arguments, event: &Event, place: &mut Option<String>) -> bool {
    *place = Some(event.id.clone());
    if event.name == "reset" {
        let said: serde_json::Value = serde_json::from_slice(&event.data).unwrap_or_default();
        warn_lost(said["reason"].as_str().unwrap_or("unknown"));
        return true;
    }
    event.data.is_empty() || print(&line::of(&event.id, &event.data, arguments.json))
}

/// One server-sent event, as far as it has come.
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

async fn refused(url: &str, mut reading: Reading) -> String {
    let said = reading.next().await.ok().flatten().unwrap_or_default();
    let said: String = String::from_utf8_lossy(&said).chars().filter(|one| !one.is_control()).take(300).collect();
    let remedy = if reading.status == 401 { "; name a file with it as --token-file" } else { "" };
    format!("{url}: {}: {said}{remedy}", reading.status)
}
