//! `journal import`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::progress::Progress;
use super::reach::{Importer, Reach};
use super::{Done, Failed, Name, failed, impossible, section};
use crate::config::Config;
use crate::deliver::Imported;
use crate::journal::store::{Reader, queries};
use crate::journal::{OpenError, Record, line};
use crate::message::{Brokers, Id};
use crate::units::records;
use crate::upkeep::{PAGE, PAGE_BYTES};

/// What is imported.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The file that `journal export` wrote.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Whom all of it is to be owed to, where the routes of now say. Default: as it was.
    #[arg(long, value_name = "BROKER")]
    to: Option<Name>,
    #[command(flatten)]
    reach: Reach,
}

/// The ids that are in a journal, and whom they are owed to; what came out of a replay is another than its letter.
type Known = HashMap<(Id, bool), Brokers>;

pub(super) async fn import(config: &Config, arguments: Arguments) -> Done {
    let Arguments { file, to, reach } = arguments;
    let unreadable = |error: std::io::Error| impossible(format!("{}: {error}", file.display()));
    let opened = File::open(&file).map_err(unreadable)?;
    let mut progress = Progress::new("read", opened.metadata().map_or(0, |file| file.len()));
    let to = to.map(Into::into);
    let known = known(config).await?;
    let reached = reach.reach(config).await?;
    let mut all =
        All { known, importer: reached.importer(to)?, page: Vec::new(), bytes: 0, imported: Imported::default() };
    let mut lines = BufReader::new(opened);
    let read = async {
        let (mut line, mut number, mut at) = (Vec::new(), 0, 0);
        while lines.read_until(b'\n', &mut line).map_err(unreadable)? > 0 {
            (number, at) = (number + 1, at + line.len() as u64);
            if !line.trim_ascii().is_empty() {
                let record = match line::read(&line) {
                    Ok(record) => record,
                    Err(error) => {
                        all.send().await?;
                        return Err(impossible(format!("{}:{number}: {error}", file.display())));
                    }
                };
                all.add(record, to.map(|to| Brokers::NONE.with(to)), line.len()).await?;
            }
            progress.show(at, number);
            line.clear();
        }
        all.send().await
    };
    let read = read.await;
    progress.end();
    let Imported { added, skipped } = all.imported;
    reached.close().await;
    let lately = humantime::format_duration(config.dedupe.window);
    println!(
        "{} imported, {skipped} skipped that are here already, or were stored in the last {lately}",
        records(added)
    );
    read.map(|()| ExitCode::SUCCESS)
}

/// What is being imported.
struct All<'r> {
    known: Known,
    importer: Importer<'r>,
    page: Vec<Record>,
    bytes: usize,
    imported: Imported,
}

impl All<'_> {
    /// Adds a record that is to be owed to these; none: as it was.
    async fn add(&mut self, record: Record, to: Option<Brokers>, bytes: usize) -> Result<(), Failed> {
        let (id, owed) = (record.message.event.id, to.unwrap_or(record.owed));
        let owed = if owed.is_empty() { Brokers::JOURNAL } else { owed };
        let here = self.known.get(&(id, record.message.replay.is_some())).copied().unwrap_or_default();
        if owed.without(here).is_empty() {
            self.imported.skipped += 1;
            return Ok(());
        }
        let missing = owed.without(here).without(Brokers::JOURNAL);
        let unknown = record.unknown;
        self.page.push(Record { owed: if to.is_some() { record.owed } else { missing }, unknown, ..record });
        self.bytes += bytes;
        if self.page.len() >= PAGE || self.bytes >= PAGE_BYTES {
            self.send().await?;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Failed> {
        self.bytes = 0;
        if self.page.is_empty() {
            return Ok(());
        }
        let done = self.importer.import(std::mem::take(&mut self.page)).await?;
        self.imported.added += done.added;
        self.imported.skipped += done.skipped;
        Ok(())
    }
}

/// What is in the journal, if there is one.
async fn known(config: &Config) -> Result<Known, Failed> {
    let reader = match Reader::open(&section(config)?.directory) {
        Ok(reader) => reader,
        // one of before has still to be brought up to date, which opening it does
        Err(OpenError::None { .. } | OpenError::Newer { .. }) => return Ok(Known::new()),
        Err(error) => return Err(impossible(error)),
    };
    let (mut known, mut after) = (Known::new(), 0);
    loop {
        let some = reader.read(move |db| queries::ids(db, after)).await.map_err(failed)?;
        let Some((last, ..)) = some.last().copied() else { return Ok(known) };
        after = last;
        for (_, id, owed, replayed) in some {
            let owed = if owed.is_empty() { Brokers::JOURNAL } else { owed };
            let here = known.entry((id, replayed)).or_default();
            *here = here.and(owed);
        }
    }
}
