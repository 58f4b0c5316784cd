//! `journal reroute`, `drop` and `erase`: preview the edit, ask the operator, apply it.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use super::access::routes;
use super::{CommandError, CommandResult, EditOptions, failure, last_seq, open_reader, unusable};
use crate::config::Config;
use crate::journal::{EditResult, RecordFilter};
use crate::journal_edit::{Edit, EditReport, EditRequest, plan_edit};
use crate::units::records;

pub(super) async fn edit(config: &Config, edit: Edit, filter: RecordFilter, options: EditOptions) -> CommandResult {
    let request = EditRequest { edit, filter };
    request.check(&*routes(config)?).map_err(unusable)?;
    let planned = preview(config, &request).await?;
    let count = planned.changed();
    let erases = matches!(request.edit, Edit::Erase { .. });
    // an erasure through a bridge may have left traces that only another erasure removes
    if options.dry_run || count == 0 && !erases {
        print(&request, &planned, &options);
        return Ok(exit_code(&planned));
    }
    if !options.yes && count > 0 {
        confirm(&request, count)?;
    }
    let journal = options.admin.open(config).await?;
    let edited = journal.edit(request.clone()).await;
    journal.close().await;
    let report = edited?;
    print(&request, &report, &options);
    Ok(exit_code(&report))
}

fn exit_code(report: &EditReport) -> ExitCode {
    if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the edit would do now; reads the journal and changes nothing.
async fn preview(config: &Config, request: &EditRequest) -> Result<EditReport, CommandError> {
    let (reader, routes) = (open_reader(config)?, routes(config)?);
    let (until, mut after, mut report) = (last_seq(&reader).await?, 0, EditReport::of(&request.edit));
    loop {
        let page = reader.matching(&request.record_filter(), after, until).await.map_err(failure)?;
        for record in page.records {
            report.add(plan_edit(&routes, &request.edit, &record).0, 1);
        }
        let result = if request.deletes_unreadable() { EditResult::Dropped } else { EditResult::Damaged };
        if !page.unreadable.is_empty() {
            report.add(result, page.unreadable.len() as u64);
        }
        match page.next {
            Some(next) => after = next,
            None => return Ok(report),
        }
    }
}

fn confirm(request: &EditRequest, count: u64) -> Result<(), CommandError> {
    let records = records(count);
    let what = match &request.edit {
        Edit::Reroute { from, to } => {
            let to = to.unwrap_or(*from).as_str();
            format!("reroute {records} of the {} backlog to {to}, by the current routes", from.as_str())
        }
        Edit::Drop { broker: None } => format!("drop {records} for good"),
        Edit::Drop { broker: Some(broker) } => {
            let name = broker.as_str();
            format!(
                "drop {records} of the {name} backlog (save them first: `greenapi-bridge journal export --broker {name}`)"
            )
        }
        Edit::Erase { .. } => format!("delete {records} for good"),
    };
    if !std::io::stdin().is_terminal() {
        return Err(unusable(format!("this would {what}; give --yes to do it, or --dry-run to preview it")));
    }
    let _ = write!(std::io::stderr(), "This will {what}. Continue? [y/N] ");
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer).is_ok();
    let yes = read && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str());
    if yes { Ok(()) } else { Err(failure("nothing was changed")) }
}

fn print(request: &EditRequest, report: &EditReport, options: &EditOptions) {
    if options.json {
        // strings, numbers and a boolean are always JSON
        let mut report = serde_json::to_value(report).unwrap_or_default();
        report["dry_run"] = options.dry_run.into();
        println!("{report:#}");
        return;
    }
    let (main, would) = (request.edit.main_result(), if options.dry_run { "would be " } else { "" });
    println!("{} {would}{main}", records(report.count(main)));
    for (result, count) in report.results() {
        let more = match result {
            EditResult::AlreadyThere => "dropped here: the other broker already has them",
            EditResult::Unchanged => "unchanged: current routes give the same destination",
            EditResult::NoDestination => {
                "unchanged: current routes give no destination there; name another broker with --to"
            }
            EditResult::Unreadable => "unchanged: their body can no longer be parsed",
            EditResult::Damaged => {
                "unchanged: they cannot be read, their part of the disk is damaged; `journal export` names them, `journal drop --seq` removes them"
            }
            EditResult::Rerouted | EditResult::Dropped | EditResult::Erased | EditResult::Unrelated => continue,
        };
        println!("{} {more}", records(count));
    }
    if matches!(request.edit, Edit::Erase { .. }) {
        println!("messages that brokers already have are not erased there");
    }
    if report.traces_left {
        let why = "traces may be left in the journal's files, which could not be rewritten now: too large while a bridge runs, no space, or open in another program";
        eprintln!("greenapi-bridge: {why}; stop the bridge, and erase again");
    }
}
