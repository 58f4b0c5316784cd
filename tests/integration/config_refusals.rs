//! What is refused at start, as the program says it: the key, its value, the remedy, and never a secret.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::refusals;

const SECRET: &str = "hunter2";
const COMMANDS: [&str; 4] = ["run", "check", "check --offline", "provision"];

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// The program with nothing but these arguments and variables; one that serves is stopped with another exit code.
fn program(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut program = Command::new("timeout");
    program.args(["--kill-after=1", "10", env!("CARGO_BIN_EXE_greenapi-bridge")]).args(arguments);
    program.env_clear().env("PATH", "/usr/bin:/bin").envs(environment.iter().copied()).output().unwrap()
}

/// A line on standard error that has all of `says`, this exit code, and no secret anywhere.
fn assert_refused(command: &str, toml: &str, environment: &[(&str, &str)], code: i32, says: &[&str]) {
    let config = file(toml);
    let path = config.path().display().to_string();
    let arguments: Vec<_> = command.split(' ').chain(["--config", &path]).collect();
    let answer = program(&arguments, environment);
    let error = refusals(&answer.stderr);
    let context = format!("{command} with {toml:?} and {environment:?} says {error:?}");
    assert_eq!(answer.status.code(), Some(code), "{context}");
    // a line for each mistake, and nothing else
    let mistakes: Vec<_> = error.lines().collect();
    assert!(mistakes.iter().any(|line| says.iter().all(|part| line.contains(part))), "{says:?}: {context}");
    assert!(mistakes.iter().all(|line| line.contains(": ") || line.contains(" = ")), "{context}");
    assert!(!error.contains(SECRET) && answer.stdout.is_empty(), "{context}");
}

#[test]
fn contradictory_configurations_are_refused() {
    for (toml, says) in [
        ("", ["route.brokers", "no broker", "[nats]"]),
        ("[nats]\n[route]\nbrokers = []", ["route.brokers", "[]", "name one"]),
        ("[route]\nbrokers = [\"nats\"]", ["route.brokers", "no broker", "add the section"]),
        ("[nats]\n[route]\nbrokers = [\"kafka\"]", ["route.brokers", "kafka", "add it"]),
        ("[nats]\n[http]\nlisten = \"0.0.0.0:3000\"", ["http.listen", "0.0.0.0:3000", "auth.tokens_file"]),
        ("[nats]\n[admin]\nlisten = \"[::]:3001\"", ["admin.listen", "[::]:3001", "loopback"]),
        ("[nats]\n[http]\nlisen = \"127.0.0.1:1\"", ["http.lisen", "127.0.0.1:1", "`listen`"]),
        ("[nats]\n[http.limits]\nin_fligth = 9", ["http.limits.in_fligth", "9", "`in_flight`"]),
        ("[nast]\n", ["nast", "unknown key", "`nats`"]),
        ("[nats]\n[route]\nclasses.state.brokers = [\"kafka\"]", ["route.classes.state.brokers", "kafka", "[kafka]"]),
        (
            "[nats]\n[route.classes.incoming]\ntopic = \"x\"",
            ["route.classes.incoming.topic = x", "no section [kafka]", "add it, or remove this"],
        ),
        (
            "[kafka]\n[route.instances.7]\nsubject = \"x\"",
            ["route.instances.7.subject = x", "no section [nats]", "add it, or remove this"],
        ),
        ("[kafka]\nproperties.acks = 1", ["kafka.properties", "acks", "allow_unsafe_acks"]),
        ("[kafka]\nproperties.retries = \"many\"", ["kafka.properties", "\"retries\" = many", "nvalid"]),
        ("[kafka]\nproperties.\"compresion.type\" = \"gzip\"", ["kafka.properties", "compresion", "correct its name"]),
        (
            "[kafka]\nproperties.\"ssl.ca.location\" = \"/nowhere\"\nproperties.\"security.protocol\" = \"SSL\"",
            ["kafka.properties", "ssl.ca.location failed", "correct what it names"],
        ),
        (
            "[kafka]\nproperties.\"sasl.mechanism\" = \"OAUTHBEARER\"",
            ["kafka.properties", "there is no token", "set token_file"],
        ),
        ("[kafka]\nbootstrap_servers = [\"h:99999\"]", ["kafka.bootstrap_servers", "h:99999", "give host and port"]),
        ("[nats]\nservers = [\"http://h:4222\"]", ["nats.servers", "http://h:4222", "nats://host:4222"]),
        ("[nats]\nservers = [\"nats://h:99999\"]", ["nats.servers", "nats://h:99999", "nats://host:4222"]),
        (
            "[kafka.properties]\n\"sasl.mechanism\" = \"PLAIN\"\n\"sasl.username\" = \"u\"",
            ["kafka.properties.\"sasl.username\"", "no password", "[kafka.secret_files] \"sasl.password\""],
        ),
        (
            "[nats]\n[admin]\nlisten = \"127.0.0.1:3000\"",
            ["admin.listen = 127.0.0.1:3000", "http.listen = 127.0.0.1:3000", "another port"],
        ),
        (
            "[nats]\n[probes]\nlisten = \"0.0.0.0:3000\"",
            ["probes.listen = 0.0.0.0:3000", "http.listen = 127.0.0.1:3000", "another port"],
        ),
        (
            "[nats]\n[admin]\n[probes]\nlisten = \"[::]:3001\"",
            ["probes.listen = [::]:3001", "admin.listen = 127.0.0.1:3001", "another port"],
        ),
        ("[nats]\n[tracing]", ["tracing", "this version does not have it", "remove"]),
        ("[nats]\n[http.proxy]", ["http.proxy", "set header = \"x-forwarded-for\"", "protocol = \"proxy\""]),
        (
            "[nats]\n[http.proxy]\nheader = \"forwarded\"\nprotocol = \"proxy\"",
            ["http.proxy = header and protocol", "two sources", "keep one"],
        ),
        (
            "[nats]\n[http.proxy]\nprotocol = \"proxy\"\ntrusted_hops = 2",
            ["http.proxy.trusted_hops = 2", "with header only", "remove it"],
        ),
        (
            "[nats]\nnkey_file = \"a\"\ntoken_file = \"b\"",
            ["nkey_file and token_file", "two secret sources", "keep one"],
        ),
        (
            "[nats]\ncredentials_file = \"a\"\nuser = \"b\"\npassword_file = \"c\"",
            ["credentials_file and user", "two", "keep"],
        ),
        ("[nats]\nuser = \"a\"", ["nats.user", "password_file", "both or none"]),
        ("[nats.tls]\ncertificate_file = \"a\"", ["nats.tls", "key_file", "both or none"]),
        ("[nats]\n[publish]\ntimeout = \"20s\"", ["publish.timeout", "20s", "http.answer_within = 15s; lower it"]),
        ("[nats]\n[publish]\ntimeout = \"0s\"", ["publish.timeout", "0s", "give a time"]),
        ("[nats]\n[http]\nanswer_within = \"25s\"", ["http.answer_within", "25s", "shutdown.grace = 25s; lower"]),
        ("[nats]\n[shutdown]\ndelay = \"1m\"", ["shutdown.delay", "1m", "shutdown.grace = 25s; lower"]),
        ("[nats]\n[http]\nmax_body = \"1GiB\"", ["http.max_body", "1073741824", "http.limits.in_flight_bytes"]),
        ("[nats]\n[http]\nbody_time = 10", ["http.body_time", "10", "such as \"10s\""]),
        ("[nats]\n[http]\npath = \"hook\"", ["http.path", "hook", "begin with /"]),
        ("[nats]\nsubject = \"greenapi.{chat}\"", ["nats.subject", "{chat}", "unknown variable"]),
        ("[nats]\n[http\nlisten = 1", ["--config", "line 2", "has no end"]),
    ] {
        COMMANDS.iter().for_each(|command| assert_refused(command, toml, &[], 2, &says));
    }
}

#[test]
fn each_mistake_has_its_line_however_many_there_are() {
    let config = file(
        "http.listen = \"0.0.0.0:3000\"\nhttp.answer_within = \"60s\"\nadmin.listen = \"0.0.0.0:3001\"\n\
         auth.allow_from = []\njournal.min_free = \"1MiB\"\n[kafka.properties]\n\"linger.ms\" = 7\n\
         \"sasl.jaas.config\" = \"x\"\n\"topic.acks\" = 1\n\"sasl.password\" = \"x\"\n",
    );
    let refused = program(&["check", "--offline", "--config", &config.path().display().to_string()], &[]);
    let said = refusals(&refused.stderr);
    for key in [
        "http.listen",
        "http.answer_within",
        "admin.listen",
        "auth.allow_from",
        "journal.min_free",
        "kafka.properties.\"linger.ms\"",
        "kafka.properties.\"sasl.jaas.config\"",
        "kafka.properties.\"topic.acks\"",
        "kafka.properties.\"sasl.password\"",
    ] {
        let of_key = |line: &&str| line.trim_start_matches("greenapi-bridge: ").starts_with(key);
        assert_eq!(said.lines().filter(of_key).count(), 1, "{key}: {said}");
    }
    assert_eq!((refused.status.code(), said.lines().count()), (Some(2), 9), "{said}");
}

#[test]
fn contradictory_environment_variables_are_refused() {
    for (name, value, says) in [
        ("BRIDGE_HTTP__LISTEN", "0.0.0.0:3000", ["http.listen", "0.0.0.0:3000", "auth.tokens_file"]),
        ("BRIDGE_HTTP__LISEN", "127.0.0.1:1", ["http.lisen", "127.0.0.1:1", "`listen`"]),
        ("BRIDGE_KAFKA__TOPIC", "a b", ["kafka.topic", "a b", "letters"]),
        (
            "BRIDGE_PUBLISH__TIMEOUT",
            "20s",
            ["publish.timeout", "20s", "lower it; it comes from BRIDGE_PUBLISH__TIMEOUT"],
        ),
        ("BRIDGE_NATS__SERVERS", "h:4222", ["nats.servers", "h:4222", "BRIDGE_NATS__SERVERS='[\"h:4222\"]'"]),
        (
            "BRIDGE_HTTP__LIMITS__IN_FLIGHT",
            "many",
            ["http.limits.in_flight = \"many\"", "a whole number", "BRIDGE_HTTP__LIMITS__IN_FLIGHT"],
        ),
        ("BRIDGE_HTTP__LIMITS__WAITING", "0", ["http.limits.waiting", "0", "at least 1"]),
        ("BRIDGE_HTTP__PROXY__TRUSTED_HOPS", "0", ["http.proxy", "set header", "\"forwarded\""]),
        (
            "BRIDGE_HTTP__PROXY__HEADER",
            "x-real-ip",
            ["http.proxy.header = \"x-real-ip\"", "\"x-forwarded-for\" or \"forwarded\"", "BRIDGE_HTTP__PROXY__HEADER"],
        ),
        ("BRIDGE_NATS__USER", "a", ["nats.user", "password_file", "both or none"]),
        ("BRIDGE_HTTP__PATH__X", "a", ["http.path.x", "value of its own", "remove one"]),
    ] {
        let toml = "[nats]\n[http]\npath = \"/\"\n";
        COMMANDS.iter().for_each(|command| assert_refused(command, toml, &[(name, value)], 2, &says));
    }
}

#[test]
fn a_variable_with_one_underscore_too_few_is_reported_and_not_read() {
    let says = "BRIDGE_NATS_PASSWORD_FILE is not read; two underscores stand between section and key: \
        BRIDGE_NATS__PASSWORD_FILE";
    let config = file("[nats]\n");
    let path = config.path().display().to_string();
    // a service of Kubernetes that is called `bridge-http`, and one variable that is read
    let others = [("BRIDGE_HTTP_PORT", SECRET), ("BRIDGE_PORT", SECRET), ("BRIDGE_HTTP__LISTEN", "127.0.0.1:2")];
    let ours = [&others[..], &[("BRIDGE_NATS_PASSWORD_FILE", SECRET)]].concat();
    for (variables, lines) in [(&others[..], &[][..]), (&ours, &[says])] {
        let answer = program(&["check", "--offline", "--config", &path], variables);
        let said = String::from_utf8(answer.stderr).unwrap();
        assert_eq!(answer.status.code(), Some(0), "{said}");
        let expected: Vec<_> = lines.iter().map(|line| format!("greenapi-bridge: {line}")).collect();
        assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    }
    for (command, code) in [("run", 2), ("check", 2), ("provision", 2)] {
        let answer = program(&[command], &[("BRIDGE_NATS_SERVERS", SECRET)]);
        let said = String::from_utf8(answer.stderr).unwrap();
        assert_eq!(answer.status.code(), Some(code), "{said}");
        assert!(said.contains("BRIDGE_NATS__SERVERS") && said.contains("no broker"), "{said}");
        assert!(!said.contains(SECRET), "{said}");
    }
    // it begins to serve, and is over soon
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let serving = [("BRIDGE_HTTP__LISTEN", address.as_str()), ("BRIDGE_HTTP_PATH", SECRET)];
    let answer = program(&["run", "--config", &path], &serving);
    let log = String::from_utf8(answer.stderr).unwrap();
    let told: Vec<_> = log.lines().filter(|line| line.contains("BRIDGE_HTTP__PATH")).collect();
    assert!(told.len() == 1 && told[0].contains("WARN") && !log.contains(SECRET), "{log}");
}

#[test]
fn secrets_in_the_wrong_key_are_refused_and_not_printed() {
    for (toml, key) in [
        ("[nats]\npassword = \"hunter2\"", "nats.password_file"),
        ("[nats]\nservers = [\"nats://u:hunter2@h:4222\"]", "nats.servers"),
        ("[nats]\nservers = \"nats://u:hunter2@h:4222\"", "nats.servers"),
        ("[nats]\nservers = [[\"nats://u:hunter2@h:4222\"]]", "nats.servers"),
        ("[kafka]\nbootstrap_servers = [\"u:hunter2@h:9092\"]", "kafka.bootstrap_servers"),
        ("[nats]\npassword = \"hunter2", "line 2"),
        ("[nats]\npassword = \"x\" hunter2", "line 2"),
        ("[nats]\n[auth]\ntokens = [\"hunter2\"]", "auth.tokens_file"),
        ("[kafka.properties]\n\"sasl.password\" = \"hunter2\"", "[kafka.secret_files] \"sasl.password\""),
    ] {
        COMMANDS.iter().for_each(|command| assert_refused(command, toml, &[], 2, &[key]));
    }
    for (name, value, key) in [
        ("BRIDGE_NATS__PASSWORD", "hunter2", "nats.password_file"),
        ("BRIDGE_NATS__SERVERS", "nats://u:hunter2@h:4222", "nats.servers"),
        ("BRIDGE_NATS__SERVERS", "[\"nats://u:hunter2@h:4222\"", "nats.servers"),
        ("BRIDGE_AUTH__TOKEN", "hunter2", "auth.token"),
    ] {
        COMMANDS.iter().for_each(|command| assert_refused(command, "[nats]", &[(name, value)], 2, &[key]));
    }
}

#[cfg(all(feature = "journal", feature = "nats"))]
#[test]
fn a_bridge_toml_that_nobody_named_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bridge.toml"), "nats = {}\n").unwrap();
    let run = |words: &str, environment: &[(&str, &str)]| {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_greenapi-bridge"));
        program.args(words.split_whitespace()).env_clear().envs(environment.iter().copied());
        program.current_dir(folder.path()).output().unwrap()
    };
    for words in ["", "run", "check", "check --offline", "provision", "journal status", "tail --no-follow", "send"] {
        let refused = run(words, &[]);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{words}: {said}");
        assert!(said.contains("--config bridge.toml") && said.contains("in another folder"), "{words}: {said}");
    }
    assert!(!folder.path().join("data").exists());
    for (words, environment) in [
        ("check --offline -c bridge.toml", &[][..]),
        ("check --offline --config bridge.toml", &[]),
        ("check --offline", &[("BRIDGE_CONFIG", "bridge.toml")]),
    ] {
        let answer = run(words, environment);
        let printed = String::from_utf8(answer.stdout).unwrap();
        assert!(answer.status.success() && printed.contains("greenapi.incoming.*.*"), "{words}: {printed}");
    }
    // an option is stronger than the environment
    assert_eq!(run("check --offline -c bridge.toml", &[("BRIDGE_CONFIG", "/nowhere")]).status.code(), Some(0));
    assert_eq!(run("check --offline", &[("BRIDGE_CONFIG", "/nowhere")]).status.code(), Some(2));
}

#[test]
fn missing_and_empty_files_are_refused() {
    let free = ("BRIDGE_HTTP__LISTEN", "127.0.0.1:0");
    let run = |toml: String, says: &[&str]| {
        COMMANDS.iter().for_each(|command| assert_refused(command, &toml, &[free], 2, says));
    };
    let tokens = |path: &Path| format!("[nats]\n[auth]\ntokens_file = \"{}\"", path.display());
    run(tokens(Path::new("/nowhere/tokens")), &["auth.tokens_file", "/nowhere/tokens", "No such file"]);
    for (text, remedy) in [
        ("# none yet\n\n", "write one a line"),
        ("good-enough-token\n7 hunter2 more words", "line 2"),
        ("hunter2-hunter2-hunter2\n7 hunter2-hunter2-hunter2", "line 2"),
        ("# short\nhunter2", "line 2"),
        ("hunter2 пароль", "line 1"),
    ] {
        let file = file(text);
        run(tokens(file.path()), &["auth.tokens_file", &file.path().display().to_string(), remedy]);
    }
    for key in ["credentials_file", "nkey_file", "token_file", "tls.ca_file"] {
        let toml = format!("[nats]\n{key} = \"/nowhere/secret\"");
        run(toml, &[&format!("nats.{key}"), "/nowhere/secret", "No such file"]);
    }
    run(tokens(Path::new("/nowhere/tokens")), &["put the file there, or correct its name"]);
    let wrong = file("hunter2");
    let toml = format!("[nats]\ncredentials_file = \"{}\"", wrong.path().display());
    run(toml, &["nats.credentials_file", &wrong.path().display().to_string()]);
    let bearer = "properties.\"sasl.mechanism\" = \"OAUTHBEARER\"";
    for (path, says) in [(Path::new("/nowhere/token"), "No such file"), (wrong.path(), "not a JSON Web Token")] {
        let toml = format!("[kafka]\ntoken_file = \"{}\"\n{bearer}", path.display());
        run(toml, &["kafka.token_file", &path.display().to_string(), says]);
    }
    let missing = program(&["--config", "/nowhere/bridge.toml"], &[]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere/bridge.toml"));
}

#[test]
fn an_unreadable_file_is_refused_as_such() {
    use std::os::unix::fs::PermissionsExt;
    let tokens = file(SECRET);
    std::fs::set_permissions(tokens.path(), std::fs::Permissions::from_mode(0o000)).unwrap();
    let config = file(&format!("[nats]\n[auth]\ntokens_file = \"{}\"", tokens.path().display()));
    // root reads every file, unless it gives up the right to
    let root = std::fs::File::open(tokens.path()).is_ok();
    let mut command = Command::new(if root { "setpriv" } else { "env" });
    if root {
        command.arg("--bounding-set=-dac_override,-dac_read_search");
    }
    command.args([env!("CARGO_BIN_EXE_greenapi-bridge"), "check", "--offline", "--config"]).arg(config.path());
    let answer = command.output().unwrap();
    let said = String::from_utf8(answer.stderr).unwrap();
    assert_eq!(answer.status.code(), Some(2), "{said}");
    let begins = format!("greenapi-bridge: auth.tokens_file = {}: Permission denied", tokens.path().display());
    assert!(said.starts_with(&begins) && said.contains("let the user that runs this read it"), "{said}");
}

#[test]
fn a_process_that_may_open_too_few_files_is_not_started() {
    let config = file("http.listen = \"127.0.0.1:0\"\n[nats]\n");
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 700 && exec timeout 10 \"$0\" run --config \"$1\""]);
    let answer = limited.args([env!("CARGO_BIN_EXE_greenapi-bridge")]).arg(config.path()).output().unwrap();
    let said = refusals(&answer.stderr);
    assert_eq!(answer.status.code(), Some(2), "{said}");
    let line = "http.limits.connections = 4096: this process may open too few files; raise the limit of open files";
    assert!(said.starts_with(line) && said.ends_with("to at least 704\n"), "{said}");
}

#[test]
fn an_address_in_use_is_no_configuration_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for section in ["http", "admin", "probes"] {
        let http = if section == "http" { "" } else { "[http]\nlisten = \"127.0.0.1:0\"\n" };
        let toml = format!("[nats]\n{http}[{section}]\nlisten = \"{address}\"");
        assert_refused(
            "run",
            &toml,
            &[],
            1,
            &[&format!("{section}.listen = {address}: address already in use; stop what listens there")],
        );
    }
}

#[test]
fn the_program_explains_itself() {
    for command in [&[][..], &["run"], &["check"], &["provision"]] {
        let answer = program(&[command, &["--help"]].concat(), &[]);
        let text = String::from_utf8(answer.stdout).unwrap();
        let example = format!("\n  greenapi-bridge {}", command.concat());
        assert_eq!(answer.status.code(), Some(0), "{command:?}");
        assert!(text.contains("Example") && text.contains(&example), "{command:?}: {text}");
    }
    for (mistaken, hint) in [("chek", "'check'"), ("nonsense", "Usage"), ("--confg", "--config")] {
        let answer = program(&[mistaken], &[]);
        let error = String::from_utf8(answer.stderr).unwrap();
        assert_eq!(answer.status.code(), Some(2), "{mistaken}");
        assert!(error.contains(mistaken) && error.contains(hint), "{error}");
    }
}
