//! What a service manager such as systemd hears of the bridge.

use std::net::TcpStream;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::harness::{Bridge, Nats, NotifySocket, free_port, nats_servers, text};

/// A time in which a bridge that works says so several times even on a busy machine.
const WATCHDOG: Duration = Duration::from_millis(400);

/// The microseconds of the clock that systemd compares.
fn now() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

/// When the bridge says that a reload began.
fn began(reloading: &str) -> i64 {
    let rest = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{reloading}"));
    rest.split('\n').next().unwrap().parse().unwrap()
}

#[test]
fn the_service_manager_hears_of_start_reload_and_stop_in_order() {
    let nats = Nats::start();
    for socket in [NotifySocket::with_path(), NotifySocket::with_abstract_name()] {
        let tokens = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(tokens.path(), "the-first-token-of-two\n").unwrap();
        let probes = format!("127.0.0.1:{}", free_port());
        let section = format!("auth.tokens_file = {:?}\nprobes.listen = {probes:?}\n", tokens.path());
        let mut bridge = Bridge::notifying(&socket, Duration::ZERO, &(nats_servers(&[nats.port]) + &section));
        // it has said that it is ready: nothing is waited for
        for listener in [bridge.http.to_string(), bridge.admin.to_string(), probes] {
            assert!(TcpStream::connect(&listener).is_ok(), "{listener}");
        }
        std::fs::write(tokens.path(), "the-second-token-of-two\n").unwrap();
        let asked = now();
        bridge.signal("-HUP");
        let began = began(&socket.next());
        assert!((asked..now()).contains(&began), "{began}");
        let ready = socket.next();
        assert!(ready.starts_with("READY=1\nSTATUS=serving http://"), "{ready}");
        // and so is what was loaded: the right token, and there is no stream
        let second = "Authorization: Bearer the-second-token-of-two\r\n";
        assert_eq!(bridge.post_with(second, &text(1)).0, 503);
        bridge.signal("-TERM");
        let stopping = socket.next();
        assert!(stopping.starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000\n"), "{stopping}");
        assert_eq!(bridge.exit_code(), Some(0));
        assert!(socket.all().is_empty(), "a stop is the last it says, and nobody asked whether it is alive");
    }
}

#[test]
fn the_watchdog_hears_of_a_bridge_that_works_whatever_its_broker_does_and_of_no_other() {
    let (mut nats, socket) = (Nats::start(), NotifySocket::with_path());
    let bridge = Bridge::notifying(&socket, WATCHDOG, &nats_servers(&[nats.port]));
    socket.stays_alive(5);
    nats.kill();
    crate::harness::eventually("its broker is down", Duration::from_secs(20), || bridge.get("/readyz").0 == 503);
    socket.all();
    socket.stays_alive(5);
    bridge.signal("-STOP");
    socket.all();
    std::thread::sleep(WATCHDOG * 3);
    assert!(socket.all().is_empty(), "a process that stands still is not alive");
    bridge.signal("-CONT");
    socket.stays_alive(5);
    assert_eq!(bridge.terminate(), Some(0));
}
