//! The page `/metrics` of a bridge that has stored nothing yet: names, types and labels.

use std::collections::BTreeMap;

use super::{file, journal_in, no_nats};
use crate::harness::{Bridge, Certificates, assert_snapshot, free_port};

/// Every family with its type and its series, without help texts and values; buckets in one line.
fn families(page: &str) -> String {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut families: BTreeMap<_, _> = types.map(|(name, kind)| (name, (kind, Vec::<String>::new()))).collect();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        // the parts of a histogram are named by the family and an ending
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end).filter(|of| families.contains_key(of)));
        let series = series.replace(env!("CARGO_PKG_VERSION"), "<version>");
        families.get_mut(family.unwrap_or(name)).unwrap().1.push(series);
    }
    let shown = families.into_iter().map(|(name, (kind, series))| format!("{name} {kind}\n{}", lines(&series)));
    shown.collect::<Vec<_>>().join("\n")
}

fn lines(series: &[String]) -> String {
    let mut shown: Vec<(String, Vec<&str>)> = Vec::new();
    for one in series {
        let (rest, limits) = match one.split_once("le=\"") {
            Some((before, limit)) => {
                let (limit, after) = limit.split_once('"').unwrap();
                (format!("{before}le{after}"), vec![limit])
            }
            None => (one.clone(), Vec::new()),
        };
        match shown.last_mut().filter(|(last, _)| *last == rest && !limits.is_empty()) {
            Some((_, all)) => all.extend(limits),
            None => shown.push((rest, limits)),
        }
    }
    let line = |(rest, limits): (String, Vec<&str>)| match limits.is_empty() {
        true => format!("  {rest}\n"),
        false => format!("  {rest} {}\n", limits.join(" ")),
    };
    shown.into_iter().map(line).collect()
}

fn page(bridge: &Bridge) -> String {
    let (status, page) = bridge.get("/metrics");
    assert_eq!(status, 200);
    families(&page)
}

#[test]
fn metrics() {
    let (folder, tokens) = (tempfile::tempdir().unwrap(), file("7 token-for-seven-only\n"));
    // nobody must answer: every label is there from the start
    let brokers = format!("{}kafka.bootstrap_servers = [\"127.0.0.1:{}\"]\n", no_nats(), free_port());
    let tokens = format!("auth.tokens_file = {:?}\n", tokens.path());
    let certificates = Certificates::new();
    let tls = certificates.section("http.tls");
    let with = Bridge::with(&format!("{}{tokens}{brokers}{tls}", journal_in(folder.path())), false);
    let without = Bridge::with(&no_nats(), false);
    let text = format!("# NATS, Kafka, a journal and TLS\n\n{}\n# NATS alone\n\n{}", page(&with), page(&without));
    assert_snapshot("metrics.txt", &text);
}
