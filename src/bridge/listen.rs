//! Binds the addresses of the listeners, and later listens there.
//!
//! All addresses are bound before the journal is opened, so that a second bridge fails at once. A bound address accepts no
//! connections: a client that connected before the bridge is built would wait, and in vain if building fails.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use super::BuildError;
use crate::config::{Config, ConfigError};
use crate::http_server;

/// How many connections the kernel queues until they are accepted.
const ACCEPT_BACKLOG: u32 = 1024;

/// An address that no other process can have, and that does not accept connections yet.
pub(super) struct BoundAddress {
    key: &'static str,
    address: SocketAddr,
    socket: TcpSocket,
}

/// The addresses of all listeners.
pub(super) struct BoundAddresses {
    pub(super) webhook: BoundAddress,
    pub(super) admin: Option<BoundAddress>,
    pub(super) probes: Option<BoundAddress>,
}

impl BoundAddresses {
    /// Binds the addresses of a configuration. Refuses a process that may open too few files for their connections.
    pub(super) fn bind(config: &Config) -> Result<Self, BuildError> {
        require_open_files(config)?;
        let bind = BoundAddress::bind;
        Ok(Self {
            webhook: bind("http.listen", config.http.listen)?,
            admin: config.admin.as_ref().map(|admin| bind("admin.listen", admin.listen)).transpose()?,
            probes: config.probes.as_ref().map(|probes| bind("probes.listen", probes.listen)).transpose()?,
        })
    }
}

/// Refuses a start with which next to no connection could be served.
fn require_open_files(config: &Config) -> Result<(), BuildError> {
    let Some(problem) = http_server::too_few_files() else { return Ok(()) };
    Err(BuildError::Config(ConfigError {
        key: "http.limits.connections".into(),
        value: Some(config.http.limits.connections.to_string()),
        problem,
    }))
}

impl BoundAddress {
    /// Binds the address of a configuration key.
    fn bind(key: &'static str, address: SocketAddr) -> Result<Self, BuildError> {
        match bind(address) {
            Ok(socket) => Ok(Self { key, address, socket }),
            Err(source) => Err(BuildError::Listen { key, address, source }),
        }
    }

    /// Accepts connections from now on.
    pub(super) fn listen(self) -> Result<TcpListener, BuildError> {
        let Self { key, address, socket } = self;
        socket.listen(ACCEPT_BACKLOG).map_err(|source| BuildError::Listen { key, address, source })
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // connections of the previous process may still be closing
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Why a listener could not be opened, and what to do.
pub(super) fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address already in use; stop what listens there or choose another port".into(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address; give one of its own".into(),
        io::ErrorKind::PermissionDenied => {
            format!("{error}; choose a port from 1024 on, or give the process CAP_NET_BIND_SERVICE")
        }
        _ => error.to_string(),
    }
}
