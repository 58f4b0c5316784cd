//! Notifies the service manager that started this process, such as systemd, of its state: `sd_notify(3)`.
//!
//! In: the environment (`NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`). Out: one datagram for each state. Without
//! `NOTIFY_SOCKET` nothing is sent. No library is used: those for this do not support abstract socket addresses, or link to
//! systemd.

use std::env::VarError;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::warn;

use crate::units::show;

/// More than enough time for the process to exit after the grace has ended.
const EXIT_WITHIN: Duration = Duration::from_secs(5);

/// How long a state may wait for room in the service manager's socket. A start, a reload and a stop wait for that.
const SEND_WITHIN: Duration = Duration::from_millis(100);

/// The service manager of this process, if one listens. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ServiceManager {
    /// None means no service manager listens.
    address: Option<SocketAddr>,
    /// The service manager kills the process if it sends nothing for this time. None means there is no watchdog.
    watchdog: Option<Duration>,
    stopping: Arc<AtomicBool>,
}

impl ServiceManager {
    /// The service manager that the environment of this process names.
    pub fn from_environment() -> Self {
        Self::new(std::process::id(), |name| match std::env::var(name) {
            Err(VarError::NotPresent) => None,
            value => Some(value.unwrap_or_default()),
        })
    }

    /// The service manager of the process `own_id`. `variable` looks up its environment variables.
    fn new(own_id: u32, variable: impl Fn(&str) -> Option<String>) -> Self {
        let Some(name) = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Self::default() };
        let address = address(&name)
            .inspect_err(|error| warn!("NOTIFY_SOCKET = {name}: {error}; the service manager is not notified"));
        // this process may have inherited the variables from a parent process for which they are meant
        let is_meant = variable("WATCHDOG_PID").is_none_or(|id| id.parse() == Ok(own_id));
        let watchdog = variable("WATCHDOG_USEC").filter(|_| is_meant).and_then(|time| time.parse().ok());
        let watchdog = watchdog.filter(|micros| *micros > 0).map(Duration::from_micros);
        Self { address: address.ok(), watchdog, stopping: Arc::default() }
    }

    /// Notifies that all listeners serve, or that a reload has ended.
    pub async fn ready(&self, status: &str) {
        self.unless_stopping(&format!("READY=1\nSTATUS={status}\n")).await;
    }

    /// Notifies that a reload begins. [`Self::ready`] ends it.
    pub async fn reloading(&self) {
        // systemd compares it with the time at which it asked for the reload
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.unless_stopping(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reloading\n")).await;
    }

    /// Notifies that the stop begins and takes at most `grace`. It asks for that much time, because the limit of the service
    /// manager may be shorter. No later state is sent.
    pub async fn stopping(&self, grace: Duration) {
        self.stopping.store(true, Ordering::Relaxed);
        let micros = (grace + EXIT_WITHIN).as_micros();
        let status = format!("stopping, within {}", show(grace));
        self.send(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={micros}\nSTATUS={status}\n")).await;
    }

    /// Sends the watchdog's keep-alive twice in its time, without end. Spawn it on the runtime that serves: then each tick
    /// shows that the runtime's threads and timer run. A tick uses no broker and no disk, which a restart would not repair.
    pub async fn keep_alive(self) {
        let Some(watchdog) = self.watchdog else { return };
        let mut ticks = interval(watchdog / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.send("WATCHDOG=1\n").await;
        }
    }

    async fn unless_stopping(&self, state: &str) {
        if !self.stopping.load(Ordering::Relaxed) {
            self.send(state).await;
        }
    }

    async fn send(&self, state: &str) {
        let Some(address) = &self.address else { return };
        if let Err(error) = send_to(address, state).await {
            warn!(%error, "service manager not notified");
        }
    }
}

/// The address in a value of `NOTIFY_SOCKET`: a path, or an abstract name after an `@`.
fn address(name: &str) -> io::Result<SocketAddr> {
    match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None if name.starts_with('/') => SocketAddr::from_pathname(name),
        None => Err(io::Error::other("neither a path nor an abstract name")),
    }
}

/// Sends from a new socket each time, because the service manager may have replaced its own socket.
async fn send_to(address: &SocketAddr, state: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(address)?;
    socket.set_nonblocking(true)?;
    let socket = tokio::net::UnixDatagram::from_std(socket)?;
    let sent = timeout(SEND_WITHIN, socket.send(state.as_bytes())).await;
    sent.unwrap_or_else(|_| Err(io::Error::other("its socket is full"))).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(variables: &[(&str, &str)]) -> ServiceManager {
        ServiceManager::new(7, |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn watchdog(variables: &[(&str, &str)]) -> Option<Duration> {
        manager(&[variables, &[("NOTIFY_SOCKET", "/run/notify")]].concat()).watchdog
    }

    #[test]
    fn the_watchdog_is_for_the_process_it_names() {
        let (time, second) = (("WATCHDOG_USEC", "1000000"), Some(Duration::from_secs(1)));
        assert_eq!(watchdog(&[time]), second);
        assert_eq!(watchdog(&[time, ("WATCHDOG_PID", "7")]), second);
        assert_eq!(watchdog(&[time, ("WATCHDOG_PID", "8")]), None);
        assert_eq!(watchdog(&[]), None);
        for unusable in ["0", "", "soon"] {
            assert_eq!(watchdog(&[("WATCHDOG_USEC", unusable)]), None);
        }
        assert_eq!(manager(&[time]).watchdog, None, "nobody listens");
    }

    #[test]
    fn a_socket_has_a_path_or_an_abstract_name() {
        let named = |name| manager(&[("NOTIFY_SOCKET", name)]).address;
        assert_eq!(named("/run/notify").unwrap().as_pathname(), Some("/run/notify".as_ref()));
        assert_eq!(named("@notify").unwrap().as_abstract_name(), Some(&b"notify"[..]));
        assert!(["", "notify", "vsock:2:1234"].into_iter().all(|name| named(name).is_none()));
    }

    /// A manager, and the socket that receives what it sends.
    fn listening(watchdog: &str) -> (ServiceManager, UnixDatagram, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let manager = manager(&[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", watchdog)]);
        (manager, socket, folder)
    }

    fn received(socket: &UnixDatagram) -> Vec<String> {
        let next = || {
            let mut datagram = [0; 200];
            socket.recv(&mut datagram).ok().map(|length| String::from_utf8_lossy(&datagram[..length]).into_owned())
        };
        std::iter::from_fn(next).collect()
    }

    #[tokio::test]
    async fn each_state_is_one_datagram() {
        let (manager, socket, _folder) = listening("");
        manager.ready("serving").await;
        manager.reloading().await;
        manager.stopping(Duration::from_secs(25)).await;
        manager.ready("a reload that ends too late").await;
        manager.reloading().await;
        let [ready, reloading, stopping] = received(&socket).try_into().unwrap();
        assert_eq!(ready, "READY=1\nSTATUS=serving\n");
        assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
        assert_eq!(stopping, "STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000\nSTATUS=stopping, within 25s\n");
    }

    #[tokio::test]
    async fn a_socket_that_nobody_reads_delays_nothing() {
        let (manager, socket, _folder) = listening("");
        let begun = std::time::Instant::now();
        let mut sent = 0;
        while begun.elapsed() < SEND_WITHIN && sent < 10_000 {
            manager.ready("serving").await;
            sent += 1;
        }
        let full = std::time::Instant::now();
        manager.stopping(Duration::from_secs(25)).await;
        assert!(full.elapsed() < 10 * SEND_WITHIN, "{:?}", full.elapsed());
        assert!(!received(&socket).iter().any(|state| state.contains("STOPPING")), "there was no room");
    }

    #[tokio::test]
    async fn a_blocked_runtime_is_not_kept_alive() {
        let (manager, socket, _folder) = listening("20000");
        tokio::spawn(manager.keep_alive());
        let mut ticks = 0;
        while ticks < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            ticks += received(&socket).len();
        }
        std::thread::sleep(Duration::from_millis(200));
        assert!(received(&socket).is_empty(), "a thread of its own would say that all is well");
    }
}
