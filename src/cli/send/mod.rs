//! `send`: runs the simulator against a bridge.
//!
//! In: which samples, how many, from how many instances; URL and token, as options or from a configuration. Out: progress,
//! a summary (`summary`), on request a ledger, and exit code 0 only if all were answered 200.

mod summary;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::time::interval;

use super::args::{count, within};
use super::endpoint;
use super::signals::Signals;
use crate::auth;
use crate::config::Config;
use crate::http_client::{Target, TargetError, Trust};
use crate::simulator::{Ledger, Load, Sample, Simulator, SimulatorConfig, SimulatorError, Summary};
use crate::units;
use summary::SendProgress;

/// The examples, and every name `--types` takes.
pub(super) fn help() -> String {
    format!("{EXAMPLES}\n\nNames for --types: {}", Sample::known_names().into_iter().collect::<Vec<_>>().join(" "))
}

const EXAMPLES: &str = "Examples:
  greenapi-bridge send                                   one of each sample to the bridge on this machine
  greenapi-bridge send --config bridge.toml              the same, to its address, with its token
  greenapi-bridge send --types incoming,stateInstanceChanged --count 1000
  greenapi-bridge send --instances 256 --rate 0 --duration 10s --json | jq .per_second
  greenapi-bridge send --url https://bridge.example:3000/green-api/webhook/ --token-file token --ca-file ca.crt
  greenapi-bridge send --count 5000 --ledger sent.tsv    a line for each 200, to compare with the broker
  greenapi-bridge send --instances 200 --url 'http://127.0.0.1:8080/green-api/webhook/?instance={instance}'
                                                         through a proxy that chooses the bridge by the URL

A line of the ledger: instance, its sequence number, the id (ce_id), status, where it is stored, Unix milliseconds.";

/// What stands for the number of an instance in `--url`.
const INSTANCE: &str = "{instance}";

/// How long requests in flight may take after the first signal: longer than the default http.answer_within of 15 s.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// Whether every repeat gets the same answer: it is caused by the configuration of the sender or of the bridge, or this is no
/// bridge. A 408 and a 429 may pass.
fn is_lasting(status: u16) -> bool {
    (300..500).contains(&status) && ![408, 429].contains(&status) || [501, 505].contains(&status)
}

/// How often to check whether progress is due.
const PROGRESS_TICK: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The URL to send to; `{instance}` in it stands for the number of each instance. Default: http.listen and http.path of
    /// --config, or http://127.0.0.1:3000/green-api/webhook/.
    #[arg(long)]
    pub(super) url: Option<String>,
    /// A tokens file: its first token that is bound to no instance is sent. Default: auth.tokens_file of --config.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How many instances send at once; each sends one request at a time on its own connection.
    #[arg(long, default_value_t = 1, value_parser = |text: &str| within(text, 1, 10_000_u64))]
    instances: u64,
    /// The number of the first instance; the others follow.
    #[arg(long, value_name = "ID", default_value_t = 1_101_000_001, value_parser = |text: &str| within(text, 1, 9_999_990_000_u64))]
    first_instance: u64,
    /// At most this many notifications per second and instance; 0: as fast as they are answered.
    #[arg(long, default_value_t = 50, value_parser = |text: &str| within(text, 0, 100_000_u32))]
    rate: u32,
    /// How many notifications in all. Default: one of each sample.
    #[arg(long, conflicts_with = "duration", value_parser = |text: &str| within(text, 1, 1_000_000_000_000_u64))]
    count: Option<u64>,
    /// How long to send new notifications, such as 10s; each one begun is repeated until it is answered 200.
    #[arg(long, value_parser = positive_duration)]
    duration: Option<Duration>,
    /// How long an instance pauses after an answer that is not 200, or after none.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = positive_duration)]
    pause: Duration,
    /// Only these samples, separated by commas: classes (incoming, outgoing, state, device, other), types, or message
    /// types; all are listed below.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    types: Vec<String>,
    /// The minimum size of a body, such as 64KiB; smaller ones are padded.
    #[arg(long, value_name = "BYTES", default_value = "0", value_parser = units::read_size)]
    size: usize,
    /// Write a line to this new file for each notification, as soon as it is answered 200.
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Accept any certificate.
    #[arg(long, conflicts_with = "ca_file")]
    insecure: bool,
    /// Trust the authorities in this PEM file, and no others.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
    /// Repeat a notification at most this often; then it is lost. Default: repeat it for 24 h, as GREEN-API does.
    #[arg(long, value_name = "REPEATS", value_parser = count::<u32>)]
    give_up: Option<u32>,
    /// Go on after a 401, 403, 404, 413 or another answer that no repeat mends, as GREEN-API does. By default it ends the
    /// command.
    #[arg(long)]
    keep_going: bool,
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    let duration = units::read_duration(text)?;
    if duration.is_zero() { Err("give a duration above 0, such as \"10s\"".into()) } else { Ok(duration) }
}

/// Runs the command. Exit code 0: all were answered 200, 1: not all, 2: the options cannot be used.
pub(super) fn send(arguments: &Arguments, config: Option<&Path>) -> ExitCode {
    // one thread is enough to load a bridge, and leaves the other cores to it
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let refused = match (prepare(arguments, config), runtime) {
        (Ok((config, load)), Ok(runtime)) => return runtime.block_on(run(arguments, config, load)),
        (Err(refused), _) => refused,
        (_, Err(error)) => format!("no runtime: {error}"),
    };
    eprintln!("greenapi-bridge: {refused}");
    ExitCode::from(2)
}

async fn run(arguments: &Arguments, config: SimulatorConfig, load: Load) -> ExitCode {
    let (count, with_token) = (load.count, load.targets.iter().any(|target| target.has_token()));
    let simulator = match Simulator::new(config) {
        Ok(simulator) => simulator,
        Err(error) => {
            eprintln!("greenapi-bridge: {error}");
            return ExitCode::from(2);
        }
    };
    let summary = match run_load(&simulator, load, SendProgress::new(count, with_token), arguments.keep_going).await {
        Ok(summary) => summary,
        Err(error) => {
            eprintln!("greenapi-bridge: {error}");
            return ExitCode::FAILURE;
        }
    };
    summary::print(&summary, arguments.json);
    let all = count.is_none_or(|count| summary.sent == count);
    if summary.is_clean() && all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether an answer came that every repeat would get too.
fn is_refused(summary: &Summary) -> bool {
    summary.answered.keys().any(|status| is_lasting(*status))
}

/// Sends until the load is done or a signal comes. The first signal lets requests in flight finish, the second ends them.
async fn run_load(
    simulator: &Simulator,
    load: Load,
    mut progress: SendProgress,
    keep_going: bool,
) -> Result<Summary, SimulatorError> {
    let (mut signals, mut stop_timeout) = (Signals::new(), pin!(tokio::time::sleep(Duration::MAX)));
    simulator.start_load(load);
    let mut ended = pin!(simulator.finish());
    let (mut tick, mut stopping) = (interval(PROGRESS_TICK), false);
    let summary = loop {
        tokio::select! {
            ended = &mut ended => break ended,
            () = &mut stop_timeout, if stopping => simulator.abort(),
            () = signals.next() => {
                if stopping {
                    simulator.abort();
                }
                simulator.stop();
                stopping = true;
                stop_timeout.as_mut().reset(tokio::time::Instant::now() + STOP_WITHIN);
            }
            _ = tick.tick() => {
                if !keep_going && !stopping && is_refused(&simulator.summary()) {
                    simulator.stop();
                    stopping = true;
                    stop_timeout.as_mut().reset(tokio::time::Instant::now() + STOP_WITHIN);
                }
                if progress.is_due() {
                    progress.show(&simulator.summary(), simulator.take_problem());
                }
            }
        }
    };
    progress.end(&simulator.summary(), simulator.take_problem());
    summary
}

/// Reads the options and the configuration.
fn prepare(arguments: &Arguments, config: Option<&Path>) -> Result<(SimulatorConfig, Load), String> {
    if config.is_some() {
        super::print_warnings(&super::misspelt_variables());
    }
    let config = config.map(|file| Config::load(Some(file), super::environment()));
    let config = config.transpose().map_err(|error| error.to_string())?;
    let url = arguments.url.clone().unwrap_or_else(|| default_url(config.as_ref()));
    let token = token(arguments, config.as_ref())?;
    let targets = targets(arguments, &url, token.as_deref().unwrap_or_default()).map_err(|error| {
        // a query, or what stands before an @, may be a secret
        let shown = url.split('?').next().filter(|shown| !shown.contains('@')).unwrap_or("…");
        format!("--url {shown}: {error}")
    })?;
    let samples = Sample::named(&arguments.types)
        .map_err(|error| format!("--types: {error}; `greenapi-bridge send --help` lists all"))?;
    let one_of_each = arguments.duration.is_none().then_some(samples.len() as u64);
    let load = Load {
        targets,
        first_instance: arguments.first_instance,
        samples,
        count: arguments.count.or(one_of_each),
        duration: arguments.duration,
        min_size: arguments.size,
    };
    Ok((simulator_config(arguments, config.as_ref())?, load))
}

/// Where each instance sends to.
fn targets(arguments: &Arguments, url: &str, token: &str) -> Result<Vec<Arc<Target>>, TargetError> {
    let numbers = arguments.first_instance..arguments.first_instance + arguments.instances;
    if url.contains(INSTANCE) {
        let of_each =
            numbers.map(|number| Target::new(&url.replace(INSTANCE, &number.to_string()), token).map(Arc::new));
        return of_each.collect();
    }
    let target = Arc::new(Target::new(url, token)?);
    Ok(numbers.map(|_| target.clone()).collect())
}

fn simulator_config(arguments: &Arguments, config: Option<&Config>) -> Result<SimulatorConfig, String> {
    let gap = Duration::from_secs(1).checked_div(arguments.rate).unwrap_or_default();
    let tls = config.and_then(|config| config.http.tls.as_ref());
    let checked = || endpoint::trust(arguments.url.as_ref(), arguments.ca_file.as_ref(), tls);
    let trust = if arguments.insecure { Trust::Any } else { checked() };
    let ledger = arguments.ledger.as_deref().map(open_ledger).transpose()?;
    let (pause, max_repeats) = (arguments.pause, arguments.give_up);
    Ok(SimulatorConfig { pause, gap, max_repeats, trust, ledger, ..SimulatorConfig::default() })
}

fn open_ledger(path: &Path) -> Result<Ledger, String> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    file.map(Ledger::new).map_err(|error| format!("--ledger {}: {error}; name a new file", path.display()))
}

fn default_url(config: Option<&Config>) -> String {
    let http = config.map(|config| config.http.clone()).unwrap_or_default();
    format!("{}://{}{}", endpoint::scheme(http.tls.as_ref()), endpoint::connectable(http.listen), http.path)
}

fn token(arguments: &Arguments, config: Option<&Config>) -> Result<Option<String>, String> {
    let (flag, path) = match (&arguments.token_file, config.and_then(|config| config.auth.tokens_file.as_ref())) {
        (Some(path), _) => ("--token-file", path),
        (None, Some(path)) => ("auth.tokens_file", path),
        (None, None) => return Ok(None),
    };
    let fault = |problem: String| format!("{flag} {}: {problem}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    let token = auth::first_unbound_token(&text).map_err(|error| fault(error.to_string()))?;
    let none = "every token is bound to an instance; give a file with a token alone on its line as --token-file";
    token.map(Some).ok_or_else(|| fault(none.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(listen: &str, path: &str) -> String {
        let mut config = Config::default();
        (config.http.listen, config.http.path) = (listen.parse().unwrap(), path.into());
        default_url(Some(&config))
    }

    #[test]
    fn default_url_is_where_the_configured_bridge_listens() {
        assert_eq!(default_url(None), "http://127.0.0.1:3000/green-api/webhook/");
        assert_eq!(url("10.0.0.1:80", "/x"), "http://10.0.0.1:80/x");
        assert_eq!(url("0.0.0.0:3000", "/x"), "http://127.0.0.1:3000/x");
        assert_eq!(url("[::]:3000", "/x"), "http://[::1]:3000/x");
    }
}
