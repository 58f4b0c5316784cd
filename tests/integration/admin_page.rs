//! The status page, as a person sees it in a real browser.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Bridge, eventually, free_port, nats_servers};

/// What a page shows in a headless Chromium; `how` are flags of `tests/browser/inspect_page.py`.
fn look(bridge: &Bridge, path: &str, how: &[&str]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/inspect_page.py");
    let mut look = Command::new("timeout");
    look.arg("60").arg(std::env::var("BRIDGE_TEST_PYTHON").unwrap()).arg(script);
    let seen = look.arg(format!("http://{}{path}", bridge.admin)).args(how).output().unwrap();
    let said = String::from_utf8_lossy(&seen.stderr);
    assert!(seen.status.success(), "{said}; is chromium there? tests/run installs it");
    serde_json::from_slice(&seen.stdout).unwrap()
}

/// What stands beside a name.
fn row<'s>(seen: &'s Value, name: &str) -> &'s str {
    let rows = seen["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("no {name} in {seen}"));
    row[1].as_str().unwrap()
}

/// What every page must satisfy.
fn plain(bridge: &Bridge, seen: &Value) {
    assert_eq!(seen["complaints"], serde_json::json!([]), "the browser complains");
    assert_eq!(seen["asked"], serde_json::json!([format!("http://{}/", bridge.admin)]), "nothing else is fetched");
    assert_eq!(seen["intruded"], false, "its policy lets no script in");
}

fn intruding(number: usize) -> Vec<u8> {
    let name = "<script>document.title = 'intruded'</script>";
    format!(
        r#"{{"typeWebhook":"incomingMessageReceived","instanceData":{{"idInstance":{number},"wid":"{name}"}},
        "senderData":{{"senderName":"{name}"}}}}"#
    )
    .into_bytes()
}

#[test]
fn the_page_shows_the_state_in_both_themes_and_on_every_screen() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = Bridge::with(&format!("journal.directory = {:?}\n", folder.path().join("data")), false).ready();
    for number in 1..=3 {
        assert_eq!(bridge.post(&intruding(number)).0, 200);
    }
    eventually("its size is known", Duration::from_secs(5), || bridge.metric("journal_bytes") > 20_000.0);
    let mut grounds = Vec::new();
    for (width, scheme) in [(1000, "light"), (1000, "dark"), (360, "light"), (360, "dark")] {
        let seen = look(&bridge, "/", &["--width", &width.to_string(), "--scheme", scheme]);
        plain(&bridge, &seen);
        assert_eq!(seen["title"], "greenapi-bridge: ready");
        let name = concat!("greenapi-bridge ", env!("CARGO_PKG_VERSION"));
        assert!(seen["text"].as_str().unwrap().starts_with(name), "{seen}");
        assert_eq!(
            ["notifications", "journal", "records only in the journal"].map(|name| without_time(row(&seen, name))),
            ["✓ are stored", "✓ up", "3"]
        );
        let age = row(&seen, "age of the oldest record").strip_suffix('s').unwrap();
        assert!(age.parse::<u32>().unwrap() < 60, "{age}");
        let (mark, of) = row(&seen, "capacity").split_once(" KiB").unwrap();
        // 1 GiB is the most there may be
        assert_eq!(
            (&mark[.."✓ ".len()], of),
            ("✓ ", " of 1008.0 MiB used, plus 16.0 MiB reserved for the write-ahead log")
        );
        assert_eq!(seen["links"], serde_json::json!(["/metrics", "/events?last=100", "/readyz"]));
        assert!(seen["width"].as_u64().unwrap() <= width, "it scrolls sideways: {seen}");
        // WCAG 2.2, 1.4.3: text of ordinary size
        assert!(seen["contrast"].as_f64().unwrap() >= 4.5, "{scheme}: {}", seen["contrast"]);
        grounds.push(seen["ground"].as_f64().unwrap());
    }
    assert!(grounds[0] > 0.8 && grounds[1] < 0.1 && grounds[..2] == grounds[2..], "{grounds:?}");
    let body = look(&bridge, "/events/1", &[]);
    assert_ne!(body["title"], "intruded");
    assert!(body["text"].as_str().unwrap().contains("<script>"), "shown as text: {body}");
}

#[test]
fn each_link_of_the_page_leads_to_its_page() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = Bridge::with(&format!("journal.directory = {:?}\n", folder.path().join("data")), false).ready();
    for link in ["/metrics", "/events?last=100", "/readyz"] {
        let seen = look(&bridge, "/", &["--click", link]);
        assert_eq!(
            seen["clicked"],
            serde_json::json!({"url": format!("http://{}{link}", bridge.admin), "status": 200})
        );
    }
}

/// A state without since when it has been so; a time that is none stays.
fn without_time(shown: &str) -> &str {
    let since = shown.rsplit_once(" since ").filter(|(_, time)| humantime::parse_rfc3339(time).is_ok());
    since.map_or(shown, |(state, _)| state)
}

#[test]
fn the_page_shows_what_is_wrong() {
    let bridge = Bridge::with(&nats_servers(&[free_port()]), false);
    eventually("it is known", Duration::from_secs(10), || bridge.get("/readyz").1.contains("disconnected"));
    for scheme in ["light", "dark"] {
        let seen = look(&bridge, "/", &["--width", "360", "--scheme", scheme]);
        plain(&bridge, &seen);
        assert_eq!(seen["title"], "greenapi-bridge: not ready");
        let shown = ["notifications", "nats"].map(|name| without_time(row(&seen, name)));
        assert_eq!(shown, ["✗ are not stored", "✗ disconnected"]);
        assert!(seen["width"].as_u64().unwrap() <= 360 && seen["contrast"].as_f64().unwrap() >= 4.5, "{seen}");
        assert_eq!(seen["links"], serde_json::json!(["/metrics", "/readyz"]), "there is no journal");
    }
}
