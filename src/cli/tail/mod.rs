//! `tail`.

mod line;
mod remote;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;

use super::numbers;
use crate::admit;
use crate::config::Config;
use crate::journal::store::queries::{Filter, owes_nothing};
use crate::journal::store::{ReadError, Reader};
use crate::journal::{Follower, Start};
use crate::message::Broker;
use crate::notification::Class;
use crate::operate;
use crate::sender::Target;

pub(super) const EXAMPLES: &str = "Examples:
  greenapi-bridge tail --config bridge.toml                        the last 10, then what comes
  greenapi-bridge tail --config bridge.toml --class incoming,state --instance 1101000001
  greenapi-bridge tail --config bridge.toml --since 1h --no-follow --json | jq .data
  greenapi-bridge tail --url http://127.0.0.1:3001 --token-file admin-tokens -n 0";

/// How often another process's journal is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Args)]
pub(super) struct Arguments {
    /// Read at the admin listener of a bridge, such as http://127.0.0.1:3001, instead of in the journal's folder.
    #[arg(long)]
    url: Option<String>,
    /// A tokens file: its first token that is bound to no instance is sent to --url.
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,
    /// Only of these classes: incoming, outgoing, state, device, other.
    #[arg(long, value_name = "CLASS", value_delimiter = ',', value_parser = Class::ALL.map(Class::as_str))]
    class: Vec<String>,
    /// Only of these instances.
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = numbers::instance)]
    instance: Vec<u64>,
    /// Only of these types, such as incomingMessageReceived.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    kind: Vec<String>,
    /// Begin with the last so many.
    #[arg(short = 'n', value_name = "COUNT", default_value_t = 10, value_parser = numbers::count::<usize>, conflicts_with_all = ["since", "after"])]
    last: usize,
    /// Begin then: how long ago, such as 10m, or a time such as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = since, conflicts_with = "after")]
    since: Option<SystemTime>,
    /// Begin behind this one: its number, or <journal>-<number>; 0 is before all.
    #[arg(long, value_name = "ID", value_parser = operate::place)]
    after: Option<String>,
    /// End when all that is there is printed.
    #[arg(long)]
    no_follow: bool,
    /// Print each as a line of CloudEvents JSON.
    #[arg(long)]
    json: bool,
}

fn since(text: &str) -> Result<SystemTime, String> {
    operate::since(text, SystemTime::now())
}

impl Arguments {
    fn filter(&self) -> Filter {
        let types = self.kind.iter().map(|kind| kind.strip_prefix("com.green-api.").unwrap_or(kind).to_owned());
        Filter {
            classes: self.class.clone(),
            instances: self.instance.clone(),
            types: types.collect(),
            dead_letters: false,
        }
    }

    fn start(&self) -> Start {
        match (&self.after, self.since) {
            (Some(place), _) => Start::After(place.clone()),
            (None, Some(at)) => Start::Since(at),
            (None, None) => Start::Last(self.last),
        }
    }
}

/// Runs the command. 0: all is printed, or it was told to end, 1: it cannot go on, 2: configuration or flags.
pub(super) fn tail(arguments: &Arguments, config: Option<&Path>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match (&arguments.url, runtime) {
        (_, Err(error)) => Err((1, format!("no runtime: {error}"))),
        (Some(url), Ok(runtime)) => prepared(arguments, url)
            .and_then(|(target, url)| until_signal(&runtime, remote::follow(arguments, &target, &url))),
        (None, Ok(runtime)) => folder(config).and_then(|at| until_signal(&runtime, follow(arguments, at))),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, why)) => {
            eprintln!("greenapi-bridge: {why}");
            ExitCode::from(code)
        }
    }
}

/// An exit code, and what is said.
type Ended = Result<(), (u8, String)>;

/// A signal is the ordinary end of it.
fn until_signal(runtime: &tokio::runtime::Runtime, reading: impl Future<Output = Ended>) -> Ended {
    runtime.block_on(async {
        let mut signals = super::Signals::new();
        tokio::select! { ended = reading => ended, () = signals.next() => Ok(()) }
    })
}

/// Where the journal of the configuration is, and whether what is in it is forwarded.
fn folder(config: Option<&Path>) -> Result<(PathBuf, bool), (u8, String)> {
    super::say(&super::overlooked());
    let config = Config::load(config, super::environment()).map_err(|error| (2, error.to_string()))?;
    let none = "no section [journal], and this version reads no broker; read the topics or the stream with a tool of \
                theirs, add [journal], or name the admin listener of a bridge that has one as --url";
    let plan = super::Plan::new(&config).map_err(|error| (2, error.to_string()))?;
    let forwards = Broker::ALL.into_iter().any(|broker| plan.use_broker(broker));
    config.journal.map(|journal| (journal.directory, forwards)).ok_or_else(|| (2, none.into()))
}

/// The target of a request for events, and what may be shown of it.
fn prepared(arguments: &Arguments, url: &str) -> Result<(Target, String), (u8, String)> {
    let shown = url.split('?').next().filter(|shown| !shown.contains('@')).unwrap_or("…").to_owned();
    let token = arguments.token_file.as_deref().map(token).transpose().map_err(|why| (2, why))?;
    let events = format!("{}/events?{}", url.trim_end_matches('/'), remote::query(arguments));
    let target = Target::new(&events, token.as_deref().unwrap_or_default());
    target.map(|target| (target, shown.clone())).map_err(|error| (2, format!("--url {shown}: {error}")))
}

fn token(path: &Path) -> Result<String, String> {
    let fault = |problem: String| format!("--token-file {}: {problem}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    let token = admit::first_open(&text).map_err(|error| fault(error.to_string()))?;
    token.ok_or_else(|| fault("every token is bound to an instance; give a file with a token alone on its line".into()))
}

async fn follow(arguments: &Arguments, (directory, forwards): (PathBuf, bool)) -> Ended {
    let unreadable = |error: ReadError| (1, error.to_string());
    let reader = Reader::open(&directory).map_err(|error| (1, error.to_string()))?;
    let begun = Follower::begin(reader.clone(), arguments.filter(), &arguments.start(), None).await;
    let (mut follower, lost) = begun.map_err(unreadable)?;
    if let Some(lost) = lost {
        warn_lost(lost.as_str());
    }
    let mut silent = forwards;
    loop {
        while let Some(record) = follower.next().await.map_err(unreadable)? {
            silent = false;
            let envelope = record.message.envelope();
            let id = format!("{}-{}", follower.name(), record.seq);
            if !print(&line::of(&id, &envelope, arguments.json)) {
                return Ok(());
            }
        }
        if std::mem::take(&mut silent) && reader.read(owes_nothing).await.map_err(unreadable)? {
            eprintln!("greenapi-bridge: nothing is owed; consumers read at the broker");
        }
        if arguments.no_follow {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn warn_lost(reason: &str) {
    eprintln!(
        "greenapi-bridge: this place is not there any more ({reason}); events may be missing before the first shown"
    );
}

/// False where nobody reads any more.
fn print(line: &[u8]) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(line).and_then(|()| out.flush()).is_ok()
}
