//! The command line. In: arguments, environment, configuration. Out: what is printed, and the exit code.
//!
//! `commands` lists the commands; each has a module of its own. They own no logic of the bridge: they call the modules
//! that do the work. `args` has the values of options that several commands share, `progress` the progress of long work,
//! `output` prints.

#[macro_use]
mod output;

mod args;
mod asyncapi;
mod check;
mod commands;
mod dead_letter;
mod endpoint;
mod journal;
mod progress;
mod provision;
mod ready;
mod routes;
mod run;
mod schema;
mod send;
mod signals;
mod startup_lines;
mod tail;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

use crate::auth::Tokens;
use crate::config::{self, Config, ConfigErrors, ConfigSource};
use crate::http_server;
use crate::telemetry::{self, logging::LogFormat};
use commands::{Arguments, Command, Configured};
use routes::Plan;

/// Runs the command line. Exit code 0: clean, 1: failed, 2: wrong configuration or arguments, 3: grace exceeded.
pub fn main() -> ExitCode {
    let Arguments { config, log, command } = match Arguments::try_parse_from(arguments(std::env::args_os())) {
        Ok(arguments) => arguments,
        Err(error) => {
            // help is an error to clap
            if let Err(unwritten) = error.print() {
                output::end_unless_closed(&unwritten);
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    http_server::install_provider();
    let config =
        config.or_else(|| std::env::var_os(CONFIG_VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from));
    let command = command.unwrap_or(Command::Configured(Configured::Run));
    if config.is_none() && command.reads_config() && Path::new(CONFIG_FILE).exists() {
        let unnamed = format!(
            "./{CONFIG_FILE} is here, and no configuration is named; use it with --config {CONFIG_FILE} \
             (or {CONFIG_VARIABLE}={CONFIG_FILE}), or run this in another folder to do without"
        );
        return if command.is_run() { run::refuse(LogFormat::Auto, &[], &unnamed) } else { refuse(&unnamed) };
    }
    match command {
        Command::Configured(Configured::Check(check::Arguments { ready: Some(url), ca_file, .. })) => {
            ready::check(&url, ca_file.as_ref())
        }
        Command::Configured(command) => run_configured(command, config.as_deref(), log.level()),
        Command::Send(arguments) => send::send(&arguments, config.as_deref()),
        Command::Tail(arguments) => tail::tail(&arguments, config.as_deref()),
        Command::Schema(arguments) => schema::print(&arguments),
    }
}

/// The commands and their options, from which the manual pages and the shell completions are made.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// The environment variable that names the configuration file.
const CONFIG_VARIABLE: &str = "BRIDGE_CONFIG";

/// The file that most people have meant to name where they named none: without it the bridge would serve without tokens.
const CONFIG_FILE: &str = "bridge.toml";

/// Lets `help --help` print what `help` prints: clap's own `help` command takes no options.
fn arguments(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<_> = words.collect();
    if words.get(1).is_some_and(|word| word == "help") {
        words.retain(|word| word != "--help" && word != "-h");
    }
    words
}

fn run_configured(command: Configured, file: Option<&Path>, log_level: Option<&str>) -> ExitCode {
    let mut warnings = misspelt_variables();
    let Loaded { config, source, tokens, plan } = match loaded(file) {
        Ok(all) => all,
        // nothing is known of `[log]`
        Err(error) if matches!(command, Configured::Run) => return run::refuse(LogFormat::Auto, &warnings, &error),
        Err(error) => {
            print_warnings(&warnings);
            return refuse(&error);
        }
    };
    if file.is_none() {
        warnings.extend(without_file(&config));
    }
    if !matches!(command, Configured::Run) {
        print_warnings(&warnings);
    }
    let Ok(runtime) = runtime(&command, config.http.workers).inspect_err(no_runtime) else { return ExitCode::FAILURE };
    let code = match command {
        Configured::Run => serve(&runtime, config, source, log_level, &warnings),
        Configured::Check(arguments) => {
            // other commands do without the certificates, also while these are being replaced
            let certificates = config.webhook_tls().and_then(|_| config.admin_tls());
            let check = || runtime.block_on(check::check(&config, tokens.as_ref(), &plan, &arguments));
            certificates.map_or_else(|error| refuse(&ConfigErrors::from(error)), |_| check())
        }
        Configured::Asyncapi => asyncapi::print(&config, &plan),
        Configured::Provision { dry_run, json } => {
            runtime.block_on(provision::provision(&config, &plan, dry_run, json))
        }
        Configured::DeadLetter(command) => {
            let _log = start_edit_log(&config);
            runtime.block_on(dead_letter::run(&config, command))
        }
        Configured::Journal(command) => {
            let _log = start_edit_log(&config);
            runtime.block_on(journal::run(command, &config))
        }
    };
    // the work is done; a task or thread that still waits for a broker must not delay the exit
    runtime.shutdown_timeout(THREADS_END_WITHIN);
    code
}

fn no_runtime(error: &std::io::Error) {
    eprintln!("greenapi-bridge: no runtime: {error}");
}

fn serve(
    runtime: &Runtime,
    config: Config,
    source: ConfigSource,
    log_level: Option<&str>,
    warnings: &[String],
) -> ExitCode {
    match log_filter(&config, log_level) {
        Ok(filter) => runtime.block_on(run::run(config, source, filter, warnings)),
        Err(error) => run::refuse(config.log.format, warnings, &error),
    }
}

/// The configuration, its tokens and its routes.
struct Loaded {
    config: Config,
    source: ConfigSource,
    tokens: Option<Tokens>,
    plan: Plan,
}

/// Loads what every command needs. Every command refuses what `run` would refuse.
fn loaded(file: Option<&Path>) -> Result<Loaded, ConfigErrors> {
    let (config, source) = ConfigSource::load(file, environment())?;
    let tokens = config.webhook_tokens()?;
    config.admin_tokens()?;
    let plan = Plan::new(&config)?;
    Ok(Loaded { config, source, tokens, plan })
}

/// Says why the configuration cannot be used.
fn refuse(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("greenapi-bridge: {error}");
    ExitCode::from(2)
}

/// How long threads that wait for a broker get to end.
const THREADS_END_WITHIN: Duration = Duration::from_millis(500);

/// With one worker everything runs on the current thread: all tasks share one run queue, and the messages that one pass over
/// it produces reach a broker in one write.
fn runtime(command: &Configured, workers: usize) -> std::io::Result<Runtime> {
    use tokio::runtime::Builder;
    match command {
        Configured::Run if workers == 1 => Builder::new_current_thread().enable_all().build(),
        _ => Builder::new_multi_thread().worker_threads(workers).enable_all().build(),
    }
}

/// The environment. Values that are no Unicode are changed, not left out: they must be refused, since a missing tokens file
/// would open the bridge to everyone.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

/// Warnings about variables that look like configuration keys and are none.
fn misspelt_variables() -> Vec<String> {
    config::misspelt_variables(environment().map(|(name, _)| name))
}

/// What is logged: by the option, else by `RUST_LOG`, else by the configuration.
fn log_filter(config: &Config, option: Option<&str>) -> Result<EnvFilter, String> {
    let variable = std::env::var("RUST_LOG").ok().filter(|level| !level.trim().is_empty());
    let (source, level) = match (option, variable.as_deref()) {
        (Some(level), _) => ("--log-level", level),
        (None, Some(level)) => ("RUST_LOG", level),
        (None, None) => ("log.level", config.log.level.as_str()),
    };
    telemetry::logging::filter(level).map_err(|error| format!("{source} = {level:?}: {error}"))
}

/// What the commands log that edit: that they did.
const EDITS: &str = "off,greenapi_bridge::journal_edit=info,greenapi_bridge::cli::dead_letter=info";

/// Logs the edits that a command makes itself, without a bridge.
fn start_edit_log(config: &Config) -> Option<telemetry::logging::LogGuard> {
    let filter = telemetry::logging::filter(EDITS).ok()?;
    Some(telemetry::logging::start(filter, config.log.format))
}

/// Says where a bridge without a configuration file stores.
fn without_file(config: &Config) -> Option<String> {
    let directory = &config.journal.as_ref().filter(|_| config.kafka.is_none() && config.nats.is_none())?.directory;
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.clone());
    let directory = directory.display();
    Some(format!(
        "no configuration is named, and no broker: all is stored in {directory} alone; name one with --config"
    ))
}

fn print_warnings(warnings: &[String]) {
    warnings.iter().for_each(|warning| eprintln!("greenapi-bridge: {warning}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_accepts_help_flag() {
        let output = |words: &str| {
            let words = arguments(words.split(' ').map(OsString::from));
            Arguments::try_parse_from(words).unwrap_err().to_string()
        };
        assert!(output("greenapi-bridge help --help").starts_with("Stores GREEN-API webhooks"));
        assert_eq!(output("greenapi-bridge help check -h"), output("greenapi-bridge check --help"));
        assert_ne!(output("greenapi-bridge check -h"), output("greenapi-bridge check --help"), "shorter");
    }

    #[test]
    fn help_of_each_command_has_an_example() {
        let mut arguments = Arguments::command();
        arguments.clone().debug_assert();
        for command in arguments.get_subcommands_mut() {
            has_example(command, "greenapi-bridge");
        }
    }

    fn has_example(command: &mut clap::Command, before: &str) {
        let called = format!("{before} {}", command.get_name());
        let group = command.has_subcommands();
        command.get_subcommands_mut().for_each(|nested| has_example(nested, &called));
        let help = command.render_help().to_string();
        let examples = help.split_once("\nExample").map_or("", |(_, examples)| examples);
        assert!(group || examples.contains(&format!("\n  {called} ")), "{help}");
    }
}
