//! `send`.

mod progress;

use std::fs::OpenOptions;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::numbers::{count, within};
use crate::admit;
use crate::config::Config;
use crate::sender::{self, Ledger, Load, Sample, Sender, SenderError, Summary, Target, Trust};
use crate::units;
use progress::Progress;

/// The examples, and every name `--types` takes.
pub(super) fn help() -> String {
    format!("{EXAMPLES}\n\nNames for --types: {}", Sample::known().into_iter().collect::<Vec<_>>().join(" "))
}

const EXAMPLES: &str = "Examples:
  greenapi-bridge send                                   one of each sample to the bridge on this machine
  greenapi-bridge send --config bridge.toml              the same, to its address, with its token
  greenapi-bridge send --types incoming,stateInstanceChanged --count 1000
  greenapi-bridge send --instances 256 --rate 0 --duration 10s --json | jq .per_second
  greenapi-bridge send --url https://bridge.example:3000/green-api/webhook/ --token-file token --ca-file ca.crt
  greenapi-bridge send --count 5000 --ledger sent.tsv    what was answered 200, to compare with the broker

A line of the ledger: instance, its sequence number, the id (ce_id), status, where it is stored, Unix milliseconds.";

/// The bridge answers within 15 s unless it was told otherwise.
const IN_FLIGHT_AFTER_STOP: Duration = Duration::from_secs(20);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where to send to. Default: http.listen and http.path of --config, or http://127.0.0.1:3000/green-api/webhook/.
    #[arg(long)]
    url: Option<String>,
    /// A tokens file: its first token that is bound to no instance is sent. Default: auth.tokens_file of --config.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How many instances send at once, each one request at a time on its own connection.
    #[arg(long, default_value_t = 1, value_parser = |text: &str| within(text, 1, 10_000_u64))]
    instances: u64,
    /// The number of the first instance; the others follow.
    #[arg(long, value_name = "ID", default_value_t = 1_101_000_001, value_parser = |text: &str| within(text, 1, 9_999_990_000_u64))]
    first_instance: u64,
    /// Notifications per second and instance, at most; 0: as fast as they are answered.
    #[arg(long, default_value_t = 50, value_parser = |text: &str| within(text, 0, 100_000_u32))]
    rate: u32,
    /// How many in all. Default: one of each sample.
    #[arg(long, conflicts_with = "duration", value_parser = |text: &str| within(text, 1, 1_000_000_000_000_u64))]
    count: Option<u64>,
    /// How long to begin new ones, such as 10s; what was begun is sent until it is answered 200.
    #[arg(long, value_parser = time)]
    duration: Option<Duration>,
    /// How long an instance pauses after anything but a 200.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = time)]
    pause: Duration,
    /// Only these, with commas between: classes (incoming, outgoing, state, device, other), types, or types of
    /// messages; all are listed below.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    types: Vec<String>,
    /// The least size of a body, such as 64KiB; smaller ones are padded.
    #[arg(long, value_name = "BYTES", default_value = "0", value_parser = units::read_size)]
    size: usize,
    /// Write a line to this new file for each notification that was answered 200, at once.
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Believe any certificate.
    #[arg(long, conflicts_with = "ca_file")]
    insecure: bool,
    /// Believe the authorities in this PEM file, and no others.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
    /// Send a notification again at most this often; then it is lost. Default: as long as GREEN-API would, 24 h.
    #[arg(long, value_name = "REPEATS", value_parser = count::<u32>)]
    give_up: Option<u32>,
}

fn time(text: &str) -> Result<Duration, String> {
    let time = units::read_duration(text)?;
    if time.is_zero() { Err("give more than nothing, such as \"10s\"".into()) } else { Ok(time) }
}

/// Runs the command. 0: everything was answered 200, 1: not everything, 2: the flags cannot be used.
pub(super) fn send(arguments: &Arguments, config: Option<&Path>) -> ExitCode {
    // one thread is enough to keep a bridge busy, and leaves it the others
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let refused = match (prepared(arguments, config), runtime) {
        (Ok((sender, load)), Ok(runtime)) => return runtime.block_on(run(arguments, sender, load)),
        (Err(refused), _) => refused,
        (_, Err(error)) => format!("no runtime: {error}"),
    };
    eprintln!("greenapi-bridge: {refused}");
    ExitCode::from(2)
}

async fn run(arguments: &Arguments, config: sender::Config, load: Load) -> ExitCode {
    let (count, with_token) = (load.count, load.target.has_token());
    let sender = match Sender::new(config) {
        Ok(sender) => sender,
        Err(error) => {
            eprintln!("greenapi-bridge: {error}");
            return ExitCode::from(2);
        }
    };
    let summary = match watched(&sender, load, Progress::new(count, with_token)).await {
        Ok(summary) => summary,
        Err(error) => {
            eprintln!("greenapi-bridge: {error}");
            return ExitCode::FAILURE;
        }
    };
    progress::print(&summary, arguments.json);
    let all = count.is_none_or(|count| summary.sent == count);
    if summary.is_clean() && all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Sends until it is done or told to stop: by the first signal after what is in flight, by the second at once.
async fn watched(sender: &Sender, load: Load, mut progress: Progress) -> Result<Summary, SenderError> {
    let (mut signals, mut patience) = (super::Signals::new(), pin!(tokio::time::sleep(Duration::MAX)));
    sender.load(load);
    let mut ended = pin!(sender.finish());
    let (mut tick, mut stopping) = (progress.interval(), false);
    let summary = loop {
        tokio::select! {
            ended = &mut ended => break ended,
            () = &mut patience, if stopping => sender.cut(),
            () = signals.next() => {
                if stopping {
                    sender.cut();
                }
                sender.stop();
                stopping = true;
                patience.as_mut().reset(tokio::time::Instant::now() + IN_FLIGHT_AFTER_STOP);
            }
            _ = tick.tick() => {
                let summary = sender.summary();
                progress.show(&summary, sender.trouble());
                progress.advise(&summary);
            }
        }
    };
    progress.end(sender.trouble(), &sender.summary());
    summary
}

/// What the flags mean.
fn prepared(arguments: &Arguments, config: Option<&Path>) -> Result<(sender::Config, Load), String> {
    if config.is_some() {
        super::say(&super::overlooked());
    }
    let config = config.map(|file| Config::load(Some(file), super::environment()));
    let config = config.transpose().map_err(|error| error.to_string())?;
    let url = arguments.url.clone().unwrap_or_else(|| url_of(config.as_ref()));
    let token = token(arguments, config.as_ref())?;
    let target = Target::new(&url, token.as_deref().unwrap_or_default()).map_err(|error| {
        // what stands in a query, or before an @, may be a secret
        let shown = url.split('?').next().filter(|shown| !shown.contains('@')).unwrap_or("…");
        format!("--url {shown}: {error}")
    })?;
    let samples = Sample::named(&arguments.types)
        .map_err(|error| format!("--types: {error}; `greenapi-bridge send --help` lists all"))?;
    let every = arguments.duration.is_none().then_some(samples.len() as u64);
    let load = Load {
        target,
        instances: arguments.instances,
        first_instance: arguments.first_instance,
        samples,
        count: arguments.count.or(every),
        time: arguments.duration,
        size: arguments.size,
    };
    Ok((behaviour(arguments)?, load))
}

fn behaviour(arguments: &Arguments) -> Result<sender::Config, String> {
    let gap = Duration::from_secs(1).checked_div(arguments.rate).unwrap_or_default();
    let trust = match &arguments.ca_file {
        _ if arguments.insecure => Trust::Anyone,
        Some(file) => Trust::File(file.clone()),
        None => Trust::System,
    };
    let ledger = arguments.ledger.as_deref().map(open_ledger).transpose()?;
    let (pause, give_up) = (arguments.pause, arguments.give_up);
    Ok(sender::Config { pause, gap, give_up, trust, ledger, ..sender::Config::default() })
}

fn open_ledger(path: &Path) -> Result<Ledger, String> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    file.map(Ledger::new).map_err(|error| format!("--ledger {}: {error}; name a new file", path.display()))
}

fn url_of(config: Option<&Config>) -> String {
    let http = config.map(|config| config.http.clone()).unwrap_or_default();
    let (ip, port) = (http.listen.ip(), http.listen.port());
    let ip = match ip {
        IpAddr::V4(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(any) if any.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}{}", SocketAddr::new(ip, port), http.path)
}

fn token(arguments: &Arguments, config: Option<&Config>) -> Result<Option<String>, String> {
    let (flag, path) = match (&arguments.token_file, config.and_then(|config| config.auth.tokens_file.as_ref())) {
        (Some(path), _) => ("--token-file", path),
        (None, Some(path)) => ("auth.tokens_file", path),
        (None, None) => return Ok(None),
    };
    let fault = |problem: String| format!("{flag} {}: {problem}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    let token = admit::first_open(&text).map_err(|error| fault(error.to_string()))?;
    let none = "every token is bound to an instance; give a file with a token alone on its line as --token-file";
    token.map(Some).ok_or_else(|| fault(none.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(listen: &str, path: &str) -> String {
        let mut config = Config::default();
        (config.http.listen, config.http.path) = (listen.parse().unwrap(), path.into());
        url_of(Some(&config))
    }

    #[test]
    fn the_url_is_where_the_bridge_of_the_configuration_listens() {
        assert_eq!(url_of(None), "http://127.0.0.1:3000/green-api/webhook/");
        assert_eq!(at("10.0.0.1:80", "/x"), "http://10.0.0.1:80/x");
        assert_eq!(at("0.0.0.0:3000", "/x"), "http://127.0.0.1:3000/x");
        assert_eq!(at("[::]:3000", "/x"), "http://[::1]:3000/x");
    }
}
