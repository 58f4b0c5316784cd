//! The client of a connection, as the service sees it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::eviction::Evictable;
use super::protected_addresses::ProtectedAddresses;
use crate::telemetry::GaugeGuard;

/// What a connection is protected by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Nothing; the listener has no TLS.
    Plain,
    /// TLS.
    Tls,
    /// Nothing, although the listener has TLS: the client uses http:// instead of https://.
    PlainOnTlsPort,
}

/// The client of a connection. Cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<ClientState>);

struct ClientState {
    address: IpAddr,
    transport: Transport,
    is_authenticated: AtomicBool,
    requests: AtomicUsize,
    evictable: Arc<Evictable>,
    /// None once the client is authenticated.
    unauthenticated: Mutex<Option<Unauthenticated>>,
    protected: ProtectedAddresses,
    opened: Instant,
    /// When the protection of its address was last renewed, in seconds after `opened`.
    renewed: AtomicU64,
}

/// How often a connection renews the protection of its address, in seconds.
const RENEWED_EVERY: u64 = 60;

/// What a connection holds until its client is authenticated.
pub(super) struct Unauthenticated {
    pub(super) _address_permit: Option<OwnedSemaphorePermit>,
    pub(super) _counted: Option<GaugeGuard>,
}

impl Client {
    pub(super) fn new(
        address: IpAddr,
        transport: Transport,
        evictable: Arc<Evictable>,
        unauthenticated: Unauthenticated,
        protected: ProtectedAddresses,
    ) -> Self {
        Self(Arc::new(ClientState {
            address,
            transport,
            is_authenticated: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            evictable,
            unauthenticated: Mutex::new(Some(unauthenticated)),
            protected,
            opened: Instant::now(),
            renewed: AtomicU64::new(0),
        }))
    }

    /// The source address of the connection, or the one in its PROXY protocol header.
    pub fn address(&self) -> IpAddr {
        self.0.address
    }

    /// What the connection is protected by.
    pub fn transport(&self) -> Transport {
        self.0.transport
    }

    /// Marks the client as authenticated, or as allowed without a token: its connection is no longer evicted.
    pub fn mark_authenticated(&self) {
        // almost every request finds it so, and only reads
        if self.is_authenticated() || self.0.is_authenticated.swap(true, Relaxed) {
            return self.renew_protection();
        }
        self.0.protected.add(self.0.address);
        self.0.renewed.store(self.0.opened.elapsed().as_secs(), Relaxed);
        self.0.evictable.unregister();
        self.0.unauthenticated.lock().take();
    }

    /// Its address stays protected while its requests have a valid token, also if it never opens another connection.
    fn renew_protection(&self) {
        let (now, renewed) = (self.0.opened.elapsed().as_secs(), self.0.renewed.load(Relaxed));
        if now < renewed + RENEWED_EVERY {
            return;
        }
        self.0.renewed.store(now, Relaxed);
        self.0.protected.add(self.0.address);
    }

    /// Marks the client as unauthenticated again: its token or address is valid no longer.
    pub fn mark_refused(&self) {
        if self.0.is_authenticated.swap(false, Relaxed) {
            self.0.evictable.register_again();
        }
    }

    pub(super) fn is_authenticated(&self) -> bool {
        self.0.is_authenticated.load(Relaxed)
    }

    /// Counts a request, and returns how many there have been.
    pub(super) fn count_request(&self) -> usize {
        self.0.requests.fetch_add(1, Relaxed) + 1
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::eviction::EvictionPool;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_protection_of_an_address_lasts_while_requests_have_a_valid_token() {
        let (protected, address) = (ProtectedAddresses::new(None), "192.0.2.7".parse().unwrap());
        let evictable = Arc::new(EvictionPool::default().register(address, false));
        let unauthenticated = Unauthenticated { _address_permit: None, _counted: None };
        let client = Client::new(address, Transport::Plain, evictable, unauthenticated, protected.clone());
        for _ in 0..40 {
            client.mark_authenticated();
            tokio::time::advance(Duration::from_secs(5 * 60)).await;
            assert!(protected.contains(address));
        }
        tokio::time::advance(Duration::from_secs(60 * 60)).await;
        assert!(!protected.contains(address), "an hour after the last");
    }
}
