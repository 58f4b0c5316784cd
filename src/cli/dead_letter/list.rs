//! `dead-letter list`.

use std::io::Write;

use clap::Args;
use serde_json::json;

use super::progress::Progress;
use super::{Filters, Place, complain, open, plain};
use crate::config::Config;
use crate::dead_letter::{Notes, Reading, Source, Whole, place_name};
use crate::message::Broker;
use crate::units::records;

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    pub(super) filters: Filters,
    /// Print a line of JSON for each.
    #[arg(long)]
    json: bool,
}

/// What was listed.
#[derive(Default)]
struct Listed {
    letters: u64,
    replayed: u64,
    foreign: u64,
}

/// True if all of it could be read.
pub(super) async fn list(config: &Config, places: &[Place], arguments: &Arguments) -> bool {
    let mut all = true;
    let mut table = Table { as_json: arguments.json, begun: false };
    for place in places {
        let listed = async {
            let mut source = open(config, *place).await?;
            one(&mut source, arguments, &mut table).await
        };
        match listed.await {
            // who reads JSON wants nothing else, but what is wrong
            Ok(_) if arguments.json => {}
            Ok(Listed { letters, replayed, foreign }) => {
                let foreign =
                    if foreign > 0 { format!("; {} not of the bridge", records(foreign)) } else { String::new() };
                let name = place_name(*place);
                eprintln!("greenapi-bridge: {name}: {letters} dead letters, {replayed} of them replayed{foreign}");
            }
            Err(problem) => {
                complain(*place, &problem);
                all = false;
            }
        }
    }
    all
}

async fn one(source: &mut Source, arguments: &Arguments, table: &mut Table) -> Result<Listed, String> {
    let selection = arguments.filters.selection();
    let name = source.name();
    let mut progress = Progress::new(format!("{name}: what was replayed"));
    let notes = Notes::gather(source, &selection.ids, |done, all| progress.show(done, all, String::new)).await?;
    drop(progress);
    let limit = arguments.filters.limit.unwrap_or(u64::MAX);
    let (mut listed, mut reading) = (Listed::default(), Reading::begin(source, &selection, false).await?);
    while listed.letters < limit
        && let Some(whole) = reading.next(|_, _| ()).await?
    {
        let times = if notes.has(&whole.head) { notes.times(whole.head.id).max(1) } else { 0 };
        if table.row(&whole, times).is_err() {
            // who reads it has seen enough
            break;
        }
        listed.letters += 1;
        listed.replayed += u64::from(times > 0);
    }
    listed.foreign = reading.foreign;
    Ok(listed)
}

struct Table {
    as_json: bool,
    begun: bool,
}

impl Table {
    fn row(&mut self, whole: &Whole, times: u32) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        let Whole { head, count, missing, .. } = whole;
        let received = humantime::format_rfc3339_millis(head.received).to_string();
        if self.as_json {
            let line = json!({
                "broker": head.broker.map(Broker::as_str), "position": head.position, "id": head.id.to_string(),
                "received": received, "reason": head.reason, "detail": head.detail, "instance": head.instance,
                "type": head.kind, "size": head.size, "parts": count, "missing": missing, "replayed": times,
            });
            return writeln!(out, "{line}");
        }
        if !self.begun {
            self.begun = true;
            let [size, parts, replayed] = ["SIZE", "PARTS", "REPLAYED"];
            writeln!(
                out,
                "{:<24}  {:<7}  {:<14}  {:<12}  {:<26}  {size:>9}  {parts:<5}  {replayed:<8}  {:<32}  DETAIL",
                "RECEIVED", "AT", "REASON", "INSTANCE", "TYPE", "ID"
            )?;
        }
        let parts = if *count == 1 { "-".into() } else { format!("{}/{count}", count - missing.len().min(*count)) };
        let instance = head.instance.map_or_else(|| "-".into(), |instance| instance.to_string());
        let replayed = if times == 0 { "-".into() } else { format!("{times}×") };
        writeln!(
            out,
            "{received:<24}  {:<7}  {:<14}  {instance:<12}  {:<26}  {:>9}  {parts:<5}  {replayed:<8}  {}  {}",
            place_name(head.broker),
            plain(&head.reason),
            plain(head.kind.as_deref().unwrap_or("-")),
            head.size,
            head.id,
            plain(&head.detail),
        )
    }
}
