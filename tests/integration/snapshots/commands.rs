//! The command line: options and arguments of every command, and exit codes.

use std::io::Write;
use std::time::Duration;

use super::{file, journal_in, no_nats, program};
use crate::harness::{Bridge, Nats, assert_snapshot, eventually, free_port, nats_servers, text};

fn help(command: &[&str]) -> String {
    super::printed(&[command, &["-h"]].concat())
}

/// The lines of a section of a help text, such as "Options", up to the next empty line.
fn section<'h>(help: &'h str, name: &str) -> impl Iterator<Item = &'h str> {
    let begin = format!("{name}:");
    let lines = help.lines().skip_while(move |line| *line != begin).skip(1).take_while(|line| !line.is_empty());
    lines.map(str::trim)
}

/// The names of an option, and whether it takes a value; of an argument, whether it must be there and may be repeated.
fn names(line: &str) -> String {
    let words = line.split_whitespace().take_while(|word| word.starts_with(['-', '<', '[']));
    let names = words.map(|word| match word.chars().next() {
        Some('<') => word.replace(|c: char| c.is_alphanumeric() || c == '_', "").replace("<>", "<value>"),
        Some('[') => word.replace(|c: char| c.is_alphanumeric() || c == '_', "").replace("[]", "[value]"),
        _ => word.trim_end_matches(',').to_owned(),
    });
    let default = line.find("[default: ").map(|at| format!(" {}", &line[at..]));
    names.collect::<Vec<_>>().join(" ") + &default.unwrap_or_default()
}

/// The options of a command, and those of all commands below it.
fn options(command: &[&str]) -> String {
    let help = help(command);
    let mut shown = format!("{}\n", [&["greenapi-bridge"], command].concat().join(" "));
    for line in section(&help, "Arguments").chain(section(&help, "Options")) {
        shown += &format!("  {}\n", names(line));
    }
    let commands = section(&help, "Commands").filter_map(|line| line.split_whitespace().next());
    let below = commands.filter(|name| *name != "help").map(|name| options(&[command, &[name]].concat()));
    shown + &below.map(|below| format!("\n{below}")).collect::<String>()
}

#[test]
fn help_of_every_command() {
    assert_snapshot("help.txt", &options(&[]));
}

/// Situations with their exit codes.
#[derive(Default)]
struct Codes(String);

impl Codes {
    fn add(&mut self, situation: &str, code: Option<i32>) {
        self.0 += &format!("{}  {situation}\n", code.map_or("-".into(), |code| code.to_string()));
    }

    /// Runs a command with a configuration, of which the situation says what matters.
    fn of(&mut self, words: &str, config: &str, situation: &str) {
        let config = file(config);
        let words: Vec<_> = words.split(' ').chain(["--config", config.path().to_str().unwrap()]).collect();
        self.run(&words, situation);
    }

    fn run(&mut self, words: &[&str], situation: &str) {
        let shown = words.iter().take_while(|word| **word != "--config");
        // neither a port nor a folder of this run
        let shown =
            shown.map(|word| if word.starts_with("http:") { "<url>" } else { word.rsplit('/').next().unwrap() });
        let shown = shown.collect::<Vec<_>>().join(" ");
        self.add(&format!("{shown}: {situation}"), program(words).status.code());
    }
}

#[test]
fn exit_codes() {
    let mut codes = Codes::default();
    arguments(&mut codes);
    serving(&mut codes);
    asking(&mut codes);
    of_journals(&mut codes);
    sending(&mut codes);
    assert_snapshot("exit_codes.txt", &codes.0);
}

/// Every command, with what it takes to be complete.
const COMMANDS: [&str; 13] = [
    "run",
    "check",
    "provision",
    "dead-letter list",
    "dead-letter show 00000000000000000000000000000007",
    "dead-letter replay --all",
    "journal status",
    "journal export",
    "journal import /dev/null",
    "journal reroute --from nats --yes",
    "journal drop --broker nats --yes",
    "journal erase --instance 7 --yes",
    "tail --no-follow",
];

fn arguments(codes: &mut Codes) {
    codes.run(&["--help"], "help");
    codes.run(&["--version"], "version");
    codes.run(&["nonsense"], "no command");
    for command in COMMANDS.into_iter().chain(["send"]) {
        let words: Vec<_> = command.split(' ').chain(["--nonsense"]).collect();
        codes.run(&words, "an unknown option");
    }
    for command in COMMANDS {
        codes.of(command, "nats.nonsense = 1\n", "an unknown key");
        let missing: Vec<_> = command.split(' ').chain(["--config", "/does/not/exist.toml"]).collect();
        codes.run(&missing, "no such configuration");
    }
    codes.of("dead-letter show 123", "nats = {}\n", "no id");
    codes.of("dead-letter replay", "nats = {}\n", "says not which");
    codes.of("dead-letter list --reason luck", "nats = {}\n", "an unknown reason");
    codes.of("dead-letter list --broker kafka", "nats = {}\n", "a broker that is not used");
    codes.of("journal erase --yes", "journal = {}\n", "says not whose");
}

fn serving(codes: &mut Codes) {
    let (folder, nats) = (tempfile::tempdir().unwrap(), Nats::start());
    let alone = |extra: &str| Bridge::with(&format!("{}{extra}", journal_in(folder.path())), false).ready();
    for signal in ["-TERM", "-INT"] {
        let mut bridge = alone("");
        bridge.signal(signal);
        codes.add(&format!("run: ends after {signal}"), bridge.exit_code());
    }
    let bridge = alone("");
    let listen = |of: &str| format!("http.listen = \"{of}\"\n");
    let other = tempfile::tempdir().unwrap();
    let taken = format!("{}{}", listen(&bridge.http.to_string()), journal_in(other.path()));
    codes.of("run", &taken, "its address is taken");
    let here = listen(&format!("127.0.0.1:{}", free_port()));
    codes.of("run", &format!("{here}{}", journal_in(folder.path())), "another bridge runs on its journal");
    drop(bridge);
    codes.of("run", "http.listen = \"0.0.0.0:3000\"\nnats = {}\n", "reachable by anyone without a token");
    codes.of("run", "nats = {}\nroute.brokers = []\n", "no broker and no journal");
    let mut bridge = Bridge::start(&nats, "");
    nats.signal("-STOP");
    let _begun = bridge.begin(&text(1));
    bridge.wait_for_in_flight(1);
    bridge.signal("-TERM");
    eventually("it stops", Duration::from_secs(2), || bridge.get("/readyz").1.contains("\"stopping\":true"));
    bridge.signal("-INT");
    codes.add("run: a second signal before all is stored", bridge.exit_code());
    nats.signal("-CONT");
    let mut bridge = alone("");
    std::fs::remove_file(folder.path().join("data/journal.db")).unwrap();
    let _ = bridge.begin(&text(2));
    codes.add("run: its journal is taken away", bridge.exit_code());
}

/// What asks a broker.
fn asking(codes: &mut Codes) {
    let nats = Nats::start();
    let config = nats_servers(&[nats.port]);
    codes.of("check", &config, "no stream");
    codes.of("provision --dry-run", &config, "no stream");
    codes.of("dead-letter list", &config, "no stream");
    codes.of("provision", &config, "a server");
    codes.of("provision", &config, "all is there");
    codes.of("check", &config, "all is there");
    codes.of("check --offline", &config, "a server");
    codes.of("dead-letter list", &config, "none");
    codes.of("dead-letter show 00000000000000000000000000000007", &config, "none");
    codes.of("dead-letter replay --all", &config, "none");
    codes.of("dead-letter replay 00000000000000000000000000000007", &config, "none");
    codes.of("journal status", &config, "no section of a journal");
    codes.of("tail --no-follow", &config, "no section of a journal");
    for command in ["check", "provision", "dead-letter list", "dead-letter replay --all"] {
        codes.of(command, &no_nats(), "no server");
    }
}

fn of_journals(codes: &mut Codes) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = format!("{}{}", journal_in(folder.path()), no_nats());
    for command in ["journal status", "journal export", "tail --no-follow", "dead-letter list --journal"] {
        codes.of(command, &config, "a journal that was never there");
    }
    // at an address of its own
    config += &format!("http.listen = \"127.0.0.1:{}\"\n", free_port());
    let mut bridge = Bridge::with(&format!("{}{}", journal_in(folder.path()), no_nats()), false).ready();
    assert_eq!(bridge.post(&text(1)).0, 200);
    codes.of("journal status", &config, "a bridge runs on it");
    codes.of("journal drop --broker nats --yes", &config, "a bridge without [admin] runs on it");
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));
    let exported = folder.path().join("exported.jsonl");
    codes.of("journal status", &config, "a record");
    codes.of("check --offline", &config, "a record");
    let at = exported.display();
    codes.of(&format!("journal export --output {at}"), &config, "a record");
    codes.of(&format!("journal export --output {at}"), &config, "a file that is there");
    codes.of(&format!("journal import {at}"), &config, "a record that is there");
    writeln!(std::fs::File::create(&exported).unwrap(), "nonsense").unwrap();
    codes.of(&format!("journal import {at}"), &config, "no line of an export");
    codes.of("journal import /does/not/exist", &config, "no such file");
    codes.of("tail --no-follow", &config, "a record");
    codes.of("tail --no-follow -n 5 --since 1h", &config, "options that exclude each other");
    codes.of("dead-letter list --journal", &config, "none");
    codes.of("journal reroute --from nats", &config, "no --yes, and all is where it belongs");
    codes.of("journal drop --broker nats", &config, "no --yes, and no terminal to ask at");
    codes.of("journal erase --instance 7", &config, "no --yes, and no terminal to ask at");
    codes.of("journal reroute --from nats --to kafka --yes", &config, "a broker that is not used");
    codes.of("journal reroute --from nats --dry-run", &config, "a record");
    codes.of("journal reroute --from nats --yes", &config, "a record");
    let alone = format!("{}http.listen = \"127.0.0.1:{}\"\n", journal_in(folder.path()), free_port());
    codes.of("run", &alone, "a broker is owed that is not used");
    codes.of("check --offline", &alone, "a broker is owed that is not used");
    codes.of("journal drop --broker nats --yes", &config, "a record");
    codes.of("journal erase --instance 7 --yes", &config, "nothing left");
    std::fs::write(folder.path().join("data/journal.db"), "no database\n".repeat(1000)).unwrap();
    codes.of("journal status", &config, "a broken journal");
    codes.of("run", &alone, "a broken journal");
}

fn sending(codes: &mut Codes) {
    let (folder, tokens) = (tempfile::tempdir().unwrap(), file("token-for-everyone\n"));
    let closed = format!("auth.tokens_file = {:?}\n", tokens.path());
    let bridge = Bridge::with(&format!("{}{closed}", journal_in(folder.path())), false).ready();
    let url = format!("http://{}/green-api/webhook/", bridge.http);
    let tail = format!("http://{}", bridge.admin);
    let token = tokens.path().to_str().unwrap();
    let mut send = |words: &[&str], situation: &str| {
        let words = [&["send", "--url", &url, "--count", "1"], words].concat();
        codes.add(&format!("send: {situation}"), program(&words).status.code());
    };
    send(&["--token-file", token], "all is answered 200");
    send(&["--pause", "1ms", "--give-up", "1"], "not all is answered 200");
    send(&["--token-file", "/does/not/exist"], "no such tokens file");
    send(&["--types", "nonsense"], "an unknown type");
    codes.run(&["tail", "--no-follow", "--url", &tail], "a bridge with a journal");
    codes.run(&["tail", "--no-follow", "--url", &format!("http://127.0.0.1:{}", free_port())], "nobody answers");
}
