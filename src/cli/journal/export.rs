//! `journal export`.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{CommandError, CommandResult, FilterOptions, failure, last_seq, open_reader, unusable};
use crate::cli::args;
use crate::cli::progress::Progress;
use crate::config::Config;
use crate::journal::{SeqRange, line};
use crate::message::Broker;
use crate::units::{records, sequence_numbers};

/// Which records are exported, and where to.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Only the backlog of this broker.
    #[arg(long, value_name = "BROKER", value_parser = args::broker())]
    broker: Option<Broker>,
    #[command(flatten)]
    filter: FilterOptions,
    /// Write to this new file, which only its owner can read. Default: to stdout.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn export(config: &Config, arguments: Arguments) -> CommandResult {
    let Arguments { broker, filter, output } = arguments;
    let filter = filter.for_backlog_of(broker);
    let reader = open_reader(config)?;
    let empty = SeqRange { first: 1, last: 0 };
    let SeqRange { first, .. } = reader.range().await.map_err(failure)?.unwrap_or(empty);
    let until = last_seq(&reader).await?;
    let mut out = Output::open(output.as_deref())?;
    let (mut after, mut count, mut unreadable) =
        (first - 1, 0, BTreeSet::from_iter(reader.unreadable().await.map_err(failure)?));
    let mut progress = Progress::new("exporting", Some((until - after).unsigned_abs()));
    loop {
        let page = reader.matching(&filter, after, until).await.map_err(failure)?;
        for record in &page.records {
            out.write(&line::write(record))?;
        }
        count += page.records.len() as u64;
        unreadable.extend(page.unreadable);
        let Some(next) = page.next else { break };
        after = next;
        progress.show((after - first + 1).unsigned_abs(), None, || format!("{} written", records(count)));
    }
    drop(progress);
    out.finish()?;
    eprintln!("greenapi-bridge: {} exported", records(count));
    if unreadable.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let numbers = sequence_numbers(&unreadable);
    eprintln!(
        "greenapi-bridge: not exported, because they cannot be read: {numbers}; their part of the disk is damaged"
    );
    Ok(ExitCode::FAILURE)
}

/// Where the lines go.
enum Output {
    Stdout(BufWriter<io::Stdout>),
    File(PathBuf, BufWriter<std::fs::File>),
}

impl Output {
    fn open(path: Option<&Path>) -> Result<Self, CommandError> {
        let Some(path) = path else { return Ok(Self::Stdout(BufWriter::new(io::stdout()))) };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| unusable(format!("--output {}: {error}; name a new file", path.display())))?;
        Ok(Self::File(path.into(), BufWriter::new(file)))
    }

    fn write(&mut self, line: &[u8]) -> Result<(), CommandError> {
        match self {
            Self::Stdout(out) => out.write_all(line).map_err(stdout_failure),
            Self::File(path, out) => out.write_all(line).map_err(|error| file_failure(path, &error)),
        }
    }

    /// Syncs the file to disk: records that are dropped from the journal next exist nowhere else.
    fn finish(self) -> Result<(), CommandError> {
        match self {
            Self::Stdout(mut out) => out.flush().map_err(stdout_failure),
            Self::File(path, mut out) => {
                let synced = out.flush().and_then(|()| out.get_ref().sync_all());
                synced.map_err(|error| file_failure(&path, &error))
            }
        }
    }
}

/// A reader that has closed its end of the pipe knows that the export is incomplete.
fn stdout_failure(error: io::Error) -> CommandError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(1);
    }
    failure(format!("the result cannot be written: {error}"))
}

fn file_failure(path: &Path, error: &io::Error) -> CommandError {
    failure(format!("{}: {error}; the export is incomplete", path.display()))
}
