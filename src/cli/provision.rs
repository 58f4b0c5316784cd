//! `provision`: creates or widens what the routes need at each broker, and prints what was done.

use std::process::ExitCode;

use super::routes::Plan;
use crate::brokers::{Provisioned, kafka, nats};
use crate::config::Config;
use crate::message::Broker;

pub(super) async fn provision(config: &Config, plan: &Plan, dry_run: bool) -> ExitCode {
    let mut failed = false;
    if !Broker::ALL.into_iter().any(|broker| plan.uses_broker(broker)) {
        println!("nothing to do: no broker is used");
    }
    if let Some(kafka) = config.kafka.as_ref().filter(|_| plan.uses_broker(Broker::Kafka)) {
        for template in plan.dynamic_topics() {
            println!("topics {template} depend on the notifications; create those yourself");
        }
        failed |= !print_result(kafka::provision(kafka, &plan.topics(), dry_run).await, dry_run);
    }
    if let Some(nats) = config.nats.as_ref().filter(|_| plan.uses_broker(Broker::Nats)) {
        let done = nats::provision(nats, &plan.subjects(), config.dedupe.window, dry_run).await;
        failed |= !print_result(done.map(|done| vec![done]), dry_run);
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Prints what was done, or the error. True if it was done.
fn print_result(done: Result<Vec<Provisioned>, String>, dry_run: bool) -> bool {
    match &done {
        Ok(done) => done.iter().for_each(|done| print(done, dry_run)),
        Err(error) => eprintln!("greenapi-bridge: {error}"),
    }
    done.is_ok()
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
