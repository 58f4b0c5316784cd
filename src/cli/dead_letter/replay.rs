//! `dead-letter replay`.

use std::collections::HashSet;
use std::time::Duration;

use clap::{ArgGroup, Args};
use tokio::time::Instant;

#[cfg(feature = "journal")]
use super::kept::Letters;
use super::progress::Progress;
use super::{Filters, Place, complain, open};
use crate::brokers::Publisher;
#[cfg(feature = "kafka")]
use crate::brokers::kafka;
#[cfg(feature = "nats")]
use crate::brokers::nats;
#[cfg(feature = "journal")]
use crate::cli::journal::Reach;
use crate::config::Config;
use crate::dead_letter::{
    Behind, Head, Notes, Outcome, Reading, Replayer, Selection, Source, Whole, place_name, read_id,
};
use crate::message::{Broker, Id};
use crate::route::Routes;

/// So many letters, and so many bytes of them, are under way at once: so many at most may be stored and not yet noted
/// when the process is killed.
const AT_ONCE: usize = 32;
const BYTES_AT_ONCE: usize = 16 * 1024 * 1024;

/// How long a broker gets to be there.
const READY_WITHIN: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("which").required(true).multiple(true).args(["ids", "all", "reason", "instance", "since"])))]
pub(in crate::cli) struct Arguments {
    /// These, as `list` shows their ids.
    #[arg(value_name = "ID", value_parser = read_id)]
    ids: Vec<Id>,
    /// All there are.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    #[command(flatten)]
    pub(super) filters: Filters,
    /// Also what was replayed before: it is stored once more.
    #[arg(long)]
    again: bool,
    /// Say what would be done; send nothing.
    #[arg(long)]
    dry_run: bool,
    #[cfg(feature = "journal")]
    #[command(flatten)]
    reach: Reach,
}

/// What became of them, and what is to be found yet.
#[derive(Default)]
struct Tally {
    replayed: u64,
    before: u64,
    stay: u64,
    failed: u64,
    /// Ids that were asked for and not met.
    sought: HashSet<Id>,
}

/// True if all that was asked for is replayed.
pub(super) async fn replay(config: &Config, routes: &Routes, places: &[Place], arguments: &Arguments) -> bool {
    let mut sought: HashSet<Id> = arguments.ids.iter().copied().collect();
    let mut all = true;
    for place in places {
        let mut tally = Tally { sought: sought.clone(), ..Tally::default() };
        let done = one(config, routes, *place, arguments, &mut tally).await;
        let Tally { replayed, before, stay, failed, .. } = tally;
        let did = if arguments.dry_run { "would be replayed" } else { "replayed" };
        println!("{}: {replayed} {did}, {before} were before, {stay} stay, {failed} failed", place_name(*place));
        if let Err(problem) = &done {
            complain(*place, problem);
        }
        all &= done.is_ok() && stay + failed == 0;
        sought = tally.sought;
    }
    for id in &sought {
        eprintln!("greenapi-bridge: there is no dead letter {id}; see `greenapi-bridge dead-letter list`");
    }
    all && sought.is_empty()
}

async fn one(
    config: &Config,
    routes: &Routes,
    place: Place,
    arguments: &Arguments,
    tally: &mut Tally,
) -> Result<(), String> {
    let selection = Selection { ids: arguments.ids.iter().copied().collect(), ..arguments.filters.selection() };
    let mut source = open(config, place).await?;
    let mut progress = Progress::new(format!("{}: what was replayed", place_name(place)));
    let notes = Notes::gather(&mut source, &selection.ids, |done, all| progress.show(done, all, String::new)).await?;
    drop(progress);
    let configured = config.places();
    let by = by(config, routes, &configured, place, arguments, notes).await?;
    let what = if arguments.dry_run { "looking" } else { "replaying" };
    let progress = Progress::new(format!("{}: {what}", place_name(place)));
    let left = arguments.filters.limit.unwrap_or(u64::MAX);
    let mut work = Work { by, selection, dry_run: arguments.dry_run, progress, left, tally };
    let done = work.go(&mut source).await;
    #[cfg(feature = "journal")]
    if let By::Journal(Letters { reached: Some(reached), .. }) = &work.by {
        reached.close().await;
    }
    done
}

/// What replays letters: of a broker, or of the journal.
enum By<'r> {
    Broker(Box<Replayer<'r>>),
    #[cfg(feature = "journal")]
    Journal(Letters<'r>),
}

async fn by<'r>(
    config: &Config,
    routes: &'r Routes,
    configured: &'r [crate::route::Place],
    place: Place,
    arguments: &Arguments,
    notes: Notes,
) -> Result<By<'r>, String> {
    let once_more = arguments.again;
    let Some(broker) = place else {
        #[cfg(feature = "journal")]
        {
            let reach = async || arguments.reach.reach(config).await.map_err(|failed| failed.why());
            let reached = if arguments.dry_run { None } else { Some(reach().await?) };
            return Ok(By::Journal(Letters { routes, reached, notes, once_more }));
        }
        #[cfg(not(feature = "journal"))]
        return Err("this build has no journal".into());
    };
    let behind = Behind::journal(config.journal.as_ref())?;
    let publisher = if arguments.dry_run { None } else { Some(publisher(config, routes, broker).await?) };
    let dead_letter = configured.iter().find(|place| place.broker == broker).map(|place| place.dead_letter.as_str());
    let at = (broker, dead_letter.unwrap_or_default());
    Ok(By::Broker(Box::new(Replayer::new(routes, publisher, at, (notes, behind), once_more))))
}

impl By<'_> {
    fn is_done(&self, head: &Head) -> bool {
        match self {
            Self::Broker(replayer) => replayer.is_done(head),
            #[cfg(feature = "journal")]
            Self::Journal(letters) => letters.is_done(head),
        }
    }

    async fn replay(&mut self, batch: Vec<Whole>) -> Vec<(Head, Outcome)> {
        match self {
            Self::Broker(replayer) => replayer.replay(batch).await,
            #[cfg(feature = "journal")]
            Self::Journal(letters) => letters.replay(batch).await,
        }
    }
}

/// That of one place.
struct Work<'w> {
    by: By<'w>,
    selection: Selection,
    dry_run: bool,
    progress: Progress,
    /// How many are still to be taken.
    left: u64,
    tally: &'w mut Tally,
}

impl Work<'_> {
    async fn go(&mut self, source: &mut Source) -> Result<(), String> {
        let (selection, mut bytes, mut batch) = (std::mem::take(&mut self.selection), 0, Vec::new());
        let mut reading = Reading::begin(source, &selection, true).await?;
        while self.left > 0
            && let Some(whole) = reading.next(|done, all| self.show(done, all)).await?
        {
            self.tally.sought.remove(&whole.head.id);
            if self.by.is_done(&whole.head) {
                self.tally.before += 1;
                continue;
            }
            self.left -= 1;
            bytes += whole.body.len();
            batch.push(whole);
            if batch.len() >= AT_ONCE || bytes >= BYTES_AT_ONCE {
                self.settle(std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
        }
        self.settle(batch).await
    }

    fn show(&mut self, done: u64, all: u64) {
        let Tally { replayed, stay, failed, .. } = *self.tally;
        self.progress.show(done, all, || format!("{replayed} replayed, {stay} stay, {failed} failed"));
    }

    async fn settle(&mut self, batch: Vec<Whole>) -> Result<(), String> {
        let mut unreached = None;
        for (head, outcome) in self.by.replay(batch).await {
            match outcome {
                Outcome::Replayed(to) => {
                    self.tally.replayed += 1;
                    if self.dry_run {
                        self.say(&head, &format!("would go to {to}"));
                    }
                }
                Outcome::Before => self.tally.before += 1,
                Outcome::Stays(why) => {
                    self.tally.stay += 1;
                    self.say(&head, &format!("stays: {why}"));
                }
                Outcome::Failed(why) => {
                    self.tally.failed += 1;
                    self.say(&head, &format!("failed: {why}"));
                }
                Outcome::Unreached(why) => {
                    self.tally.failed += 1;
                    self.say(&head, &format!("failed: {why}"));
                    unreached.get_or_insert(why);
                }
            }
        }
        let ended = |why| format!("given up: {why}; see to it, and run this again: what is done is remembered");
        unreached.map_or(Ok(()), |why| Err(ended(why)))
    }

    fn say(&self, head: &Head, what: &str) {
        self.progress.print(&format!("{}  {}", head.id, super::plain(what)));
    }
}

/// What publishes to a broker, once it can.
async fn publisher(config: &Config, routes: &Routes, broker: Broker) -> Result<Publisher, String> {
    let publisher = match broker {
        #[cfg(feature = "kafka")]
        Broker::Kafka => {
            let section = config.kafka.as_ref().ok_or("there is no section [kafka]")?;
            let most = if routes.is_open(broker) { config.route.max_destinations } else { 0 };
            let started = kafka::Publisher::start(section, routes.known(broker), most, kafka::REPORT_WITHIN);
            Publisher::Kafka(started.map_err(|error| error.to_string())?)
        }
        #[cfg(feature = "nats")]
        Broker::Nats => {
            let section = config.nats.as_ref().ok_or("there is no section [nats]")?;
            let started = nats::Publisher::start(section, routes.patterns(broker), nats::REPORT_WITHIN).await;
            Publisher::Nats(started.map_err(|error| error.to_string())?)
        }
        #[cfg(not(all(feature = "kafka", feature = "nats")))]
        other => return Err(format!("this build has no {}", other.as_str())),
    };
    publisher.ready(Instant::now() + READY_WITHIN).await;
    let state = publisher.state().borrow().clone();
    if state.up {
        return Ok(publisher);
    }
    Err(format!("{}: {}; run `greenapi-bridge check`", state.reason, state.detail))
}
