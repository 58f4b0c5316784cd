//! `check`: asks every broker whether it is configured so that acknowledged messages are stored, and prints the findings.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::json;

use super::routes::Plan;
use crate::auth::Tokens;
use crate::bridge::backlog::{BacklogProblem, Consequence, backlog_problem, journal_only_problem};
use crate::brokers::{Finding, JournalBacklog, Verdict, kafka, nats};
use crate::config::Config;
use crate::http_server::{CertificateInfo, Validity};
use crate::journal::{self, Journal, JournalReader, JournalRefusal, Preflight};
use crate::message::Broker;
use crate::notification::ValidationMode;
use crate::units::{records, sequence_numbers, show};

/// The findings about one broker, or about the endpoint or the journal.
struct Section {
    name: &'static str,
    /// Its servers, address or folder.
    location: String,
    findings: Vec<Finding>,
}

pub(super) const EXAMPLES: &str = "Examples:
  greenapi-bridge check --config bridge.toml
  greenapi-bridge check --config bridge.toml --offline
  greenapi-bridge check --config bridge.toml --json | jq '.brokers[][] | select(.verdict == \"wrong\")'
  greenapi-bridge check --ready http://127.0.0.1:3002/readyz";

/// What to check.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Check the configuration and the journal, and print the routes; connect to no broker.
    #[arg(long)]
    pub(super) offline: bool,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// Only ask a running bridge whether it is ready: its /readyz on [probes] or [admin]; needs no configuration.
    #[arg(long, value_name = "URL", conflicts_with_all = ["offline", "json"])]
    pub(super) ready: Option<String>,
    /// With an https URL of --ready: the authorities to trust, in PEM; otherwise those of the system.
    #[arg(long, value_name = "FILE", requires = "ready")]
    pub(super) ca_file: Option<PathBuf>,
}

pub(super) async fn check(
    config: &Config,
    tokens: Option<&Tokens>,
    plan: &Plan,
    &Arguments { offline, json: as_json, .. }: &Arguments,
) -> ExitCode {
    let location = format!("{}{}", config.http.listen, config.http.path);
    let endpoint = Section { name: "endpoint", location, findings: endpoint(config, tokens) };
    let journal = match &config.journal {
        Some(section) => {
            let location = section.directory.display().to_string();
            let ephemeral = section.ephemeral.then(|| ephemeral(config.shutdown.grace));
            let findings = ephemeral.into_iter().chain(journal(section, plan).await).collect();
            Some(Section { name: "journal", location, findings })
        }
        None => None,
    };
    if !as_json {
        plan.print();
        [Some(&endpoint), journal.as_ref()].into_iter().flatten().for_each(print);
    }
    let brokers = if offline { Vec::new() } else { check_brokers(config, plan).await };
    let findings = brokers.iter().chain(&journal).chain([&endpoint]).flat_map(|section| &section.findings);
    let (wrong, notes) = findings.fold((0, 0), |(wrong, notes), finding| match finding.verdict {
        Verdict::Wrong => (wrong + 1, notes),
        Verdict::Note => (wrong, notes + 1),
        Verdict::Fine => (wrong, notes),
    });
    let fine = wrong == 0;
    if as_json {
        let (routes, dead_letters, endpoint) = (plan.routes(), plan.dead_letters(), endpoint.findings);
        let mut out = json!({"routes": routes, "dead_letters": dead_letters, "endpoint": endpoint, "fine": fine});
        if let Some(journal) = journal {
            out["journal"] = json!(journal.findings);
        }
        if !offline {
            let brokers = brokers.iter().map(|section| (section.name.to_owned(), json!(section.findings)));
            out["brokers"] = brokers.collect::<serde_json::Map<_, _>>().into();
        }
        println!("{out:#}");
    } else {
        brokers.iter().for_each(print);
        println!("\n{}", verdict(wrong, notes, offline));
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The last line: what all findings come to.
fn verdict(wrong: usize, notes: usize, offline: bool) -> String {
    let count = |number, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
    let asked = if offline { ", no broker was asked" } else { "" };
    match (wrong, notes) {
        (0, 0) => format!("✓ fine{asked}"),
        (0, _) => format!("✓ fine, with {} to read{asked}", count(notes, "note")),
        (_, 0) => format!("✗ {} to correct{asked}", count(wrong, "fault")),
        _ => format!("✗ {} to correct, and {} to read{asked}", count(wrong, "fault"), count(notes, "note")),
    }
}

/// Which senders the endpoint accepts, and which notifications.
fn endpoint(config: &Config, tokens: Option<&Tokens>) -> Vec<Finding> {
    let counted = tokens.map(Tokens::count).map(|(all, bound)| format!("{all}, of which {bound} bound to instances"));
    let anonymous =
        || config.anonymous_access().map(|(anyone, remedy)| Finding::note("tokens", format!("none: {anyone}"), remedy));
    let tokens = counted.map(|counted| Finding::fine("tokens", counted)).or_else(anonymous);
    let from = config.auth.allow_from.as_ref().map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
    let from = from.map_or("any address".into(), |all| format!("only {}", all.join(", ")));
    let strict = config.validation.mode == ValidationMode::Strict;
    let strict = strict.then(|| Finding::fine("validation", "strict: what breaks its schema is a dead letter"));
    let tls = [("certificate", config.webhook_tls()), ("admin certificate", config.admin_tls())];
    let certificates = tls
        .into_iter()
        .filter_map(|(about, tls)| Some(certificate(about, &tls.ok()??.certificate(), SystemTime::now())));
    let proxy = config.proxy_bypass().map(|(found, remedy)| Finding::note("proxy", found, remedy));
    let open = config.open_tokens_files().into_iter();
    let open = open.map(|(key, problem, remedy)| Finding::note("tokens", format!("{key}: {problem}"), remedy));
    let tokens = tokens.into_iter().chain(open).chain([Finding::fine("from", from)]);
    tokens.chain(proxy).chain(strict).chain(certificates).collect()
}

/// What a certificate is for, and why clients may refuse it.
fn certificate(about: &'static str, certificate: &CertificateInfo, now: SystemTime) -> Finding {
    let time = |at| humantime::format_rfc3339_seconds(at).to_string();
    let names = if certificate.names.is_empty() { "no name".into() } else { certificate.names.join(", ") };
    let left = show(Duration::from_secs(certificate.time_left(now).as_secs() / 3600 * 3600));
    let found = format!("for {names}, expires {}, in {left}", time(certificate.not_after));
    let problem = match certificate.validity(now) {
        Validity::Expired => {
            let remedy = "renew it: clients that check it cannot connect";
            return Finding::wrong(about, format!("for {names}, expired {}", time(certificate.not_after)), remedy);
        }
        Validity::NotYet => {
            let found = format!("for {names}, not valid before {}", time(certificate.not_before));
            return Finding::wrong(about, found, "look at the clock of this machine, or give one that is valid now");
        }
        Validity::ExpiresSoon => Some("renew it: less than a tenth of its lifetime is left"),
        Validity::Valid if certificate.names.is_empty() => {
            Some("clients compare its subjectAltName with the URL, not its CN: give one with the name or address")
        }
        Validity::Valid if certificate.is_self_signed => {
            Some("it is self-signed: only clients that were given it accept it")
        }
        Validity::Valid if certificate.chain_length == 1 => {
            Some("its issuer is not in the file, and most clients need it: give the chain, such as fullchain.pem")
        }
        Validity::Valid => None,
    };
    match problem {
        Some(remedy) => Finding::note(about, found, remedy),
        None => Finding::fine(about, found),
    }
}

/// Whether a bridge would start with the journal, and could store records in it.
async fn journal(config: &journal::Config, plan: &Plan) -> Vec<Finding> {
    let preflight = match Journal::preflight(config) {
        Ok(preflight) => preflight,
        Err(error) => return vec![Finding::wrong("directory", error.to_string(), "")],
    };
    let backlogs = backlog_problems(config, plan, &preflight).await;
    let backlogs = backlogs.into_iter().map(|BacklogProblem { consequence, config_key, problem, remedy }| {
        let found = format!("{config_key}: {problem}");
        match consequence {
            Consequence::Refused => Finding::wrong("backlog", found, remedy),
            Consequence::Waits => Finding::note("backlog", found, remedy),
        }
    });
    let has_broker = Broker::ALL.into_iter().any(|broker| plan.uses_broker(broker));
    let journal_only = journal_only_problem(preflight.journal_only, has_broker);
    let journal_only = journal_only.map(|(problem, remedy)| Finding::note("backlog", problem, remedy));
    let risks = preflight.risks.iter().map(|risk| Finding::note("directory", risk.problem.clone(), risk.remedy));
    let damage = unreadable(&preflight);
    backlogs.chain(risks).chain(journal_only).chain(damage).chain([capacity(config, &preflight)]).collect()
}

/// What a stop means for a journal that goes with its pod.
fn ephemeral(grace: Duration) -> Finding {
    let found =
        format!("true: a stop forwards until shutdown.grace = {} ends; what is left then may be lost", show(grace));
    let remedy =
        "only for a volume that goes with the pod; elsewhere remove the key, and the next start forwards the rest";
    Finding::note("ephemeral", found, remedy)
}

/// Why backlogs cannot be forwarded.
async fn backlog_problems(config: &journal::Config, plan: &Plan, preflight: &Preflight) -> Vec<BacklogProblem> {
    let mut problems = Vec::new();
    // a journal that cannot be read is another finding
    let Ok(reader) = JournalReader::open(&config.directory) else { return problems };
    for broker in Broker::ALL {
        let problem = backlog_problem(&reader, plan.table(), broker, preflight.backlog[broker]).await;
        problems.extend(problem.ok().flatten());
    }
    problems
}

/// The records that no broker gets because they cannot be read.
fn unreadable(preflight: &Preflight) -> Option<Finding> {
    let unreadable = &preflight.unreadable;
    let numbers = sequence_numbers(unreadable);
    let found =
        format!("{} cannot be read ({numbers}): their part of the disk is damaged", records(unreadable.len() as u64));
    let remedy = "`journal drop --seq` removes them; move the journal to a sound disk";
    (!unreadable.is_empty()).then(|| Finding::note("records", found, remedy))
}

/// Whether the disk has space for all that the journal may take.
fn capacity(config: &journal::Config, preflight: &Preflight) -> Finding {
    let shown = |bytes: u64| bytesize::ByteSize::b(bytes).display().iec().to_string();
    let (max_bytes, min_free) = (config.max_bytes as u64, config.min_free as u64);
    let reserve = match preflight.reserved {
        0 => String::new(),
        reserved => format!(" beside its reserve of {}", shown(reserved)),
    };
    let free = format!("{} free{reserve}", shown(preflight.free));
    match preflight.accepts {
        Err(JournalRefusal::Full) => {
            let usage = journal::describe_usage(preflight.used, max_bytes, config.wal_share() as u64);
            let remedy = "raise journal.max_bytes; until there is space nothing more is stored";
            Finding::wrong("room", format!("full: {usage}"), remedy)
        }
        Err(JournalRefusal::LogHeld) => {
            let found = "its write-ahead log cannot be emptied, because something reads journal.db and does not end";
            let remedy = "end that program (`fuser -v journal.db` names it); until then nothing more is stored";
            Finding::wrong("room", found, remedy)
        }
        Err(_) => {
            let remedy = "free disk space, or lower journal.min_free; until then nothing is stored";
            Finding::wrong("room", format!("{free}, too little for min_free = {}", shown(min_free)), remedy)
        }
        Ok(()) if preflight.free < max_bytes.saturating_add(min_free) => {
            let found =
                format!("{free}, less than max_bytes = {} and min_free = {}", shown(max_bytes), shown(min_free));
            let remedy = "free disk space, or lower journal.max_bytes; the journal is full when only min_free is free";
            Finding::note("room", found, remedy)
        }
        Ok(()) => Finding::fine("room", format!("{free}, max_bytes = {}", shown(max_bytes))),
    }
}

/// No command knows the topics of this template.
fn dynamic_topic(template: &str) -> Finding {
    let found = format!("{template}: notifications choose the topic, so no topic of it is checked");
    Finding::note("topics", found, "create every topic it can give: a notification for a missing one is a dead letter")
}

/// Connects to every broker that a route leads to, and checks it.
async fn check_brokers(config: &Config, plan: &Plan) -> Vec<Section> {
    let mut sections = Vec::new();
    let window = config.dedupe.window;
    if let Some(kafka) = config.kafka.as_ref().filter(|_| plan.uses_broker(Broker::Kafka)) {
        let mut findings = kafka::check(kafka, &plan.topics(), window).await;
        findings.extend(plan.dynamic_topics().into_iter().map(dynamic_topic));
        sections.push(Section { name: "kafka", location: kafka.bootstrap_servers.join(", "), findings });
    }
    if let Some(nats) = config.nats.as_ref().filter(|_| plan.uses_broker(Broker::Nats)) {
        let backlog = config.journal.as_ref().map(|section| nats_backlog(Journal::preflight(section).ok()));
        let findings = nats::check(nats, &plan.subjects(), window, backlog.as_ref()).await;
        sections.push(Section { name: "nats", location: nats.servers.join(", "), findings });
    }
    sections
}

fn nats_backlog(preflight: Option<Preflight>) -> JournalBacklog {
    let (records, stream) = preflight.map_or((0, None), |found| (found.backlog[Broker::Nats], found.stream));
    JournalBacklog { records, stream }
}

fn print(Section { name, location, findings }: &Section) {
    println!("\n{name}: {location}");
    for Finding { verdict, about, found, remedy } in findings {
        let remedy = if remedy.is_empty() { String::new() } else { format!("  → {remedy}") };
        println!("{} {about:<13} {found}{remedy}", verdict.mark());
    }
}
