//! Counts open connections by source address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// The source addresses with open connections; never more entries than there are connections.
#[derive(Debug, Clone, Default)]
pub(super) struct AddressCounts(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One counted connection of an address; counted no longer after its drop.
#[derive(Debug)]
pub(super) struct CountedConnection {
    counts: AddressCounts,
    address: IpAddr,
}

impl AddressCounts {
    /// Counts one more connection. None means that the address already has `max`. An IPv4 address inside an IPv6 one
    /// counts as itself. Loopback has no limit: there it is a proxy, and all its clients share one address.
    pub(super) fn add(&self, address: IpAddr, max: usize) -> Option<CountedConnection> {
        let address = address.to_canonical();
        let mut open = self.0.lock();
        let count = open.entry(address).or_default();
        if *count >= max && !address.is_loopback() {
            return None;
        }
        *count += 1;
        Some(CountedConnection { counts: self.clone(), address })
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        let mut open = self.counts.0.lock();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_limit_and_leaves_no_entry_behind() {
        let counts = AddressCounts::default();
        let add = |address: &str| counts.add(address.parse().unwrap(), 2);
        let both = (add("192.0.2.7").unwrap(), add("::ffff:192.0.2.7").unwrap());
        assert!(add("192.0.2.7").is_none() && add("::ffff:192.0.2.7").is_none());
        assert!(add("192.0.2.8").is_some() && add("2001:db8::7").is_some());
        drop(both.0);
        assert!(add("192.0.2.7").is_some());
        drop(both.1);
        assert!(counts.0.lock().is_empty());
    }

    #[test]
    fn loopback_is_a_proxy_and_has_no_limit() {
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.2"] {
            let counts = AddressCounts::default();
            let open: Vec<_> = (0..9).map(|_| counts.add(address.parse().unwrap(), 2)).collect();
            assert!(open.iter().all(Option::is_some), "{address}");
        }
    }
}
