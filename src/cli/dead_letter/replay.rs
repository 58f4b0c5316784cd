//! `dead-letter replay`.

use std::collections::HashSet;
use std::time::Duration;

use clap::{ArgGroup, Args};
use tokio::time::Instant;
use tracing::info;

use super::journal_replayer::JournalReplayer;
use super::{DlqLocation, FilterOptions, open, print_problem, printable, progress_text};
use crate::bridge::start_publisher;
use crate::brokers::{BrokerState, Publisher};
use crate::cli::journal::AdminOptions;
use crate::cli::progress::Progress;
use crate::config::Config;
use crate::dead_letter::{
    Bodies, DeadLetter, DeadLetterDestination, DeadLetterFilter, DeadLetterReader, DlqHeaders, JournalBacklog,
    ReplayMarkers, ReplayOutcome, Replayer, Source, location_name, parse_id,
};
use crate::message::{Broker, Id};
use crate::notification::Validation;
use crate::route::Routes;
use crate::telemetry::JournalEdit;

/// The most dead letters in flight, and their bytes. If the process is killed, at most this many are stored without their
/// replay marker.
const BATCH: usize = 32;
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// How long to wait for a broker to be ready.
const READY_WITHIN: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("which").required(true).multiple(true).args(["ids", "all", "reason", "instance", "since"])))]
pub(in crate::cli) struct Arguments {
    /// The ids, as `list` shows them.
    #[arg(value_name = "ID", value_parser = parse_id)]
    ids: Vec<Id>,
    /// All dead letters.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    #[command(flatten)]
    pub(super) filter: FilterOptions,
    /// Replay also those that were replayed before: each is stored once more.
    #[arg(long)]
    again: bool,
    /// Print what would be done; publish nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    admin: AdminOptions,
}

impl Arguments {
    /// What the dead letters are chosen by, for the log.
    fn chosen_by(&self) -> &'static str {
        match (self.ids.is_empty(), self.all) {
            (false, _) => "id",
            (true, true) => "all",
            (true, false) => "filter",
        }
    }
}

/// What became of the dead letters of one location.
#[derive(Default)]
struct ReplayCounts {
    replayed: u64,
    already_replayed: u64,
    not_replayable: u64,
    failed: u64,
    /// Ids that were asked for and not found so far.
    missing: HashSet<Id>,
}

/// True if all that was asked for is replayed.
pub(super) async fn replay(config: &Config, routes: &Routes, locations: &[DlqLocation], arguments: &Arguments) -> bool {
    let mut missing: HashSet<Id> = arguments.ids.iter().copied().collect();
    let mut all = true;
    for location in locations {
        let mut counts = ReplayCounts { missing, ..ReplayCounts::default() };
        let done = replay_location(config, routes, *location, arguments, &mut counts).await;
        let ReplayCounts { replayed, already_replayed, not_replayable, failed, .. } = counts;
        let did = if arguments.dry_run { "would be replayed" } else { "replayed" };
        println!(
            "{}: {replayed} {did}, {already_replayed} already replayed, {not_replayable} not replayable, {failed} failed",
            location_name(*location)
        );
        // the journal's editor logs its own, here or in the bridge that runs on it
        if let (Some(broker), false) = (location, arguments.dry_run) {
            let (edit, broker, by) = (JournalEdit::Replay.as_str(), broker.as_str(), arguments.chosen_by());
            info!(edit, by, broker, replayed, already_replayed, not_replayable, failed, "dead letters replayed");
        }
        if let Err(problem) = &done {
            print_problem(*location, problem);
        }
        all &= done.is_ok() && not_replayable + failed == 0;
        missing = counts.missing;
    }
    for id in &missing {
        eprintln!("greenapi-bridge: there is no dead letter {id}; see `greenapi-bridge dead-letter list`");
    }
    all && missing.is_empty()
}

async fn replay_location(
    config: &Config,
    routes: &Routes,
    location: DlqLocation,
    arguments: &Arguments,
    counts: &mut ReplayCounts,
) -> Result<(), String> {
    let filter = DeadLetterFilter { ids: arguments.ids.iter().copied().collect(), ..arguments.filter.to_filter() };
    let mut source = open(config, location).await?;
    let mut progress = Progress::new(format!("{}: reading replay markers", location_name(location)), Some(0));
    let markers = ReplayMarkers::read(&mut source, &filter.ids, |done, all| {
        progress.show(done, Some(all), || progress_text(done, all))
    })
    .await?;
    drop(progress);
    let configured = config.broker_templates();
    let replayer = replayer(config, routes, &configured, location, arguments, markers).await?;
    let what = if arguments.dry_run { "planning" } else { "replaying" };
    let progress = Progress::new(format!("{}: {what}", location_name(location)), Some(0));
    let limit = arguments.filter.limit.unwrap_or(u64::MAX);
    let mut run = ReplayRun { replayer, dry_run: arguments.dry_run, progress, limit, counts };
    let done = run.replay_all(&mut source, &filter).await;
    run.replayer.close().await;
    done
}

/// Replays dead letters of a broker, or of the journal.
enum LocationReplayer<'r> {
    Broker(Box<Replayer<'r>>),
    Journal(JournalReplayer<'r>),
}

async fn replayer<'r>(
    config: &Config,
    routes: &'r Routes,
    configured: &'r [crate::route::BrokerTemplate],
    location: DlqLocation,
    arguments: &Arguments,
    markers: ReplayMarkers,
) -> Result<LocationReplayer<'r>, String> {
    let (again, dry_run) = (arguments.again, arguments.dry_run);
    let validation = Validation::new(&config.validation)?;
    let Some(broker) = location else {
        let admin = (!dry_run).then_some(&arguments.admin);
        let replayer = JournalReplayer::open(config, routes, validation, admin, markers, again).await?;
        return Ok(LocationReplayer::Journal(replayer));
    };
    let backlog = JournalBacklog::open(config.journal.as_ref())?;
    let publisher = if dry_run { None } else { Some(ready_publisher(config, routes, broker).await?) };
    let template = configured.iter().find(|template| template.broker == broker);
    let destination = template.map_or("", |template| template.dead_letter.as_str());
    let queue = DeadLetterDestination { broker, destination };
    let replayer = Replayer::new(routes, validation, publisher, queue, markers, backlog, again);
    Ok(LocationReplayer::Broker(Box::new(replayer)))
}

impl LocationReplayer<'_> {
    /// Whether a dead letter needs no replay, since it was replayed before.
    fn is_done(&self, headers: &DlqHeaders) -> bool {
        match self {
            Self::Broker(replayer) => replayer.is_done(headers),
            Self::Journal(replayer) => replayer.is_done(headers),
        }
    }

    async fn replay(&mut self, batch: Vec<DeadLetter>) -> Vec<(DlqHeaders, ReplayOutcome)> {
        match self {
            Self::Broker(replayer) => replayer.replay(batch).await,
            Self::Journal(replayer) => replayer.replay(batch).await,
        }
    }

    async fn close(&self) {
        match self {
            Self::Broker(replayer) => replayer.close().await,
            Self::Journal(replayer) => replayer.close().await,
        }
    }
}

/// The replay of one location.
struct ReplayRun<'w> {
    replayer: LocationReplayer<'w>,
    dry_run: bool,
    progress: Progress,
    /// How many may still be replayed.
    limit: u64,
    counts: &'w mut ReplayCounts,
}

impl ReplayRun<'_> {
    async fn replay_all(&mut self, source: &mut Source, filter: &DeadLetterFilter) -> Result<(), String> {
        let (mut bytes, mut batch) = (0, Vec::new());
        let mut reader = DeadLetterReader::begin(source, filter, Bodies::Read).await?;
        while self.limit > 0
            && let Some(dead_letter) = reader.next(|done, all| self.show(done, all)).await?
        {
            self.counts.missing.remove(&dead_letter.headers.id);
            if self.replayer.is_done(&dead_letter.headers) {
                self.counts.already_replayed += 1;
                continue;
            }
            self.limit -= 1;
            bytes += dead_letter.body.len();
            batch.push(dead_letter);
            if batch.len() >= BATCH || bytes >= BATCH_BYTES {
                self.replay_batch(std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
        }
        self.replay_batch(batch).await
    }

    fn show(&mut self, done: u64, all: u64) {
        let ReplayCounts { replayed, not_replayable, failed, .. } = *self.counts;
        self.progress.show(done, Some(all), || {
            format!(
                "{}; {replayed} replayed, {not_replayable} not replayable, {failed} failed",
                progress_text(done, all)
            )
        });
    }

    /// Replays a batch, and counts and prints the outcomes. An error means that the location or a broker is unreachable.
    async fn replay_batch(&mut self, batch: Vec<DeadLetter>) -> Result<(), String> {
        let mut unreachable = None;
        for (headers, outcome) in self.replayer.replay(batch).await {
            match outcome {
                ReplayOutcome::Replayed(to) => {
                    self.counts.replayed += 1;
                    if self.dry_run {
                        self.print(&headers, &format!("would go to {to}"));
                    }
                }
                ReplayOutcome::AlreadyReplayed => self.counts.already_replayed += 1,
                ReplayOutcome::NotReplayable(why) => {
                    self.counts.not_replayable += 1;
                    self.print(&headers, &format!("not replayable: {why}"));
                }
                ReplayOutcome::Failed(why) => {
                    self.counts.failed += 1;
                    self.print(&headers, &format!("failed: {why}"));
                }
                ReplayOutcome::Unreachable(why) => {
                    self.counts.failed += 1;
                    self.print(&headers, &format!("failed: {why}"));
                    unreachable.get_or_insert(why);
                }
            }
        }
        let stopped =
            |why| format!("stopped: {why}; solve this, and run the command again: finished replays are not repeated");
        unreachable.map_or(Ok(()), |why| Err(stopped(why)))
    }

    fn print(&self, headers: &DlqHeaders, outcome: &str) {
        self.progress.print(&format!("{}  {}", headers.id, printable(outcome)));
    }
}

/// Starts a publisher, and waits until its broker is ready.
async fn ready_publisher(config: &Config, routes: &Routes, broker: Broker) -> Result<Publisher, String> {
    let publisher = start_publisher(config, routes, broker).await?;
    publisher.wait_until_up(Instant::now() + READY_WITHIN).await;
    let down = match &*publisher.state().borrow() {
        BrokerState::Down { reason, detail } => Some(format!("{}: {detail}", reason.as_str())),
        BrokerState::Up | BrokerState::Degraded { .. } => None,
    };
    let Some(down) = down else { return Ok(publisher) };
    publisher.close().await;
    Err(format!("{down}; run `greenapi-bridge check`"))
}
