//! `check`.

use std::process::ExitCode;

use serde_json::json;

use super::routes;
use crate::brokers::{Finding, Verdict, nats};
use crate::config::Config;

pub(super) async fn check(config: &Config, offline: bool, as_json: bool) -> ExitCode {
    let nats = config.nats.clone().unwrap_or_default();
    let routes = routes::table(config, &nats);
    if !as_json {
        routes::print(&routes, &nats);
    }
    let mut subjects: Vec<_> = routes.iter().map(|route| route.subject.clone()).collect();
    subjects.push(nats.dead_letter_subject.clone());
    // a template without {class} has the same pattern for every class
    subjects.dedup();
    let asked = if offline { None } else { Some(nats::check(&nats, &subjects, config.dedupe.window).await) };
    let fine = asked.iter().flatten().all(|finding| finding.verdict != Verdict::Wrong);
    if as_json {
        let mut out = json!({"routes": routes, "dead_letters": nats.dead_letter_subject, "fine": fine});
        if let Some(findings) = &asked {
            out["brokers"] = json!({"nats": findings});
        }
        println!("{out:#}");
    } else if let Some(findings) = &asked {
        print(&nats, findings);
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print(nats: &nats::Config, findings: &[Finding]) {
    println!("\nnats: {}", nats.servers.join(", "));
    for Finding { verdict, about, found, remedy } in findings {
        let remedy = if remedy.is_empty() { String::new() } else { format!("  → {remedy}") };
        println!("{} {about:<13} {found}{remedy}", verdict.mark());
    }
}
