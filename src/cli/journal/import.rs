//! `journal import`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::access::{AdminOptions, Importer};
use super::{CommandError, CommandResult, failure, section, unusable};
use crate::cli::args;
use crate::cli::progress::Progress;
use crate::config::Config;
use crate::delivery::ImportCounts;
use crate::journal::{JournalReader, OpenError, Record, RecordId, line};
use crate::journal_edit::{PAGE, PAGE_BYTES};
use crate::message::{Broker, Brokers, Id};
use crate::units::records;

/// Which file is imported, and for which broker.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The file that `journal export` wrote.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Add all records to the backlog of this broker, with the destinations of the current routes. Default: to the backlogs
    /// they were exported from.
    #[arg(long, value_name = "BROKER", value_parser = args::broker())]
    to: Option<Broker>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminOptions,
}

/// The ids in a journal, each with the brokers that have it in their backlog. True marks the result of a replay, which is
/// another record than the dead letter of the same id.
type KnownIds = HashMap<(Id, bool), Brokers>;

pub(super) async fn import(config: &Config, arguments: Arguments) -> CommandResult {
    let Arguments { file, to, json: as_json, admin } = arguments;
    let unreadable = |error: std::io::Error| unusable(format!("{}: {error}", file.display()));
    let opened = File::open(&file).map_err(unreadable)?;
    let mut progress = Progress::new("importing", opened.metadata().ok().map(|file| file.len()));
    let known = known_ids(config).await?;
    let journal = admin.open(config).await?;
    let mut import =
        Import { known, importer: journal.importer(to)?, page: Vec::new(), bytes: 0, counts: ImportCounts::default() };
    let mut lines = BufReader::new(opened);
    let read = async {
        let (mut line, mut number, mut at) = (Vec::new(), 0, 0);
        while lines.read_until(b'\n', &mut line).map_err(unreadable)? > 0 {
            (number, at) = (number + 1, at + line.len() as u64);
            if !line.trim_ascii().is_empty() {
                let record = match line::read(&line) {
                    Ok(record) => record,
                    Err(error) => {
                        import.send().await?;
                        return Err(unusable(format!("{}:{number}: {error}", file.display())));
                    }
                };
                import.add(record, to.map(|to| Brokers::NONE.with(to)), line.len()).await?;
            }
            progress.show(at, None, || format!("{} read", records(number)));
            line.clear();
        }
        import.send().await
    };
    let read = read.await;
    drop(progress);
    let ImportCounts { added, skipped } = import.counts;
    journal.close().await;
    let window = humantime::format_duration(config.dedupe.window);
    if as_json {
        println!("{:#}", json!({"imported": added, "skipped": skipped}));
    } else {
        let skipped = format!("{skipped} skipped: already in the journal, or stored in the last {window}");
        println!("{} imported, {skipped}", records(added));
    }
    read.map(|()| ExitCode::SUCCESS)
}

/// An import in progress.
struct Import<'r> {
    known: KnownIds,
    importer: Importer<'r>,
    /// Records that are not sent yet.
    page: Vec<Record>,
    bytes: usize,
    counts: ImportCounts,
}

impl Import<'_> {
    /// Adds a record to the backlog of `to`. None means the backlogs it was exported from.
    async fn add(&mut self, record: Record, to: Option<Brokers>, bytes: usize) -> Result<(), CommandError> {
        let (id, wanted) = (record.message.event.id, to.unwrap_or(record.backlog));
        let wanted = if wanted.is_empty() { Brokers::JOURNAL } else { wanted };
        let known = self.known.get(&(id, record.message.earlier_replays().is_some())).copied().unwrap_or_default();
        if wanted.without(known).is_empty() {
            self.counts.skipped += 1;
            return Ok(());
        }
        let missing = wanted.without(known).without(Brokers::JOURNAL);
        let maybe_stored = record.maybe_stored;
        self.page.push(Record { backlog: if to.is_some() { record.backlog } else { missing }, maybe_stored, ..record });
        self.bytes += bytes;
        if self.page.len() >= PAGE || self.bytes >= PAGE_BYTES {
            self.send().await?;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), CommandError> {
        self.bytes = 0;
        if self.page.is_empty() {
            return Ok(());
        }
        let counts = self.importer.import(std::mem::take(&mut self.page)).await?;
        self.counts.added += counts.added;
        self.counts.skipped += counts.skipped;
        Ok(())
    }
}

/// The ids in the journal; none if there is no journal yet.
async fn known_ids(config: &Config) -> Result<KnownIds, CommandError> {
    let reader = match JournalReader::open(&section(config)?.directory) {
        Ok(reader) => reader,
        // a journal of an earlier version is migrated when it is opened for writing
        Err(OpenError::NoJournal { .. } | OpenError::OtherVersion { .. }) => return Ok(KnownIds::new()),
        Err(error) => return Err(unusable(error)),
    };
    let (mut known, mut after) = (KnownIds::new(), 0);
    loop {
        let page = reader.ids_after(after).await.map_err(failure)?;
        let Some(last) = page.last() else { return Ok(known) };
        after = last.seq;
        for RecordId { id, pending, is_replay, .. } in page {
            let pending = if pending.is_empty() { Brokers::JOURNAL } else { pending };
            let brokers = known.entry((id, is_replay)).or_default();
            *brokers = brokers.and(pending);
        }
    }
}
