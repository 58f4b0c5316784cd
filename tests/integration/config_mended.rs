//! Forty wrong configurations as people write them, each with what its error must say, and the file as somebody mends it who
//! has nothing but the file and the error. `check --offline` accepts what is mended.

use std::io::Write;

use crate::harness::command;

/// A wrong file, what the error says, and the file as that error mends it.
struct Case(&'static str, &'static str, &'static str);

const CASES: [Case; 40] = [
    Case("", "add the section [nats], [kafka] or [journal]", "[nats]\n"),
    Case("[nast]\n", "the nearest known one is `nats`", "[nats]\n"),
    Case("[nats]\n[http]\nlisen = \":3000\"\n", "`listen`", "[nats]\n[http]\nlisten = \"127.0.0.1:3000\"\n"),
    Case("[nats]\n[http]\nlisten = \"3000\"\n", "\":3000\"", "[nats]\n[http]\nlisten = \"127.0.0.1:3000\"\n"),
    Case("[nats]\n[http]\nlisten = 3000\n", "text", "[nats]\n[http]\nlisten = \"127.0.0.1:3000\"\n"),
    Case(
        "[nats]\n[http]\nlisten = 127.0.0.1:3000\n",
        "needs quotes: listen",
        "[nats]\n[http]\nlisten = \"127.0.0.1:3000\"\n",
    ),
    Case(
        "[nats]\n[http]\nlisten = \":3000\"\n",
        "auth.allow_anonymous",
        "[nats]\n[http]\nlisten = \":3000\"\n[auth]\nallow_anonymous = true\n",
    ),
    Case("[nats]\n[http]\nmax_body = \"10 MB!\"\n", "8MiB", "[nats]\n[http]\nmax_body = \"8MiB\"\n"),
    Case("[nats]\n[http]\nanswer_within = 15\n", "\"15s\"", "[nats]\n[http]\nanswer_within = \"15s\"\n"),
    Case("[nats]\n[http]\nanswer_within = \"15\"\n", "\"15s\"", "[nats]\n[http]\nanswer_within = \"15s\"\n"),
    Case("[nats]\n[http]\npath = \"hook\"\n", "begin", "[nats]\n[http]\npath = \"/hook\"\n"),
    Case("[nats]\n[http.limits]\nin_flight = \"many\"\n", "whole number", "[nats]\n[http.limits]\nin_flight = 100\n"),
    Case(
        "[nats]\n[http.limits]\nin_flight = -1\n",
        "whole number, 0 or more",
        "[nats]\n[http.limits]\nin_flight = 100\n",
    ),
    Case("[nats]\n[http.limits]\nin_flight = 0\n", "http.limits.in_flight", "[nats]\n[http.limits]\nin_flight = 1\n"),
    Case("[nats]\nservers = \"nats://h:4222\"\n", "[\"nats://h:4222\"]", "[nats]\nservers = [\"nats://h:4222\"]\n"),
    Case(
        "[nats]\nservers = []\n",
        "give one, such as \"nats://127.0.0.1:4222\"",
        "[nats]\nservers = [\"nats://127.0.0.1:4222\"]\n",
    ),
    Case("[nats]\nservers = [\"nats://u:p@h:4222\"]\n", "password_file", "[nats]\nservers = [\"nats://h:4222\"]\n"),
    Case("[nats]\nstream = \"MY STREAM\"\n", "nats.stream", "[nats]\nstream = \"MY_STREAM\"\n"),
    Case("[nats]\npassword = \"x\"\n", "password_file", "[nats]\n"),
    Case("[nats]\nprovision.replicas = \"three\"\n", "\"auto\"", "[nats]\nprovision.replicas = 3\n"),
    Case("[nats]\nprovision.replicas = 7\n", "1 to 5", "[nats]\nprovision.replicas = 3\n"),
    Case("[nats]\nsubject = \"a.{klass}\"\n", "{class}", "[nats]\nsubject = \"a.{class}\"\n"),
    Case(
        "[kafka]\nbootstrap_servers = \"a:9092,b:9092\"\n",
        "[\"a:9092\", \"b:9092\"]",
        "[kafka]\nbootstrap_servers = [\"a:9092\", \"b:9092\"]\n",
    ),
    Case("[kafka]\nproperties.\"sasl.jaas.config\" = \"x\"\n", "\"sasl.mechanism\"", "[kafka]\n"),
    Case("[kafka]\nproperties.\"ssl.truststore.location\" = \"x\"\n", "ssl.ca.location", "[kafka]\n"),
    Case("[kafka]\nproperties.acks = 1\n", "leave it out", "[kafka]\n"),
    Case("[kafka]\nproperties.\"linger.ms\" = 5\n", "leave it out", "[kafka]\n"),
    Case("[kafka]\nproperties.\"sasl.password\" = \"x\"\n", "[kafka.secret_files]", "[kafka]\n"),
    Case("[nats]\n[publish]\ntimeout = 12s\n", "needs quotes", "[nats]\n[publish]\ntimeout = \"12s\"\n"),
    Case("[nats]\n[publish]\ntimeout = \"20s\"\n", "http.answer_within", "[nats]\n[publish]\ntimeout = \"10s\"\n"),
    Case("[nats]\n[route]\nbrokers = [\"kafka\"]\n", "[kafka]", "[nats]\n[route]\nbrokers = [\"nats\"]\n"),
    Case("[nats]\n[route]\nkey = \"phone\"\n", "\"instance\"", "[nats]\n[route]\nkey = \"instance\"\n"),
    Case(
        "[nats]\n[route.types]\nnewThing = \"incomming\"\n",
        "incoming",
        "[nats]\n[route.types]\nnewThing = \"incoming\"\n",
    ),
    Case(
        "[nats]\n[admin]\nlisten = \"127.0.0.1:3000\"\n",
        "choose another port",
        "[nats]\n[admin]\nlisten = \"127.0.0.1:3001\"\n",
    ),
    Case("[nats]\n[probes]\n", "probes.listen", "[nats]\n[probes]\nlisten = \"127.0.0.1:3002\"\n"),
    Case("[nats]\n[log]\nlevel = \"verbose\"\n", "log.level", "[nats]\n[log]\nlevel = \"debug\"\n"),
    Case("{\"nats\": {}}\n", "this is JSON; write TOML: a section is [nats]", "[nats]\n"),
    Case(
        "nats:\n  stream: A\n",
        "this is YAML; write TOML: a section is [nats], a value is key = \"…\"",
        "[nats]\nstream = \"A\"\n",
    ),
    Case("[nats]\nstream = \"A\nservers = []\n", "a quote is missing", "[nats]\nstream = \"A\"\n"),
    Case("[nats]\n[http]\n[nats]\n", "line 3: this section is there twice", "[nats]\n[http]\n"),
];

fn check(text: &str) -> (Option<i32>, String) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let out = command("check --offline", file.path());
    (out.status.code(), String::from_utf8(out.stderr).unwrap())
}

#[test]
fn each_is_mended_from_its_error() {
    let mut wrong = Vec::new();
    for Case(before, says, after) in CASES {
        let (code, error) = check(before);
        if code != Some(2) || !error.contains(says) {
            wrong.push(format!("{before:?} is {code:?} and says {error:?}, not {says:?}"));
        }
        let (code, error) = check(after);
        if code != Some(0) {
            wrong.push(format!("{after:?} is {code:?} and says {error:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_mistakes_are_named_at_once_each_with_its_line() {
    let text = "[nats]\nstream = 5\n\n[http]\nlisen = \"x\"\nanswer_within = 15\n[log]\nlevel = \"info\"\n";
    let (code, error) = check(text);
    assert_eq!(code, Some(2), "{error}");
    for (key, line) in [("nats.stream", 2), ("http.lisen", 5), ("http.answer_within", 6)] {
        let place = format!(", line {line})");
        assert!(error.lines().any(|said| said.contains(key) && said.ends_with(&place)), "{key}: {error}");
    }
    // and what no single key shows: one mistake of each kind
    let (_, error) = check("[nats]\nservers = []\n[http]\nlisten = \":3000\"\n[http.limits]\nin_flight = 0\n");
    for key in ["nats.servers", "http.listen", "http.limits.in_flight"] {
        assert!(error.contains(key), "{key}: {error}");
    }
}
