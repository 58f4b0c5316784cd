//! `schema`.

use std::process::ExitCode;

use clap::Args;

use super::output;
use crate::notification::schemas;

pub(super) const EXAMPLES: &str = "Examples:
  greenapi-bridge schema > greenapi.schema.json
  greenapi-bridge schema incomingMessageReceived
  greenapi-bridge schema textMessage
  greenapi-bridge schema --list";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The type, such as incomingMessageReceived, or the message type, such as textMessage; without it, one schema of all.
    #[arg(value_name = "TYPE")]
    name: Option<String>,
    /// Print the names of all types and message types, one per line.
    #[arg(long, conflicts_with = "name")]
    list: bool,
}

pub(super) fn print(arguments: &Arguments) -> ExitCode {
    if arguments.list {
        schemas::types().chain(schemas::message_types()).for_each(|name| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    let schema = match arguments.name.as_deref().map_or_else(|| Ok(schemas::whole()), schemas::of) {
        Ok(schema) => schema,
        Err(unknown) => {
            eprintln!("greenapi-bridge: {unknown}; `greenapi-bridge schema --list` prints all");
            return ExitCode::from(2);
        }
    };
    output::bytes(schema.as_bytes());
    ExitCode::SUCCESS
}
