//! Eviction: which connection is closed when a limit is reached and another one comes.
//!
//! Only unauthenticated connections are evicted: those whose client has not shown a valid token. The address that has the
//! most of them loses its oldest, so an address with many pays for them, and one with few keeps its own. A protected address
//! loses one only if no other has any.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

/// What one limit counts: unauthenticated connections, or TLS handshakes in progress. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct EvictionPool(Arc<Mutex<Registered>>);

#[derive(Debug, Default)]
struct Registered {
    networks: HashMap<IpAddr, Network>,
    count: usize,
    next: u64,
}

/// What is registered under one address, or for IPv6 under one /64; there is none without an entry.
#[derive(Debug, Default)]
struct Network {
    /// By age, the oldest first; each is notified when it is evicted.
    evictables: BTreeMap<u64, Arc<Notify>>,
    /// See [`Evictable::address_permits`].
    permits: Option<Arc<Semaphore>>,
    /// Whether it was protected when the last one was registered.
    is_protected: bool,
}

/// One connection or handshake that can be evicted. Its drop ends its registration.
#[derive(Debug)]
pub(super) struct Evictable {
    pool: EvictionPool,
    address: IpAddr,
    /// The key of its [`Network`].
    network: IpAddr,
    number: u64,
    evicted: Arc<Notify>,
    /// Whether it was unregistered: an eviction at the same moment comes too late.
    is_unregistered: AtomicBool,
}

impl EvictionPool {
    /// Registers one more. With `is_protected` it is evicted only if no other address has any.
    pub(super) fn register(&self, address: IpAddr, is_protected: bool) -> Evictable {
        let network = network_of(address);
        let evicted = Arc::new(Notify::new());
        let mut registered = self.0.lock();
        let number = registered.next;
        registered.next += 1;
        registered.count += 1;
        let entry = registered.networks.entry(network).or_default();
        entry.evictables.insert(number, evicted.clone());
        entry.is_protected = is_protected;
        Evictable {
            pool: self.clone(),
            address: address.to_canonical(),
            network,
            number,
            evicted,
            is_unregistered: AtomicBool::new(false),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.0.lock().count
    }

    /// Evicts the oldest of the address that has the most; of several such addresses, the oldest of all: one that has just
    /// come may be about to show its token. Returns the address, or the network of IPv6; None means that the pool is empty.
    pub(super) fn evict(&self) -> Option<IpAddr> {
        let mut registered = self.0.lock();
        let entries = registered.networks.iter();
        let (address, _) = entries.max_by_key(|(_, entry)| {
            let oldest = entry.evictables.first_key_value().map(|(number, _)| *number);
            (!entry.is_protected, entry.evictables.len(), Reverse(oldest))
        })?;
        let address = *address;
        registered.evict_oldest(address).then_some(address)
    }

    /// Evicts the oldest of this address. Whether there was one.
    pub(super) fn evict_from(&self, address: IpAddr) -> bool {
        self.0.lock().evict_oldest(network_of(address))
    }
}

impl Registered {
    fn evict_oldest(&mut self, network: IpAddr) -> bool {
        let oldest = self.networks.get_mut(&network).and_then(|entry| entry.evictables.pop_first());
        if let Some((_, evicted)) = &oldest {
            evicted.notify_one();
            self.uncount(network);
        }
        oldest.is_some()
    }

    /// Subtracts one that was taken out of its network.
    fn uncount(&mut self, network: IpAddr) {
        self.count -= 1;
        if self.networks.get(&network).is_some_and(|entry| entry.evictables.is_empty()) {
            self.networks.remove(&network);
        }
    }
}

impl Evictable {
    /// The address that it was registered with.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// Runs a future until this is evicted; None means that it was.
    pub(super) async fn unless_evicted<F: Future>(&self, future: F) -> Option<F::Output> {
        tokio::select! {
            // a client that was evicted must not have a request accepted whose answer it would not get
            biased;
            () = self.evicted() => None,
            output = future => Some(output),
        }
    }

    /// Ends when this is evicted, unless it was unregistered at the same moment.
    async fn evicted(&self) {
        loop {
            self.evicted.notified().await;
            if !self.is_unregistered.load(Relaxed) {
                return;
            }
        }
    }

    /// Registers again what was unregistered. It is as old as it was.
    pub(super) fn register_again(&self) {
        if !self.is_unregistered.swap(false, Relaxed) {
            return;
        }
        let mut registered = self.pool.0.lock();
        registered.count += 1;
        let entry = registered.networks.entry(self.network).or_default();
        entry.evictables.insert(self.number, self.evicted.clone());
    }

    /// The permits that all of this address share, for those that are served at the same time.
    pub(super) fn address_permits(&self, max: usize) -> Arc<Semaphore> {
        let new = || Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        let mut registered = self.pool.0.lock();
        // one that was evicted has no entry any more, and is about to end
        let entry = registered.networks.get_mut(&self.network);
        entry.map_or_else(new, |entry| entry.permits.get_or_insert_with(new).clone())
    }

    /// Ends the registration: from now on it cannot be evicted.
    pub(super) fn unregister(&self) {
        self.is_unregistered.store(true, Relaxed);
        let mut registered = self.pool.0.lock();
        let entry = registered.networks.get_mut(&self.network);
        if entry.is_some_and(|entry| entry.evictables.remove(&self.number).is_some()) {
            registered.uncount(self.network);
        }
    }
}

impl Drop for Evictable {
    fn drop(&mut self) {
        self.unregister();
    }
}

/// The address under which a client is counted. An IPv4 address inside an IPv6 one counts as itself, and an IPv6 one as its /64: that
/// is the least that one customer of a network gets.
pub(super) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    async fn is_evicted(member: &Evictable) -> bool {
        member.unless_evicted(tokio::task::yield_now()).await.is_none()
            || member.unless_evicted(std::future::pending::<()>()).await.is_none()
    }

    #[tokio::test(start_paused = true)]
    async fn the_address_that_has_the_most_loses_its_oldest() {
        let pool = EvictionPool::default();
        let few = pool.register(address("192.0.2.1"), false);
        let many: Vec<_> = (0..3).map(|_| pool.register(address("192.0.2.2"), false)).collect();
        assert_eq!(pool.evict(), Some(address("192.0.2.2")));
        assert!(is_evicted(&many[0]).await);
        assert_eq!(pool.count(), 3);
        assert_eq!(pool.evict(), Some(address("192.0.2.2")));
        assert!(is_evicted(&many[1]).await);
        for member in [&few, &many[2]] {
            let waited = tokio::time::timeout(std::time::Duration::from_secs(9), is_evicted(member)).await;
            assert!(waited.is_err(), "evicted");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_eviction_comes_too_late_for_what_was_unregistered_at_the_same_moment() {
        let pool = EvictionPool::default();
        let late = pool.register(address("192.0.2.1"), false);
        pool.evict().unwrap();
        late.unregister();
        let served = tokio::time::sleep(std::time::Duration::from_secs(9));
        assert!(late.unless_evicted(served).await.is_some(), "evicted");
        late.register_again();
        assert_eq!((pool.count(), pool.evict()), (1, Some(address("192.0.2.1"))));
        assert!(is_evicted(&late).await);
    }

    #[test]
    fn of_addresses_that_have_as_many_the_newest_loses_last() {
        let pool = EvictionPool::default();
        let address = |number| IpAddr::from([192, 0, 2, number]);
        let _registered: Vec<_> = (1..=100).map(|number| pool.register(address(number), false)).collect();
        let evicted: Vec<_> = std::iter::from_fn(|| pool.evict()).collect();
        assert_eq!(evicted, (1..=100).map(address).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_was_evicted_does_nothing_more() {
        let pool = EvictionPool::default();
        let evicted = pool.register(address("192.0.2.1"), false);
        pool.evict();
        let mut is_run = false;
        assert!(evicted.unless_evicted(async { is_run = true }).await.is_none());
        assert!(!is_run);
    }

    #[test]
    fn a_protected_address_loses_one_last() {
        let pool = EvictionPool::default();
        let protected = address("192.0.2.1");
        let _members = [
            pool.register(protected, true),
            pool.register(protected, true),
            pool.register(address("192.0.2.2"), false),
        ];
        let evicted: Vec<_> = std::iter::from_fn(|| pool.evict()).collect();
        assert_eq!(evicted, [address("192.0.2.2"), protected, protected]);
    }

    #[test]
    fn what_is_unregistered_is_not_evicted_and_no_entry_stays_behind() {
        let pool = EvictionPool::default();
        let (left, dropped, evicted) = (
            pool.register(address("192.0.2.1"), false),
            pool.register(address("192.0.2.1"), false),
            pool.register(address("2001:db8::1"), false),
        );
        left.unregister();
        left.unregister();
        drop((left, dropped));
        assert_eq!(pool.evict(), Some(address("2001:db8::")));
        assert_eq!((pool.evict(), pool.count()), (None, 0));
        drop(evicted);
        assert_eq!(pool.count(), 0);
        assert!(pool.0.lock().networks.is_empty());
    }

    #[test]
    fn all_of_an_address_share_its_permits() {
        let pool = EvictionPool::default();
        let join = |text| pool.register(address(text), false);
        let (one, mapped, other) = (join("192.0.2.1"), join("::ffff:192.0.2.1"), join("192.0.2.2"));
        let _turn = one.address_permits(1).try_acquire_owned().unwrap();
        assert!(mapped.address_permits(1).try_acquire_owned().is_err());
        assert!(other.address_permits(1).try_acquire_owned().is_ok());
    }

    #[test]
    fn an_ipv6_client_counts_as_its_network() {
        assert_eq!(network_of(address("2001:db8:1:2:3:4:5:6")), address("2001:db8:1:2::"));
        assert_eq!(network_of(address("::ffff:192.0.2.7")), address("192.0.2.7"));
    }
}
