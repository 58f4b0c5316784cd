//! `dead-letter show`.

use clap::Args;

use super::{DlqLocation, LocationOptions, open, print_problem, printable, progress_text};
use crate::cli::output;
use crate::cli::progress::Progress;
use crate::config::Config;
use crate::dead_letter::{Bodies, DeadLetter, DeadLetterFilter, DeadLetterReader, Source, parse_id};
use crate::message::Id;

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Arguments {
    /// The id, as `list` shows it.
    #[arg(value_parser = parse_id)]
    id: Id,
    /// Print its headers and an empty line before the body.
    #[arg(long)]
    headers: bool,
    #[command(flatten)]
    pub(super) location: LocationOptions,
}

/// True if it is printed.
pub(super) async fn show(config: &Config, locations: &[DlqLocation], arguments: &Arguments) -> bool {
    let (mut incomplete, mut all_read) = (None, true);
    for location in locations {
        let found = async {
            let mut source = open(config, *location).await?;
            find(&mut source, arguments.id, &mut incomplete).await
        };
        match found.await {
            Ok(Some(dead_letter)) => {
                print(&dead_letter, arguments.headers);
                return true;
            }
            Ok(None) => {}
            Err(problem) => {
                print_problem(*location, &problem);
                all_read = false;
            }
        }
    }
    match incomplete {
        Some(why) => eprintln!("greenapi-bridge: {}: {why}", arguments.id),
        None if all_read => eprintln!(
            "greenapi-bridge: there is no dead letter {}; see `greenapi-bridge dead-letter list`",
            arguments.id
        ),
        None => {}
    }
    false
}

/// Finds the first complete dead letter with this id. Sets `incomplete` to the reason if a part is missing.
async fn find(source: &mut Source, id: Id, incomplete: &mut Option<String>) -> Result<Option<DeadLetter>, String> {
    let filter = DeadLetterFilter { ids: [id].into(), ..DeadLetterFilter::default() };
    let name = source.name();
    let mut progress = Progress::new(format!("{name}: searching"), Some(0));
    let mut reader = DeadLetterReader::begin(source, &filter, Bodies::Read).await?;
    while let Some(dead_letter) =
        reader.next(|done, all| progress.show(done, Some(all), || progress_text(done, all))).await?
    {
        match dead_letter.check_complete() {
            Ok(()) => return Ok(Some(dead_letter)),
            Err(why) => *incomplete = Some(format!("at {name}, {why}")),
        }
    }
    Ok(None)
}

fn print(dead_letter: &DeadLetter, with_headers: bool) {
    if with_headers {
        for (name, value) in &dead_letter.headers.all {
            println!("{}: {}", printable(name), printable(value));
        }
        println!("");
    }
    output::bytes(&dead_letter.body);
}
