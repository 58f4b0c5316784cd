//! `check`.

use std::process::ExitCode;

use serde_json::json;

use super::routes::Plan;
use crate::admit::Tokens;
use crate::bridge;
#[cfg(feature = "kafka")]
use crate::brokers::kafka;
#[cfg(feature = "nats")]
use crate::brokers::nats;
use crate::brokers::{Finding, Verdict};
use crate::config::Config;
use crate::journal::{self, Journal, Outlook};
use crate::message::Broker;

/// What one broker was found to be: its name, its servers, and a line for everything asked.
type Asked = (&'static str, String, Vec<Finding>);

/// Who asks, and how.
pub(super) struct Asking {
    pub(super) offline: bool,
    pub(super) as_json: bool,
}

pub(super) async fn check(config: &Config, tokens: Option<&Tokens>, plan: &Plan, how: Asking) -> ExitCode {
    let Asking { offline, as_json } = how;
    let endpoint = endpoint(config, tokens);
    if !as_json {
        plan.print();
        print(&("endpoint", format!("{}{}", config.http.listen, config.http.path), endpoint.clone()));
    }
    let journal = config.journal.as_ref().map(|of| ("journal", of.directory.display().to_string(), journal(of, plan)));
    if let Some(journal) = journal.as_ref().filter(|_| !as_json) {
        print(journal);
    }
    let asked = if offline { Vec::new() } else { ask(config, plan).await };
    let fine =
        asked.iter().chain(&journal).flat_map(|(.., found)| found).all(|finding| finding.verdict != Verdict::Wrong);
    if as_json {
        let mut out =
            json!({"routes": plan.routes(), "dead_letters": plan.dead_letters(), "endpoint": endpoint, "fine": fine});
        if let Some((.., found)) = journal {
            out["journal"] = json!(found);
        }
        if !offline {
            let brokers = asked.iter().map(|(name, _, found)| ((*name).to_owned(), json!(found)));
            out["brokers"] = brokers.collect::<serde_json::Map<_, _>>().into();
        }
        println!("{out:#}");
    } else {
        asked.iter().for_each(print);
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Who may send to it.
fn endpoint(config: &Config, tokens: Option<&Tokens>) -> Vec<Finding> {
    let counted = tokens.map(Tokens::count).map(|(all, bound)| format!("{all}, of which {bound} bound to instances"));
    let open = || config.open_to().map(|(anyone, remedy)| Finding::note("tokens", format!("none: {anyone}"), remedy));
    let tokens = counted.map(|counted| Finding::fine("tokens", counted)).or_else(open);
    let from = config.auth.allow_from.as_ref().map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
    let from = from.map_or("any address".into(), |all| format!("only {}", all.join(", ")));
    tokens.into_iter().chain([Finding::fine("from", from)]).collect()
}

/// Whether a bridge would start with the journal, and keep what comes.
fn journal(config: &journal::Config, plan: &Plan) -> Vec<Finding> {
    let outlook = match Journal::look_at(config) {
        Ok(outlook) => outlook,
        Err(error) => return vec![Finding::wrong("directory", error.to_string(), "")],
    };
    let unused = Broker::ALL.into_iter().filter(|broker| !plan.use_broker(*broker));
    let owing = unused.map(|broker| (broker, outlook.owed[broker as usize])).filter(|(_, owed)| *owed > 0);
    let owing = owing.map(|(broker, owed)| {
        let [found, remedy] = bridge::owing(broker, owed);
        Finding::wrong("owed", found, remedy)
    });
    owing.chain([room(config, &outlook)]).collect()
}

/// Whether the journal can have what it may.
fn room(config: &journal::Config, outlook: &Outlook) -> Finding {
    let shown = |bytes: u64| bytesize::ByteSize::b(bytes).display().iec().to_string();
    let [most, least, for_log] = [config.max_bytes, config.min_free, config.for_log()].map(|bytes| bytes as u64);
    let beside = match outlook.aside {
        0 => String::new(),
        aside => format!(" beside {} that it sets aside", shown(aside)),
    };
    let free = format!("{} free{beside}", shown(outlook.free));
    match outlook.room {
        Err("full") => {
            let found = format!("full: {}", journal::taken(outlook.used, most, for_log));
            Finding::wrong("room", found, "raise journal.max_bytes; until there is room nothing is kept")
        }
        Err(_) => {
            let remedy = "make room, or lower journal.min_free; until then nothing is kept";
            Finding::wrong("room", format!("{free}, too little for min_free = {}", shown(least)), remedy)
        }
        Ok(()) if outlook.free < most.saturating_add(least) => {
            let found = format!("{free}, less than max_bytes = {} and min_free = {}", shown(most), shown(least));
            Finding::note("room", found, "make room, or lower journal.max_bytes; it ends where min_free begins")
        }
        Ok(()) => Finding::fine("room", format!("{free}, max_bytes = {}", shown(most))),
    }
}

async fn ask(config: &Config, plan: &Plan) -> Vec<Asked> {
    let mut asked = Vec::new();
    let window = config.dedupe.window;
    #[cfg(feature = "kafka")]
    if let Some(kafka) = config.kafka.as_ref().filter(|_| plan.use_broker(Broker::Kafka)) {
        let found = kafka::check(kafka, &plan.topics(), window).await;
        asked.push(("kafka", kafka.bootstrap_servers.join(", "), found));
    }
    #[cfg(feature = "nats")]
    if let Some(nats) = config.nats.as_ref().filter(|_| plan.use_broker(Broker::Nats)) {
        let found = nats::check(nats, &plan.subjects(), window, config.journal.is_some()).await;
        asked.push(("nats", nats.servers.join(", "), found));
    }
    asked
}

fn print((name, servers, found): &Asked) {
    println!("\n{name}: {servers}");
    for Finding { verdict, about, found, remedy } in found {
        let remedy = if remedy.is_empty() { String::new() } else { format!("  → {remedy}") };
        println!("{} {about:<13} {found}{remedy}", verdict.mark());
    }
}
