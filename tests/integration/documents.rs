//! The documents: every path they name exists, and so does every metric.

use std::path::Path;

use greenapi_bridge::notification::{Class, Notification};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn documents() -> Vec<String> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap();
    let pages = docs.map(|entry| format!("docs/{}", entry.unwrap().file_name().into_string().unwrap()));
    let pages = pages.filter(|page| page.ends_with(".md"));
    ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"].map(Into::into).into_iter().chain(pages).collect()
}

#[test]
fn every_link_leads_to_a_file() {
    let mut links = 0;
    for document in documents() {
        let folder = root().join(&document).parent().unwrap().to_owned();
        for link in read(&document).split("](").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned()) {
            let file = link.split('#').next().unwrap();
            if !file.starts_with("http") {
                assert!(folder.join(file).exists(), "{document} links to {file}");
                links += 1;
            }
        }
    }
    assert!(links > 15, "{links}");
}

#[test]
fn every_path_that_contributing_names_exists() {
    let text = read("CONTRIBUTING.md");
    let named = text.split('`').skip(1).step_by(2).map(|word| word.split(':').next().unwrap());
    let paths: Vec<_> =
        named.filter(|word| ["src/", "tests/", "deploy/"].iter().any(|at| word.starts_with(at))).collect();
    assert!(paths.len() > 20, "{paths:?}");
    for path in paths {
        let path = path.split([' ', '{']).next().unwrap();
        assert!(root().join(path).exists(), "CONTRIBUTING.md names {path}");
    }
}

#[test]
fn every_function_on_the_walk_exists() {
    let text = read("CONTRIBUTING.md");
    let walk = text.split("## The walk").nth(1).unwrap().split("\n## ").next().unwrap();
    let steps: Vec<_> = walk.split('`').skip(1).step_by(2).filter_map(|word| word.split_once(": ")).collect();
    assert!(steps.len() >= 10, "{steps:?}");
    for (file, functions) in steps {
        let source = read(file);
        for function in functions.split(", ") {
            let is_there = ["(", "<"].iter().any(|end| source.contains(&format!("fn {function}{end}")));
            assert!(is_there, "{file} has no {function}");
        }
    }
    let numbered = walk.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit()));
    let files: Vec<_> =
        numbered.filter_map(|line| line.split('`').nth(1)?.split_once(": ")).map(|(file, _)| file).collect();
    let modules: std::collections::BTreeSet<_> = files.iter().map(|file| file.split('/').nth(1).unwrap()).collect();
    assert!(walk.contains(&format!("{} files of {} modules", files.len(), modules.len())), "{files:?} {modules:?}");
    assert!(files.len() <= 20 && modules.len() <= 10, "{files:?}");
}

/// The text of every Rust file below these folders.
fn sources(folders: &[&str]) -> String {
    let mut paths: Vec<_> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut text = String::new();
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &std::fs::read_to_string(path).unwrap();
        }
    }
    text
}

#[test]
fn every_test_that_security_names_exists() {
    let sources = sources(&["src", "tests/integration"]).split_whitespace().collect::<Vec<_>>().join(" ");
    let page = read("SECURITY.md");
    let table = page.split("| claim | tests |").nth(1).unwrap().lines().filter(|line| line.starts_with("| "));
    let mut named = 0;
    for row in table {
        let tests: Vec<_> = row.rsplit('|').nth(1).unwrap().split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "SECURITY.md names no test for {row}");
        for test in tests {
            // a script is named by its path
            let is_there =
                sources.contains(&format!("#[test] fn {test}(")) || test.contains('/') && root().join(test).is_file();
            assert!(is_there, "SECURITY.md names {test}, which is no test");
            named += 1;
        }
    }
    assert!(named > 30, "{named}");
}

#[test]
fn the_readme_fits_on_a_page() {
    assert!(read("README.md").lines().count() <= 150);
}

#[test]
fn operate_explains_every_reason() {
    let text = read("docs/operate.md");
    for reason in greenapi_bridge::brokers::FaultReason::ALL.iter().map(|reason| reason.as_str()) {
        assert!(text.contains(&format!("`{reason}`")), "docs/operate.md does not explain {reason}");
    }
}

#[test]
fn every_metric_that_operate_names_exists() {
    let known = read("tests/integration/snapshots/metrics.txt");
    let text = read("docs/operate.md");
    let alerts = text.split("## Alerts").nth(1).unwrap().split("\n## ").next().unwrap();
    // below the heading of each alert stand its severity and its metrics
    let lines = alerts.lines().filter(|line| line.starts_with("page · ") || line.starts_with("ticket · "));
    let metrics: Vec<_> = lines.flat_map(|line| line.split('`').skip(1).step_by(2)).collect();
    assert!(metrics.len() > 25, "{metrics:?}");
    for metric in metrics {
        let series = metric.trim_end_matches('}');
        let name = if series.starts_with("process_") { series.into() } else { format!("greenapi_bridge_{series}") };
        assert!(known.contains(&name), "docs/operate.md names {metric}");
    }
}

/// The fenced blocks of a document, each with its language and the line before it.
fn blocks(text: &str) -> Vec<(&str, &str, &str)> {
    let mut parts = text.split("```");
    let mut before = parts.next().unwrap();
    let mut blocks = Vec::new();
    while let (Some(block), Some(after)) = (parts.next(), parts.next()) {
        let (language, code) = block.split_once('\n').unwrap();
        blocks.push((language, code, before.trim_end().lines().last().unwrap_or_default()));
        before = after;
    }
    blocks
}

#[test]
fn every_block_that_names_a_file_stands_in_that_file() {
    let mut checked = 0;
    for document in documents() {
        let text = read(&document);
        for (_, code, before) in blocks(&text) {
            let Some((_, file)) = before.strip_suffix("):").and_then(|line| line.rsplit_once("](../")) else {
                continue;
            };
            let source = read(file);
            // a line with … alone stands for lines that are left out
            for part in code.split("…\n") {
                assert!(source.contains(part), "{document}: this is not in {file}:\n{part}");
            }
            checked += 1;
        }
    }
    assert!(checked >= 10, "{checked}");
}

#[test]
fn consume_shows_an_example_of_each_class() {
    let text = read("docs/consume.md");
    let (_, code, _) = blocks(&text).into_iter().find(|(language, ..)| *language == "json").unwrap();
    let classes = code.lines().map(|line| Class::of(&Notification::parse(line.as_bytes()).unwrap().kind).as_str());
    assert_eq!(classes.collect::<Vec<_>>(), ["incoming", "outgoing", "state", "device", "other"]);
}
