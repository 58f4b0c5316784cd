//! `journal export`.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::progress::Progress;
use super::{Done, Failed, Filter, Name, failed, impossible, reader};
use crate::config::Config;
use crate::journal::line;
use crate::journal::store::{queries, steps};
use crate::units::records;

/// What is exported, and where to.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Only what is owed to this broker.
    #[arg(long, value_name = "BROKER")]
    broker: Option<Name>,
    #[command(flatten)]
    filter: Filter,
    /// Write to this new file, which only its owner can read. Default: to stdout.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn export(config: &Config, arguments: Arguments) -> Done {
    let Arguments { broker, filter, output } = arguments;
    let choice = filter.choice(broker.map(Into::into));
    let reader = reader(config)?;
    let (first, until) = reader.read(queries::ends).await.map_err(failed)?.unwrap_or((1, 0));
    let mut out = Out::open(output.as_deref())?;
    let (mut after, mut count) = (first - 1, 0);
    let mut progress = Progress::new("exported", (until - after).unsigned_abs());
    loop {
        let choice = choice.clone();
        let (some, next) = reader.read(move |db| steps::chosen(db, &choice, after, until)).await.map_err(failed)?;
        for record in &some {
            out.write(&line::write(record))?;
        }
        count += some.len() as u64;
        let Some(next) = next else { break };
        after = next;
        progress.show((after - first + 1).unsigned_abs(), count);
    }
    progress.end();
    out.end()?;
    eprintln!("greenapi-bridge: {} exported", records(count));
    Ok(ExitCode::SUCCESS)
}

/// Where it is written.
enum Out {
    Stdout(BufWriter<io::Stdout>),
    File(PathBuf, BufWriter<std::fs::File>),
}

impl Out {
    fn open(path: Option<&Path>) -> Result<Self, Failed> {
        let Some(path) = path else { return Ok(Self::Stdout(BufWriter::new(io::stdout()))) };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file =
            file.map_err(|error| impossible(format!("--output {}: {error}; name a new file", path.display())))?;
        Ok(Self::File(path.into(), BufWriter::new(file)))
    }

    fn write(&mut self, line: &[u8]) -> Result<(), Failed> {
        match self {
            Self::Stdout(out) => out.write_all(line).map_err(|error| failed(format!("stdout: {error}"))),
            Self::File(path, out) => {
                out.write_all(line).map_err(|error| failed(format!("{}: {error}; it is not whole", path.display())))
            }
        }
    }

    /// On disk: what is dropped next from the journal is nowhere else.
    fn end(self) -> Result<(), Failed> {
        match self {
            Self::Stdout(mut out) => out.flush().map_err(|error| failed(format!("stdout: {error}"))),
            Self::File(path, mut out) => {
                let ended = out.flush().and_then(|()| out.get_ref().sync_all());
                ended.map_err(|error| failed(format!("{}: {error}; it is not whole", path.display())))
            }
        }
    }
}
