//! `check` and `provision`.

use std::process::ExitCode;

use crate::brokers::nats::{self, Finding, Provisioned};
use crate::config::Config;
use crate::route::Template;

/// The subjects the stream must hold.
fn subjects(nats: &nats::Config) -> Vec<String> {
    let pattern = Template::parse(&nats.subject).map(|template| template.pattern()).unwrap_or_default();
    vec![pattern, nats.dead_letter_subject.clone()]
}

pub(super) async fn provision(config: &Config) -> ExitCode {
    let nats = config.nats.clone().unwrap_or_default();
    match nats::provision(&nats, &subjects(&nats), config.dedupe.window).await {
        Ok(Provisioned::Created(replicas)) => println!("created stream {} with {replicas} replica(s)", nats.stream),
        Ok(Provisioned::Widened(what)) => println!("stream {} now also has {}", nats.stream, what.join(", ")),
        Ok(Provisioned::AsNeeded) => println!("stream {} is as needed", nats.stream),
        Err(error) => {
            eprintln!("greenapi-bridge: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

pub(super) async fn check(config: &Config) -> ExitCode {
    let nats = config.nats.clone().unwrap_or_default();
    println!("notifications  {}  →  stream {}", nats.subject, nats.stream);
    println!("dead letters   {}", nats.dead_letter_subject);
    let findings = nats::check(&nats, &subjects(&nats), config.dedupe.window).await;
    for Finding { fine, what, remedy } in &findings {
        let remedy = if *fine { String::new() } else { format!("  → {remedy}") };
        println!("{} {what}{remedy}", if *fine { "✓" } else { "✗" });
    }
    if findings.iter().all(|finding| finding.fine) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
