//! A proxy that silently drops connections, as a firewall does.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub struct BlackholeProxy {
    pub port: u16,
    /// Connections opened at an earlier count are no longer forwarded, and not closed.
    forgotten: Arc<AtomicUsize>,
}

impl BlackholeProxy {
    pub fn before(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", super::free_port())).unwrap();
        let at = listener.local_addr().unwrap().port();
        let forgotten: Arc<AtomicUsize> = Arc::default();
        let count = forgotten.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map(Result::unwrap) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let begun = count.load(Ordering::SeqCst);
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to, count) = (from.try_clone().unwrap(), to.try_clone().unwrap(), count.clone());
                    std::thread::spawn(move || carry(from, to, || count.load(Ordering::SeqCst) > begun));
                }
            }
        });
        Self { port: at, forgotten }
    }

    /// From now on open connections carry nothing; connections opened later work.
    pub fn forget(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, is_forgotten: impl Fn() -> bool) {
    let mut bytes = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        // reads on, so that the sender does not notice a full buffer
        if !is_forgotten() && to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    if !is_forgotten() {
        let _ = to.shutdown(Shutdown::Both);
    }
}
