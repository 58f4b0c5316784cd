//! TLS of the listeners: certificates, protocols, and what a client may do to a handshake.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::harness::{
    Bridge, Certificates, Nats, TlsConnection, body, command, eventually, exchange, free_port, post, refusals, request,
    text,
};

/// The section that names these files.
fn tls_files(section: &str, certificate: &str, key: &str) -> String {
    private(key);
    format!("[{section}]\ncertificate_file = \"{certificate}\"\nkey_file = \"{key}\"\n")
}

fn private(path: &str) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A bridge with TLS, and the certificates it has.
fn start(nats: &Nats, extra: &str) -> (Bridge, Certificates) {
    let certificates = Certificates::new();
    let bridge = Bridge::start(nats, &format!("{extra}{}", certificates.section("http.tls")));
    (bridge, certificates)
}

/// `openssl s_client` with these options, and a request as its input.
fn s_client(to: SocketAddr, options: &[&str], input: &[u8]) -> Output {
    let mut client = Command::new("timeout");
    client.args(["20", "openssl", "s_client", "-connect", &to.to_string()]).args(options);
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // one that is refused may have ended
    let _ = client.stdin.take().unwrap().write_all(input);
    client.wait_with_output().unwrap()
}

fn output(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn notifications_are_stored_over_tls_on_a_connection_that_stays_open() {
    let nats = Nats::start();
    let (bridge, certificates) = start(&nats, "");
    let mut connection = TlsConnection::open(bridge.http, &certificates.at("ca"), "localhost").unwrap();
    assert_eq!(connection.session().alpn_protocol(), None);
    for number in 0..3 {
        let length = text(number).len();
        let head = format!("POST /green-api/webhook/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
        connection.send([head.as_bytes(), &text(number)].concat()).unwrap();
        let answer = connection.answer();
        assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"stored":"broker"}"#));
        assert!(!answer.is_last());
    }
    assert_eq!(nats.read().iter().map(body).collect::<Vec<_>>(), [text(0), text(1), text(2)]);
}

#[test]
fn only_tls_1_2_and_1_3_with_modern_ciphers_are_spoken() {
    let nats = Nats::start();
    let (bridge, certificates) = start(&nats, "");
    let authority = certificates.at("ca");
    let connects = |options: &[&str]| {
        let options = [&["-CAfile", &authority, "-verify_return_error", "-brief"], options].concat();
        let answer = s_client(bridge.http, &options, b"");
        (answer.status.success(), output(&answer))
    };
    for (protocol, shown) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let (connected, said) = connects(&[protocol]);
        assert!(connected && said.contains(&format!("Protocol version: {shown}")), "{said}");
        assert!(said.contains("Verification: OK"), "{said}");
    }
    // the lowest security level lets the client offer what has long been broken
    for refused in [
        &["-tls1", "-cipher", "ALL:@SECLEVEL=0"][..],
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "AES256-GCM-SHA384"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "aNULL:eNULL:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "3DES:RC4:@SECLEVEL=0"],
        &["-tls1_3", "-curves", "secp521r1"],
    ] {
        let (connected, said) = connects(refused);
        assert!(!connected, "{refused:?}: {said}");
    }
    let (connected, said) = connects(&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]);
    assert!(connected, "{said}");
}

#[test]
fn the_whole_chain_is_sent_whatever_name_the_client_asks_for() {
    let nats = Nats::start();
    let certificates = Certificates::new();
    let chain = certificates.joined(&["server", "ca"]);
    let bridge = Bridge::start(&nats, &tls_files("http.tls", &chain, &certificates.at("server.key")));
    for name in ["localhost", "another.example"] {
        let answer = s_client(bridge.http, &["-showcerts", "-servername", name], b"");
        let said = output(&answer);
        assert!(answer.status.success(), "{said}");
        assert_eq!(said.matches("BEGIN CERTIFICATE").count(), 2, "{name}: {said}");
    }
    let answer = s_client(bridge.http, &["-noservername"], b"");
    assert!(answer.status.success(), "{}", output(&answer));
}

#[test]
fn a_session_is_resumed_with_its_ticket() {
    let nats = Nats::start();
    let (bridge, certificates) = start(&nats, "");
    let config = TlsConnection::config(&certificates.at("ca"));
    let kinds: Vec<_> = (0..2)
        .map(|number| {
            let mut connection = TlsConnection::with(bridge.http, "localhost", config.clone()).unwrap();
            connection.send(request("", &text(number))).unwrap();
            // tickets come before the answer
            assert_eq!(connection.answer().status, 200);
            format!("{:?}", connection.session().handshake_kind().unwrap())
        })
        .collect();
    assert_eq!(kinds, ["Full", "Resumed"]);
}

#[test]
fn a_client_that_insists_on_http_2_is_refused_in_the_handshake() {
    let nats = Nats::start();
    let (bridge, certificates) = start(&nats, "");
    let offer = |protocols: &[&[u8]]| {
        let mut config = Arc::unwrap_or_clone(TlsConnection::config(&certificates.at("ca")));
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let opened = TlsConnection::with(bridge.http, "localhost", Arc::new(config));
        opened.map(|connection| connection.session().alpn_protocol().map(<[u8]>::to_vec))
    };
    let refused = offer(&[b"h2"]).unwrap_err();
    assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
    assert_eq!(offer(&[b"h2", b"http/1.1"]).unwrap().as_deref(), Some(&b"http/1.1"[..]));
}

#[test]
fn a_renegotiation_is_refused() {
    let nats = Nats::start();
    let (bridge, _certificates) = start(&nats, "");
    // R alone on a line asks for it
    let answer = s_client(bridge.http, &["-tls1_2"], b"R\n");
    assert!(output(&answer).contains("no renegotiation"), "{}", output(&answer));
}

#[test]
fn plain_http_on_a_port_with_tls_is_a_400_that_the_log_explains() {
    let nats = Nats::start();
    let (bridge, _certificates) = start(&nats, "");
    let (status, answer) = post(bridge.http, "", &text(1));
    assert_eq!((status, answer.as_str()), (400, r#"{"error":"bad_request"}"#));
    assert_eq!(bridge.metric("refused_total{reason=\"plain_http\"}"), 1.0);
    assert!(bridge.log().contains("set webhookUrl to https://"), "{}", bridge.log());
    assert_eq!(nats.read().len(), 0);
}

#[test]
fn what_is_no_handshake_ends_the_connection_and_is_counted() {
    let nats = Nats::start();
    let (bridge, certificates) = start(&nats, "http.limits = { handshake = \"1s\", handshakes = 2 }\n");
    let opened = || TcpStream::connect(bridge.http).unwrap();
    let ends = |mut stream: TcpStream| {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    };
    let mut garbage = opened();
    garbage.write_all(&[0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5]).unwrap();
    ends(garbage);
    assert_eq!(bridge.metric("refused_total{reason=\"handshake_failed\"}"), 1.0);
    assert!(bridge.log().contains("\"detail\":\"received corrupt message"), "{}", bridge.log());
    ends(opened());
    assert_eq!(bridge.metric("refused_total{reason=\"handshake_timeout\"}"), 1.0);
    let silent: Vec<_> = (0..3).map(|_| opened()).collect();
    eventually("the first of three is closed", Duration::from_secs(10), || {
        bridge.metric("refused_total{reason=\"too_many_handshakes\"}") >= 1.0
    });
    drop(silent);
    assert!(TlsConnection::open(bridge.http, &certificates.at("ca"), "localhost").is_ok());
}

#[test]
fn a_handshake_byte_by_byte_succeeds_within_its_time() {
    let nats = Nats::start();
    let (bridge, certificates) = start(&nats, "");
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (to, through) = (bridge.http, proxy.local_addr().unwrap());
    std::thread::spawn(move || {
        let (client, _) = proxy.accept().unwrap();
        let server = TcpStream::connect(to).unwrap();
        server.set_nodelay(true).unwrap();
        let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
        let mut server = server;
        for byte in std::io::BufReader::new(client).bytes() {
            let Ok(byte) = byte else { return };
            if server.write_all(&[byte]).is_err() {
                return;
            }
        }
    });
    let mut connection = TlsConnection::open(through, &certificates.at("ca"), "localhost").unwrap();
    connection.send(request("", &text(1))).unwrap();
    assert_eq!(connection.answer().status, 200);
}

/// The refusal of a start with these files.
fn refused(certificate: &str, key: &str) -> String {
    let config = tempfile::NamedTempFile::new().unwrap();
    let text = format!(
        "http.listen = \"127.0.0.1:{}\"\nnats.servers = [\"nats://127.0.0.1:1\"]\n[http.tls]\n\
         certificate_file = \"{certificate}\"\nkey_file = \"{key}\"\n",
        free_port()
    );
    std::fs::write(config.path(), text).unwrap();
    let said = ["run", "check --offline"].map(|words| {
        let answer = command(words, config.path());
        assert_eq!(answer.status.code(), Some(2), "{words}: {}", String::from_utf8_lossy(&answer.stderr));
        refusals(&answer.stderr).trim_end().trim_start_matches("greenapi-bridge: ").to_owned()
    });
    assert_eq!(said[0], said[1]);
    said[0].clone()
}

#[test]
fn files_that_do_not_fit_are_refused_at_start_with_the_remedy() {
    let (one, other) = (Certificates::new(), Certificates::new());
    let (certificate, key) = (one.at("server"), one.at("server.key"));
    [&key, &one.at("client.key"), &other.at("server.key")].into_iter().for_each(|key| private(key));
    let says = |certificate: &str, key: &str, name: &str, problem: &str| {
        let said = refused(certificate, key);
        let path = if name == "key_file" { key } else { certificate };
        assert!(said.starts_with(&format!("http.tls.{name} = {path}: ")) && said.contains(problem), "{said}");
    };
    says(&certificate, &other.at("server.key"), "key_file", "not the key of the certificate");
    says(&one.joined(&["ca", "server"]), &key, "certificate_file", "must be the first");
    says(&key, &certificate, "certificate_file", "are certificate_file and key_file swapped?");
    says(&certificate, &certificate, "key_file", "are certificate_file and key_file swapped?");
    let (der, cut) = (one.at("der"), one.at("cut"));
    openssl(&["x509", "-in", &certificate, "-outform", "der", "-out", &der]);
    says(&der, &key, "certificate_file", "openssl x509 -inform der");
    openssl(&["pkey", "-in", &key, "-outform", "der", "-out", &der]);
    says(&certificate, &der, "key_file", "openssl pkey -inform der");
    std::fs::write(&cut, &std::fs::read(&certificate).unwrap()[..200]).unwrap();
    says(&cut, &key, "certificate_file", "the line -----END CERTIFICATE----- is missing");
    says("/no/such/file", &key, "certificate_file", "put the file there");
    for mode in [0o604, 0o602, 0o644] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        says(&certificate, &key, "key_file", "chmod o-rwx");
    }
    let encrypted = one.at("encrypted.key");
    private(&key);
    openssl(&["pkcs8", "-topk8", "-passout", "pass:secret", "-in", &key, "-out", &encrypted]);
    says(&certificate, &encrypted, "key_file", "is encrypted");
}

fn openssl(arguments: &[&str]) {
    let answer = Command::new("openssl").args(arguments).output().unwrap();
    assert!(answer.status.success(), "{arguments:?}: {}", output(&answer));
}

#[test]
fn each_form_of_key_and_a_bare_address_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    openssl(&["genrsa", "-traditional", "-out", &at("pkcs1"), "2048"]);
    openssl(&["ecparam", "-genkey", "-name", "prime256v1", "-out", &at("sec1")]);
    openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", &at("pkcs8")]);
    openssl(&["genpkey", "-algorithm", "ED25519", "-out", &at("ed25519")]);
    for (form, begins) in [
        ("pkcs1", "-----BEGIN RSA PRIVATE KEY-----"),
        ("sec1", "-----BEGIN EC PARAMETERS-----"),
        ("pkcs8", "-----BEGIN PRIVATE KEY-----"),
        ("ed25519", "-----BEGIN PRIVATE KEY-----"),
    ] {
        assert!(std::fs::read_to_string(at(form)).unwrap().starts_with(begins), "{form}");
        let certificate = at(&format!("{form}.crt"));
        openssl(&[
            "req",
            "-x509",
            "-new",
            "-key",
            &at(form),
            "-out",
            &certificate,
            "-days",
            "9",
            "-subj",
            "/CN=bridge",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ]);
        // its group may read it, as Kubernetes mounts secrets
        let nats = Nats::start();
        let section = tls_files("http.tls", &certificate, &at(form));
        std::fs::set_permissions(at(form), std::fs::Permissions::from_mode(0o640)).unwrap();
        let bridge = Bridge::start(&nats, &section);
        let options = ["-CAfile", &certificate, "-verify_ip", "127.0.0.1", "-verify_return_error", "-quiet"];
        let answer = s_client(bridge.http, &options, &request("", &text(1)));
        assert!(output(&answer).contains("200 OK"), "{form}: {}", output(&answer));
        assert_eq!(nats.read().len(), 1, "{form}");
    }
}

#[test]
fn an_expired_certificate_starts_and_is_reported_in_log_check_and_metrics() {
    let nats = Nats::start();
    let certificates = Certificates::new();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut expired = rcgen::CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
    (expired.not_before, expired.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 2, 3));
    std::fs::write(certificates.at("old"), expired.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(certificates.at("old.key"), key.serialize_pem()).unwrap();
    let bridge = Bridge::start(&nats, &tls_files("http.tls", &certificates.at("old"), &certificates.at("old.key")));
    let answer = s_client(bridge.http, &["-quiet"], &request("", &text(1)));
    assert!(output(&answer).contains("200 OK"), "{}", output(&answer));
    // 2021-02-03 00:00 UTC
    assert_eq!(bridge.metric("tls_certificate_not_after_seconds{listener=\"http\"}"), 1_612_310_400.0);
    let logged = bridge.log();
    let line = logged.lines().find(|line| line.contains("certificate_expired")).unwrap();
    assert!(line.contains("\"ERROR\"") && line.contains("2021-02-03T00:00:00Z"), "{line}");
    let checked = command("check --offline --json", bridge.config.path());
    assert_eq!(checked.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&checked.stdout).unwrap();
    let found = said["endpoint"].as_array().unwrap().iter().find(|found| found["about"] == "certificate").unwrap();
    assert_eq!(found["found"], "for localhost, 127.0.0.1, expired 2021-02-03T00:00:00Z");
    assert_eq!(found["verdict"], "wrong");
}

/// What `check` says of a certificate with these times and names.
fn checked(times: [SystemTime; 2], names: &[&str]) -> Value {
    let certificates = Certificates::new();
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
    let mut parameters = rcgen::CertificateParams::new(names).unwrap();
    [parameters.not_before, parameters.not_after] = times.map(Into::into);
    std::fs::write(certificates.at("other"), parameters.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(certificates.at("other.key"), key.serialize_pem()).unwrap();
    let config = tempfile::NamedTempFile::new().unwrap();
    let section = tls_files("http.tls", &certificates.at("other"), &certificates.at("other.key"));
    std::fs::write(config.path(), format!("nats.servers = [\"nats://127.0.0.1:1\"]\n{section}")).unwrap();
    let checked = command("check --offline --json", config.path());
    let said: Value = serde_json::from_slice(&checked.stdout).unwrap();
    let found = said["endpoint"].as_array().unwrap().iter().find(|found| found["about"] == "certificate").unwrap();
    found.clone()
}

#[test]
fn check_says_why_clients_may_refuse_a_certificate() {
    let now = SystemTime::now();
    for (times, names, verdict, says) in [
        ([now - DAY * 89, now + DAY], &["localhost"][..], "note", "less than a tenth of its lifetime is left"),
        ([now + DAY, now + DAY * 89], &["localhost"], "wrong", "the clock of this machine"),
        ([now - DAY, now + DAY * 89], &[], "note", "subjectAltName"),
        ([now - DAY, now + DAY * 89], &["localhost"], "note", "self-signed"),
    ] {
        let found = checked(times, names);
        assert_eq!(found["verdict"], verdict, "{found}");
        assert!(found["remedy"].as_str().unwrap().contains(says), "{found}");
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn the_admin_listener_has_tls_of_its_own() {
    let nats = Nats::start();
    let certificates = Certificates::new();
    let config = tempfile::NamedTempFile::new().unwrap();
    let admin: SocketAddr = format!("127.0.0.1:{}", free_port()).parse().unwrap();
    let section = certificates.section("admin.tls");
    let text = format!(
        "http.listen = \"127.0.0.1:{}\"\nnats.servers = [\"nats://127.0.0.1:{}\"]\n[admin]\nlisten = \"{admin}\"\n{section}",
        free_port(),
        nats.port
    );
    std::fs::write(config.path(), text).unwrap();
    let mut bridge = Command::new(env!("CARGO_BIN_EXE_greenapi-bridge"));
    let mut bridge = bridge.args(["run", "--config"]).arg(config.path()).stderr(Stdio::null()).spawn().unwrap();
    eventually("listens", Duration::from_secs(10), || TcpStream::connect(admin).is_ok());
    let get = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut connection = TlsConnection::open(admin, &certificates.at("ca"), "localhost").unwrap();
    connection.send(get).unwrap();
    assert_eq!(connection.answer().status, 200);
    let (status, answer) = exchange(admin, get);
    assert_eq!((status, answer.as_str()), (400, "this port speaks TLS; use https://\n"));
    bridge.kill().unwrap();
    bridge.wait().unwrap();
}

#[test]
fn commands_use_https_where_the_configured_listener_does() {
    let nats = Nats::start();
    let (bridge, _certificates) = start(&nats, "");
    let sent = command("send --types incomingCall --count 2 --instances 1", bridge.config.path());
    assert!(sent.status.success(), "{}", output(&sent));
    assert_eq!(nats.read().len(), 2);
}

#[test]
fn a_half_closed_client_gets_its_answer_over_tls() {
    let nats = Nats::start();
    let (bridge, certificates) = start(&nats, "");
    let mut connection = TlsConnection::open(bridge.http, &certificates.at("ca"), "localhost").unwrap();
    connection.send_and_half_close(request("", &text(1)));
    assert_eq!(connection.answer().status, 200);
    assert!(connection.is_closed());
}
