//! `provision`.

use std::process::ExitCode;

use super::routes::Plan;
use crate::brokers::Provisioned;
#[cfg(feature = "kafka")]
use crate::brokers::kafka;
#[cfg(feature = "nats")]
use crate::brokers::nats;
use crate::config::Config;
use crate::message::Broker;

pub(super) async fn provision(config: &Config, plan: &Plan, dry_run: bool) -> ExitCode {
    let mut failed = false;
    if !Broker::ALL.into_iter().any(|broker| plan.use_broker(broker)) {
        println!("nothing to provide: no broker is used");
    }
    #[cfg(feature = "kafka")]
    if let Some(kafka) = config.kafka.as_ref().filter(|_| plan.use_broker(Broker::Kafka)) {
        for template in plan.open_topics() {
            println!("topics {template} depend on what notifications hold; create those yourself");
        }
        failed |= told(kafka::provision(kafka, &plan.topics(), dry_run).await, dry_run);
    }
    #[cfg(feature = "nats")]
    if let Some(nats) = config.nats.as_ref().filter(|_| plan.use_broker(Broker::Nats)) {
        let done = nats::provision(nats, &plan.subjects(), config.dedupe.window, dry_run).await;
        failed |= told(done.map(|done| vec![done]), dry_run);
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Says what was done; true if that was nothing.
fn told(done: Result<Vec<Provisioned>, String>, dry_run: bool) -> bool {
    match &done {
        Ok(done) => done.iter().for_each(|done| print(done, dry_run)),
        Err(error) => eprintln!("greenapi-bridge: {error}"),
    }
    done.is_err()
}

fn print(Provisioned { what, created, changes, doubts, kept }: &Provisioned, dry_run: bool) {
    let done = match (created, changes.is_empty(), dry_run) {
        (true, _, false) => "created, with",
        (true, _, true) => "would be created, with",
        (false, true, _) if kept.is_empty() => "is as needed",
        (false, true, _) => "stays as it is",
        (false, false, false) => "now also has",
        (false, false, true) => "would also have",
    };
    println!("{what} {done}");
    for change in changes {
        println!("  + {change}");
    }
    for doubt in doubts {
        println!("  ? {doubt}");
    }
    for kept in kept {
        println!("  = keeps {kept}");
    }
}
