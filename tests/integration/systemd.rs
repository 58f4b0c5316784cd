//! `deploy/systemd`, under a real systemd: it is PID 1 of a container that has this machine's programs and network, and no
//! file of it besides `/usr`.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::credentials::operated;
use crate::harness::{
    Certificates, LOOPBACK, Nats, TlsConnection, command, eventually, exchange, free_port, not_tested, text,
};

const SERVICE: &str = "greenapi-bridge.service";
/// For what a person would wait for.
const SOON: Duration = Duration::from_secs(20);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The block of commands with this text, in the section "Under systemd" of `docs/operate.md`.
fn documented(part: &str) -> String {
    let page = fs::read_to_string(root().join("docs/operate.md")).unwrap();
    let section = page.split("## Under systemd\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut blocks = section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.find(|block| block.contains(part)).unwrap_or_else(|| panic!("no block has {part}")).to_owned()
}

/// Such a container, with a clone in `/clone`.
struct Machine {
    container: Child,
    /// Its PID 1.
    leader: u32,
    clone: tempfile::TempDir,
}

impl Machine {
    /// None means that this machine does not allow it.
    fn boot() -> Option<Self> {
        let clone = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut start = Command::new("systemd-nspawn");
        start.args(["--quiet", "--directory=/", "--volatile=yes", "--register=no", "--keep-unit", "--console=pipe"]);
        // a name of its own; what is installed into /usr/bin goes to a folder that ends with the container
        start.arg(format!("--machine=greenapi-bridge-{}", std::process::id()));
        start.args(["--kill-signal=SIGRTMIN+3", "--overlay=/usr/bin::/usr/bin"]);
        start.arg(format!("--bind={}:/clone", clone.path().display()));
        // a machine with an id boots not for the first time, so it enables no unit of this machine's packages
        fs::write(clone.path().join("machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
        start.arg(format!("--bind-ro={}/machine-id:/etc/machine-id", clone.path().display()));
        start.args(["/lib/systemd/systemd", "systemd.unit=basic.target"]);
        let started = start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let Ok(container) = started else {
            not_tested("systemd-nspawn is not installed");
            return None;
        };
        let mut machine = Self { container, leader: 0, clone };
        if let Err(why) = machine.wait_until_booted() {
            not_tested(&format!("no systemd can be started in a container here: {why}"));
            return None;
        }
        Some(machine)
    }

    fn wait_until_booted(&mut self) -> Result<(), String> {
        for _ in 0..600 {
            if self.container.try_wait().unwrap().is_some() {
                let said = self.container.stderr.take().map(std::io::read_to_string).unwrap().unwrap();
                return Err(said.trim().to_owned());
            }
            let children = format!("/proc/{0}/task/{0}/children", self.container.id());
            let children = fs::read_to_string(children).unwrap_or_default();
            if let Some(leader) = children.split_whitespace().next() {
                self.leader = leader.parse().unwrap();
                let state = self.try_run("systemctl is-system-running");
                // with nothing in /etc not all is well
                if ["running\n", "degraded\n"].map(str::as_bytes).contains(&&*state.stdout) {
                    return Ok(());
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err("it does not end its boot".to_owned())
    }

    fn try_run(&self, script: &str) -> Output {
        let mut inside = Command::new("nsenter");
        inside.args(["--target", &self.leader.to_string(), "--all", "timeout", "100", "bash", "-euc"]);
        inside.arg(format!("cd /clone\n{script}")).output().unwrap()
    }

    /// Runs commands as root. Returns what they print.
    fn run(&self, script: &str) -> String {
        let output = self.try_run(script);
        let said = String::from_utf8_lossy(&output.stderr);
        let log = || self.try_run(&format!("journalctl --no-pager -u {SERVICE}")).stdout;
        assert!(output.status.success(), "{script}\n{said}\n{}", String::from_utf8_lossy(&log()));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A property of the service, such as `MainPID`.
    fn property(&self, name: &str) -> String {
        self.run(&format!("systemctl show {SERVICE} --property {name} --value")).trim().to_owned()
    }

    /// A file of the clone.
    fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.clone.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes a drop-in of the service, and loads it.
    fn drop_in(&self, name: &str, lines: &str) {
        self.put(name, format!("[Service]\n{lines}\n"));
        self.run(&format!("install -D {name} /run/systemd/system/{SERVICE}.d/{name}\nsystemctl daemon-reload"));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.container.id().to_string()).status();
        for _ in 0..200 {
            if self.container.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.container.kill();
        let _ = self.container.wait();
    }
}

/// A bridge on such a machine, installed as `docs/operate.md` says, with TLS.
struct Installed {
    machine: Machine,
    https: SocketAddr,
    admin: SocketAddr,
    authority: Certificates,
    token: String,
}

impl Installed {
    fn on(machine: Machine, nats: &Nats) -> Self {
        let [https, admin] = [(); 2].map(|()| SocketAddr::new(LOOPBACK, free_port()));
        let authority = Certificates::new();
        let files = fs::read_dir(root().join("deploy/systemd")).unwrap().map(|entry| entry.unwrap());
        for file in files {
            let name = format!("deploy/systemd/{}", file.file_name().to_str().unwrap());
            machine.put(&name, fs::read(file.path()).unwrap());
        }
        // the ports of the example may be in use, and the section that is commented out is wanted
        let config = fs::read_to_string(root().join("deploy/systemd/bridge.toml")).unwrap();
        let config = config.replace("127.0.0.1:3000", &https.to_string()).replace("127.0.0.1:3001", &admin.to_string());
        let config = config.replace(":4222", &format!(":{}", nats.port));
        let config = ["[http.tls]", "certificate_file", "key_file"]
            .iter()
            .fold(config, |config, line| config.replace(&format!("#{line}"), line));
        machine.put("deploy/systemd/bridge.toml", config);
        fs::create_dir_all(machine.clone.path().join("target/release")).unwrap();
        let program = machine.clone.path().join("target/release/greenapi-bridge");
        fs::hard_link(env!("CARGO_BIN_EXE_greenapi-bridge"), program).unwrap();
        // the page builds the program; here it is built
        machine.put("deploy/build-static", "#!/bin/sh\necho target/release/greenapi-bridge\n");
        machine.run("chmod +x deploy/build-static");
        let installed = Self { machine, https, admin, authority, token: String::new() };
        installed.put_certificate("server");
        installed.start()
    }

    /// Runs the commands of the page.
    fn start(mut self) -> Self {
        self.machine.run(&documented("deploy/build-static"));
        // the certificate is there before the first start
        self.install_certificate();
        // the broker does not know the bridge yet, so the commands before the start would fail
        let commands = documented("systemctl enable");
        let (_, start) = commands.split_at(commands.find("systemctl enable").unwrap());
        self.machine.run(start);
        self.token = self.machine.run("cat /etc/greenapi-bridge/tokens").trim().to_owned();
        self
    }

    /// Puts a certificate of the authority where `install-certificate` can take it.
    fn put_certificate(&self, name: &str) {
        self.machine.put("fullchain.pem", fs::read(self.authority.at(name)).unwrap());
        self.machine.put("privkey.pem", fs::read(self.authority.at(&format!("{name}.key"))).unwrap());
        self.machine.put("install-certificate", fs::read(root().join("deploy/install-certificate")).unwrap());
    }

    fn install_certificate(&self) {
        self.machine.run("RENEWED_LINEAGE=/clone bash install-certificate");
    }

    fn connect(&self) -> TlsConnection {
        TlsConnection::open(self.https, &self.authority.at("ca"), "localhost").unwrap()
    }

    fn readyz(&self) -> u16 {
        exchange(self.admin, b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").0
    }

    /// Posts a notification, on a connection that stays open.
    fn post(&self, connection: &mut TlsConnection, token: &str, number: usize) -> u16 {
        let body = text(number);
        let head = format!(
            "POST /green-api/webhook/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        connection.send([head.as_bytes(), &body].concat()).unwrap();
        connection.answer().status
    }

    fn is_active(&self) -> bool {
        self.machine.property("ActiveState") == "active"
    }
}

#[test]
fn the_unit_is_sound_and_locked_down() {
    let unit = root().join("deploy/systemd").join(SERVICE);
    let analyzed = Command::new("systemd-analyze").args(["security", "--offline=true"]).arg(&unit).output();
    let Ok(analyzed) = analyzed else { return not_tested("systemd-analyze is not installed") };
    let said = String::from_utf8_lossy(&analyzed.stdout).into_owned();
    let level = said.split("Overall exposure level for ").nth(1).unwrap_or_else(|| panic!("{said}"));
    let level: f64 = level.split_whitespace().nth(1).unwrap().parse().unwrap();
    eprintln!("exposure level {level}, where 2.0 is too much");
    assert!(level < 2.0, "{said}");
    // beside it lies a program by the name of the unit's, so that every line is checked
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("greenapi-bridge");
    symlink(env!("CARGO_BIN_EXE_greenapi-bridge"), &program).unwrap();
    let text = fs::read_to_string(&unit).unwrap().replace("/usr/bin/greenapi-bridge", program.to_str().unwrap());
    fs::write(folder.path().join(SERVICE), text).unwrap();
    let verified = Command::new("systemd-analyze").arg("verify").arg(folder.path().join(SERVICE)).output().unwrap();
    assert!(verified.status.success() && verified.stderr.is_empty(), "{verified:?}");
}

#[test]
fn the_unit_runs_under_systemd() {
    let Some(machine) = Machine::boot() else { return };
    let (operator, creds, _) = operated();
    let mut nats = Nats::start_with(&["-c".to_owned(), operator.path().display().to_string()]);
    let bridge = Installed::on(machine, &nats);
    starts_as_its_own_user(&bridge);
    broker_secret_is_a_credential(&bridge, &nats, &creds);
    reloads_without_closing_a_connection(&bridge);
    is_restarted_by_the_watchdog_alone(&bridge, &mut nats);
    stops_within_its_grace(&bridge);
    is_not_restarted_for_a_bad_configuration(&bridge);
}

/// `systemctl enable --now` has just returned.
fn starts_as_its_own_user(bridge: &Installed) {
    let machine = &bridge.machine;
    // a journal stores what the broker, which knows no such user, does not
    assert_eq!(bridge.post(&mut bridge.connect(), &bridge.token, 0), 200);
    assert_eq!(bridge.post(&mut bridge.connect(), "another-token-of-nobody", 0), 401);
    assert!(machine.property("StatusText").starts_with("serving https://"));
    let process = machine.property("MainPID");
    let owner = machine.run(&format!("stat --format '%U:%G' /proc/{process}"));
    assert_eq!(owner, "greenapi-bridge:greenapi-bridge\n");
    let capabilities = machine.run(&format!("grep -E '^Cap(Prm|Eff|Bnd|Amb)' /proc/{process}/status"));
    assert!(capabilities.lines().all(|line| line.ends_with("\t0000000000000000")), "{capabilities}");
    let files = "/var/lib/greenapi-bridge /var/lib/greenapi-bridge/journal.db /etc/greenapi-bridge/tokens /etc/greenapi-bridge/tls.key";
    let modes = machine.run(&format!("stat --format '%a %U:%G' {files}"));
    let own = "greenapi-bridge:greenapi-bridge";
    assert_eq!(modes, format!("700 {own}\n600 {own}\n640 root:greenapi-bridge\n640 root:greenapi-bridge\n"));
}

/// A drop-in gives the bridge a secret that it cannot read itself, and a variable gives it to commands.
fn broker_secret_is_a_credential(bridge: &Installed, nats: &Nats, creds: &str) {
    bridge.machine.put("nats.creds", creds);
    let own = tempfile::NamedTempFile::new().unwrap();
    let secret = bridge.machine.clone.path().join("nats.creds");
    fs::write(
        own.path(),
        format!("nats.servers = [\"nats://127.0.0.1:{}\"]\nnats.credentials_file = {secret:?}\n", nats.port),
    )
    .unwrap();
    assert!(command("provision", own.path()).status.success());
    bridge.machine.run(&documented("deploy/systemd/credentials.conf"));
    bridge.machine.run(&documented("BRIDGE_NATS__CREDENTIALS_FILE"));
    let mode = bridge.machine.run("stat --format '%a %U' /etc/greenapi-bridge/nats.creds");
    assert_eq!(mode, "600 root\n");
    eventually("the broker has what it stored", SOON, || {
        let metrics =
            exchange(bridge.admin, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").1;
        metrics.contains("\ngreenapi_bridge_broker_connected{broker=\"nats\"} 1\n")
            && metrics.contains("\ngreenapi_bridge_journal_records{broker=\"nats\"} 0\n")
    });
}

fn reloads_without_closing_a_connection(bridge: &Installed) {
    let (process, mut open) = (bridge.machine.property("MainPID"), bridge.connect());
    assert_eq!(bridge.post(&mut open, &bridge.token, 1), 200);
    let new = "the-new-token-of-this-test";
    bridge.machine.put("tokens", format!("{}\n{new}\n", bridge.token));
    let certificate = bridge.authority.issue("next");
    bridge.put_certificate("next");
    bridge.install_certificate();
    bridge.machine.run("install -m 0640 -g greenapi-bridge tokens /etc/greenapi-bridge/");
    bridge.machine.run("systemctl reload greenapi-bridge");
    eventually("the new token is in use", SOON, || bridge.post(&mut open, new, 2) == 200);
    let shown = || bridge.connect().session().peer_certificates().unwrap()[0].to_vec();
    eventually("the new certificate is in use", SOON, || shown() == certificate);
    assert_eq!((bridge.machine.property("MainPID"), bridge.is_active()), (process, true));
}

fn is_restarted_by_the_watchdog_alone(bridge: &Installed, nats: &mut Nats) {
    let machine = &bridge.machine;
    machine.drop_in("watchdog.conf", "WatchdogSec=4s\nTimeoutAbortSec=2s\nRestartSec=1s");
    machine.run("systemctl restart greenapi-bridge");
    let process = machine.property("MainPID");
    nats.kill();
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!((machine.property("MainPID"), machine.property("NRestarts")), (process.clone(), "0".to_owned()));
    nats.start_again();
    machine.run(&format!("kill -STOP {process}"));
    eventually("it is started again", SOON, || machine.property("NRestarts") == "1" && bridge.is_active());
    assert_ne!(machine.property("MainPID"), process);
    assert!(machine.run(&format!("journalctl -u {SERVICE}")).contains("Watchdog timeout (limit 4s)"));
    assert_eq!(bridge.post(&mut bridge.connect(), &bridge.token, 3), 200);
}

/// It asks for the time that it needs, here longer than the unit allows.
fn stops_within_its_grace(bridge: &Installed) {
    let machine = &bridge.machine;
    machine.drop_in("stop.conf", "TimeoutStopSec=2s\nEnvironment=BRIDGE_SHUTDOWN__DELAY=5s");
    machine.run("systemctl restart greenapi-bridge");
    eventually("it is ready", SOON, || bridge.readyz() == 200);
    assert_eq!(bridge.post(&mut bridge.connect(), &bridge.token, 4), 200);
    machine.run("systemctl stop greenapi-bridge");
    assert_eq!((machine.property("Result"), machine.property("ExecMainStatus")), ("success".into(), "0".into()));
}

fn is_not_restarted_for_a_bad_configuration(bridge: &Installed) {
    let machine = &bridge.machine;
    machine.run("echo 'http.listen = 1' > bad.toml");
    machine.run("install -m 0640 -g greenapi-bridge bad.toml /etc/greenapi-bridge/bridge.toml");
    assert!(!machine.try_run("systemctl start greenapi-bridge").status.success());
    let before = machine.property("NRestarts");
    std::thread::sleep(Duration::from_secs(3));
    let after = (machine.property("ActiveState"), machine.property("ExecMainStatus"), machine.property("NRestarts"));
    assert_eq!(after, ("failed".into(), "2".into(), before));
}
