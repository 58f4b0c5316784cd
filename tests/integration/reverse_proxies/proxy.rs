//! The reverse proxies of docs/tls.md, with the configuration that stands there.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::requests::request;
use crate::harness::{Answer, Certificates, LOOPBACK, TlsConnection, eventually, free_port, not_tested};

/// A proxy that docs/tls.md shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    Haproxy,
    Caddy,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Nginx, Self::Haproxy, Self::Caddy];

    /// The language of its block in docs/tls.md.
    fn language(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddyfile",
        }
    }

    fn program(self) -> String {
        match self {
            Self::Nginx => "nginx".into(),
            Self::Haproxy => "haproxy".into(),
            Self::Caddy => std::env::var("BRIDGE_TEST_CADDY").unwrap_or_else(|_| "caddy".into()),
        }
    }

    /// Its version; None means that it is not installed.
    fn version(self) -> Option<String> {
        let argument = if self == Self::Caddy { "version" } else { "-v" };
        // Debian puts servers where a user's PATH does not lead
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let said = Command::new(self.program()).arg(argument).env("PATH", path).output().ok()?;
        Some(String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).lines().next()?.to_owned())
    }

    /// What is replaced in the block of docs/tls.md, beside the bridge's address, and by what. Each must be there.
    fn replacements(self, port: u16, folder: &str) -> Vec<(String, String)> {
        let pairs = match self {
            Self::Nginx => vec![
                ("listen 443 ssl", format!("listen 127.0.0.1:{port} ssl")),
                ("/etc/letsencrypt/live/bridge.example.com/fullchain.pem", format!("{folder}/server")),
                ("/etc/letsencrypt/live/bridge.example.com/privkey.pem", format!("{folder}/server.key")),
            ],
            Self::Haproxy => vec![
                ("bind :443", format!("bind 127.0.0.1:{port}")),
                ("/etc/haproxy/bridge.pem", format!("{folder}/server+server.key")),
            ],
            // an own certificate, and no redirect on port 80
            Self::Caddy => vec![
                (
                    "bridge.example.com {\n",
                    // for every name, and without waiting for an authority
                    format!("https://:{port} {{\n    tls {folder}/server {folder}/server.key\n"),
                ),
                ("{\n    servers {", "{\n    auto_https disable_redirects\n    admin off\n    servers {".to_owned()),
            ],
        };
        pairs.into_iter().map(|(from, to)| (from.to_owned(), to)).collect()
    }

    /// What a start without root and beside others needs around the block.
    fn wrapped(self, block: &str, folder: &str) -> String {
        match self {
            Self::Nginx => {
                let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .iter()
                    .map(|kind| format!("    {kind}_temp_path {folder}/{kind};\n"))
                    .collect();
                let files = format!("pid {folder}/nginx.pid;\nerror_log {folder}/log;\n");
                format!("daemon off;\n{files}events {{}}\nhttp {{\n    access_log off;\n{temporary}{block}}}\n")
            }
            Self::Haproxy | Self::Caddy => block.to_owned(),
        }
    }

    fn command(self, config: &str, folder: &str) -> Command {
        let mut command = Command::new(self.program());
        command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
        match self {
            Self::Nginx => command.args(["-e", &format!("{folder}/log"), "-p", folder, "-c", config]),
            Self::Haproxy => command.args(["-db", "-f", config]),
            Self::Caddy => command.args(["run", "--adapter", "caddyfile", "--config", config]),
        };
        // Caddy keeps its state in the home
        command.env("HOME", folder).env_remove("XDG_DATA_HOME").env_remove("XDG_CONFIG_HOME");
        command
    }
}

pub fn page() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tls.md")).unwrap()
}

/// The block of docs/tls.md in this language.
fn block(language: &str) -> String {
    let page = page();
    let start = format!("```{language}\n");
    assert_eq!(page.matches(&start).count(), 1, "docs/tls.md has one block of {language}");
    page.split(&start).nth(1).unwrap().split("```").next().unwrap().to_owned()
}

fn open_from(address: IpAddr, to: SocketAddr) -> TcpStream {
    // std cannot choose the address it connects from
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(address, 0)).unwrap();
        socket.connect(to).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream
}

/// A running proxy, with a certificate of its own.
pub struct Proxy {
    pub kind: Kind,
    child: Child,
    pub address: SocketAddr,
    certificates: Certificates,
}

impl Proxy {
    /// Every proxy that this machine has, each in front of this bridge.
    pub fn all(bridge: SocketAddr) -> Vec<Self> {
        Self::some(&Kind::ALL, bridge, |block| block)
    }

    /// HAProxy with the PROXY protocol, changed as docs/tls.md says.
    pub fn haproxy_with_proxy_protocol(bridge: SocketAddr) -> Vec<Self> {
        Self::some(&[Kind::Haproxy], bridge, |block| {
            let header = "    http-request set-header X-Forwarded-For %[src]\n";
            let server = "server bridge 127.0.0.1:3000";
            let with_protocol = format!("{server} send-proxy-v2");
            assert!(block.contains(header) && block.contains(server) && page().contains(&with_protocol), "{block}");
            block.replace(header, "").replace(server, &with_protocol)
        })
    }

    /// nginx and HAProxy in front of a bridge with TLS, changed as docs/tls.md says. They trust the authority of this PEM file.
    pub fn all_to_tls(bridge: SocketAddr, authority: &str) -> Vec<Self> {
        let with_tls = |kind: Kind, plain: &'static str, ca_file: &'static str| {
            let lines = block(&format!("{} tls", kind.language()));
            assert!(lines.contains(ca_file) && lines.contains("bridge.internal"), "{lines}");
            let lines = lines.replace(ca_file, authority).replace("bridge.internal", "localhost");
            Self::some(&[kind], bridge, move |block| {
                assert_eq!(block.matches(plain).count(), 1, "{plain} in {block}");
                block.replace(plain, &lines)
            })
        };
        let nginx = with_tls(Kind::Nginx, "        proxy_pass http://bridge;\n", "/etc/nginx/bridge-ca.crt");
        let server = "    server bridge 127.0.0.1:3000\n";
        let haproxy = with_tls(Kind::Haproxy, server, "/etc/haproxy/bridge-ca.crt");
        nginx.into_iter().chain(haproxy).collect()
    }

    fn some(kinds: &[Kind], bridge: SocketAddr, change: impl Fn(String) -> String) -> Vec<Self> {
        kinds.iter().filter_map(|kind| Self::of(*kind, bridge, &change)).collect()
    }

    /// This proxy in front of this bridge; None means that the machine does not have it.
    pub fn of(kind: Kind, bridge: SocketAddr, change: impl Fn(String) -> String) -> Option<Self> {
        if kind.version().is_none() {
            not_tested(&format!("{} is not installed", kind.language()));
            return None;
        }
        Some(Self::start(kind, bridge, change))
    }

    fn start(kind: Kind, bridge: SocketAddr, change: impl Fn(String) -> String) -> Self {
        let (certificates, port) = (Certificates::new(), free_port());
        certificates.joined(&["server", "server.key"]);
        let folder = certificates.folder();
        let mut text = change(block(kind.language()));
        let bridge_address = ("127.0.0.1:3000".to_owned(), bridge.to_string());
        for (from, to) in kind.replacements(port, &folder).into_iter().chain([bridge_address]) {
            assert_eq!(text.matches(&from).count(), 1, "{from} in {text}");
            text = text.replace(&from, &to);
        }
        let config = certificates.at("proxy.conf");
        std::fs::write(&config, kind.wrapped(&text, &folder)).unwrap();
        let said = std::fs::File::create(certificates.at("said")).unwrap();
        let mut command = kind.command(&config, &folder);
        command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let proxy = Self { kind, child: command.spawn().unwrap(), address, certificates };
        eventually(&format!("{kind:?} listens"), Duration::from_secs(20), || TcpStream::connect(address).is_ok());
        proxy
    }

    /// A new connection, over TLS.
    pub fn connect(&self) -> TlsConnection {
        self.connect_from(LOOPBACK)
    }

    /// A new connection from this address of the machine.
    pub fn connect_from(&self, address: IpAddr) -> TlsConnection {
        let config = TlsConnection::config(&self.certificates.at("ca"));
        TlsConnection::over(open_from(address, self.address), "127.0.0.1", config).unwrap()
    }

    /// The answer to these bytes, on a connection of their own.
    pub fn ask(&self, request: &[u8]) -> Answer {
        let mut client = self.connect();
        // a body that is refused before it was read
        let _ = client.send(request);
        client.answer()
    }

    /// Posts a notification on a connection of its own.
    pub fn post(&self, body: &[u8]) -> (u16, String) {
        let answer = self.ask(&request("", body));
        (answer.status, answer.body)
    }

    /// Whether its process still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for file in ["said", "log"] {
                let text = std::fs::read_to_string(self.certificates.at(file)).unwrap_or_default();
                eprintln!("{:?} {file}: {text}", self.kind);
            }
        }
        // TERM, so that the master of nginx ends its workers
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
