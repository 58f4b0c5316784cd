//! `asyncapi`.

use std::process::ExitCode;

use super::routes::Plan;
use crate::asyncapi;
use crate::config::Config;

pub(super) fn print(config: &Config, plan: &Plan) -> ExitCode {
    let Some(document) = asyncapi::document(config, plan.table()) else {
        eprintln!(
            "greenapi-bridge: no route leads to a broker, so there is no channel; add [nats] or [kafka], or read the journal at /events"
        );
        return ExitCode::FAILURE;
    };
    println!("{document:#}");
    ExitCode::SUCCESS
}
