//! `dead-letter show`.

use std::io::Write;

use clap::Args;

use super::progress::Progress;
use super::{At, Place, complain, open, plain};
use crate::config::Config;
use crate::dead_letter::{Reading, Selection, Source, Whole, read_id};
use crate::message::Id;

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Arguments {
    /// The id, as `list` shows it.
    #[arg(value_parser = read_id)]
    id: Id,
    /// Print its headers and an empty line before it.
    #[arg(long)]
    headers: bool,
    #[command(flatten)]
    pub(super) at: At,
}

/// True if it is printed.
pub(super) async fn show(config: &Config, places: &[Place], arguments: &Arguments) -> bool {
    let (mut incomplete, mut all_read) = (None, true);
    for place in places {
        let found = async {
            let mut source = open(config, *place).await?;
            find(&mut source, arguments.id, &mut incomplete).await
        };
        match found.await {
            Ok(Some(whole)) => {
                let printed = print(&whole, arguments.headers);
                if let Err(error) = &printed {
                    eprintln!("greenapi-bridge: {error}");
                }
                return printed.is_ok();
            }
            Ok(None) => {}
            Err(problem) => {
                complain(*place, &problem);
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

/// The first that is complete; of those that are not, why.
async fn find(source: &mut Source, id: Id, incomplete: &mut Option<String>) -> Result<Option<Whole>, String> {
    let selection = Selection { ids: [id].into(), ..Selection::default() };
    let name = source.name();
    let mut progress = Progress::new(format!("{name}: looking for it"));
    let mut reading = Reading::begin(source, &selection, true).await?;
    while let Some(whole) = reading.next(|done, all| progress.show(done, all, String::new)).await? {
        match whole.complete() {
            Ok(()) => return Ok(Some(whole)),
            Err(why) => *incomplete = Some(format!("at {name}, {why}")),
        }
    }
    Ok(None)
}

fn print(whole: &Whole, headers: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if headers {
        for (name, value) in &whole.head.headers {
            writeln!(out, "{}: {}", plain(name), plain(value))?;
        }
        writeln!(out)?;
    }
    out.write_all(&whole.body)?;
    out.flush()
}
