//! Connections that are closed when there is no room for another one.
//!
//! A client that has not shown a valid token is a stranger. Strangers may fill a listener, but they keep nobody out: when a
//! limit is reached, the address with the most strangers loses its oldest one. So whoever opens many connections pays for
//! them, and a client with few keeps its own.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

/// The members of one limit: the open connections of strangers, or the handshakes in progress. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct EvictionPool(Arc<Mutex<Members>>);

#[derive(Debug, Default)]
struct Members {
    addresses: HashMap<IpAddr, Address>,
    count: usize,
    next: u64,
}

/// The members from one address; there is no entry without a member.
#[derive(Debug, Default)]
struct Address {
    /// By age, the oldest first; notified when it is evicted.
    members: BTreeMap<u64, Arc<Notify>>,
    /// Permits of those that are served at once; see [`Member::turns`].
    turns: Option<Arc<Semaphore>>,
    /// Whether it was known when its last member joined.
    is_known: bool,
}

/// One member; it leaves the pool when it is dropped.
#[derive(Debug)]
pub(super) struct Member {
    pool: EvictionPool,
    address: IpAddr,
    /// What the address counts as.
    entry: IpAddr,
    number: u64,
    evicted: Arc<Notify>,
}

impl EvictionPool {
    /// Adds a member. One of a known address is evicted only if no other address has any.
    pub(super) fn join(&self, address: IpAddr, is_known: bool) -> Member {
        let (address, entry) = (address.to_canonical(), counted_as(address));
        let evicted = Arc::new(Notify::new());
        let mut members = self.0.lock();
        let number = members.next;
        members.next += 1;
        members.count += 1;
        let of_address = members.addresses.entry(entry).or_default();
        of_address.members.insert(number, evicted.clone());
        of_address.is_known = is_known;
        Member { pool: self.clone(), address, entry, number, evicted }
    }

    pub(super) fn count(&self) -> usize {
        self.0.lock().count
    }

    /// Evicts the oldest member of the address that has the most; of several such addresses, the oldest member of all: one
    /// that has just come may be about to show its token. Returns the address; None means that the pool is empty.
    pub(super) fn evict(&self) -> Option<IpAddr> {
        let mut members = self.0.lock();
        let entries = members.addresses.iter();
        let (address, _) = entries.max_by_key(|(_, entry)| {
            let oldest = entry.members.first_key_value().map(|(number, _)| *number);
            (!entry.is_known, entry.members.len(), Reverse(oldest))
        })?;
        let address = *address;
        members.evict_oldest(address).then_some(address)
    }

    /// Evicts the oldest member from this address. Whether there is one.
    pub(super) fn evict_from(&self, address: IpAddr) -> bool {
        self.0.lock().evict_oldest(counted_as(address))
    }
}

impl Members {
    fn evict_oldest(&mut self, address: IpAddr) -> bool {
        let oldest = self.addresses.get_mut(&address).and_then(|entry| entry.members.pop_first());
        if let Some((_, evicted)) = &oldest {
            evicted.notify_one();
            self.left(address);
        }
        oldest.is_some()
    }

    /// Counts a member no longer that has been taken out of its entry.
    fn left(&mut self, address: IpAddr) {
        self.count -= 1;
        if self.addresses.get(&address).is_some_and(|entry| entry.members.is_empty()) {
            self.addresses.remove(&address);
        }
    }
}

impl Member {
    /// The address that it joined with.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// Runs a future until the member is evicted; None means that it was.
    pub(super) async fn unless_evicted<F: Future>(&self, future: F) -> Option<F::Output> {
        tokio::select! {
            // an evicted client must not have a request accepted whose answer it would not get
            biased;
            () = self.evicted.notified() => None,
            output = future => Some(output),
        }
    }

    /// The permits of this address for members that are served at once; all its members share them.
    pub(super) fn turns(&self, max: usize) -> Arc<Semaphore> {
        let new = || Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        let mut members = self.pool.0.lock();
        // an evicted member has no entry any more, and is about to end
        let entry = members.addresses.get_mut(&self.entry);
        entry.map_or_else(new, |entry| entry.turns.get_or_insert_with(new).clone())
    }

    /// Leaves the pool, so that it can no longer be evicted.
    pub(super) fn leave(&self) {
        let mut members = self.pool.0.lock();
        let entry = members.addresses.get_mut(&self.entry);
        if entry.is_some_and(|entry| entry.members.remove(&self.number).is_some()) {
            members.left(self.entry);
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The address that a client counts as. An IPv4 address inside an IPv6 one counts as itself, and an IPv6 one as its /64: that
/// is the least that one customer of a network gets.
pub(super) fn counted_as(address: IpAddr) -> IpAddr {
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

    async fn is_evicted(member: &Member) -> bool {
        member.unless_evicted(tokio::task::yield_now()).await.is_none()
            || member.unless_evicted(std::future::pending::<()>()).await.is_none()
    }

    #[tokio::test(start_paused = true)]
    async fn the_address_with_the_most_members_loses_its_oldest() {
        let pool = EvictionPool::default();
        let few = pool.join(address("192.0.2.1"), false);
        let many: Vec<_> = (0..3).map(|_| pool.join(address("192.0.2.2"), false)).collect();
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

    #[test]
    fn of_addresses_with_as_many_members_the_newest_loses_last() {
        let pool = EvictionPool::default();
        let _members: Vec<_> = (1..=100).map(|number| pool.join(IpAddr::from([192, 0, 2, number]), false)).collect();
        let evicted: Vec<_> = std::iter::from_fn(|| pool.evict()).collect();
        assert_eq!(evicted, (1..=100).map(|number| IpAddr::from([192, 0, 2, number])).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn an_evicted_member_does_nothing_more() {
        let pool = EvictionPool::default();
        let member = pool.join(address("192.0.2.1"), false);
        pool.evict();
        let mut is_run = false;
        assert!(member.unless_evicted(async { is_run = true }).await.is_none());
        assert!(!is_run);
    }

    #[test]
    fn a_known_address_loses_a_member_last() {
        let pool = EvictionPool::default();
        let known = address("192.0.2.1");
        let _members = [pool.join(known, true), pool.join(known, true), pool.join(address("192.0.2.2"), false)];
        let evicted: Vec<_> = std::iter::from_fn(|| pool.evict()).collect();
        assert_eq!(evicted, [address("192.0.2.2"), known, known]);
    }

    #[test]
    fn a_member_that_leaves_is_not_evicted_and_no_entry_stays_behind() {
        let pool = EvictionPool::default();
        let (left, dropped, evicted) = (
            pool.join(address("192.0.2.1"), false),
            pool.join(address("192.0.2.1"), false),
            pool.join(address("2001:db8::1"), false),
        );
        left.leave();
        left.leave();
        drop((left, dropped));
        assert_eq!(pool.evict(), Some(address("2001:db8::")));
        assert_eq!((pool.evict(), pool.count()), (None, 0));
        drop(evicted);
        assert_eq!(pool.count(), 0);
        assert!(pool.0.lock().addresses.is_empty());
    }

    #[test]
    fn the_members_of_an_address_share_its_turns() {
        let pool = EvictionPool::default();
        let join = |text| pool.join(address(text), false);
        let (one, mapped, other) = (join("192.0.2.1"), join("::ffff:192.0.2.1"), join("192.0.2.2"));
        let _turn = one.turns(1).try_acquire_owned().unwrap();
        assert!(mapped.turns(1).try_acquire_owned().is_err());
        assert!(other.turns(1).try_acquire_owned().is_ok());
    }

    #[test]
    fn an_ipv6_client_counts_as_its_network() {
        assert_eq!(counted_as(address("2001:db8:1:2:3:4:5:6")), address("2001:db8:1:2::"));
        assert_eq!(counted_as(address("::ffff:192.0.2.7")), address("192.0.2.7"));
    }
}
