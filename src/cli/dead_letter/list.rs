//! `dead-letter list`.

use std::io::Write;

use clap::Args;
use serde_json::json;

use super::{DlqLocation, FilterOptions, open, print_problem, printable, progress_text};
use crate::cli::output;
use crate::cli::progress::Progress;
use crate::config::Config;
use crate::dead_letter::{Bodies, DeadLetter, DeadLetterReader, ReplayMarkers, Source, location_name};
use crate::message::Broker;
use crate::units::records;

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    pub(super) filter: FilterOptions,
    /// Print a line of JSON for each dead letter.
    #[arg(long)]
    json: bool,
}

/// How many were listed at one location.
#[derive(Default)]
struct ListCounts {
    dead_letters: u64,
    replayed: u64,
    /// Records that the bridge did not write.
    foreign: u64,
}

/// True if all could be read.
pub(super) async fn list(config: &Config, locations: &[DlqLocation], arguments: &Arguments) -> bool {
    let mut all = true;
    let mut table = Table { as_json: arguments.json, has_header: false };
    for location in locations {
        let listed = async {
            let mut source = open(config, *location).await?;
            list_one(&mut source, arguments, &mut table).await
        };
        match listed.await {
            // with --json only problems are printed beside it
            Ok(_) if arguments.json => {}
            Ok(ListCounts { dead_letters, replayed, foreign }) => {
                let foreign = if foreign > 0 {
                    format!("; {} not written by the bridge", records(foreign))
                } else {
                    String::new()
                };
                let name = location_name(*location);
                eprintln!("greenapi-bridge: {name}: {dead_letters} dead letters, {replayed} of them replayed{foreign}");
            }
            Err(problem) => {
                print_problem(*location, &problem);
                all = false;
            }
        }
    }
    all
}

async fn list_one(source: &mut Source, arguments: &Arguments, table: &mut Table) -> Result<ListCounts, String> {
    let filter = arguments.filter.to_filter();
    let name = source.name();
    let mut progress = Progress::new(format!("{name}: reading replay markers"), Some(0));
    let markers = ReplayMarkers::read(source, &filter.ids, |done, all| {
        progress.show(done, Some(all), || progress_text(done, all))
    })
    .await?;
    drop(progress);
    let limit = arguments.filter.limit.unwrap_or(u64::MAX);
    let mut counts = ListCounts::default();
    let mut reader = DeadLetterReader::begin(source, &filter, Bodies::Skip).await?;
    while counts.dead_letters < limit
        && let Some(dead_letter) = reader.next(|_, _| ()).await?
    {
        let headers = &dead_letter.headers;
        let times = if markers.is_replayed(headers) { markers.times(headers.id).max(1) } else { 0 };
        if let Err(error) = table.print(&dead_letter, times) {
            output::end_unless_closed(&error);
            // the reader of a pipe has closed it
            break;
        }
        counts.dead_letters += 1;
        counts.replayed += u64::from(times > 0);
    }
    counts.foreign = reader.foreign;
    Ok(counts)
}

struct Table {
    as_json: bool,
    has_header: bool,
}

impl Table {
    /// Prints a dead letter that was replayed `times` times.
    fn print(&mut self, dead_letter: &DeadLetter, times: u32) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        let DeadLetter { headers, part_count, missing, .. } = dead_letter;
        let received = humantime::format_rfc3339_millis(headers.received).to_string();
        if self.as_json {
            let line = json!({
                "broker": headers.broker.map(Broker::as_str), "position": headers.position, "id": headers.id.to_string(),
                "received": received, "reason": headers.reason, "detail": headers.detail, "instance": headers.instance.map(|instance| instance.to_string()),
                "type": headers.kind, "size": headers.size, "parts": part_count, "missing": missing, "replayed": times,
            });
            return writeln!(out, "{line}");
        }
        if !self.has_header {
            self.has_header = true;
            let [size, parts, replayed] = ["SIZE", "PARTS", "REPLAYED"];
            writeln!(
                out,
                "{:<24}  {:<7}  {:<14}  {:<12}  {:<26}  {size:>9}  {parts:<5}  {replayed:<8}  {:<32}  DETAIL",
                "RECEIVED", "AT", "REASON", "INSTANCE", "TYPE", "ID"
            )?;
        }
        let parts = if *part_count == 1 {
            "-".into()
        } else {
            format!("{}/{part_count}", part_count - missing.len().min(*part_count))
        };
        let instance = headers.instance.map_or_else(|| "-".into(), |instance| instance.to_string());
        let replayed = if times == 0 { "-".into() } else { format!("{times}×") };
        writeln!(
            out,
            "{received:<24}  {:<7}  {:<14}  {instance:<12}  {:<26}  {:>9}  {parts:<5}  {replayed:<8}  {}  {}",
            location_name(headers.broker),
            printable(&headers.reason),
            printable(headers.kind.as_deref().unwrap_or("-")),
            headers.size,
            headers.id,
            printable(&headers.detail),
        )
    }
}
