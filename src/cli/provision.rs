//! `provision`: creates or widens what the routes need at each broker, and prints what was done.

use std::process::ExitCode;

use serde_json::json;

use super::routes::Plan;
use crate::brokers::{Provisioned, kafka, nats};
use crate::config::Config;
use crate::message::Broker;

pub(super) async fn provision(config: &Config, plan: &Plan, dry_run: bool, as_json: bool) -> ExitCode {
    let mut results = Vec::new();
    if let Some(kafka) = config.kafka.as_ref().filter(|_| plan.uses_broker(Broker::Kafka)) {
        for template in plan.dynamic_topics() {
            eprintln!("greenapi-bridge: topics {template} depend on the notifications; create those yourself");
        }
        results.push((Broker::Kafka, kafka::provision(kafka, &plan.topics(), dry_run).await));
    }
    if let Some(nats) = config.nats.as_ref().filter(|_| plan.uses_broker(Broker::Nats)) {
        let done = nats::provision(nats, &plan.subjects(), config.dedupe.window, dry_run).await;
        results.push((Broker::Nats, done.map(|done| vec![done])));
    }
    if as_json {
        print_json(&results, dry_run);
    } else {
        print_all(&results, dry_run);
    }
    if results.iter().all(|(_, done)| done.is_ok()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What was done at a broker, or why nothing more was.
type BrokerResult = (Broker, Result<Vec<Provisioned>, String>);

fn print_json(results: &[BrokerResult], dry_run: bool) {
    let of_broker = |(broker, done): &BrokerResult| {
        let result = match done {
            Ok(done) => json!({"provisioned": done}),
            Err(error) => json!({"error": error}),
        };
        (broker.as_str().to_owned(), result)
    };
    let brokers: serde_json::Map<_, _> = results.iter().map(of_broker).collect();
    println!("{:#}", json!({"dry_run": dry_run, "brokers": brokers}));
}

fn print_all(results: &[BrokerResult], dry_run: bool) {
    if results.is_empty() {
        println!("nothing to do: no broker is used");
    }
    for (_, done) in results {
        match done {
            Ok(done) => done.iter().for_each(|done| print(done, dry_run)),
            Err(error) => eprintln!("greenapi-bridge: {error}"),
        }
    }
}

fn print(Provisioned { name, created, changes, uncertain, unchanged }: &Provisioned, dry_run: bool) {
    let done = match (created, changes.is_empty(), dry_run) {
        (true, _, false) => "created, with",
        (true, _, true) => "would be created, with",
        (false, true, _) if unchanged.is_empty() => "is up to date",
        (false, true, _) => "is unchanged",
        (false, false, false) => "now also has",
        (false, false, true) => "would also have",
    };
    println!("{name} {done}");
    for change in changes {
        println!("  + {change}");
    }
    for doubt in uncertain {
        println!("  ? {doubt}");
    }
    for difference in unchanged {
        println!("  = keeps {difference}");
    }
}
