//! `docs/metrics.md` compared with `/metrics` of a bridge that has everything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::harness::{Bridge, Certificates, TlsConnection, free_port, nats_servers};

/// The types and the values of labels of all metrics, without our prefix.
type Families = BTreeMap<String, (String, BTreeMap<String, BTreeSet<String>>)>;

/// Labels whose values are of no closed set: those of the configuration, and the version.
const OPEN: [&str; 2] = ["instance", "version"];

fn families(page: &str) -> Families {
    let short = |name: &str| name.strip_prefix("greenapi_bridge_").unwrap_or(name).to_owned();
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut families: Families = types.map(|(name, kind)| (short(name), (kind.to_owned(), BTreeMap::new()))).collect();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let series = line.rsplit_once(' ').unwrap().0;
        let (name, labels) = series.trim_end_matches('}').split_once('{').unwrap_or((series, ""));
        let name = short(name);
        let part_of = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end).filter(|of| families.contains_key(*of)));
        let family = part_of.unwrap_or(&name).to_owned();
        for (label, value) in
            labels.split(',').filter_map(|label| label.split_once('=')).filter(|(label, _)| *label != "le")
        {
            let values = families.get_mut(&family).unwrap().1.entry(label.to_owned()).or_default();
            if !OPEN.contains(&label) {
                values.insert(value.trim_matches('"').to_owned());
            }
        }
    }
    families
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The cells of the table's rows whose first cell is in backticks.
fn rows(text: &str) -> Vec<Vec<String>> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// Every metric of the page with the units it names.
fn documented() -> (Families, BTreeMap<String, String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (metrics, labels) = text.split_once("## Labels").unwrap();
    let labels: Vec<(String, Vec<String>, BTreeSet<String>)> = rows(labels)
        .iter()
        .map(|row| (quoted(&row[0]).next().unwrap(), quoted(&row[1]).collect(), quoted(&row[2]).collect()))
        .collect();
    let (mut families, mut units) = (Families::new(), BTreeMap::new());
    for row in rows(metrics) {
        let name = quoted(&row[0]).next().unwrap();
        let values = |label: String| {
            let of = labels.iter().find(|(known, of, _)| *known == label && (of.is_empty() || of.contains(&name)));
            (label, of.map(|(.., values)| values.clone()).unwrap_or_default())
        };
        families.insert(name.clone(), (row[1].clone(), quoted(&row[2]).map(values).collect()));
        units.insert(name, row[3].clone());
    }
    (families, units)
}

#[test]
fn metrics_page_has_every_metric_with_its_type_its_labels_and_their_values() {
    let folder = tempfile::tempdir().unwrap();
    let (tokens, certificates) = (folder.path().join("tokens"), Certificates::new());
    std::fs::write(&tokens, "7 token-for-seven-only\n").unwrap();
    // nobody must answer: every label is there from the start
    let config = format!(
        "journal.directory = {:?}\nauth.tokens_file = {tokens:?}\n{}kafka.bootstrap_servers = [\"127.0.0.1:{}\"]\n{}{}",
        folder.path().join("data"),
        nats_servers(&[free_port()]),
        free_port(),
        certificates.section("http.tls"),
        certificates.section("admin.tls")
    );
    let bridge = Bridge::with(&config, false);
    let mut admin = TlsConnection::open(bridge.admin, &certificates.at("ca"), "localhost").unwrap();
    admin.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let shown = families(&admin.answer().body);
    let (documented, units) = documented();
    assert_eq!(shown.keys().collect::<Vec<_>>(), documented.keys().collect::<Vec<_>>());
    for (name, shown) in &shown {
        assert_eq!(shown, &documented[name], "{name}: /metrics (left), docs/metrics.md (right)");
    }
    for (name, unit) in units {
        for (part, expected) in [("_seconds", "seconds"), ("_bytes", "bytes")] {
            assert!(!name.contains(part) || unit == expected, "docs/metrics.md: the unit of {name} is {unit}");
        }
    }
}
