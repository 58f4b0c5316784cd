//! Three real nats-servers that are one cluster.

use std::time::Duration;

use async_nats::jetstream;

use super::{Bridge, Nats, eventually, exchange, free_port};

pub struct Cluster {
    pub nodes: Vec<Nats>,
}

impl Cluster {
    /// All three are connected and have elected a leader.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// As [`Self::start`], each with these arguments too.
    pub fn start_with(extra: &str) -> Self {
        let (routes, monitors) = ([(); 3].map(|()| free_port()), [(); 3].map(|()| free_port()));
        let all = routes.map(|port| format!("nats://127.0.0.1:{port}"));
        let node = |number: usize| {
            let text = format!(
                "-n n{number} --cluster_name c --cluster {} --routes {} -m {} {extra}",
                all[number],
                all.join(","),
                monitors[number]
            );
            Nats::start_with(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        };
        let cluster = Self { nodes: (0..3).map(node).collect() };
        eventually("a leader that sees both others", Duration::from_secs(30), || {
            monitors.iter().any(|port| {
                let request = b"GET /jsz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
                let seen = exchange(([127, 0, 0, 1], *port).into(), request).1;
                seen.matches("\"current\": true").count() == 2
            })
        });
        cluster
    }

    /// A bridge configured with all three servers, and its stream.
    pub fn bridge(&self, extra: &str) -> Bridge {
        self.bridge_at(&[0, 1, 2], extra)
    }

    /// A bridge configured with these servers. It connects to one, which tells it about the others.
    pub fn bridge_at(&self, nodes: &[usize], extra: &str) -> Bridge {
        let ports: Vec<_> = nodes.iter().map(|node| self.nodes[*node].port).collect();
        Bridge::start_with_servers(&ports, extra, true).ready()
    }

    /// A configuration that names all three.
    pub fn config(&self, extra: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let servers: Vec<_> = self.nodes.iter().map(|node| format!("nats://127.0.0.1:{}", node.port)).collect();
        std::fs::write(file.path(), format!("nats.servers = {servers:?}\n{extra}")).unwrap();
        file
    }

    /// Which node leads the stream.
    pub fn leader(&self) -> usize {
        let server = format!("nats://127.0.0.1:{}", self.nodes[0].port);
        let leader = tokio::runtime::Runtime::new().unwrap().block_on(async {
            let context = jetstream::new(async_nats::connect(server).await.unwrap());
            let stream = context.get_stream("GREENAPI").await.unwrap();
            stream.cached_info().cluster.clone().unwrap().leader.unwrap()
        });
        leader.trim_start_matches('n').parse().unwrap()
    }
}
