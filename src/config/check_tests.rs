use super::*;

fn fault(toml: &str) -> String {
    let config: Config = toml::from_str(toml).unwrap();
    check(&config).swap_remove(0).to_string()
}

#[test]
fn each_refusal_names_its_key() {
    for (toml, begins) in [
        ("", "route.brokers: no broker and no journal"),
        ("nats = {}\nroute.brokers = []", "route.brokers = []: no broker and no journal"),
        ("journal.max_bytes = \"1MiB\"", "journal.max_bytes = 1048576: too small for its log"),
        ("journal.retention = \"0s\"", "journal.retention = 0s: would delete"),
        ("nats = {}\n[http]\nlisten = \"0.0.0.0:3000\"", "http.listen = 0.0.0.0:3000: reachable beyond"),
        ("nats = {}\n[admin]\nlisten = \"0.0.0.0:3001\"", "admin.listen = 0.0.0.0:3001: reachable beyond"),
        ("nats = {}\n[http]\nworkers = 0", "http.workers = 0: not a number of threads"),
        ("nats = {}\n[http]\npath = \"x\"", "http.path = x: not a path of a request"),
        ("nats = {}\n[http]\npath = \"/a?b\"", "http.path = /a?b: not a path of a request"),
        ("nats = {}\n[auth]\nallow_from = []", "auth.allow_from = []: would refuse everyone"),
        ("nats = {}\n[http.proxy]", "http.proxy: says nothing of how the proxy names the sender; set header ="),
        (
            "nats = {}\n[http.proxy]\nheader = \"forwarded\"\nprotocol = \"proxy\"",
            "http.proxy = header and protocol: two sources of the sender's address; keep one",
        ),
        (
            "nats = {}\n[http.proxy]\nprotocol = \"proxy\"\ntrusted_hops = 1",
            "http.proxy.trusted_hops = 1: has a meaning with header only",
        ),
        ("nats = {}\n[http.proxy]\ntrusted_hops = 2", "http.proxy: says nothing"),
        (
            "nats = {}\n[http.proxy]\nheader = \"x-forwarded-for\"\ntrusted_hops = 0",
            "http.proxy.trusted_hops = 0: names no proxy; give how many",
        ),
        ("nats.servers = []", "nats.servers = []: no server"),
        ("nats.stream = \"A.B\"", "nats.stream = A.B: no name of a stream"),
        ("nats.provision.replicas = 9", "nats.provision.replicas = 9: JetStream has 1 to 5"),
        ("kafka.bootstrap_servers = []", "kafka.bootstrap_servers = []: no server"),
        ("kafka.provision.replicas = 1", "kafka.provision.replicas = 1: less than min_insync_replicas"),
        ("nats = {}\ndedupe.max_ids = 10000000000", "dedupe.max_ids = 10000000000: more ids than one process"),
        ("nats = {}\n[http]\nmax_body = \"65MiB\"", "http.max_body = 68157440: more than"),
        ("nats = {}\n[http.limits]\nin_flight = 0", "http.limits.in_flight = 0: would refuse"),
        (
            "nats = {}\n[http.limits]\nconnections = 9223372036854775807",
            "http.limits.connections = 9223372036854775807",
        ),
        ("nats.servers = [\"\"]", "nats.servers = \"\": no address"),
        ("kafka.bootstrap_servers = [\"a b\"]", "kafka.bootstrap_servers = \"a b\": no address"),
        ("nats = {}\n[route.instances.007]\nsubject = \"x\"", "route.instances.007 = 007: not an instance"),
    ] {
        assert!(fault(toml).starts_with(begins), "{toml}: {}", fault(toml));
    }
}

#[test]
fn limits_that_would_serve_hardly_a_sender_are_refused() {
    for (toml, begins) in [
        ("nats = {}\n[http]\nbody_time = \"0s\"", "http.body_time = 0s: too short"),
        ("nats = {}\n[http]\nmax_body = \"1023B\"", "http.max_body = 1023: would refuse"),
        ("nats = {}\n[http.limits]\nidle = \"0s\"", "http.limits.idle = 0s: too short"),
        ("nats = {}\n[http.limits]\nhandshake = \"1ms\"", "http.limits.handshake = 1ms: too short"),
        ("nats = {}\n[http.limits]\nhead = \"99ms\"", "http.limits.head = 99ms: too short"),
        ("nats = {}\n[http.limits]\nwrite = \"1us\"", "http.limits.write = 1us: too short"),
        ("nats = {}\n[http]\nanswer_within = \"50ms\"", "http.answer_within = 50ms: too short"),
    ] {
        assert!(fault(toml).starts_with(begins), "{toml}: {}", fault(toml));
    }
}

#[test]
fn refusals_across_sections_name_their_key_too() {
    for (toml, begins) in [
        ("nats = {}\n[publish]\ntimeout = \"15s\"", "publish.timeout = 15s: must be less than http.answer_within"),
        ("nats = {}\n[publish]\ntimeout = \"0s\"", "publish.timeout = 0s: means the journal first"),
        ("nats = {}\n[shutdown]\ngrace = \"15s\"", "http.answer_within = 15s: must be less than shutdown.grace"),
        (
            "[nats]\nsubject = \"greenapi.{type}\"",
            "nats.subject = greenapi.{type}: could send notifications to the dead letter",
        ),
        ("[nats]\nsubject = \"greenapi..{type}\"", "nats.subject = greenapi..{type}: not a subject"),
        (
            "[nats]\nsubject = \"greenapi.{typ}\"",
            "nats.subject = greenapi.{typ}: unknown variable {typ}; the nearest is {type}",
        ),
        ("[nats]\nservers = [\"nats://u:secret@h:1\"]", "nats.servers = …@h:1: holds a user"),
        ("[kafka]\ntopic = \"a b\"", "kafka.topic = a b: not a topic"),
        ("[kafka]\nproperties.\"linger.ms\" = 1", "kafka.properties.\"linger.ms\": the bridge owns it"),
        ("[nats]\nuser = \"u\"", "nats.user: user and password_file belong together"),
        ("[nats.tls]\nkey_file = \"k\"", "nats.tls.certificate_file: certificate_file and key_file belong together"),
        ("[nats]\nnkey_file = \"a\"\ntoken_file = \"b\"", "nats = nkey_file and token_file: two secret sources"),
        (
            "[nats]\nnkey_file = \"a\"\ntoken_file = \"b\"\nuser = \"u\"\npassword_file = \"p\"",
            "nats = nkey_file, user and token_file: three secret sources; keep one",
        ),
    ] {
        assert!(fault(toml).starts_with(begins), "{toml}: {}", fault(toml));
    }
}

#[test]
fn listeners_with_overlapping_addresses_are_refused() {
    for (one, other, same) in [
        ("127.0.0.1:3000", "127.0.0.1:3000", true),
        ("127.0.0.1:3000", "0.0.0.0:3000", true),
        ("[::]:3000", "127.0.0.1:3000", true),
        ("[::ffff:127.0.0.1]:3000", "127.0.0.1:3000", true),
        ("127.0.0.1:3000", "127.0.0.1:3001", false),
        ("127.0.0.1:3000", "127.0.0.2:3000", false),
        ("[::1]:3000", "0.0.0.0:3000", false),
        ("127.0.0.1:0", "127.0.0.1:0", false),
    ] {
        let [one, other] = [one, other].map(|at| at.parse().unwrap());
        assert_eq!((overlap(one, other), overlap(other, one)), (same, same), "{one} {other}");
    }
}

#[test]
fn defaults_with_a_broker_are_accepted() {
    assert_eq!(check(&toml::from_str("nats = {}").unwrap()), []);
}

#[test]
fn each_way_to_name_the_sender_is_accepted_alone() {
    for proxy in [
        "header = \"x-forwarded-for\"",
        "header = \"forwarded\"\ntrusted_hops = 1",
        "header = \"x-forwarded-for\"\ntrusted_hops = 3",
        "protocol = \"proxy\"",
    ] {
        assert_eq!(check(&toml::from_str(&format!("nats = {{}}\n[http.proxy]\n{proxy}")).unwrap()), [], "{proxy}");
    }
}

#[test]
fn admin_listener_with_tokens_may_be_remote() {
    let toml = "nats = {}\n[admin]\nlisten = \"0.0.0.0:3001\"\ntokens_file = \"t\"";
    assert_eq!(check(&toml::from_str(toml).unwrap()), []);
}
