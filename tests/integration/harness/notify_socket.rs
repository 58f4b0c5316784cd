//! The socket of a service manager.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use super::eventually;

/// Receives what a process says of itself, a datagram for each state.
pub struct NotifySocket {
    socket: UnixDatagram,
    name: String,
    _folder: tempfile::TempDir,
}

const WATCHDOG: &str = "WATCHDOG=1\n";

impl NotifySocket {
    /// A socket with a path, as systemd has it.
    pub fn with_path() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Self { socket, name: path.to_str().unwrap().to_owned(), _folder: folder }.non_blocking()
    }

    /// One with an abstract name, as some containers have it.
    pub fn with_abstract_name() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().file_name().unwrap().to_str().unwrap();
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        Self { socket, name: format!("@{name}"), _folder: folder }.non_blocking()
    }

    fn non_blocking(self) -> Self {
        self.socket.set_nonblocking(true).unwrap();
        self
    }

    /// The value of `NOTIFY_SOCKET`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next state, besides that it is alive.
    pub fn next(&self) -> String {
        let mut next = None;
        eventually("the bridge says something", Duration::from_secs(20), || {
            next = std::iter::from_fn(|| self.receive()).find(|state| state != WATCHDOG);
            next.is_some()
        });
        next.unwrap()
    }

    /// Everything it has said since.
    pub fn all(&self) -> Vec<String> {
        std::iter::from_fn(|| self.receive()).collect()
    }

    /// Waits until it has said so many times that it is alive.
    pub fn stays_alive(&self, times: usize) {
        let mut heard = 0;
        eventually(&format!("it is alive {times} times"), Duration::from_secs(20), || {
            heard += self.all().iter().filter(|state| *state == WATCHDOG).count();
            heard >= times
        });
    }

    fn receive(&self) -> Option<String> {
        let mut datagram = [0; 4096];
        let length = self.socket.recv(&mut datagram).ok()?;
        Some(String::from_utf8(datagram[..length].to_vec()).unwrap())
    }
}
