//! `provision`.

use std::process::ExitCode;

use super::routes;
use crate::brokers::nats::{self, Provisioned};
use crate::config::Config;

pub(super) async fn provision(config: &Config, dry_run: bool) -> ExitCode {
    let nats = config.nats.clone().unwrap_or_default();
    match nats::provision(&nats, &routes::patterns(&nats), config.dedupe.window, dry_run).await {
        Ok(provisioned) => print(&nats.stream, &provisioned, dry_run),
        Err(error) => {
            eprintln!("greenapi-bridge: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn print(stream: &str, Provisioned { created, changes, kept }: &Provisioned, dry_run: bool) {
    let done = match (created, changes.is_empty(), dry_run) {
        (true, _, false) => "created, with",
        (true, _, true) => "would be created, with",
        (false, true, _) => "is as needed",
        (false, false, false) => "now also has",
        (false, false, true) => "would also have",
    };
    println!("stream {stream} {done}");
    for change in changes {
        println!("  + {change}");
    }
    for kept in kept {
        println!("  = keeps {kept}");
    }
}
