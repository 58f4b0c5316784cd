//! `tail`: prints the records of a journal as they come, from its folder ([`follow`]) or from `/events` of a bridge
//! ([`remote`]).

mod line;
mod remote;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;

use super::signals::Signals;
use super::{args, endpoint, output};
use crate::admin;
use crate::auth;
use crate::config::Config;
use crate::http_client::{EventSource, Target};
use crate::journal::{EventFilter, FollowFrom, Follower, JournalReader, ReadError};
use crate::message::Broker;

pub(super) const EXAMPLES: &str = "Examples:
  greenapi-bridge tail --config bridge.toml                        the last 10, then new ones
  greenapi-bridge tail --config bridge.toml --class incoming,state --instance 1101000001
  greenapi-bridge tail --config bridge.toml --since 1h --no-follow --json | jq .data
  greenapi-bridge tail --url http://127.0.0.1:3001 --token-file admin-tokens -n 0";

/// How often the journal is polled for new records.
const POLL_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Args)]
pub(super) struct Arguments {
    /// Read from the admin listener of a bridge, such as http://127.0.0.1:3001, instead of the journal's folder.
    #[arg(long)]
    pub(super) url: Option<String>,
    /// A tokens file: its first token that is bound to no instance is sent to --url.
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,
    /// Trust the authorities in this PEM file, and no others, as those of --url.
    #[arg(long, value_name = "FILE", requires = "url")]
    ca_file: Option<PathBuf>,
    /// Only of these classes: incoming, outgoing, state, device, other.
    #[arg(long, value_name = "CLASS", value_delimiter = ',', value_parser = args::class())]
    class: Vec<String>,
    /// Only of these instances.
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = args::instance)]
    instance: Vec<u64>,
    /// Only of these types, such as incomingMessageReceived.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    kind: Vec<String>,
    /// Begin with this many of the last records.
    #[arg(short = 'n', long = "lines", value_name = "COUNT", default_value_t = 10, value_parser = args::count::<usize>, conflicts_with_all = ["since", "after"])]
    last: usize,
    /// Begin at this time: how long ago, such as 10m, or a time such as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = args::since, conflicts_with = "after")]
    since: Option<SystemTime>,
    /// Begin after this record: its number, or <journal>-<number>; 0 is before the first.
    #[arg(long, value_name = "ID", value_parser = admin::parse_event_id)]
    after: Option<String>,
    /// Go on with new records. The default.
    #[arg(short, long, conflicts_with = "no_follow")]
    follow: bool,
    /// End when all present records are printed.
    #[arg(long)]
    no_follow: bool,
    /// Print each record as a line of CloudEvents JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn filter(&self) -> EventFilter {
        let types = self.kind.iter().map(|kind| kind.strip_prefix("com.green-api.").unwrap_or(kind).to_owned());
        EventFilter {
            classes: self.class.clone(),
            instances: self.instance.clone(),
            types: types.collect(),
            dead_letters: false,
        }
    }

    fn start(&self) -> FollowFrom {
        match (&self.after, self.since) {
            (Some(id), _) => FollowFrom::After(id.clone()),
            (None, Some(at)) => FollowFrom::Since(at),
            (None, None) => FollowFrom::Last(self.last),
        }
    }
}

/// Runs the command. Exit code 0: all is printed, or a signal ended it, 1: it cannot continue, 2: wrong configuration or
/// options.
pub(super) fn tail(arguments: &Arguments, config: Option<&Path>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match (&arguments.url, runtime) {
        (_, Err(error)) => Err((1, format!("no runtime: {error}"))),
        (Some(url), Ok(runtime)) => event_source(arguments, url)
            .and_then(|(source, url)| until_signal(&runtime, remote::follow(arguments, &source, &url))),
        (None, Ok(runtime)) => {
            local_journal(config).and_then(|journal| until_signal(&runtime, follow(arguments, journal)))
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, why)) => {
            eprintln!("greenapi-bridge: {why}");
            ExitCode::from(code)
        }
    }
}

/// An error is an exit code and a message.
type TailResult = Result<(), (u8, String)>;

/// Reads until a signal, which is the normal end of the command.
fn until_signal(runtime: &tokio::runtime::Runtime, reading: impl Future<Output = TailResult>) -> TailResult {
    runtime.block_on(async {
        let mut signals = Signals::new();
        tokio::select! { ended = reading => ended, () = signals.next() => Ok(()) }
    })
}

/// The journal of a configuration.
struct LocalJournal {
    directory: PathBuf,
    /// Whether a bridge forwards its records to a broker.
    forwards: bool,
}

fn local_journal(config: Option<&Path>) -> Result<LocalJournal, (u8, String)> {
    super::print_warnings(&super::misspelt_variables());
    let config = Config::load(config, super::environment()).map_err(|error| (2, error.to_string()))?;
    let none = "no section [journal], and this version reads no broker; read the topics or the stream with a tool of the \
                broker, add [journal], or name the admin listener of a bridge that has one as --url";
    let plan = super::Plan::new(&config).map_err(|error| (2, error.to_string()))?;
    let forwards = Broker::ALL.into_iter().any(|broker| plan.uses_broker(broker));
    let journal = config.journal.map(|journal| LocalJournal { directory: journal.directory, forwards });
    journal.ok_or_else(|| (2, none.into()))
}

/// The events of a bridge, and its URL without secrets, for messages.
fn event_source(arguments: &Arguments, url: &str) -> Result<(EventSource, String), (u8, String)> {
    let shown = url.split('?').next().filter(|shown| !shown.contains('@')).unwrap_or("…").to_owned();
    let token = arguments.token_file.as_deref().map(token).transpose().map_err(|why| (2, why))?;
    let events = format!("{}/events?{}", url.trim_end_matches('/'), remote::query(arguments));
    let target = Target::new(&events, token.as_deref().unwrap_or_default());
    let target = target.map_err(|error| (2, format!("--url {shown}: {error}")))?;
    let source = EventSource::new(target, &endpoint::trust(Some(url), arguments.ca_file.as_ref(), None));
    source.map(|source| (source, shown)).map_err(|error| (2, error.to_string()))
}

fn token(path: &Path) -> Result<String, String> {
    let fault = |problem: String| format!("--token-file {}: {problem}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    let token = auth::first_unbound_token(&text).map_err(|error| fault(error.to_string()))?;
    token.ok_or_else(|| fault("every token is bound to an instance; give a file with a token alone on its line".into()))
}

async fn follow(arguments: &Arguments, journal: LocalJournal) -> TailResult {
    let unreadable = |error: ReadError| (1, error.to_string());
    let reader = JournalReader::open(&journal.directory).map_err(|error| (1, error.to_string()))?;
    let begun = Follower::begin(reader.clone(), arguments.filter(), &arguments.start(), None).await;
    let (mut follower, gap) = begun.map_err(unreadable)?;
    if let Some(gap) = gap {
        warn_gap(gap.as_str());
    }
    // an operator may wonder why nothing is printed: the records may be at the broker already
    let mut silent = journal.forwards;
    loop {
        while let Some(record) = follower.next().await.map_err(unreadable)? {
            silent = false;
            let envelope = record.message.envelope();
            let id = format!("{}-{}", follower.name(), record.seq);
            if !print(&line::format(&id, &envelope, arguments.json)) {
                return Ok(());
            }
        }
        if std::mem::take(&mut silent) && reader.is_drained().await.map_err(unreadable)? {
            eprintln!("greenapi-bridge: the journal has no backlog; consumers read at the broker");
        }
        if arguments.no_follow {
            return Ok(());
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

fn warn_gap(reason: &str) {
    eprintln!(
        "greenapi-bridge: the journal no longer has this event ({reason}); events may be missing before the first shown"
    );
}

/// False if stdout is closed.
fn print(line: &[u8]) -> bool {
    output::bytes(line)
}
